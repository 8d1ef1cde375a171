//! What a CRM refuses is parked with its reason, and its neighbours are written.

use hubforce::domain::Secret;
use hubforce::emulator::{Caller, Fault, hubspot, salesforce};
use hubforce::plan::Category;
use hubforce::store::types::{ConnectionState, JobState};

use crate::harness::{TestApp, unanswered};
use crate::people::linked;

fn create(app: &TestApp, n: usize, last_name: &str) -> u64 {
    app.hubspot
        .create(&[("email", &format!("p{n}@example.com")), ("lastname", last_name), ("city", "Bonn")])
        .unwrap()
}

#[tokio::test]
async fn r_292_a_validation_rule_parks_one_of_a_hundred() {
    let app = TestApp::start().await;
    app.salesforce.refuse_where("LastName", "Refused");
    for n in 0..99 {
        create(&app, n, "Fine");
    }
    create(&app, 99, "Refused");
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 99);
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error.as_ref().unwrap().0, Category::Validation);
    let (_, jobs) = app.ask("GET", "/v1/connections/acme/jobs?state=parked", "").await;
    assert_eq!(jobs["items"][0]["category"], "validation");
    app.stop().await;
}

#[tokio::test]
async fn r_293_a_value_that_another_record_holds_is_parked_with_its_holder_after_a_few_attempts() {
    let mapping = r#"mappings = [{ hubspot = "salutation", salesforce = "Badge__c" }]"#;
    let badges = vec!["Badge__c".to_owned()];
    let organization = salesforce::Options { more_external_id_fields: badges, ..Default::default() };
    let app = TestApp::in_organization(mapping, organization).await;
    let fields = [("LastName", "P"), ("Company", "C"), ("Badge__c", "7")];
    let holder = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let contact = create(&app, 0, "Fine");
    app.settle().await;
    app.forget_calls();
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("salutation", "7")]).unwrap();
    app.settle().await;
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    let (category, message) = parked[0].error.as_ref().unwrap();
    assert_eq!(*category, Category::Duplicate);
    assert!(message.contains(&holder), "{message}");
    assert_eq!(app.writes(), 4, "the holder may just have come");
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_a_converted_lead_still_holds_is_parked_after_a_few_attempts() {
    let app = TestApp::with(r#"create_in_hubspot = "leads""#).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    let heir = app.salesforce.convert(&lead).unwrap();
    app.settle().await;
    app.salesforce.delete("Contact", &heir);
    app.settle().await;
    app.forget_calls();
    let body = format!(r#"{{"system":"hubspot","kind":"contact","ids":["{contact}"]}}"#);
    assert_eq!(app.ask("POST", "/v1/connections/acme/resync", &body).await.0, 202);
    app.settle().await;
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error.as_ref().unwrap().0, Category::RecordUnavailable);
    assert_eq!(app.writes(), 4);
    app.stop().await;
}

#[tokio::test]
async fn r_297_one_bad_field_does_not_hold_back_the_others() {
    let app = TestApp::start().await;
    let contact = create(&app, 0, "Fine");
    app.settle().await;
    app.salesforce.refuse_where("City", "Nowhere");
    app.hubspot.update(contact, &[("city", "Nowhere"), ("phone", "7")]).unwrap();
    app.settle().await;
    let lead = app.lead();
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    assert_eq!(app.jobs(Some(JobState::Parked)).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn r_295_hubspot_refuses_a_batch_for_one_value_and_the_others_are_written() {
    let app = TestApp::start().await;
    for n in 0..100 {
        // HubSpot's addresses need a dot in the domain's middle; Salesforce's here do not.
        let address = if n == 57 { "p57@.com".to_owned() } else { format!("p{n}@example.com") };
        app.salesforce.create("Lead", &[("LastName", "P"), ("Company", "C"), ("Email", &address)]).unwrap();
    }
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 99);
    let parked = app.jobs(Some(JobState::Parked)).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].error.as_ref().unwrap().0, Category::InvalidValue);
    app.stop().await;
}

#[tokio::test]
async fn r_283_an_unavailable_crm_is_tried_again_later() {
    let app = TestApp::start().await;
    let fault = r#"{ "method": "PATCH", "path": "/composite", "status": 503 }"#;
    app.salesforce.control().add_fault(serde_json::from_str(fault).unwrap());
    create(&app, 0, "Fine");
    app.settle().await;
    assert_eq!(app.jobs(Some(JobState::Waiting)).await.len(), 1);
    assert!(app.salesforce.ids("Lead").is_empty());
    app.settle_after(3_000).await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.end().await;
}

#[tokio::test]
async fn i_5_an_answer_lost_after_the_create_leaves_one_twin() {
    let app = TestApp::start().await;
    app.salesforce.control().add_fault(unanswered("PATCH", "/composite/sobjects/Lead"));
    let contact = create(&app, 0, "Fine");
    app.settle().await;
    assert_eq!(app.jobs(Some(JobState::Waiting)).await.len(), 1);
    app.settle_after(3_000).await;
    let lead = app.lead();
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(&lead));
    let (_, audit) =
        app.ask("GET", &format!("/v1/connections/acme/audit?kind=contact&id={contact}"), "").await;
    let open = audit["items"].as_array().unwrap().iter().filter(|row| row["outcome"] == "open").count();
    assert_eq!(open, 0, "the next look settled what was written: {audit}");
    app.end().await;
}

#[tokio::test]
async fn a_session_that_ran_out_is_renewed() {
    let app = TestApp::start().await;
    create(&app, 0, "Fine");
    app.settle().await;
    app.clock.advance_millis(3 * 3_600_000);
    create(&app, 1, "Fine");
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 2);
    app.end().await;
}

#[tokio::test]
async fn r_078_a_duplicate_rule_that_blocks_parks_the_create_and_one_that_alerts_does_not() {
    for blocks in [true, false] {
        let app = TestApp::start().await;
        let other = [("LastName", "P"), ("Company", "C"), ("Phone", "7")];
        app.salesforce.create("Lead", &other).unwrap();
        if blocks {
            app.salesforce.block_duplicates("Lead", "Phone");
        } else {
            app.salesforce.refuse_duplicates("Lead", "Phone");
        }
        app.hubspot.create(&[("email", "ada@example.com"), ("lastname", "L"), ("phone", "7")]).unwrap();
        app.settle().await;
        assert_eq!(app.salesforce.ids("Lead").len(), if blocks { 1 } else { 2 });
        let parked = app.jobs(Some(JobState::Parked)).await;
        let headings: Vec<Category> = parked.iter().map(|job| job.error.as_ref().unwrap().0).collect();
        assert_eq!(headings, if blocks { vec![Category::Duplicate] } else { vec![] });
        app.stop().await;
    }
}

#[tokio::test]
async fn r_128_and_r_110_a_resync_of_all_has_no_cap_goes_on_where_it_stopped_and_overrides_no_block() {
    let app = TestApp::with("[connections.sync.companies]\nenabled = true").await;
    app.hubspot.drop_events(u32::MAX);
    for n in 0..250 {
        app.hubspot.create_in("companies", &[("name", &format!("C{n}"))]).unwrap();
    }
    app.deliver().await;
    let fault = r#"{ "method": "GET", "path": "/companies", "skip": 2, "status": 503 }"#;
    app.hubspot.control().add_fault(serde_json::from_str::<Fault>(fault).unwrap());
    let body = r#"{"kind": "company", "all": true}"#;
    let (status, started) = app.ask("POST", "/v1/connections/acme/resync", body).await;
    assert_eq!(status, 202);
    app.worker.drain().await.unwrap();
    let path = format!("/v1/connections/acme/resyncs/{}", started["id"].as_str().unwrap());
    let (_, resync) = app.ask("GET", &path, "").await;
    assert_eq!(resync["state"], "running", "a page was not to be had: {resync}");
    app.clock.advance_millis(5_000);
    app.worker.drain().await.unwrap();
    assert_eq!(app.salesforce.ids("Account").len(), 0, "none of them has a contact");
    let (_, resync) = app.ask("GET", &path, "").await;
    assert_eq!((&resync["state"], &resync["done"]), (&"finished".into(), &250.into()), "{resync}");
    assert_eq!(app.hubspot.control().calls_to("list"), 3, "no page is read twice");
    app.end().await;
}

#[tokio::test]
async fn i_5_a_new_record_that_changes_before_its_create_is_known_to_have_happened_is_linked() {
    let settings = "[connections.sync.companies]\nenabled = true\n[connections.sync.deals]\nenabled = true";
    let app = TestApp::with(settings).await;
    let fields = [("Name", "Engine"), ("StageName", "Closed Won"), ("CloseDate", "2026-12-31")];
    let lost = r#"{ "path": "/batch/create", "times": 2, "applied_but_unanswered": true }"#;
    app.hubspot.control().add_fault(serde_json::from_str::<Fault>(lost).unwrap());
    app.salesforce.create("Opportunity", &fields).unwrap();
    app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    let (deal, company) = (app.hubspot.ids_in("deals")[0], app.hubspot.ids_in("companies")[0]);
    // Both creates wait for another look at what came of them; people are quicker.
    app.hubspot.update_in("deals", deal, &[("amount", "7")]).unwrap();
    app.hubspot.update_in("companies", company, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!((app.salesforce.ids("Opportunity").len(), app.hubspot.ids_in("deals").len()), (1, 1));
    let account = app.salesforce.ids("Account");
    assert_eq!(account.len(), 1);
    assert_eq!(app.salesforce.field("Account", &account[0], "BillingCity").as_deref(), Some("Bonn"));
    app.settle_after(60_000).await;
    assert_eq!((app.hubspot.ids_in("deals").len(), app.hubspot.ids_in("companies").len()), (1, 1));
    app.end().await;
}

#[tokio::test]
async fn i_5_a_lead_whose_contact_is_on_its_way_is_nobody_elses() {
    let app = TestApp::start().await;
    let lost = r#"{ "path": "/contacts/batch/create", "applied_but_unanswered": true }"#;
    app.hubspot.control().add_fault(serde_json::from_str::<Fault>(lost).unwrap());
    let fields = [("LastName", "Lovelace"), ("Company", "Engines"), ("Email", "ada@example.com")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let made = app.hubspot.ids()[0];
    app.clock.advance_millis(1_000);
    // The contact with the lead's new address is worked on before the lead.
    app.salesforce.drop_notifications(1);
    app.salesforce.update("Lead", &lead, &[("Email", "bob@example.com")]).unwrap();
    let bob = app.hubspot.create(&[("email", "bob@example.com"), ("lastname", "Bob")]).unwrap();
    app.settle().await;
    app.settle_after(60_000).await;
    let lead_of = |contact| app.hubspot.property(contact, "hubforce_salesforce_lead_id");
    assert_eq!((lead_of(made), lead_of(bob)), (Some(lead.clone()), None));
    assert_eq!(app.lead_field(&lead, "LastName").as_deref(), Some("Lovelace"));
    app.stop().await;
}

#[tokio::test]
async fn a_day_without_a_crm_parks_nothing_and_is_made_good_once_for_each_record() {
    let app = TestApp::start().await;
    let contacts: Vec<u64> = (0..5).map(|n| create(&app, n, "Fine")).collect();
    app.settle().await;
    let down = r#"{ "path": "/services", "times": 1000000, "status": 503 }"#;
    app.salesforce.control().add_fault(serde_json::from_str::<Fault>(down).unwrap());
    for hour in 0..24 {
        for contact in &contacts {
            app.hubspot.update(*contact, &[("city", &format!("City {hour}"))]).unwrap();
        }
        app.deliver().await;
        for _ in 0..30 {
            app.clock.advance_millis(2 * 60_000);
            app.worker.drain().await.unwrap();
        }
    }
    assert_eq!(app.jobs(Some(JobState::Due)).await.len(), contacts.len(), "nothing waits for a person");
    app.salesforce.control().reset();
    app.forget_calls();
    app.settle_after(60_000).await;
    for lead in app.salesforce.ids("Lead") {
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("City 23"));
    }
    assert_eq!(app.writes(), 1, "the newest state of all of them in one call");
    app.end().await;
}

#[tokio::test]
async fn credentials_that_salesforce_refuses_are_tried_once() {
    let client = ("integration-client".to_owned(), Secret::new("another one"));
    let app = TestApp::in_organization("", salesforce::Options { client, ..Default::default() }).await;
    create(&app, 0, "Fine");
    app.deliver().await;
    app.worker.drain().await.unwrap();
    let state = app.store.connection_state(&app.name).await.unwrap();
    assert!(matches!(state, ConnectionState::Unauthorized(_)), "{state:?}");
    assert_eq!(app.salesforce.control().total(Caller::Unknown), 1, "a start asks many questions at once");
    app.stop().await;
}

#[tokio::test]
async fn a_token_of_another_portal_is_found_out_before_anything_is_written() {
    let portal = hubspot::Options { portal_id: 7_654_321, ..Default::default() };
    let app = TestApp::in_portal("", portal).await;
    app.salesforce
        .create("Lead", &[("LastName", "P"), ("Company", "C"), ("Email", "p@example.com")])
        .unwrap();
    app.deliver().await;
    app.worker.drain().await.unwrap();
    let ConnectionState::Unauthorized(reason) = app.store.connection_state(&app.name).await.unwrap() else {
        panic!("it works with another portal");
    };
    assert!(reason.contains("belongs to portal 7654321"), "{reason}");
    assert!(app.hubspot.ids().is_empty());
    app.stop().await;
}
