//! Contacts, leads and contacts: the rules as stories.

use hubforce::domain::Clock;
use hubforce::emulator::Vendor;
use hubforce::store::types::JobState;

use crate::harness::TestApp;

const ADA: [(&str, &str); 4] =
    [("email", "Ada@Example.com"), ("firstname", "Ada"), ("lastname", "Lovelace"), ("city", "London")];

/// A HubSpot contact and the lead that came of it.
async fn linked(app: &TestApp) -> (u64, String) {
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    (contact, app.lead())
}

#[tokio::test]
async fn r_043_and_r_065_a_hubspot_contact_becomes_a_lead_that_bears_its_id() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    for (field, value) in [
        ("Email", "ada@example.com"),
        ("LastName", "Lovelace"),
        ("City", "London"),
        ("Company", "example.com"),
    ] {
        assert_eq!(app.lead_field(&lead, field).as_deref(), Some(value), "{field}");
    }
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(contact.to_string()));
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(lead), "R-065");
    assert_eq!(app.hubspot.property(contact, "company"), None, "a filled company never comes back");
    app.end().await;
}

#[tokio::test]
async fn r_044_the_settings_can_make_it_a_contact() {
    let app = TestApp::with(r#"create_in_salesforce = "contact""#).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let made = app.salesforce.ids("Contact");
    assert_eq!((app.salesforce.ids("Lead").len(), made.len()), (0, 1));
    assert_eq!(app.salesforce.field("Contact", &made[0], "MailingCity").as_deref(), Some("London"));
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&made[0]));
    app.end().await;
}

#[tokio::test]
async fn r_043_the_settings_can_create_nothing() {
    let app = TestApp::with(r#"create_in_salesforce = "never""#).await;
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_040_and_r_041_salesforce_records_become_contacts_by_the_settings() {
    for (setting, from_lead, from_contact) in [
        ("leads_and_contacts", true, true),
        ("leads", true, false),
        ("contacts", false, true),
        ("never", false, false),
    ] {
        let app = TestApp::with(&format!("create_in_hubspot = {setting:?}")).await;
        app.salesforce
            .create("Lead", &[("LastName", "L"), ("Company", "C"), ("Email", "lead@example.com")])
            .unwrap();
        app.salesforce.create("Contact", &[("LastName", "C"), ("Email", "contact@example.com")]).unwrap();
        app.settle().await;
        let addresses: Vec<_> =
            app.hubspot.ids().iter().filter_map(|id| app.hubspot.property(*id, "email")).collect();
        assert_eq!(addresses.contains(&"lead@example.com".to_owned()), from_lead, "{setting}");
        assert_eq!(addresses.contains(&"contact@example.com".to_owned()), from_contact, "{setting}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_045_and_r_046_one_setting_serves_all_and_a_lead_brings_no_company() {
    for (setting, made, other) in [("lead", "Lead", "Contact"), ("contact", "Contact", "Lead")] {
        let app = TestApp::with(&format!("create_in_salesforce = {setting:?}")).await;
        app.hubspot.create(&[ADA[0], ADA[2], ("company", "Engines")]).unwrap();
        app.hubspot.create(&[("email", "king@example.com"), ("lastname", "King")]).unwrap();
        app.settle().await;
        assert_eq!((app.salesforce.ids(made).len(), app.salesforce.ids(other).len()), (2, 0), "{setting}");
        assert_eq!(app.hubspot.ids().len(), 2);
        let writes = ["upsert", "insert"]
            .map(|verb| app.salesforce.control().calls_to(&format!("composite/sobjects/{verb}")));
        assert_eq!(writes.iter().sum::<u64>(), 1, "people are created, and nothing beside them");
        app.end().await;
    }
}

#[tokio::test]
async fn r_047_a_match_is_linked_instead_of_created() {
    let app = TestApp::start().await;
    let lead = app
        .salesforce
        .create("Lead", &[("LastName", "L"), ("Company", "C"), ("Email", "ADA@example.com"), ("Phone", "1")])
        .unwrap();
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (1, 1));
    assert_eq!(
        app.hubspot.property(contact, "phone").as_deref(),
        Some("1"),
        "blanks are filled from the other side"
    );
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"));
    app.end().await;
}

#[tokio::test]
async fn r_060_the_address_is_the_only_key() {
    let app = TestApp::with(r#"create_in_hubspot = "never""#).await;
    let fields =
        [("Email", "ADA@example.com"), ("LastName", "King"), ("Company", "Other"), ("City", "Ockham")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let (contact, linked) = linked(&app).await;
    assert_eq!(linked, lead, "nothing but the address agrees, and in another spelling");
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(contact.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_197_what_is_not_mapped_writes_nothing() {
    let app = TestApp::start().await;
    let (contact, _) = linked(&app).await;
    app.forget_calls();
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-10")]).unwrap();
    app.settle().await;
    assert_eq!(app.writes(), 0);
    app.end().await;
}

#[tokio::test]
async fn r_206_the_company_travels_as_text_with_a_lead() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&[ADA[0], ADA[2], ("company", "Engines")]).unwrap();
    app.settle().await;
    let lead = app.lead();
    assert_eq!(app.lead_field(&lead, "Company").as_deref(), Some("Engines"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Company", "Analytical Engines")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "company").as_deref(), Some("Analytical Engines"));
    app.end().await;
}

#[tokio::test]
async fn r_207_a_contact_has_no_company_text() {
    let app = TestApp::with(r#"create_in_salesforce = "contact""#).await;
    let contact = app.hubspot.create(&[ADA[0], ADA[2], ("company", "Engines")]).unwrap();
    app.settle().await;
    let made = &app.salesforce.ids("Contact")[0];
    assert_eq!(app.salesforce.field("Contact", made, "Company"), None);
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", made, &[("MailingCity", "Rome")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "company").as_deref(), Some("Engines"), "and it stays as it is");
    app.end().await;
}

#[tokio::test]
async fn r_061_the_same_name_with_another_address_is_another_person() {
    let app = TestApp::start().await;
    app.salesforce
        .create(
            "Lead",
            &[
                ("LastName", "Lovelace"),
                ("FirstName", "Ada"),
                ("Company", "C"),
                ("Email", "other@example.com"),
            ],
        )
        .unwrap();
    app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (2, 2));
    app.end().await;
}

#[tokio::test]
async fn r_062_the_first_of_several_is_taken_or_a_person_chooses() {
    for (setting, held) in [("first", false), ("hold", true)] {
        let app =
            TestApp::with(&format!("on_ambiguous_match = {setting:?}\ncreate_in_hubspot = \"never\"")).await;
        let mut leads = Vec::new();
        for name in ["First", "Second"] {
            leads.push(
                app.salesforce
                    .create("Lead", &[("LastName", name), ("Company", "C"), ("Email", "ada@example.com")])
                    .unwrap(),
            );
            app.settle_after(1_000).await;
        }
        let contact = app.hubspot.create(&ADA).unwrap();
        app.settle().await;
        let linked = app.hubspot.property(contact, "hubforce_salesforce_lead_id");
        let parked = app.jobs(Some(JobState::Parked)).await;
        if held {
            assert_eq!((linked, parked.len()), (None, 1));
            assert_eq!(app.salesforce.ids("Lead").len(), 2);
            app.stop().await;
        } else {
            assert_eq!((linked.as_ref(), parked.len()), (Some(&leads[0]), 0));
            app.end().await;
        }
    }
}

#[tokio::test]
async fn r_063_and_r_064_the_most_recently_updated_record_becomes_the_twin() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.settle_after(5_000).await;
    let newer = app
        .salesforce
        .create(
            "Contact",
            &[("LastName", "Lovelace"), ("Email", "ada@example.com"), ("MailingCity", "Ockham")],
        )
        .unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id"), Some(newer.clone()));
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), None);
    app.settle_after(5_000).await;
    app.salesforce.update("Contact", &newer, &[("MailingCity", "Surrey")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Surrey"));
    app.settle_after(5_000).await;
    app.salesforce.update("Lead", &lead, &[("City", "Nottingham")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "city").as_deref(),
        Some("Nottingham"),
        "the lead competes again"
    );
    app.end().await;
}

#[tokio::test]
async fn r_073_no_second_lead_while_a_record_has_the_address() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead(), lead);
    app.end().await;
}

#[tokio::test]
async fn r_074_an_address_changed_in_salesforce_moves_hubspots() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.settle_after(1_000).await;
    app.salesforce.update("Lead", &lead, &[("Email", "countess@example.com")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "email").as_deref(), Some("countess@example.com"));
    app.end().await;
}

#[tokio::test]
async fn r_075_an_address_of_another_contact_is_a_conflict_and_misroutes_nothing() {
    let app = TestApp::start().await;
    let (ada, lead) = linked(&app).await;
    let bob = app.hubspot.create(&[("email", "bob@example.com"), ("lastname", "Bob")]).unwrap();
    app.settle_after(1_000).await;
    app.salesforce.update("Lead", &lead, &[("Email", "bob@example.com"), ("City", "Rome")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(ada, "email").as_deref(), Some("ada@example.com"));
    assert_eq!(app.hubspot.property(bob, "city"), None, "nothing of Ada's reaches Bob");
    assert_eq!(app.hubspot.property(ada, "city").as_deref(), Some("Rome"), "the other fields travel");
    for contact in [ada, bob] {
        let (_, record) =
            app.ask("GET", &format!("/v1/connections/acme/records/hubspot/contact/{contact}"), "").await;
        assert_eq!(record["state"], "conflict", "{record}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_076_an_address_blanked_in_salesforce_is_written_back() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.salesforce.update("Lead", &lead, &[("Email", "")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Email").as_deref(), Some("ada@example.com"));
    assert_eq!(app.hubspot.property(contact, "email").as_deref(), Some("ada@example.com"));
    app.end().await;
}

#[tokio::test]
async fn r_077_and_r_037_without_an_address_nothing_is_created() {
    let app = TestApp::start().await;
    app.salesforce.create("Lead", &[("LastName", "Nobody"), ("Company", "C")]).unwrap();
    let contact = app.hubspot.create(&[("lastname", "Nobody")]).unwrap();
    app.settle().await;
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (1, 1));
    let (_, record) =
        app.ask("GET", &format!("/v1/connections/acme/records/hubspot/contact/{contact}"), "").await;
    assert_eq!(record["state"], "excluded");
    app.end().await;
}

#[tokio::test]
async fn r_192_deletions_travel_both_ways_and_edits_of_both_sides_merge() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.update(contact, &[("city", "")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City"), None);
    app.settle_after(1_000).await;
    app.hubspot.update(contact, &[("phone", "1"), ("zip", "H")]).unwrap();
    app.settle_after(1_000).await;
    app.hubspot.update(contact, &[("jobtitle", "Countess"), ("zip", "hubspot")]).unwrap();
    app.clock.advance_millis(2_000);
    app.salesforce
        .update("Lead", &lead, &[("State", "Kent"), ("PostalCode", "salesforce"), ("Phone", "")])
        .unwrap();
    app.settle().await;
    for (property, field, value) in [
        ("jobtitle", "Title", Some("Countess")),
        ("state", "State", Some("Kent")),
        ("zip", "PostalCode", Some("salesforce")),
        ("phone", "Phone", None),
    ] {
        assert_eq!(app.hubspot.property(contact, property).as_deref(), value, "{property}");
        assert_eq!(app.lead_field(&lead, field).as_deref(), value, "{field}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_049_a_deleted_twin_is_not_made_anew_until_somebody_asks() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    assert!(app.salesforce.delete("Lead", &lead));
    app.hubspot.update(contact, &[("city", "Paris")]).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "stopped");
    let body = format!(r#"{{"kind":"contact","ids":["{contact}"]}}"#);
    let (status, started) = app.ask("POST", "/v1/connections/acme/resync", &body).await;
    assert_eq!(status, 202, "{started}");
    app.settle().await;
    assert_eq!(app.lead_field(&app.lead(), "City").as_deref(), Some("Paris"));
    let id = started["id"].as_str().unwrap();
    let (_, resync) = app.ask("GET", &format!("/v1/connections/acme/resyncs/{id}"), "").await;
    assert_eq!((resync["state"].as_str(), resync["done"].as_u64()), (Some("finished"), Some(1)), "{resync}");
    app.end().await;
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let app = TestApp::start().await;
    app.hubspot.drop_events(1_000);
    for n in 0..3 {
        app.hubspot.create(&[("email", &format!("p{n}@example.com")), ("lastname", "P")]).unwrap();
    }
    let (_, started) = app
        .ask("POST", "/v1/connections/acme/resync", r#"{"kind":"contact","all":true,"dry_run":true}"#)
        .await;
    app.settle().await;
    assert!(app.salesforce.ids("Lead").is_empty());
    assert_eq!(app.writes(), 0);
    let id = started["id"].as_str().unwrap();
    let (_, resync) = app.ask("GET", &format!("/v1/connections/acme/resyncs/{id}"), "").await;
    assert_eq!(resync["preview"]["creates_in_salesforce"], 3, "{resync}");
    let (_, _) = app.ask("POST", "/v1/connections/acme/resync", r#"{"kind":"contact","all":true}"#).await;
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 3);
    app.end().await;
}

#[tokio::test]
async fn i_7_the_audit_and_the_explanation_name_rule_old_and_new() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let (_, audit) = app.ask("GET", &format!("/v1/connections/acme/audit?kind=Lead&id={lead}"), "").await;
    let row = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["field"] == "City" && row["old"] == "London")
        .unwrap();
    assert_eq!(
        (&row["new"], &row["rule"], &row["outcome"]),
        (&"Bonn".into(), &"R-192".into(), &"written".into())
    );
    assert!(row["cause"].as_str().unwrap().starts_with("delivery "));
    let (status, explained) =
        app.ask("GET", &format!("/v1/connections/acme/records/salesforce/Lead/{lead}/explain"), "").await;
    assert_eq!(status, 200);
    let city =
        explained["fields"].as_array().unwrap().iter().find(|field| field["hubspot"] == "city").unwrap();
    assert_eq!((&city["base"], &city["decision"]), (&"Bonn".into(), &"agree".into()));
    assert_eq!(explained["linked_to"]["id"], contact.to_string());
    app.end().await;
}

#[tokio::test]
async fn r_080_a_converted_lead_goes_on_as_its_contact() {
    for edited_first in [false, true] {
        let app = TestApp::start().await;
        let (contact, lead) = linked(&app).await;
        app.clock.advance_millis(1_000);
        let heir = app.salesforce.convert(&lead).unwrap();
        if edited_first {
            // The message about the new contact is late; an edit in HubSpot finds out by itself.
            let late = app.salesforce.take_due(app.clock.now());
            app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
            app.settle().await;
            assert_eq!(late.len(), 1);
            app.carry(&late[0]).await;
        }
        app.settle().await;
        if !edited_first {
            app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
            app.settle().await;
        }
        assert_eq!(app.salesforce.field("Contact", &heir, "MailingCity").as_deref(), Some("Bonn"));
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"), "the lead is left as it was");
        assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&heir));
        assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), None);
        assert_eq!(
            (app.hubspot.ids().len(), app.salesforce.ids("Contact").len()),
            (1, 1),
            "nothing is doubled"
        );
        app.clock.advance_millis(1_000);
        app.salesforce.update("Contact", &heir, &[("MailingCity", "Rome")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Rome"));
        app.end().await;
    }
}

#[tokio::test]
async fn r_042_a_converted_lead_stops_where_contacts_do_not_come_to_hubspot() {
    for setting in [r#"create_in_hubspot = "leads""#, "follow_conversions = false"] {
        let app = TestApp::with(setting).await;
        let (contact, lead) = linked(&app).await;
        app.clock.advance_millis(1_000);
        let heir = app.salesforce.convert(&lead).unwrap();
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(
            app.salesforce.field("Contact", &heir, "MailingCity").as_deref(),
            Some("London"),
            "{setting}"
        );
        let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
        let (_, record) = app.ask("GET", &path, "").await;
        assert_eq!(record["state"], "stopped", "{record}");
        assert!(record.to_string().contains("Converted Lead"), "{record}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_048_a_deleted_lead_deletes_its_contact_where_that_is_set() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    app.salesforce.delete("Lead", &lead);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert!(app.hubspot.ids().is_empty(), "the contact went with its lead");
    assert_eq!(app.hubspot.control().calls_to("batch/archive"), 1);
    let (_, audit) = app.ask("GET", "/v1/connections/acme/audit", "").await;
    assert!(audit.to_string().contains("R-048"), "{audit}");
    app.end().await;
}

#[tokio::test]
async fn r_048_a_contact_that_somebody_restored_stays() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    app.salesforce.delete("Lead", &lead);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    app.hubspot.control().clock().advance_millis(1_000);
    app.hubspot.restore(contact).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids(), [contact], "it is deleted once");
    app.end().await;
}

#[tokio::test]
async fn r_066_and_r_067_a_pair_goes_on_with_the_survivor_of_a_merge() {
    for linked_survives in [true, false] {
        let app = TestApp::start().await;
        let (contact, lead) = linked(&app).await;
        let other =
            app.salesforce.create("Lead", &[("LastName", "Lovelace"), ("Company", "Engines")]).unwrap();
        app.settle().await;
        app.clock.advance_millis(1_000);
        let (master, loser) = if linked_survives { (&lead, &other) } else { (&other, &lead) };
        app.salesforce.merge("Lead", master, loser).unwrap();
        app.settle().await;
        app.clock.advance_millis(1_000);
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(app.lead_field(master, "City").as_deref(), Some("Bonn"), "{linked_survives}");
        assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(master));
        app.end().await;
    }
}

#[tokio::test]
async fn r_067_and_r_068_without_following_a_resync_links_to_the_survivor() {
    let app = TestApp::with("follow_merges = false").await;
    let (contact, lead) = linked(&app).await;
    let other = [("LastName", "Lovelace"), ("Company", "Engines")];
    let other = app.salesforce.create("Lead", &other).unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &other, &lead).unwrap();
    app.salesforce.update("Lead", &other, &[("Email", "ada@example.com")]).unwrap();
    app.salesforce.take_due(app.clock.now());
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert!(record.to_string().contains("Merged in Salesforce"), "{record}");
    let body = format!(r#"{{"kind": "contact", "ids": ["{contact}"]}}"#);
    let (status, answer) = app.ask("POST", "/v1/connections/acme/resync", &body).await;
    assert_eq!(status.as_u16(), 202, "{answer}");
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(other.clone()));
    assert_eq!(app.lead_field(&other, "Hubforce_HubSpot_Id__c"), Some(contact.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_050_a_record_merged_away_takes_its_contact_where_deletions_do() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    let other = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let other = app.salesforce.create("Lead", &other).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 2);
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &other, &lead).unwrap();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let left = app.hubspot.ids();
    assert_eq!(left.len(), 1);
    assert_eq!(app.hubspot.property(left[0], "email").as_deref(), Some("king@example.com"));
    app.end().await;
}

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

#[tokio::test]
async fn r_069_and_r_070_the_survivor_of_a_merge_in_hubspot_takes_over_the_pair() {
    for both_linked in [false, true] {
        let app = TestApp::start().await;
        let (contact, lead) = linked(&app).await;
        let other = if both_linked { ("email", "king@example.com") } else { ("lastname", "King") };
        let other = app.hubspot.create(&[other]).unwrap();
        app.settle().await;
        app.clock.advance_millis(1_000);
        let survivor = app.hubspot.merge(contact, other).unwrap();
        app.settle().await;
        app.clock.advance_millis(1_000);
        app.hubspot.update(survivor, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "{both_linked}");
        assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(survivor.to_string()));
        assert_eq!(
            app.salesforce.ids("Lead").len(),
            1 + usize::from(both_linked),
            "nothing is made or deleted"
        );
        app.clock.advance_millis(1_000);
        app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.property(survivor, "city").as_deref(), Some("Rome"));
        assert_eq!(app.hubspot.ids(), [survivor]);
        app.end().await;
    }
}
