//! What cannot travel is named on its record, counted and listed, until a value comes that can.

use hubforce::domain::Clock;
use serde_json::Value as Json;

use crate::harness::TestApp;
use crate::owners::ann;
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, record, resync};

/// A title that is longer than the 128 characters which Salesforce takes.
fn too_long() -> String {
    "x".repeat(300)
}

/// The fields of a contact that are set aside, as its record names them.
async fn set_aside(app: &TestApp, contact: u64) -> Vec<Json> {
    let shown = record(app, &contact_place(contact)).await;
    let fields = shown["set_aside"].as_array().cloned().unwrap_or_else(|| panic!("no such list: {shown}"));
    assert_eq!(shown["warnings"] == serde_json::json!(["set_aside"]), !fields.is_empty(), "{shown}");
    assert_eq!(shown["state"], "linked", "{shown}");
    fields
}

/// How many pairs have such fields, as the metric counts them, and those that the list names.
async fn counted(app: &TestApp) -> (u64, Vec<Json>) {
    let (_, listed) = app.ask("GET", "/v1/connections/acme/set-aside", "").await;
    (
        app.store.queue_figures(&app.name, app.clock.now()).await.unwrap().set_aside,
        listed["items"].as_array().unwrap().clone(),
    )
}

#[tokio::test]
async fn r_295_a_value_that_is_too_long_is_named_on_its_record_until_a_shorter_one_comes() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", &too_long()), ("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"), "the other fields pass");
    let named = set_aside(&app, contact).await;
    assert_eq!(named.len(), 1, "{named:?}");
    for (name, value) in [
        ("hubspot", "jobtitle"),
        ("salesforce", "Title"),
        ("lacking", "salesforce"),
        ("class", "too_long"),
        ("rule", "R-295"),
    ] {
        assert_eq!(named[0][name], value, "{named:?}");
    }
    let (n, listed) = counted(&app).await;
    assert_eq!((n, listed.len()), (1, 1));
    assert_eq!(listed[0]["hubspot"]["id"], contact.to_string(), "{listed:?}");
    assert_eq!(listed[0]["set_aside"][0], named[0]);
    // Since when is told from the first time on.
    app.clock.advance_millis(60_000);
    app.hubspot.update(contact, &[("phone", "8")]).unwrap();
    app.settle().await;
    assert_eq!(set_aside(&app, contact).await, named);
    // Somebody takes it back: both sides hold the same again.
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", "")]).unwrap();
    app.settle().await;
    assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", &too_long())]).unwrap();
    app.settle().await;
    assert_eq!(set_aside(&app, contact).await.len(), 1);
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Countess"));
    assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
    assert_eq!(counted(&app).await, (0, Vec::new()));
    app.end().await;
}

#[tokio::test]
async fn r_295_a_value_that_a_new_record_does_not_take_is_named_from_the_start() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&[&ADA[..], &[("jobtitle", &too_long())]].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    assert_eq!(app.lead_field(&lead, "Title"), None);
    assert_eq!(set_aside(&app, contact).await[0]["class"], "too_long");
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Countess"), "the later one wins");
    assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
    app.end().await;
}

#[tokio::test]
async fn r_192_and_r_210_a_value_without_a_translation_stops_no_later_one_of_the_other_side() {
    let mapping = r#"mappings = [{ hubspot = "hs_lead_status", lead = "Status", values = { NEW = "Open - Not Contacted", OPEN = "Working - Contacted" } }]"#;
    for by_resync in [false, true] {
        let app = TestApp::with(mapping).await;
        let contact = app.hubspot.create(&[&ADA[..], &[("hs_lead_status", "NEW")]].concat()).unwrap();
        app.settle().await;
        let lead = app.lead();
        assert_eq!(app.lead_field(&lead, "Status").as_deref(), Some("Open - Not Contacted"));
        app.clock.advance_millis(1_000);
        app.salesforce.update("Lead", &lead, &[("Status", "Closed - Not Converted")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.property(contact, "hs_lead_status").as_deref(), Some("NEW"));
        let named = set_aside(&app, contact).await;
        assert_eq!((&named[0]["class"], &named[0]["lacking"]), (&"not_translated".into(), &"hubspot".into()));
        app.clock.advance_millis(1_000);
        if by_resync {
            app.lose_messages();
        }
        app.hubspot.update(contact, &[("hs_lead_status", "OPEN")]).unwrap();
        app.tell_messages();
        if by_resync {
            resync(&app, &format!(r#"{{"kind":"contact","ids":["{contact}"]}}"#)).await;
        }
        app.settle().await;
        assert_eq!(
            app.lead_field(&lead, "Status").as_deref(),
            Some("Working - Contacted"),
            "by resync: {by_resync}"
        );
        assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
        app.end().await;
    }
}

#[tokio::test]
async fn r_172_an_owner_whom_hubspot_does_not_know_is_named_until_hubspot_does() {
    let app = TestApp::start().await;
    let ann = ann(&app);
    let contact = app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    let stranger = app.salesforce.add_user("cy@example.com", "Cy", "Orr", true);
    app.clock.advance_millis(600_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &stranger)]).unwrap();
    app.settle().await;
    let named = set_aside(&app, contact).await;
    assert_eq!(
        (&named[0]["class"], &named[0]["lacking"]),
        (&"no_owner".into(), &"hubspot".into()),
        "{named:?}"
    );
    app.clock.advance_millis(600_000);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(set_aside(&app, contact).await, named, "another look changes nothing");
    app.clock.advance_millis(600_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &ann)]).unwrap();
    app.settle().await;
    assert_eq!(set_aside(&app, contact).await, Vec::<Json>::new());
    app.end().await;
}

#[tokio::test]
async fn r_192_one_persons_changes_to_and_fro_are_no_loop() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    for turn in 0..8 {
        let title = ["Countess", "Baroness"][turn % 2];
        app.clock.advance_millis(30_000);
        app.hubspot.update(contact, &[("jobtitle", title)]).unwrap();
        app.settle().await;
        assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some(title), "turn {turn}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_192_two_automations_that_undo_each_other_are_stopped_and_named() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let mut turns = 0;
    while record(&app, &contact_place(contact)).await["last_error"].is_null() {
        turns += 1;
        assert!(turns < 12, "they go on for ever");
        app.clock.advance_millis(10_000);
        app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
        app.settle().await;
        app.clock.advance_millis(10_000);
        app.salesforce.update("Lead", &lead, &[("Title", "Baroness")]).unwrap();
        app.settle().await;
    }
    let shown = record(&app, &contact_place(contact)).await;
    assert!(shown["last_error"].as_str().unwrap().contains("keeps returning"), "{shown}");
    app.stop().await;
}
