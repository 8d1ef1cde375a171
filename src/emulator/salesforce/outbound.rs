//! Outbound messages: queued when a record is saved, filled when they are sent, sent again until they are acknowledged.

use std::collections::HashMap;

use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};
use serde_json::Value as Json;

use crate::domain::Timestamp;
use crate::emulator::Outgoing;
use crate::emulator::outbox::{Item, Ladder, Outbox, WebhookControl};
use crate::emulator::salesforce::records::Table;
use crate::emulator::salesforce::write::Hidden;
use crate::emulator::salesforce::{INTEGRATION_USER, Options, Target, ids};

/// The most notifications in one message.
const NOTIFICATIONS_MAX: usize = 100;

/// Twice as long each time up to two hours, for a day. The first step is not documented; people have seen seconds.
const LADDER: Ladder =
    Ladder { first_ms: 5_000, longest_ms: 7_200_000, attempts_max: u32::MAX, age_max_ms: 86_400_000 };

/// The objects that are told of, each by a message of its own. A contact role changes nothing on its opportunity.
const OBJECTS: [&str; 4] = ["Lead", "Contact", "Account", "Opportunity"];

/// A record to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    object: String,
    id: String,
    notification: String,
}

/// Queued notifications and where they go.
#[derive(Debug)]
pub(super) struct Outbound {
    organization: String,
    targets: HashMap<&'static str, String>,
    last: u64,
    pub(super) outbox: Outbox<Told>,
}

impl Outbound {
    pub(super) fn new(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            targets: HashMap::new(),
            last: 0,
            outbox: Outbox::new(LADDER),
        }
    }

    pub(super) fn set_target(&mut self, url: Option<String>) {
        self.targets = url.map(|url| OBJECTS.map(|object| (object, url.clone())).into()).unwrap_or_default();
    }

    pub(super) fn set(&mut self, control: WebhookControl<Target>) {
        self.outbox.knobs.turn(&control);
        if let Some(targets) = control.targets {
            self.set_target(targets.into_iter().next().map(|target| target.url));
        }
    }

    pub(super) fn changed(&mut self, object: &str, id: &str, now: Timestamp) {
        if self.targets.contains_key(object) {
            self.last += 1;
            let notification = ids::make("04l", self.last);
            self.outbox.add(Told { object: object.to_owned(), id: id.to_owned(), notification }, now);
        }
    }

    pub(super) fn take_due(
        &mut self,
        tables: &HashMap<&'static str, Table>,
        hidden: &Hidden,
        options: &Options,
        now: Timestamp,
    ) -> Vec<Outgoing> {
        if !options.sends_messages() {
            self.outbox.clear();
        }
        let groups = self.outbox.take(now, NOTIFICATIONS_MAX, |one, other| one.object == other.object);
        let outgoing = |(id, items): (u64, Vec<Item<Told>>)| {
            let object = items[0].what.object.clone();
            let url = self.targets.get(object.as_str()).cloned().unwrap_or_default();
            let body = self.envelope(&items, &tables[object.as_str()], hidden, options).into_bytes();
            let headers = vec![
                ("content-type", "text/xml; charset=UTF-8".to_owned()),
                ("soapaction", "\"\"".to_owned()),
            ];
            Outgoing { id, url, headers, body }
        };
        groups.into_iter().map(outgoing).collect()
    }

    fn envelope(&self, items: &[Item<Told>], table: &Table, hidden: &Hidden, options: &Options) -> String {
        let (organization, instance) = (&self.organization, &options.instance_url);
        let short = &organization[..15];
        let notifications: String =
            items.iter().map(|item| notification(&item.what, table, hidden)).collect();
        let action = OBJECTS.iter().position(|object| *object == table.schema.object).unwrap_or_default();
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{organization}</OrganizationId>
   <ActionId>{}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>{instance}/services/Soap/c/62.0/{short}</EnterpriseUrl>
   <PartnerUrl>{instance}/services/Soap/u/62.0/{short}</PartnerUrl>
{notifications}  </notifications>
 </soapenv:Body>
</soapenv:Envelope>
"#,
            ids::make("04k", action as u64 + 1)
        )
    }
}

/// A notification with what the record holds now and the integration's user sees, as whom it is sent; blank fields are left out, and
/// a deleted record has none at all.
fn notification(told: &Told, table: &Table, hidden: &Hidden) -> String {
    let mut fields = String::new();
    let named = matches!(told.object.as_str(), "Lead" | "Contact");
    let shown = |name: &str| {
        let left_out = name == "Id" || name == "IsDeleted" || (named && name == "Name");
        !left_out && !hidden.field(INTEGRATION_USER, &told.object, name)
    };
    if let Some(record) = table.get(&told.id).filter(|_| !hidden.object(INTEGRATION_USER, &told.object)) {
        fields = format!("     <sf:Id>{}</sf:Id>\n", told.id);
        for (name, value) in record.fields.iter().filter(|(name, _)| shown(name)) {
            let text = match value {
                Json::Null => continue,
                Json::String(text) => text.replace("+0000", "Z"),
                other => other.to_string(),
            };
            fields.extend(["     <sf:", name, ">", &escape(&text), "</sf:", name, ">\n"]);
        }
    }
    format!(
        "   <Notification>\n    <Id>{}</Id>\n    <sObject xsi:type=\"sf:{}\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">\n{fields}    </sObject>\n   </Notification>\n",
        told.notification, told.object
    )
}

/// Whether an answer says `<Ack>true</Ack>` in the right place and namespace, with nothing before the XML.
pub(super) fn acknowledges(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    if !text.starts_with('<') {
        return false;
    }
    let mut reader = NsReader::from_str(text);
    let (mut path, mut acknowledged) = (Vec::new(), false);
    let wanted = [
        ("http://schemas.xmlsoap.org/soap/envelope/", "Envelope"),
        ("http://schemas.xmlsoap.org/soap/envelope/", "Body"),
        ("http://soap.sforce.com/2005/09/outbound", "notificationsResponse"),
        ("http://soap.sforce.com/2005/09/outbound", "Ack"),
    ];
    loop {
        match reader.read_resolved_event() {
            Ok((ResolveResult::Bound(Namespace(namespace)), Event::Start(start))) => {
                path.push((namespace.to_owned(), start.local_name().as_ref().to_owned()));
            }
            Ok((_, Event::Start(_))) | Err(_) => return false,
            Ok((_, Event::End(_))) => drop(path.pop()),
            Ok((_, Event::Text(text))) => {
                let here = path.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
                if here.eq(wanted) {
                    acknowledged = matches!(text.xml_content(XmlVersion::Implicit1_0).trim(), "true" | "1");
                }
            }
            Ok((_, Event::Eof)) => return acknowledged && path.is_empty(),
            Ok(_) => {}
        }
    }
}
