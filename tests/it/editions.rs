//! What organizations of other kinds can and cannot do, as stories.

use hubforce::emulator::salesforce::Options;
use hubforce::plan::Category;
use hubforce::store::types::{ConnectionState, JobState};

use crate::harness::{Setup, TestApp};
use crate::people::ADA;
use crate::unasked::{contact_place, record};

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

#[tokio::test]
async fn r_013_what_our_user_may_not_do_is_said_before_it_is_tried_and_parked_when_it_is() {
    let app = TestApp::start().await;
    app.salesforce.restrict_object("Lead");
    let findings = serde_json::to_string(&app.worker.inspect(&app.name).await.unwrap()).unwrap();
    assert!(findings.contains("may not create or change Lead records (R-013)"), "{findings}");
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error.as_ref().unwrap().0, Category::FieldPermission);
    app.stop().await;
}

#[tokio::test]
async fn r_004_a_trial_organization_works_until_it_ends_and_is_told_so() {
    let ends = "2026-12-24T00:00:00.000+0000";
    let trial = Options { trial_ends: Some(ends.to_owned()), ..Options::default() };
    let app = TestApp::in_organization("", trial).await;
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    let findings = app.worker.inspect(&app.name).await.unwrap();
    assert!(findings.iter().any(|finding| finding.text.contains(ends)), "{findings:?}");
    app.end().await;
}

#[tokio::test]
async fn hubspots_own_connector_at_work_in_the_portal_is_refused_unless_that_is_wanted() {
    let cases = [(false, 0, 0), (true, 0, 1), (false, 15, 1)];
    for (links_only, (allowed, days, leads)) in
        [false, true].into_iter().flat_map(|only| cases.map(|case| (only, case)))
    {
        let connection = format!("allow_native_connector = {allowed}");
        let app = TestApp::set_up(Setup { connection, ..Setup::default() }).await;
        let contact = app.hubspot.create(&ADA).unwrap();
        if links_only {
            app.hubspot.link_natively(contact, "003000000000001AAA").unwrap();
        } else {
            app.hubspot.sync_natively(contact).unwrap();
        }
        app.clock.advance_millis(days * 86_400_000);
        app.deliver().await;
        let findings = serde_json::to_string(&app.worker.inspect(&app.name).await.unwrap()).unwrap();
        assert_eq!(findings.contains("own connector"), days == 0, "{findings}");
        app.worker.drain().await.unwrap();
        let state = app.store.connection_state(&app.name).await.unwrap();
        assert_eq!(matches!(state, ConnectionState::Refused(_)), leads == 0, "{state:?}");
        assert_eq!(app.salesforce.ids("Lead").len(), leads, "allowed {allowed}, {days} days later");
        app.stop().await;
    }
}

#[tokio::test]
async fn r_014_an_organization_that_shows_no_leads_syncs_its_contacts() {
    let app = TestApp::sweeping("create_in_salesforce = \"contact\"").await;
    app.salesforce.hide_object("Lead");
    app.clock.advance_millis(3_600_000);
    let findings = app.worker.inspect(&app.name).await.unwrap();
    let about_leads: Vec<_> = findings.iter().filter(|finding| finding.subject == "Lead").collect();
    assert_eq!(about_leads.len(), 1, "{findings:?}");
    assert!(findings.iter().all(|finding| !finding.stops), "{findings:?}");
    let ada = app.hubspot.create(&ADA).unwrap();
    let grace = [("LastName", "Hopper"), ("Email", "grace@example.com")];
    app.salesforce.create("Contact", &grace).unwrap();
    app.settle().await;
    let contact = app.hubspot.property(ada, "hubforce_salesforce_contact_id").unwrap();
    assert_eq!(app.hubspot.ids().len(), 2);
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("MailingCity", "Rome")]).unwrap();
    app.settle().await;
    // Leads are there all the same.
    app.lose_messages();
    app.salesforce
        .create("Lead", &[("LastName", "King"), ("Company", "C"), ("Email", "ada@example.com")])
        .unwrap();
    app.settle().await;
    app.sweep().await;
    assert_eq!(app.hubspot.property(ada, "city").as_deref(), Some("Rome"));
    assert_eq!(app.hubspot.property(ada, "hubforce_salesforce_contact_id"), Some(contact));
    assert_eq!(app.jobs(None).await, []);
    app.end().await;
}

#[tokio::test]
async fn r_014_where_leads_are_to_be_made_and_are_hidden_none_is_made_and_check_says_so() {
    let app = TestApp::start().await;
    app.salesforce.hide_object("Lead");
    let findings = app.worker.inspect(&app.name).await.unwrap();
    assert!(findings.iter().any(|finding| finding.subject == "create_in_salesforce"), "{findings:?}");
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty() && app.salesforce.ids("Contact").is_empty());
    assert_eq!(record(&app, &contact_place(ada)).await["state"], "unlinked");
    app.end().await;
}
