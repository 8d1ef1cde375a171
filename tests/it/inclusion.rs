//! The inclusion list as stories.

use crate::harness::TestApp;
use crate::people::{ADA, linked};

const LISTED: &str = r#"inclusion_list_id = "77""#;

#[tokio::test]
async fn r_020_without_a_list_every_contact_takes_part() {
    let app = TestApp::start().await;
    let (_, lead) = linked(&app).await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"));
    assert_eq!(app.hubspot.control().calls_to("lists/memberships"), 0);
    app.end().await;
}

#[tokio::test]
async fn r_021_and_r_032_only_members_of_the_list_sync_and_one_that_leaves_rests() {
    let app = TestApp::with(LISTED).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "excluded");
    app.hubspot.set_list("77", &[contact]);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    let lead = app.lead();
    app.hubspot.set_list("77", &[]);
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.salesforce.update("Lead", &lead, &[("Phone", "8")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"));
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(lead), "the link stays");
    app.end().await;
}

#[tokio::test]
async fn r_028_to_r_031_no_list_stops_a_salesforce_record_from_coming_to_hubspot() {
    let app = TestApp::with(LISTED).await;
    let fields = [("LastName", "Lovelace"), ("Company", "Engines"), ("Email", "ada@example.com")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let contact = app.hubspot.ids()[0];
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City"), None, "R-029: it is not in the list");
    app.hubspot.set_list("77", &[contact]);
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.lead_field(&lead, "City").as_deref(),
        Some("Bonn"),
        "R-030: what was held back comes, too"
    );
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    app.end().await;
}
