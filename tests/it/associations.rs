//! Associations that cannot be made, among others that can.

use hubforce::crm::{Crm, Error, FieldsByKind, Write};
use hubforce::domain::{Kind, RecordKey};
use hubforce::emulator::Fault;
use hubforce::plan::Category;
use rstest::rstest;

use crate::harness::TestApp;
use crate::sweep_pages::portal;

/// An answer that says that something failed, and neither what did nor what did not.
const SOMETHING_FAILED: &str = r#"{ "status": "COMPLETE", "results": [], "numErrors": 1,
    "errors": [{ "status": "error", "category": "VALIDATION_ERROR", "message": "an input is not valid" }] }"#;

/// An answer that names one of the records that failed and nothing else.
const ONE_IS_NAMED: &str = r#"{ "status": "COMPLETE", "numErrors": 1,
    "errors": [{ "status": "error", "category": "VALIDATION_ERROR", "message": "an input is not valid",
    "context": { "fromObjectId": ["CONTACT"], "toObjectId": ["404"] } }] }"#;

fn key(kind: Kind, id: u64) -> RecordKey {
    RecordKey::parse(kind, &id.to_string()).unwrap()
}

#[rstest]
#[case::what_was_made_is_told(None, 1)]
#[case::that_something_failed_is_told(Some((207, SOMETHING_FAILED)), 2)]
#[case::who_failed_is_told(Some((207, ONE_IS_NAMED)), 2)]
#[case::all_is_refused(Some((400, "{}")), 2)]
#[tokio::test]
async fn one_association_that_cannot_be_made_holds_back_no_other(
    #[case] answered: Option<(u16, &str)>,
    #[case] carried_out: u64,
) {
    let app = TestApp::start().await;
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let contact = |n| app.hubspot.create(&[("email", &format!("p{n}@example.com"))]).unwrap();
    let contacts: Vec<u64> = (0..8).map(contact).collect();
    let relate = |(n, contact): (usize, &u64)| Write::Relate {
        from: key(Kind::HubspotContact, *contact),
        to: key(Kind::Company, if n == 5 { 404 } else { company }),
    };
    if let Some((status, body)) = answered {
        let fault: Fault = serde_json::from_str(r#"{ "path": "/associations/" }"#).unwrap();
        let body = Some(body.replace("CONTACT", &contacts[5].to_string()));
        app.hubspot.control().add_fault(Fault { status: Some(status), body, ..fault });
    }
    let writes: Vec<Write> = contacts.iter().enumerate().map(relate).collect();
    let outcomes = portal(&app).write(&writes, &FieldsByKind::new()).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => assert_ne!(n, 5),
            Err(Error::Refused(refusal)) => {
                assert_eq!((n, refusal.category), (5, Category::RecordUnavailable));
            }
            Err(other) => panic!("{n}: {other}"),
        }
    }
    let made = app.hubspot.associated(("companies", company), "contacts");
    assert_eq!(made.len(), 7);
    assert_eq!(app.hubspot.control().calls_to("associations/create"), carried_out);
    app.stop().await;
}
