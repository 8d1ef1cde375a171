//! The inclusion list as stories.

use crate::harness::{IN_LIST, NOT_IN_LIST, TestApp};
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
async fn r_021_r_032_and_r_033_only_members_of_the_list_sync_and_one_that_leaves_rests() {
    let app = TestApp::with(LISTED).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "excluded");
    app.hubspot.update(contact, &[IN_LIST, ("phone", "7")]).unwrap();
    app.settle().await;
    let lead = app.lead();
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[NOT_IN_LIST, ("city", "Bonn")]).unwrap();
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
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[IN_LIST, ("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.lead_field(&lead, "City").as_deref(),
        Some("Bonn"),
        "R-030: what was held back comes, too"
    );
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    app.end().await;
}

/// Asks for a resync of a list; returns the status.
async fn resync_list(app: &TestApp, list: &str) -> u16 {
    let body = format!(r#"{{"list_id": "{list}"}}"#);
    app.ask("POST", "/v1/connections/acme/resync", &body).await.0.as_u16()
}

#[tokio::test]
async fn r_026_selecting_a_list_syncs_nobody_and_a_resync_of_the_list_does() {
    let app = TestApp::with(LISTED).await;
    app.hubspot.drop_events(u32::MAX);
    let members: Vec<u64> = (0..300)
        .map(|n| {
            let email = format!("p{n}@example.com");
            app.hubspot.create(&[("email", &email), ("lastname", "L"), IN_LIST]).unwrap()
        })
        .collect();
    let stranger = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty(), "nothing happened to its members");
    assert_eq!(resync_list(&app, "77").await, 202);
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), members.len());
    assert_eq!(app.hubspot.property(stranger, "hubforce_salesforce_lead_id"), None);
    assert_eq!(app.hubspot.control().calls_to("lists/members"), 2, "250 members a page");
    assert_eq!(resync_list(&app, "78").await, 404, "there is no such list");
    assert_eq!(resync_list(&app, " ").await, 400);
    app.end().await;
}

#[tokio::test]
async fn r_025_only_an_active_list_of_contacts_will_do() {
    for (list, severity, words) in
        [("77", None, ""), ("78", Some("warning"), "R-025"), ("79", Some("error"), "no such list")]
    {
        let app = TestApp::with(&format!("inclusion_list_id = \"{list}\"")).await;
        app.hubspot.set_manual_list("78", &[]);
        let findings = serde_json::to_value(app.worker.inspect(&app.name).await.unwrap()).unwrap();
        let of_list: Vec<_> = findings
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["subject"].to_string().contains("inclusion_list_id"))
            .collect();
        assert_eq!(of_list.first().map(|finding| &finding["severity"]), severity.map(Into::into).as_ref());
        assert!(of_list.iter().all(|finding| finding["text"].to_string().contains(words)), "{findings}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_022_to_r_024_a_list_without_subscribers_is_the_older_default() {
    let app = TestApp::with(LISTED).await;
    app.hubspot.set_active_list("77", &[("lifecyclestage", "lead")]);
    let [(email, _), (last, _), ..] = ADA;
    let contact = app.hubspot.create(&[
        (email, "ada@example.com"),
        (last, "Lovelace"),
        ("lifecyclestage", "subscriber"),
    ]);
    let contact = contact.unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty(), "R-022: a subscriber is no member");
    // The portal evaluates the list when the stage moves, and the move itself is told.
    app.hubspot.update(contact, &[("lifecyclestage", "lead")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1, "R-024: it enters the list and comes");
    app.end().await;
    let app = TestApp::start().await;
    app.hubspot
        .create(&[(email, "ada@example.com"), (last, "Lovelace"), ("lifecyclestage", "subscriber")])
        .unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1, "R-023: without a list subscribers take part");
    app.end().await;
}
