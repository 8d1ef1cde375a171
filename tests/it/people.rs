//! Contacts, leads and contacts: the rules as stories.

use hubforce::store::types::JobState;

use crate::harness::TestApp;

/// A person.
pub(crate) const ADA: [(&str, &str); 4] =
    [("email", "Ada@Example.com"), ("firstname", "Ada"), ("lastname", "Lovelace"), ("city", "London")];

/// A HubSpot contact and the lead that came of it.
pub(crate) async fn linked(app: &TestApp) -> (u64, String) {
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
async fn r_062_the_oldest_is_taken_whether_it_is_a_lead_or_a_contact() {
    for first in ["Lead", "Contact"] {
        let app = TestApp::with("create_in_hubspot = \"never\"").await;
        let mut made = Vec::new();
        for object in [first, if first == "Lead" { "Contact" } else { "Lead" }] {
            let company = (object == "Lead").then_some(("Company", "C"));
            let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com")].into_iter().chain(company);
            made.push(app.salesforce.create(object, &fields.collect::<Vec<_>>()).unwrap());
            app.settle_after(1_000).await;
        }
        let contact = app.hubspot.create(&ADA).unwrap();
        app.settle().await;
        let property = format!("hubforce_salesforce_{}_id", first.to_lowercase());
        assert_eq!(app.hubspot.property(contact, &property).as_ref(), Some(&made[0]), "{first}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_063_r_064_and_r_079_the_most_recently_updated_record_becomes_the_twin() {
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
async fn r_063_what_we_take_from_a_record_does_not_make_it_the_most_recently_updated() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(5_000);
    let newer = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
    let newer = app.salesforce.create("Contact", &newer).unwrap();
    // The lead loses the contact's id some time after the other was made. No message tells of that; the sweep does.
    app.settle_after(5_000).await;
    let key_of = |object, id| app.salesforce.field(object, id, "Hubforce_HubSpot_Id__c");
    let keys = || (key_of("Lead", &lead), key_of("Contact", &newer));
    assert_eq!(keys(), (None, Some(contact.to_string())));
    app.sweep().await;
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id"), Some(newer.clone()));
    assert_eq!(keys(), (None, Some(contact.to_string())));
    // A person who writes to the lead makes it compete again.
    app.salesforce.update("Lead", &lead, &[("City", "Nottingham")]).unwrap();
    app.settle_after(5_000).await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(lead.clone()));
    assert_eq!(keys(), (Some(contact.to_string()), None));
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
