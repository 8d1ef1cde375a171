//! Messages as they were captured and documented, and the acknowledgement read by a strict reader.

use proptest::prelude::*;

use super::*;

/// Two notifications, in the layout of captured messages (one-space steps, null fields left out).
const CAPTURED: &str = include_str!("../../../../tests/fixtures/salesforce/two_contacts.xml");

fn first(envelope: &Envelope) -> &Notification {
    envelope.notifications[0].as_ref().unwrap()
}

#[test]
fn a_captured_message_is_read_whole() {
    let envelope = parse(CAPTURED.as_bytes()).unwrap();
    assert_eq!(envelope.organization_id.short(), "00D1I000003qqqE");
    assert_eq!(envelope.notifications.len(), 2, "every notification counts, not the first alone");
    let notification = first(&envelope);
    assert_eq!(notification.id.as_str(), "04l1I000000fztEQAQ");
    assert_eq!(
        (notification.kind, notification.record_id.as_str()),
        (Some(Kind::Contact), "0031I0000081tbPQAQ")
    );
    assert_eq!(notification.fields["FirstName"], Value::text("Jeraldine"));
    assert!(!notification.fields.contains_key("Email"), "a blank field is left out");
    assert_eq!(notification.changed_at(), Timestamp::parse("2017-12-11T21:49:25Z"));
    assert_eq!(notification.author().unwrap().as_str(), "005dM00000awSFJQA2");
}

fn message(notifications: &str) -> String {
    format!(
        r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><e:Body><o:notifications xmlns:o="http://soap.sforce.com/2005/09/outbound"><o:OrganizationId>00De0000000pmu1</o:OrganizationId><o:SessionId>secret</o:SessionId>{notifications}</o:notifications></e:Body></e:Envelope>"#
    )
}

fn notification(object: &str) -> String {
    format!("<o:Notification><o:Id>04l1I000000fztEQAQ</o:Id>{object}</o:Notification>")
}

const LEAD: &str = r#"<o:sObject i:type="x:Lead" xmlns:x="urn:sobject.enterprise.soap.sforce.com"><x:Id>00Q4S000002sSac</x:Id><x:Company>A &amp; B &#x26; C <![CDATA[<D>]]></x:Company><x:Street> one
two </x:Street><x:Phone i:nil="true"/></o:sObject>"#;

#[test]
fn prefixes_do_not_matter_and_white_space_in_text_does() {
    let envelope = parse(message(&notification(LEAD)).as_bytes()).unwrap();
    let notification = first(&envelope);
    assert_eq!(
        (notification.kind, notification.record_id.as_str()),
        (Some(Kind::Lead), "00Q4S000002sSacUAE")
    );
    assert_eq!(notification.fields["Company"], Value::text("A & B & C <D>"));
    assert_eq!(notification.fields["Street"], Value::text(" one\ntwo "));
    assert_eq!(notification.fields["Phone"], Value::Blank);
    assert!(!format!("{envelope:?}").contains("secret"), "a session id is never kept");
}

#[test]
fn a_byte_order_mark_is_taken() {
    assert!(parse(format!("\u{feff}{}", message(&notification(LEAD))).as_bytes()).is_ok());
}

#[test]
fn other_kinds_of_record_are_understood_as_such() {
    let account = LEAD.replace("x:Lead", "x:Account").replace("00Q4S000002sSac", "001ak00000OQTie");
    let parsed = parse(message(&notification(&account)).as_bytes()).unwrap();
    assert_eq!(first(&parsed).kind, Some(Kind::Account));
    let task = LEAD.replace("x:Lead", "x:Task").replace("00Q4S000002sSac", "00Tak00000OQTie");
    assert_eq!(first(&parse(message(&notification(&task)).as_bytes()).unwrap()).kind, None);
    // HubSpot's spelling of a kind is no Salesforce object.
    let contact = LEAD.replace("x:Lead", "x:contact");
    assert_eq!(first(&parse(message(&notification(&contact)).as_bytes()).unwrap()).kind, None);
}

#[test]
fn one_bad_notification_does_not_spoil_the_others() {
    let bad = [
        "",
        r#"<o:sObject i:type="x:Lead" xmlns:x="urn:sobject.enterprise.soap.sforce.com"/>"#,
        r#"<o:sObject i:type="x:Lead" xmlns:x="urn:sobject.enterprise.soap.sforce.com"><x:Id>nope</x:Id></o:sObject>"#,
        r#"<o:sObject xmlns:x="urn:sobject.enterprise.soap.sforce.com"><x:Id>00Q4S000002sSac</x:Id></o:sObject>"#,
    ];
    let mut notifications: String = bad.iter().map(|object| notification(object)).collect();
    notifications.push_str(&notification(LEAD));
    let envelope = parse(message(&notifications).as_bytes()).unwrap();
    let positions: Vec<u32> =
        envelope.notifications.iter().filter_map(|one| one.as_ref().err()).map(|bad| bad.position).collect();
    assert_eq!(positions, [0, 1, 2, 3]);
    assert!(envelope.notifications[4].is_ok());
}

#[test]
fn what_is_no_outbound_message_is_refused_by_name() {
    let good = message(&notification(LEAD));
    for (body, expected) in [
        (String::new(), EnvelopeError::NotNotifications),
        ("{}".to_owned(), EnvelopeError::NotNotifications),
        ("<a/>".to_owned(), EnvelopeError::NotNotifications),
        (
            good.replace("http://soap.sforce.com/2005/09/outbound", "urn:other"),
            EnvelopeError::NotNotifications,
        ),
        (
            good.replace("http://schemas.xmlsoap.org/soap/envelope/", "urn:other"),
            EnvelopeError::NotNotifications,
        ),
        (message(""), EnvelopeError::NotNotifications),
        (good.replace("00De0000000pmu1", "nope"), EnvelopeError::NoOrganization),
        (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{good}"), EnvelopeError::DocumentType),
        (good.replace("&amp;", "&a;"), EnvelopeError::NotXml),
        (good.replace("</e:Body>", ""), EnvelopeError::NotXml),
        (good[..good.len() - 20].to_owned(), EnvelopeError::NotXml),
        (message(&notification(LEAD).repeat(NOTIFICATIONS_MAX + 1)), EnvelopeError::TooMany),
        (good.replace("<o:SessionId>", &"<o:SessionId>".repeat(30)), EnvelopeError::TooDeep),
    ] {
        assert_eq!(parse(body.as_bytes()), Err(expected), "{body}");
    }
    assert_eq!(parse(b"\xff\xfe<\0a\0/\0>\0"), Err(EnvelopeError::NotXml));
}

/// Reads an acknowledgement as strictly as a sender may: `Some(true)` only for a SOAP 1.1 body whose response, in the outbound
/// namespace, says true; nothing may stand before the XML.
fn acknowledges(body: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(body).ok()?;
    if !text.starts_with('<') {
        return None;
    }
    let mut reader = NsReader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut ack = None;
    loop {
        let (namespace, event) = reader.read_resolved_event().ok()?;
        match event {
            Xml::Start(start) => {
                let ResolveResult::Bound(Namespace(namespace)) = namespace else { return None };
                path.push([namespace, " ", start.local_name().as_ref()].concat());
            }
            Xml::Text(text) => {
                let wanted = [
                    (ENVELOPE, "Envelope"),
                    (ENVELOPE, "Body"),
                    (OUTBOUND, "notificationsResponse"),
                    (OUTBOUND, "Ack"),
                ];
                let wanted = wanted.map(|(namespace, name)| [namespace, " ", name].concat());
                if path == wanted {
                    ack = match text.xml_content(XmlVersion::Implicit1_0).trim() {
                        "true" | "1" => Some(true),
                        "false" | "0" => Some(false),
                        _ => return None,
                    };
                }
            }
            Xml::End(_) => drop(path.pop()),
            Xml::Eof => return ack,
            _ => {}
        }
    }
}

#[test]
fn acknowledgement_vectors() {
    assert_eq!(acknowledges(ACK.as_bytes()), Some(true));
    let envelope = |body: &str| {
        format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{body}</s:Body></s:Envelope>"#
        )
    };
    let minimal = r#"<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>"#;
    let prefixed = r#"<out:notificationsResponse xmlns:out="http://soap.sforce.com/2005/09/outbound"><out:Ack>true</out:Ack></out:notificationsResponse>"#;
    assert_eq!(acknowledges(envelope(minimal).as_bytes()), Some(true));
    assert_eq!(acknowledges(envelope(prefixed).as_bytes()), Some(true));
    assert_eq!(acknowledges(envelope(&minimal.replace("true", "false")).as_bytes()), Some(false));
    for refused in [
        format!("\u{feff}{ACK}"),
        format!("log line\n{ACK}"),
        String::new(),
        r#"{"ack":true}"#.to_owned(),
        fault(FaultCode::Server, "later"),
        envelope(&minimal.replace("2005/09", "2006/04")),
    ] {
        assert_eq!(acknowledges(refused.as_bytes()), None, "{refused}");
    }
}

#[test]
fn a_fault_says_whose_it_is_and_escapes_its_text() {
    let text = fault(FaultCode::Client, "a < b & c");
    assert!(text.contains("soapenv:Client") && text.contains("a &lt; b &amp; c"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    #[test]
    fn no_mutilation_makes_it_panic(place in 0usize..2_000, byte in any::<u8>()) {
        let mut body = CAPTURED.as_bytes().to_vec();
        let place = place % body.len();
        body[place] = byte;
        let _ = parse(&body);
    }
}
