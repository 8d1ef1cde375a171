//! Stories on both databases, whichever is chosen for the rest: what a person edits, what a crowd edits, several instances.

use hubforce::store::Database::{self, Postgres, Sqlite};
use rstest::rstest;
use serde_json::json;

use crate::harness::TestApp;
use crate::people::linked;

const EVERY_KIND: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true\n[connections.sync.deals]\nenabled = true";

#[rstest]
#[tokio::test]
async fn an_edit_on_either_side_reaches_the_other(#[values(Sqlite, Postgres)] on: Database) {
    let Some(app) = TestApp::on(on, "").await else { return };
    let (contact, lead) = linked(&app).await;
    app.hubspot.update(contact, &[("city", "Köln \u{1f600}")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Köln \u{1f600}"));
    app.salesforce.update("Lead", &lead, &[("City", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Bonn"));
    let (_, record) =
        app.ask("GET", &format!("/v1/connections/acme/records/hubspot/contact/{contact}"), "").await;
    assert_eq!(record["state"], "linked");
    let (_, audit) = app.ask("GET", "/v1/connections/acme/audit?limit=500", "").await;
    let outcomes = audit["items"].as_array().unwrap().iter().map(|row| &row["outcome"]);
    assert!(
        outcomes.clone().count() > 2 && outcomes.clone().all(|outcome| outcome == "written"),
        "{audit:#}"
    );
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn a_resync_of_every_kind_counts_every_record(#[values(Sqlite, Postgres)] on: Database) {
    const N: usize = 120;
    let Some(app) = TestApp::on(on, EVERY_KIND).await else { return };
    let many = |of: fn(usize) -> serde_json::Value| (0..N).map(of).collect::<serde_json::Value>();
    let records = json!({ "hubspot": {
        "contacts": many(|n| json!({ "email": format!("p{n}@example.com"), "lastname": format!("L{n}") })),
        "companies": many(|n| json!({ "name": format!("Company {n}") })),
    } });
    app.hubspot.seed(&records).unwrap();
    // a company without contacts is covered by a resync of all, and becomes no account by it.
    for (kind, object, n) in [("company", "Account", 0), ("contact", "Contact", N)] {
        let body = json!({ "kind": kind, "all": true }).to_string();
        let (_, asked) = app.ask("POST", "/v1/connections/acme/resync", &body).await;
        app.settle().await;
        let path = format!("/v1/connections/acme/resyncs/{}", asked["id"].as_str().unwrap());
        let (_, resync) = app.ask("GET", &path, "").await;
        assert_eq!((&resync["done"], &resync["failed"]), (&json!(N), &json!(0)), "{resync:#}");
        assert_eq!(app.salesforce.ids(object).len(), n);
    }
    app.end().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_share_the_work_and_double_nothing(#[values(Sqlite, Postgres)] on: Database) {
    const N: usize = 400;
    let Some(app) = TestApp::on(on, "").await else { return };
    let others = [app.another().await.worker, app.another().await.worker];
    for n in 0..N {
        app.hubspot.create(&[("email", &format!("p{n}@example.com")), ("lastname", "P")]).unwrap();
    }
    while app.deliver().await > 0 {
        let (one, two, three) = tokio::join!(app.worker.drain(), others[0].drain(), others[1].drain());
        one.and(two).and(three).unwrap();
    }
    assert_eq!(app.salesforce.ids("Lead").len(), N);
    let twin = |contact: &u64| app.hubspot.property(*contact, "hubforce_salesforce_lead_id");
    let twins: std::collections::BTreeSet<String> = app.hubspot.ids().iter().filter_map(twin).collect();
    assert_eq!(twins.len(), N, "each contact has a lead of its own");
    drop(others);
    app.end().await;
}
