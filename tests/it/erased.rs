//! Contacts that were erased for privacy.

use hubforce::store::Database;
use rstest::rstest;

use crate::harness::TestApp;
use crate::people::{ADA, linked};

/// A person erases a contact for privacy in HubSpot, which tells of that and of a deletion.
async fn erase(app: &TestApp, contact: u64) {
    app.hubspot.erase(contact).unwrap();
    app.settle().await;
}

async fn audit_of(app: &TestApp, kind: &str, id: &str) -> Vec<serde_json::Value> {
    let path = format!("/v1/connections/acme/audit?kind={kind}&id={id}");
    app.ask("GET", &path, "").await.1["items"].as_array().unwrap().clone()
}

#[rstest]
#[tokio::test]
async fn an_erased_contact_leaves_no_values_and_is_not_made_again(
    #[values(Database::Sqlite, Database::Postgres)] on: Database,
) {
    let Some(app) = TestApp::on(on, r#"create_in_hubspot = "leads_and_contacts""#).await else { return };
    let (contact, lead) = linked(&app).await;
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let n_rows = audit_of(&app, "Lead", &lead).await.len();
    erase(&app, contact).await;
    let rows = audit_of(&app, "Lead", &lead).await;
    assert_eq!(rows.len(), n_rows, "the rows stay");
    assert!(rows.iter().all(|row| row["old"].is_null() && row["new"].is_null()), "{rows:?}");
    let path = format!("/v1/connections/acme/records/salesforce/Lead/{lead}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert_eq!(record["state"], "stopped", "{record}");
    // An edit, another record with the address, and a resync of that one record make nobody of it.
    app.salesforce.update("Lead", &lead, &[("City", "Paris")]).unwrap();
    let fields = [("LastName", "Lovelace"), ("Company", "C"), ("Email", "ADA@example.com")];
    let second = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    for id in [&second, &lead] {
        let body = format!(r#"{{"system":"salesforce","kind":"Lead","ids":["{id}"]}}"#);
        assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
        app.settle().await;
    }
    assert!(app.hubspot.ids().is_empty(), "erased is erased");
    let path = format!("/v1/connections/acme/records/salesforce/Lead/{second}/explain");
    let (_, explained) = app.ask("GET", &path, "").await;
    assert!(explained.to_string().contains("erased for privacy"), "{explained}");
    // Another address is another person, and a person may enter the erased one again.
    app.salesforce
        .create("Lead", &[("LastName", "H"), ("Company", "C"), ("Email", "h@example.com")])
        .unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 1);
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn an_erased_contact_that_was_never_paired_is_forgotten_as_well() {
    let app = TestApp::with(r#"create_in_salesforce = "never""#).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    erase(&app, contact).await;
    assert!(
        !app.store.advance_erasures(&app.name, hubforce::domain::Clock::now(&app.clock)).await.unwrap(),
        "nothing is left to do"
    );
    app.end().await;
}
