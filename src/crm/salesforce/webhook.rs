//! What Salesforce sends: outbound messages, and our answers to them. Pure: no async, no I/O.
//!
//! An outbound message is not signed. That it came to a secret path, names the right organization, and (where that is set up)
//! showed the right certificate makes it believable enough to be a *hint*: values are read with our own access.
//!
//! Blank fields are left out of a message, and a record that was deleted before the message left carries none at all.

use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};

use crate::domain::{Fields, Kind, SalesforceId, Timestamp, Value};

/// How deep elements may stand in each other; an outbound message needs six.
pub const DEPTH_MAX: usize = 16;

/// The most notifications in one message. Salesforce documents 100; beyond this it is none of its messages.
pub const NOTIFICATIONS_MAX: usize = 1_000;

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";
const OBJECT: &str = "urn:sobject.enterprise.soap.sforce.com";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The acknowledgement, byte for byte: nothing may stand before the declaration, or Salesforce sends the message again for a day.
pub const ACK: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"#;

/// Whose fault it is that a message is not acknowledged. Salesforce sends it again either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// The sender's: the message is not what it should be.
    Client,
    /// Ours: it could not be stored.
    Server,
}

/// A SOAP fault. `text` is ours and holds nothing from the message.
pub fn fault(code: FaultCode, text: &str) -> String {
    let code = match code {
        FaultCode::Client => "Client",
        FaultCode::Server => "Server",
    };
    let text = quick_xml::escape::escape(text);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault><faultcode>soapenv:{code}</faultcode><faultstring>{text}</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>"#
    )
}

/// A message that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The organization it comes from.
    pub organization_id: SalesforceId,
    /// Its notifications; a bad one does not spoil the others.
    pub notifications: Vec<Result<Notification, BadNotification>>,
}

/// A notification that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Its own id, the same on every redelivery.
    pub id: SalesforceId,
    /// The kind of record; `None` for a kind that we do not work.
    pub kind: Option<Kind>,
    /// The record.
    pub record_id: SalesforceId,
    /// The values it carries, as text; blank ones are left out by the sender.
    pub fields: Fields,
}

impl Notification {
    /// Who changed the record last, where the message carries that.
    pub fn author(&self) -> Option<SalesforceId> {
        let text = self.fields.get("LastModifiedById")?.as_text()?;
        SalesforceId::parse(&text).ok()
    }

    /// When the record was last changed, where the message carries that.
    pub fn changed_at(&self) -> Option<Timestamp> {
        let field = self.fields.get("SystemModstamp").or_else(|| self.fields.get("LastModifiedDate"))?;
        Timestamp::parse(&field.as_text()?)
    }
}

/// A notification that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNotification {
    /// Its position in the message, from 0.
    pub position: u32,
    /// Why, without values.
    pub reason: String,
}

/// A body that is no outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is not UTF-8, or not well-formed XML.
    #[error("the body is not well-formed XML in UTF-8")]
    NotXml,
    /// It has a document type declaration, which no SOAP message may have.
    #[error("the body has a document type declaration")]
    DocumentType,
    /// Elements stand deeper in each other than [`DEPTH_MAX`].
    #[error("elements stand too deep in each other")]
    TooDeep,
    /// It has more notifications than [`NOTIFICATIONS_MAX`].
    #[error("the message has too many notifications")]
    TooMany,
    /// It is XML, but no outbound message.
    #[error("the body is not a SOAP envelope with outbound notifications")]
    NotNotifications,
    /// The organization's id is missing or no id.
    #[error("the message names no organization")]
    NoOrganization,
}

/// Takes a message apart.
pub fn parse(body: &[u8]) -> Result<Envelope, EnvelopeError> {
    let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotXml)?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().expand_empty_elements = true;
    let mut reading = Reading::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| EnvelopeError::NotXml)?;
        match event {
            Xml::Start(start) => {
                let element = element(&namespace, &start);
                let attributes = attributes(&reader, &start)?;
                reading.enter(element, attributes)?;
            }
            Xml::End(_) => reading.leave()?,
            Xml::Text(part) => reading.text.push_str(&part.xml_content(XmlVersion::Implicit1_0)),
            Xml::CData(part) => reading.text.push_str(&part.xml_content(XmlVersion::Implicit1_0)),
            Xml::GeneralRef(reference) => {
                if let Some(character) = reference.resolve_char_ref().map_err(|_| EnvelopeError::NotXml)? {
                    reading.text.push(character);
                } else {
                    // Only the five that XML itself defines; nothing is ever expanded.
                    let known = quick_xml::escape::resolve_predefined_entity(&reference);
                    reading.text.push_str(known.ok_or(EnvelopeError::NotXml)?);
                }
            }
            Xml::DocType(_) => return Err(EnvelopeError::DocumentType),
            Xml::Eof => return reading.finish(),
            Xml::Decl(_) | Xml::PI(_) | Xml::Comment(_) | Xml::Empty(_) => {}
        }
    }
}

/// What an element is, by namespace and local name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Envelope,
    Header,
    Body,
    Notifications,
    OrganizationId,
    Notification,
    NotificationId,
    Object,
    Field(String),
    Other,
}

fn element(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Element {
    let ResolveResult::Bound(Namespace(namespace)) = namespace else { return Element::Other };
    match (*namespace, start.local_name().as_ref()) {
        (ENVELOPE, "Envelope") => Element::Envelope,
        (ENVELOPE, "Header") => Element::Header,
        (ENVELOPE, "Body") => Element::Body,
        (OUTBOUND, "notifications") => Element::Notifications,
        (OUTBOUND, "OrganizationId") => Element::OrganizationId,
        (OUTBOUND, "Notification") => Element::Notification,
        (OUTBOUND, "Id") => Element::NotificationId,
        (OUTBOUND, "sObject") => Element::Object,
        (OBJECT, name) => Element::Field(name.to_owned()),
        _ => Element::Other,
    }
}

/// The two attributes that matter.
#[derive(Default)]
struct Attributes {
    /// The local part of `xsi:type`.
    object_type: Option<String>,
}

fn attributes(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Attributes, EnvelopeError> {
    let mut found = Attributes::default();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| EnvelopeError::NotXml)?;
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        if namespace == ResolveResult::Bound(Namespace(INSTANCE)) && name.as_ref() == "type" {
            let value = attribute.value;
            let local = value.rsplit_once(':').map_or(&*value, |(_, local)| local).to_owned();
            found.object_type = Some(local);
        }
    }
    Ok(found)
}

/// A message on its way in.
#[derive(Default)]
struct Reading {
    path: Vec<Element>,
    text: String,
    seen: bool,
    organization: Option<String>,
    draft: Draft,
    notifications: Vec<Result<Notification, BadNotification>>,
}

/// A notification on its way in.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    object_type: Option<String>,
    fields: Fields,
}

impl Reading {
    fn enter(&mut self, element: Element, attributes: Attributes) -> Result<(), EnvelopeError> {
        use Element::{Body, Envelope, Notification, Notifications, Object};
        if self.path.len() >= DEPTH_MAX {
            return Err(EnvelopeError::TooDeep);
        }
        match (self.path.as_slice(), &element) {
            ([], Envelope) | ([Envelope], _) => {}
            ([Envelope, Body], Notifications) => self.seen = true,
            ([] | [Envelope, Body], _) => return Err(EnvelopeError::NotNotifications),
            ([Envelope, Body, Notifications], Notification) => {
                if self.notifications.len() >= NOTIFICATIONS_MAX {
                    return Err(EnvelopeError::TooMany);
                }
                self.draft = Draft::default();
            }
            ([Envelope, Body, Notifications, Notification], Object) => {
                self.draft.object_type = attributes.object_type;
            }
            _ => {}
        }
        self.path.push(element);
        self.text.clear();
        Ok(())
    }

    fn leave(&mut self) -> Result<(), EnvelopeError> {
        use Element::{
            Body, Envelope, Field, Notification, NotificationId, Notifications, Object, OrganizationId,
        };
        let text = std::mem::take(&mut self.text);
        match self.path.as_slice() {
            [Envelope, Body, Notifications, OrganizationId] => self.organization = Some(text),
            [Envelope, Body, Notifications, Notification, NotificationId] => self.draft.id = Some(text),
            [Envelope, Body, Notifications, Notification, Object, Field(name)] => {
                self.draft.fields.insert(name.clone(), Value::text(text));
            }
            [Envelope, Body, Notifications, Notification] => {
                let draft = std::mem::take(&mut self.draft);
                let position = u32::try_from(self.notifications.len()).unwrap_or(u32::MAX);
                let bad = |reason: &str| BadNotification { position, reason: reason.to_owned() };
                self.notifications.push(draft.finish().map_err(bad));
            }
            _ => {}
        }
        self.path.pop().map(|_| ()).ok_or(EnvelopeError::NotXml)
    }

    fn finish(self) -> Result<Envelope, EnvelopeError> {
        if !self.path.is_empty() {
            return Err(EnvelopeError::NotXml);
        }
        if !self.seen || self.notifications.is_empty() {
            return Err(EnvelopeError::NotNotifications);
        }
        let organization = self.organization.as_deref().map(str::trim).unwrap_or_default();
        let organization_id =
            SalesforceId::parse_organization(organization).map_err(|_| EnvelopeError::NoOrganization)?;
        Ok(Envelope { organization_id, notifications: self.notifications })
    }
}

impl Draft {
    fn finish(mut self) -> Result<Notification, &'static str> {
        let id = self.id.as_deref().map(str::trim).unwrap_or_default();
        let id = SalesforceId::parse(id).map_err(|_| "it has no id of its own")?;
        let object_type = self.object_type.ok_or("it does not say what kind of record it is about")?;
        let record_id = self.fields.remove("Id").unwrap_or(Value::Blank);
        let record_id =
            record_id.as_text().ok_or("the record was deleted before the message left, so it names none")?;
        let record_id = SalesforceId::parse(record_id.trim()).map_err(|_| "the record's id is no id")?;
        let kind =
            Kind::parse(&object_type).filter(|kind| kind.system() == crate::domain::System::Salesforce);
        Ok(Notification { id, kind, record_id, fields: self.fields })
    }
}

#[cfg(test)]
mod tests;
