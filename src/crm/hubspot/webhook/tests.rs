//! Signature vectors, each with its source, and events as they were captured or documented.

use proptest::prelude::*;
use sha2::Digest;

use super::*;

/// HubSpot's documentation and its SDKs' tests use this secret and URL.
const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
const URL: &str = "https://www.example.com/webhook_uri";
const COMMUNITY_SECRET: &str = "autopilot-test-client-secret-0001";
const COMMUNITY_URL: &str = "https://example.com/api/hubspot/webhooks";

/// The body of a captured `deal.creation` webhook.
const CAPTURED: &str = r#"[{"eventId":1030198139,"subscriptionId":4578255,"portalId":242711451,"appId":19635961,"occurredAt":1769081993375,"subscriptionType":"deal.creation","attemptNumber":0,"objectId":267448862446,"changeFlag":"CREATED","changeSource":"CRM_UI","sourceId":"userId:52530071"}]"#;

#[track_caller]
#[expect(clippy::too_many_arguments, reason = "a vector has six parts")]
fn check(
    secret: &str,
    url: &str,
    body: &str,
    timestamp: i64,
    signature: &str,
    expected: Result<usize, VerifyError>,
) {
    let (text, secret) = (timestamp.to_string(), Secret::new(secret));
    let request = SignedRequest {
        method: "POST",
        url,
        body: body.as_bytes(),
        signature: Some(signature),
        timestamp: Some(&text),
    };
    assert_eq!(verify(&request, std::iter::once(&secret), Timestamp::from_millis(timestamp)), expected);
}

/// Versions 1 and 2 sign without a timestamp, so a recorded request could be sent again for ever. We do not accept them; their
/// vectors hold because the same bytes go into version 3.
fn older_version(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn vectors_1_to_5_of_the_older_versions() {
    let sample = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
    let (double, single) = (r#"{"example_field":"example_value"}"#, "{'example_field':'example_value'}");
    assert_eq!(
        older_version(&[SECRET, sample]),
        "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
    );
    assert_eq!(
        older_version(&[SECRET, "GET", URL]),
        "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"
    );
    assert_eq!(
        older_version(&[SECRET, "POST", URL, double]),
        "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"
    );
    assert_eq!(
        older_version(&[SECRET, single]),
        "69fc6631a867edd4f9e9e627fc5c1148e3fbdd8b21837b6d2b8901c1fa57f750"
    );
    assert_eq!(
        older_version(&[SECRET, "POST", URL, single]),
        "4fe4e3a7d3cf09db53be39d0a58130e2aaba074ec123a9e355b876a689a1c383"
    );
}

#[test]
fn vectors_6_and_7_of_the_vendors_sdks() {
    let body = "{'example_field':'example_value'}";
    check(SECRET, URL, body, 1_700_000_300_000, "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw=", Ok(0));
    check(SECRET, URL, body, 1_693_657_560_000, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=", Ok(0));
}

#[test]
fn vectors_8_and_9_of_the_community() {
    let two = r#"[{"eventId":4100000001,"subscriptionId":5100001,"portalId":12345678,"appId":7100001,"occurredAt":1790000000000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":901,"changeFlag":"NEW","changeSource":"FORM"},{"eventId":4100000002,"subscriptionId":5100001,"portalId":12345678,"appId":7100001,"occurredAt":1790000000500,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":902,"changeFlag":"NEW","changeSource":"CRM_UI"}]"#;
    check(
        COMMUNITY_SECRET,
        COMMUNITY_URL,
        two,
        1_790_000_001_000,
        "vc6X4JO1KMElXem9r7vSovD2GajkBW8j6R1JB/N89Rk=",
        Ok(0),
    );
    let beyond_ascii = r#"[{"appId":7100001,"eventId":4100000003,"subscriptionId":5100002,"portalId":12345678,"occurredAt":1790000002000,"subscriptionType":"object.creation","attemptNumber":1,"objectId":903,"objectTypeId":"0-1","changeSource":"FORM","note":"Zoë — café ☕"}]"#;
    check(
        COMMUNITY_SECRET,
        COMMUNITY_URL,
        beyond_ascii,
        1_790_000_003_000,
        "iwUOcQxOJMXtoVai85f7uLyYuAp58oXpeyP5gPQKS2k=",
        Ok(0),
    );
}

#[test]
fn vector_10_some_escapes_are_undone_before_signing() {
    let url = format!("{COMMUNITY_URL}?src=hs%3Aapp%2Fv3&x=%28a%29");
    check(
        COMMUNITY_SECRET,
        &url,
        "[]",
        1_790_000_004_000,
        "G8ddQlikFQ0ScZOZn+MHQ0E3WCV7vOJTzKlvrkvbvuk=",
        Ok(0),
    );
    let undecoded = "KKwrtu49d26FrUsDQdYcfAcwFssKn+cmyppOAUwOO/Q=";
    check(COMMUNITY_SECRET, &url, "[]", 1_790_000_004_000, undecoded, Err(VerifyError::NoSecretFits));
}

#[test]
fn vectors_11_to_13_over_a_captured_body() {
    let url = "https://hooks.example.test/hubspot/webhook";
    assert_eq!(
        older_version(&[SECRET, CAPTURED]),
        "f100c04cc2d60594d1b22c2218cca7b69b05ee2b2af82be9fd8fed77ca398ac7"
    );
    assert_eq!(
        older_version(&[SECRET, "POST", url, CAPTURED]),
        "6c7a0403e6b2e21ed198dc309058fc279a2941e3fcd460920f42cb51c9d7cd10"
    );
    check(SECRET, url, CAPTURED, 1_769_081_994_066, "H2i+rCKjomuHpCNVcsmFpMrOiRNLn+gBwhV/4jOTzNI=", Ok(0));
    let with_query = format!("{url}?portal=242711451");
    assert_eq!(
        older_version(&[SECRET, "POST", &with_query, CAPTURED]),
        "8231d1816ccf0b23ae98ddd534663f99511967dc9c28e890dd73bae998ff6f0a"
    );
    check(
        SECRET,
        &with_query,
        CAPTURED,
        1_769_081_994_066,
        "rC3MMC9Jc7Ef3NxDvgvVzQcYCT7fPNObcVzwMHC7xC8=",
        Ok(0),
    );
    let escaped = format!("{url}?next=https%3A%2F%2Fa.b%2Fc%20d");
    assert_eq!(
        older_version(&[SECRET, "POST", &escaped, CAPTURED]),
        "629d8af31509b926224f96c6ea271af1f43c5560317c017646cefb631b98f8a1"
    );
    check(
        SECRET,
        &escaped,
        CAPTURED,
        1_769_081_994_066,
        "Fo98yhccnW6VzI7TNVClT0yJCRBO36bdAWOEpzQBV40=",
        Ok(0),
    );
    let undecoded = "EPbiGLHhD1tRSnwnp71jm6NeaWebTNG/VJlIgqJ8RFQ=";
    check(SECRET, &escaped, CAPTURED, 1_769_081_994_066, undecoded, Err(VerifyError::NoSecretFits));
}

fn signed_at(sent: i64, now: i64) -> Result<usize, VerifyError> {
    let text = "1693657560000";
    let request = SignedRequest {
        method: "POST",
        url: URL,
        body: b"{'example_field':'example_value'}",
        signature: Some("K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        timestamp: Some(text),
    };
    assert_eq!(sent.to_string(), text);
    let secrets = [Secret::new("another"), Secret::new(SECRET)];
    verify(&request, secrets.iter(), Timestamp::from_millis(now))
}

#[test]
fn five_minutes_either_way_and_no_longer() {
    let sent = 1_693_657_560_000;
    for (off, expected) in [
        (0, Ok(1)),
        (300_000, Ok(1)),
        (-300_000, Ok(1)),
        (300_001, Err(VerifyError::Stale)),
        (-300_001, Err(VerifyError::Stale)),
    ] {
        assert_eq!(signed_at(sent, sent + off), expected, "{off}");
    }
}

#[test]
fn headers_that_are_missing_or_broken() {
    let secret = Secret::new(SECRET);
    let ask = |signature, timestamp| {
        let request = SignedRequest { method: "POST", url: URL, body: b"[]", signature, timestamp };
        verify(&request, std::iter::once(&secret), Timestamp::from_millis(0))
    };
    assert_eq!(ask(None, Some("0")), Err(VerifyError::MissingHeader));
    assert_eq!(ask(Some("AAAA"), None), Err(VerifyError::MissingHeader));
    assert_eq!(ask(Some("AAAA"), Some("soon")), Err(VerifyError::Unreadable));
    assert_eq!(ask(Some("%%%"), Some("0")), Err(VerifyError::Unreadable));
    assert_eq!(ask(Some(""), Some("0")), Err(VerifyError::NoSecretFits));
    assert_eq!(ask(Some("AAAA"), Some("9223372036854775807")), Err(VerifyError::Stale));
    assert_eq!(ask(Some("AAAA"), Some("-9223372036854775808")), Err(VerifyError::Stale));
}

fn only(body: &str) -> Result<Event, BadEvent> {
    parse(body.as_bytes()).unwrap().remove(0)
}

fn ids(event: &Event) -> Vec<u64> {
    let id = |key: &RecordKey| match key.id() {
        crate::domain::RecordId::Hubspot(id) => id.get(),
        crate::domain::RecordId::Salesforce(_) => 0,
    };
    event.records.iter().map(id).collect()
}

#[test]
fn a_captured_echo_of_our_own_write() {
    let event = only(
        r#"[{"eventId":4101286121,"subscriptionId":7562680,"portalId":247187887,"appId":50780459,"occurredAt":1787843156000,"subscriptionType":"contact.propertyChange","attemptNumber":1,"objectId":541935488729,"propertyName":"email","propertyValue":"x@hubspot.com","changeSource":"INTEGRATION","sourceId":"50780459"}]"#,
    )
    .unwrap();
    assert_eq!((event.portal_id, ids(&event)), (247_187_887, vec![541_935_488_729]));
    assert_eq!(event.occurred_at, Timestamp::from_millis(1_787_843_156_000));
    assert!(event.is_own_echo(50_780_459));
    assert!(!event.is_own_echo(1), "another app's write is none of ours");
}

#[test]
fn both_forms_and_every_kind_of_contact_event() {
    let base = r#""portalId":"62515","occurredAt":1790000000000,"changeSource":"INTEGRATION","sourceId":"7""#;
    for (event, expected) in [
        (r#""subscriptionType":"contact.creation","objectId":1"#, vec![1]),
        (r#""eventType":"contact.creation","objectId":"1""#, vec![1]),
        (r#""subscriptionType":"object.propertyChange","objectTypeId":"0-1","objectId":1"#, vec![1]),
        (r#""subscriptionType":"contact.deletion","objectId":1"#, vec![1]),
        (r#""subscriptionType":"contact.privacyDeletion","objectId":1"#, vec![1]),
        (r#""subscriptionType":"contact.restore","objectId":1"#, vec![1]),
        (
            r#""subscriptionType":"contact.merge","objectId":903,"primaryObjectId":901,"mergedObjectIds":[902],"newObjectId":903"#,
            vec![903, 901, 902],
        ),
        (r#""subscriptionType":"contact.associationChange","fromObjectId":901,"toObjectId":55"#, vec![901]),
        (r#""subscriptionType":"object.creation","objectTypeId":"0-2","objectId":1"#, vec![1]),
        (r#""subscriptionType":"deal.creation","objectId":1"#, vec![1]),
        (r#""subscriptionType":"object.creation","objectTypeId":"0-5","objectId":1"#, vec![]),
        (r#""subscriptionType":"conversation.newMessage","objectId":1"#, vec![]),
        (r#""subscriptionType":"something.new""#, vec![]),
    ] {
        let parsed = only(&format!("[{{{base},{event}}}]")).unwrap();
        assert_eq!(ids(&parsed), expected, "{event}");
        let plain =
            ["creation", "propertyChange", "associationChange"].iter().any(|change| event.contains(change));
        assert_eq!(parsed.is_own_echo(7), plain, "{event}");
    }
}

#[test]
fn r_104_an_association_is_told_to_a_company_or_deal_on_its_far_side() {
    let base = r#""portalId":62515,"occurredAt":1790000000000"#;
    let (legacy, generic) = ("contact.associationChange", "object.associationChange");
    for (kind, association, expected) in [
        (legacy, r#""associationType":"CONTACT_TO_COMPANY""#, vec!["contact 901", "company 55"]),
        (legacy, r#""associationType":"CONTACT_TO_DEAL""#, vec!["contact 901", "deal 55"]),
        (legacy, r#""associationType":"CONTACT_TO_CONTACT""#, vec!["contact 901"]),
        (legacy, r#""associationType":"CONTACT_TO_TICKET""#, vec!["contact 901"]),
        (generic, r#""fromObjectTypeId":"0-1","toObjectTypeId":"0-2""#, vec!["contact 901", "company 55"]),
        (generic, r#""fromObjectTypeId":"0-2","toObjectTypeId":"0-3""#, vec!["company 901", "deal 55"]),
        (generic, r#""fromObjectTypeId":"0-5","toObjectTypeId":"0-2""#, vec!["company 55"]),
        (generic, r#""fromObjectTypeId":"0-2","toObjectTypeId":"0-1""#, vec!["company 901"]),
    ] {
        let event = only(&format!(
            r#"[{{{base},"subscriptionType":"{kind}",{association},"fromObjectId":901,"toObjectId":55}}]"#
        ))
        .unwrap();
        let records: Vec<String> = event.records.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = expected.iter().map(|record| format!("hubspot {record}")).collect();
        assert_eq!(records, expected, "{association}");
        assert_eq!(event.changed, Changed::association(Timestamp::from_millis(1_790_000_000_000)));
    }
}

#[test]
fn an_event_says_what_changed() {
    let told = |kind: &str, more: &str| {
        let base = r#""portalId":1,"occurredAt":7,"objectId":1"#;
        only(&format!(r#"[{{{base},"subscriptionType":"{kind}"{more}}}]"#)).unwrap()
    };
    let city = told("contact.propertyChange", r#","propertyName":"city","propertyValue":"Bonn""#);
    assert_eq!(city.changed, Changed::property("city", Timestamp::from_millis(7)));
    let long = format!(r#","propertyName":"{}""#, "x".repeat(PROPERTY_LENGTH_MAX + 1));
    for name in
        ["", r#","propertyName":"""#, r#","propertyName":"a\u0000b""#, r#","propertyName":"@a""#, &long]
    {
        assert_eq!(told("contact.propertyChange", name).changed, Changed::Anything, "{name}");
    }
    for kind in ["creation", "deletion", "restore", "privacyDeletion"] {
        let event = told(&format!("contact.{kind}"), "");
        assert_eq!(event.changed, Changed::Anything);
        assert_eq!(event.erases, kind == "privacyDeletion");
    }
}

#[test]
fn one_bad_event_does_not_spoil_the_others() {
    let good = r#"{"subscriptionType":"contact.creation","portalId":1,"occurredAt":1,"objectId":1}"#;
    let body = format!(
        r#"[{good}, 7, {{"portalId":1}}, {{"subscriptionType":"contact.creation","portalId":1,"occurredAt":1}},
            {{"subscriptionType":"contact.creation","portalId":1,"occurredAt":1,"objectId":0}},
            {{"subscriptionType":"contact.creation","portalId":1,"occurredAt":1,"objectId":"x"}}, {good}]"#
    );
    let events = parse(body.as_bytes()).unwrap();
    let bad: Vec<u32> =
        events.iter().filter_map(|event| event.as_ref().err()).map(|bad| bad.position).collect();
    assert_eq!(bad, [1, 2, 3, 4, 5]);
    assert_eq!(events.len(), 7);
}

#[test]
fn what_is_no_array_of_events() {
    for body in ["", "{}", "null", "[", "[1,]", "\u{feff}[]", "[] x"] {
        assert_eq!(parse(body.as_bytes()), Err(NotEvents), "{body}");
    }
    assert_eq!(parse(b"[\"\xff\"]"), Err(NotEvents));
    assert_eq!(parse(b"[]"), Ok(Vec::new()));
    assert_eq!(parse(format!("[{}0]", "0,".repeat(EVENTS_MAX)).as_bytes()), Err(NotEvents));
    let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(deep.as_bytes()).map_or(true, |events| events.iter().all(Result::is_err)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    #[test]
    fn no_url_makes_it_panic(url in "\\PC{0,40}") {
        let _ = decode_uri(&url);
    }
}
