//! Opting out of all mail as stories.

use crate::harness::{IN_LIST, TestApp, unanswered};
use crate::people::{ADA, linked};

fn box_of(app: &TestApp, lead: &str) -> Option<String> {
    app.lead_field(lead, "HasOptedOutOfEmail")
}

fn out(app: &TestApp, contact: u64) -> bool {
    app.hubspot.property(contact, "hs_email_optout").as_deref() == Some("true")
}

#[tokio::test]
async fn r_215_and_r_216_opting_out_travels_both_ways() {
    let app = TestApp::with("default_mappings = false").await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.unsubscribe("ada@example.com");
    app.settle().await;
    assert_eq!(box_of(&app, &lead).as_deref(), Some("true"));
    let fields = [("LastName", "Hopper"), ("Email", "grace@example.com"), ("Company", "Navy")];
    let other = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let grace = app.hubspot.ids().into_iter().find(|id| *id != contact).unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &other, &[("HasOptedOutOfEmail", "true")]).unwrap();
    app.settle().await;
    assert!(out(&app, grace));
    app.end().await;
}

#[tokio::test]
async fn r_216_those_who_are_out_are_out_from_the_start() {
    let app = TestApp::start().await;
    app.hubspot.unsubscribe("ada@example.com");
    app.hubspot.create(&ADA).unwrap();
    let fields = [
        ("LastName", "Hopper"),
        ("Email", "grace@example.com"),
        ("Company", "Navy"),
        ("HasOptedOutOfEmail", "true"),
    ];
    app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    for contact in app.hubspot.ids() {
        assert!(out(&app, contact));
    }
    for lead in app.salesforce.ids("Lead") {
        assert_eq!(box_of(&app, &lead).as_deref(), Some("true"));
    }
    app.end().await;
}

#[tokio::test]
async fn r_217_unticking_the_box_opts_nobody_in_and_is_a_conflict() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.unsubscribe("ada@example.com");
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("HasOptedOutOfEmail", "false"), ("Phone", "1")]).unwrap();
    app.settle().await;
    assert!(out(&app, contact));
    assert_eq!(box_of(&app, &lead).as_deref(), Some("false"), "nothing is overwritten on either side");
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "conflict");
    assert_eq!(
        app.hubspot.property(contact, "phone").as_deref(),
        Some("1"),
        "the rest of the record travels"
    );
    // The person acts: both sides agree again.
    app.clock.advance_millis(1_000);
    app.hubspot.resubscribe("ada@example.com");
    app.settle().await;
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "linked");
    app.end().await;
}

#[tokio::test]
async fn r_034_and_r_218_what_does_not_sync_yet_is_not_transferred() {
    let app = TestApp::with(r#"inclusion_list_id = "77""#).await;
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com"), ("Company", "Engines")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let contact = app.hubspot.ids()[0];
    app.hubspot.unsubscribe("ada@example.com");
    app.settle().await;
    assert_eq!(box_of(&app, &lead).as_deref(), Some("false"), "not in the list");
    app.hubspot.update(contact, &[IN_LIST, ("phone", "1")]).unwrap();
    app.settle().await;
    assert_eq!(box_of(&app, &lead).as_deref(), Some("true"));
    app.end().await;
}

#[tokio::test]
async fn r_219_the_opt_out_goes_with_the_person_to_a_new_address() {
    for in_hubspot in [true, false] {
        let app = TestApp::start().await;
        let (contact, lead) = linked(&app).await;
        app.hubspot.unsubscribe("ada@example.com");
        app.settle().await;
        app.clock.advance_millis(1_000);
        if in_hubspot {
            app.hubspot.update(contact, &[("email", "new@example.com")]).unwrap();
        } else {
            app.salesforce.update("Lead", &lead, &[("Email", "new@example.com")]).unwrap();
        }
        app.settle().await;
        app.settle_after(1_000).await;
        assert_eq!(app.hubspot.property(contact, "email").as_deref(), Some("new@example.com"));
        assert!(out(&app, contact), "{in_hubspot}");
        assert_eq!(box_of(&app, &lead).as_deref(), Some("true"), "{in_hubspot}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_219_the_opt_out_goes_with_the_person_to_the_address_that_a_merge_brings() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    let fields = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let survivor = app.salesforce.create("Lead", &fields).unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    app.tell_messages();
    // Nobody saw the opt-out before: it travels in the same plan as the address.
    app.hubspot.unsubscribe("ada@example.com");
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(&survivor));
    assert_eq!(app.hubspot.property(contact, "email").as_deref(), Some("king@example.com"));
    assert!(out(&app, contact));
    assert_eq!(box_of(&app, &survivor).as_deref(), Some("true"));
    app.end().await;
}

#[tokio::test]
async fn r_219_the_opt_out_goes_to_the_new_address_where_neither_write_was_answered() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.unsubscribe("ada@example.com");
    app.salesforce.update("Lead", &lead, &[("Email", "new@example.com")]).unwrap();
    app.hubspot.control().add_fault(unanswered("POST", "/contacts/batch/update"));
    app.salesforce.control().add_fault(unanswered("PATCH", "/composite/sobjects"));
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "email").as_deref(),
        Some("new@example.com"),
        "it was carried out"
    );
    assert_eq!(box_of(&app, &lead).as_deref(), Some("true"), "so was this");
    app.settle_after(60_000).await;
    app.settle_after(60_000).await;
    assert_eq!(box_of(&app, &lead).as_deref(), Some("true"));
    assert!(out(&app, contact));
    app.end().await;
}

/// What the settings are told, with whether anything stops.
async fn findings(mappings: &str) -> (TestApp, String) {
    let app = TestApp::with(&format!("mappings = [{mappings}]")).await;
    let found = serde_json::to_string(&app.worker.inspect(&app.name).await.unwrap()).unwrap();
    (app, found)
}

#[tokio::test]
async fn r_184_r_201_and_r_204_what_is_mapped_automatically_cannot_be_mapped_away() {
    for (mapping, of) in [
        (r#"{ hubspot = "hs_email_optout", salesforce = "Description" }"#, "hs_email_optout"),
        (r#"{ hubspot = "jobtitle", salesforce = "HasOptedOutOfEmail" }"#, "jobtitle"),
        (r#"{ hubspot = "work_email", salesforce = "Email" }"#, "work_email"),
        (r#"{ hubspot = "hubspot_owner_id", salesforce = "OwnerId" }"#, "hubspot_owner_id"),
        (r#"{ hubspot = "jobtitle", salesforce = "OwnerId" }"#, "jobtitle"),
    ] {
        let (app, found) = findings(mapping).await;
        assert!(
            found.contains(&format!("mapping of {of}")) && found.contains("\"error\""),
            "{mapping}: {found}"
        );
        // It alone is left out: people, their opt-outs and their owners go on.
        crate::owners::ann(&app);
        let contact = app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
        app.settle().await;
        let lead = app.lead();
        app.clock.advance_millis(1_000);
        app.hubspot.unsubscribe("ada@example.com");
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(app.lead_field(&lead, "Email").as_deref(), Some("ada@example.com"), "{mapping}");
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "{mapping}");
        assert_eq!(box_of(&app, &lead).as_deref(), Some("true"), "{mapping}");
        assert_ne!(
            app.lead_field(&lead, "OwnerId").as_deref(),
            Some(app.salesforce.integration_user()),
            "{mapping}"
        );
        app.end().await;
    }
}

#[tokio::test]
async fn r_198_a_mapping_that_cannot_work_is_an_error_and_hides_no_other_finding() {
    let (app, found) = findings(
        r#"{ hubspot = "jobtitle", lead = "Title", rule = "always_salesforce", conflict = "hold" },
           { hubspot = "no_such", lead = "Rating" },
           { hubspot = "phone", lead = "No_Such__c" },
           { hubspot = "city", lead = "City" }, { hubspot = "city", lead = "Street" },
           { hubspot = "hs_email_optout", salesforce = "Description" }"#,
    )
    .await;
    for said in ["only with the rule two_way", "no_such", "No_Such__c", "mapped twice", "R-204"] {
        assert!(found.contains(said), "{said}: {found}");
    }
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&app.lead(), "City").as_deref(), Some("London"), "the others work");
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(app.lead()));
    app.end().await;
}
