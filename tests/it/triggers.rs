//! What brings a record over: signed webhooks of HubSpot in, records of Salesforce out.

use crate::harness::{SECRET, TestApp};
use crate::ingress::signed;
use crate::people::{ADA, linked};

/// Companies on, contacts become contacts.
const CONTACTS: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true";

/// A contact from before the installation: nothing was ever told of it.
fn old_contact(app: &TestApp) -> u64 {
    app.hubspot.drop_events(u32::MAX);
    let contact = app.hubspot.create(&ADA).unwrap();
    app.hubspot.drop_events(0);
    contact
}

/// Tells one event, signed, and works until nothing more happens.
async fn tell(app: &TestApp, event: &str) {
    let body = format!(r#"[{{"portalId":1234567,"occurredAt":1,{event}}}]"#);
    assert_eq!(app.send(signed(app, body.as_bytes(), SECRET, 0)).await.0, 200);
    app.settle().await;
}

#[tokio::test]
async fn r_197_and_r_011_an_unmapped_property_brings_no_old_contact_over_and_a_mapped_one_does() {
    let app = TestApp::start().await;
    let contact = old_contact(&app);
    app.forget_calls();
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-10")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.control().calls_to("batch/read"), 0, "nobody looks");
    assert!(app.salesforce.ids("Lead").is_empty());
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.0, 404, "nothing was ever done with it");
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&app.lead(), "City").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
async fn r_197_an_unmapped_property_of_a_pair_is_no_reason_to_read_it() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.forget_calls();
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-10")]).unwrap();
    app.settle().await;
    assert_eq!(app.calls(), 0);
    // Together with a mapped one, in the same message or another one, it is.
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-11"), ("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
async fn r_011_an_association_brings_no_old_contact_or_deal_over() {
    let app = TestApp::with(
        "[connections.sync.companies]\nenabled = true\n[connections.sync.deals]\nenabled = true",
    )
    .await;
    let contact = old_contact(&app);
    app.hubspot.drop_events(u32::MAX);
    let deal = app.hubspot.create_in("deals", &[("dealname", "Engine")]).unwrap();
    app.hubspot.drop_events(0);
    app.hubspot.associate(("contacts", contact), ("deals", deal)).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    assert!(app.salesforce.ids("Opportunity").is_empty());
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1, "a mapped property brings it over");
    app.end().await;
}

#[tokio::test]
async fn r_104_a_company_gets_its_account_when_only_the_contact_is_told_of_the_association() {
    let app = TestApp::with(CONTACTS).await;
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.hubspot.drop_events(u32::MAX);
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.hubspot.drop_events(0);
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty());
    let event = format!(
        r#""subscriptionType":"contact.associationChange","associationType":"CONTACT_TO_COMPANY","fromObjectId":{ada},"toObjectId":{company}"#
    );
    tell(&app, &event).await;
    let account = app.salesforce.ids("Account");
    assert_eq!(account.len(), 1);
    let contact = app.salesforce.ids("Contact").remove(0);
    assert_eq!(app.salesforce.field("Contact", &contact, "AccountId").as_ref(), Some(&account[0]));
    app.end().await;
}

#[tokio::test]
async fn r_197_a_restored_contact_is_looked_at_whatever_else_was_told() {
    let app = TestApp::start().await;
    let contact = old_contact(&app);
    app.hubspot.drop_events(u32::MAX);
    assert!(app.hubspot.delete(contact));
    app.hubspot.drop_events(0);
    app.hubspot.restore(contact).unwrap();
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-10")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.end().await;
}
