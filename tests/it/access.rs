//! Credentials that are refused, permissions that are missing, and fields that go while the service works.

use hubforce::plan::Category;
use hubforce::store::types::JobState;
use rstest::rstest;

use crate::harness::{TestApp, failing};
use crate::people::linked;

async fn state(app: &TestApp) -> String {
    let (_, connections) = app.ask("GET", "/v1/connections", "").await;
    connections["items"][0]["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn r_294_a_missing_scope_parks_what_needs_it_and_the_connection_works_on() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.control().add_fault(failing("/contacts/batch/update", 403, 1_000));
    app.salesforce.update("Lead", &lead, &[("City", "Kiel")]).unwrap();
    app.settle().await;
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error.as_ref().unwrap().0, Category::FieldPermission);
    assert_eq!(state(&app).await, "running");
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"), "what is granted is done");
    app.stop().await;
}

#[tokio::test]
async fn revoked_credentials_stop_the_connection_until_they_work_again() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.control().add_fault(failing("/", 401, 1_000));
    app.salesforce.update("Lead", &lead, &[("City", "Kiel")]).unwrap();
    app.settle().await;
    assert_eq!(state(&app).await, "unauthorized");
    assert_eq!(app.jobs(Some(JobState::Parked)).await, []);
    app.hubspot.control().reset();
    let (status, _) = app.ask("POST", "/v1/connections/acme/resume", "").await;
    assert_eq!(status, 200);
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Kiel"));
    app.end().await;
}

#[tokio::test]
async fn a_field_that_is_hidden_while_the_service_works_parks_nothing() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(60_000);
    app.salesforce.hide_field("Lead", "Fax");
    app.hubspot.update(contact, &[("city", "Kiel")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Kiel"));
    app.end().await;
}

#[tokio::test]
async fn r_294_a_field_that_is_hidden_right_after_the_schemas_were_read_stops_no_other() {
    for (field, property) in [("Title", "jobtitle"), ("Fax", "fax")] {
        let app = TestApp::start().await;
        let (contact, lead) = linked(&app).await;
        app.salesforce.hide_field("Lead", field);
        app.hubspot.update(contact, &[(property, "7"), ("firstname", "Augusta")]).unwrap();
        app.settle().await;
        assert_eq!(app.jobs(Some(JobState::Parked)).await, [], "{field}");
        app.settle_after(60_000).await;
        assert_eq!(app.lead_field(&lead, "FirstName").as_deref(), Some("Augusta"), "{field}");
        app.end().await;
    }
}

#[rstest]
#[case::in_hubspot(true)]
#[case::in_salesforce(false)]
#[tokio::test]
async fn r_294_what_changed_while_a_field_was_hidden_travels_when_it_is_shown_again(
    #[case] in_hubspot: bool,
) {
    // Longer than resolved rules are believed.
    const LATER_MS: i64 = 16 * 60_000;
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.quiet().await;
    app.salesforce.hide_field("Lead", "Title");
    if in_hubspot {
        app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    } else {
        app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    }
    app.settle_after(LATER_MS).await;
    for _ in 0..2 {
        app.clock.advance_millis(LATER_MS);
        app.sweep().await;
    }
    let held = || [app.hubspot.property(contact, "jobtitle"), app.lead_field(&lead, "Title")];
    assert!(held().contains(&None), "it does not travel while it is hidden");
    app.salesforce.show_field("Lead", "Title");
    app.clock.advance_millis(LATER_MS);
    app.sweep().await;
    assert_eq!(held(), [(); 2].map(|()| Some("Countess".to_owned())));
    app.end().await;
}
