//! What organizations of other kinds can and cannot do, as stories.

use hubforce::emulator::salesforce::Options;

use crate::harness::TestApp;
use crate::people::ADA;

fn edition(name: &str) -> Options {
    Options { edition: name.to_owned(), ..Options::default() }
}

#[tokio::test]
async fn r_002_an_edition_without_an_api_is_refused_with_a_reason() {
    let app = TestApp::in_organization("", edition("Team Edition")).await;
    app.hubspot.create(&ADA).unwrap();
    app.deliver().await;
    let refused = app.worker.inspect(&app.name).await.unwrap_err();
    let reason = hubforce::domain::Chain(&refused).to_string();
    assert!(reason.contains("API_DISABLED_FOR_ORG"), "{reason}");
    app.stop().await;
}

#[tokio::test]
async fn r_003_professional_works_and_is_told_what_it_lacks() {
    let app = TestApp::in_organization("", edition("Professional Edition")).await;
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    let findings = app.worker.inspect(&app.name).await.unwrap();
    assert!(findings.iter().any(|finding| finding.text.contains("outbound messages")), "{findings:?}");
    app.end().await;
}

#[tokio::test]
async fn r_011_nothing_syncs_before_something_happens() {
    let app = TestApp::start().await;
    let seed = serde_json::json!({
        "hubspot": { "contacts": [{ "email": "ada@example.com", "lastname": "L" }] },
        "salesforce": { "Lead": [{ "LastName": "H", "Company": "C", "Email": "grace@example.com" }] },
    });
    app.hubspot.seed(&seed).unwrap();
    app.salesforce.seed(&seed).unwrap();
    app.settle().await;
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (1, 1));
    app.end().await;
}

#[tokio::test]
async fn r_014_an_object_that_is_hidden_does_not_sync_and_the_others_do() {
    let setting = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true";
    let app = TestApp::with(setting).await;
    app.salesforce.hide_object("Account");
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty());
    assert_eq!(app.salesforce.ids("Contact").len(), 1, "people go on");
    let findings = app.worker.inspect(&app.name).await.unwrap();
    assert!(findings.iter().any(|finding| finding.text.contains("R-014")), "{findings:?}");
    app.end().await;
}
