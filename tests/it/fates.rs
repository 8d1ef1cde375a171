//! Deletions, merges and conversions as stories.

use hubforce::domain::Clock;
use hubforce::emulator::Vendor;
use hubforce::emulator::hubspot::Options;

use crate::harness::{TestApp, unanswered};
use crate::people::linked;

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
            assert_eq!(late.len(), 2, "of the contact and of its account");
            for message in &late {
                app.carry(message).await;
            }
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
        // The other lead has no first name: a blank of the survivor is filled and clears nothing.
        assert_eq!(app.hubspot.property(contact, "firstname").as_deref(), Some("Ada"), "{linked_survives}");
        assert_eq!(app.lead_field(master, "FirstName").as_deref(), Some("Ada"), "{linked_survives}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_050_and_r_067_two_merges_in_a_row_lead_to_the_last_survivor() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    let fields = [("LastName", "Lovelace"), ("Company", "Engines")];
    let [second, third] = [0, 1].map(|_| app.salesforce.create("Lead", &fields).unwrap());
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &second, &lead).unwrap();
    app.salesforce.merge("Lead", &third, &second).unwrap();
    app.tell_messages();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.ids(), [contact]);
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(&third));
    assert_eq!(app.lead_field(&third, "City").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
async fn r_067_a_survivor_that_bears_the_id_of_another_contact_has_a_twin_already() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let kings = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let other = app.salesforce.create("Lead", &kings).unwrap();
    app.settle().await;
    let king = app.hubspot.ids().into_iter().find(|id| *id != contact).unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &other, &lead).unwrap();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&other, "Hubforce_HubSpot_Id__c"), Some(king.to_string()));
    assert_eq!(app.lead_field(&other, "City"), None);
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert!(record.to_string().contains("Merged in Salesforce"), "{record}");
    app.end().await;
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

#[tokio::test]
async fn r_051_a_deleted_contact_deletes_its_lead_where_that_is_set() {
    for (setting, left) in [("delete_in_salesforce = true", 0), ("", 1)] {
        let app = TestApp::with(setting).await;
        let (contact, lead) = linked(&app).await;
        assert!(app.hubspot.delete(contact));
        app.settle().await;
        assert_eq!(app.salesforce.ids("Lead").len(), left, "{setting}");
        let (_, audit) = app.ask("GET", "/v1/connections/acme/audit", "").await;
        assert_eq!(audit.to_string().contains("R-051"), left == 0, "{audit}");
        if left == 0 {
            // Somebody wants the lead all the same: it is deleted once.
            app.clock.advance_millis(1_000);
            app.salesforce.undelete("Lead", &lead).unwrap();
            app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
            app.settle().await;
            assert_eq!(app.salesforce.ids("Lead"), [lead]);
        }
        app.end().await;
    }
}

#[tokio::test]
async fn r_070_a_merge_in_hubspot_deletes_nothing_even_where_deletions_do() {
    // What batched reads say of merged records is not documented: here they look deleted.
    let portal = Options { batches_hide_merges: true, ..Options::default() };
    let app = TestApp::in_portal("delete_in_salesforce = true", portal).await;
    let (contact, _) = linked(&app).await;
    let other = app.hubspot.create(&[("email", "king@example.com"), ("lastname", "King")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 2);
    app.clock.advance_millis(1_000);
    app.hubspot.merge(contact, other).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 2, "nothing is merged or deleted in Salesforce");
    app.end().await;
}

/// A lead is deleted and comes back; meanwhile its contact moves to Bonn.
pub(crate) async fn deleted_and_restored(app: &TestApp, contact: u64, lead: &str) {
    app.salesforce.delete("Lead", lead);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.undelete("Lead", lead).unwrap();
    app.salesforce.update("Lead", lead, &[("Phone", "7")]).unwrap();
    app.settle().await;
}

#[tokio::test]
async fn r_056_a_record_out_of_the_recycle_bin_goes_on_where_it_was() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    deleted_and_restored(&app, contact, &lead).await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "what was held back comes, too");
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (1, 1));
    app.end().await;
}

#[tokio::test]
async fn r_071_and_r_072_a_merge_in_salesforce_merges_nobody_in_hubspot() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let other = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let other = app.salesforce.create("Lead", &other).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &other, &lead).unwrap();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 2, "R-071: both contacts stay");
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert_eq!(record["state"], "stopped", "{record}");
    assert!(record.to_string().contains("Merged in Salesforce"), "R-072: {record}");
    assert_eq!(app.lead_field(&other, "City"), None, "the survivor has a contact of its own");
    app.end().await;
}

#[tokio::test]
async fn r_080_the_contact_of_a_converted_lead_is_known_whatever_address_its_twin_has_by_now() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    let heir = app.salesforce.convert(&lead).unwrap();
    app.hubspot.update(contact, &[("email", "countess@example.com")]).unwrap();
    // The message about the new contact comes first, and nobody in HubSpot has its address any more.
    app.settle().await;
    assert_eq!(app.hubspot.ids(), [contact], "nobody is made a second time");
    assert_eq!(app.salesforce.field("Contact", &heir, "Email").as_deref(), Some("countess@example.com"));
    app.end().await;
}

#[tokio::test]
async fn i_7_what_was_made_of_a_contact_is_in_the_audit_though_it_was_merged_before_anybody_knew() {
    let app = TestApp::start().await;
    let one = app.hubspot.create(&[("email", "one@example.com"), ("lastname", "One")]).unwrap();
    app.settle().await;
    let twin = app.lead();
    app.salesforce.control().add_fault(unanswered("PATCH", "/composite/sobjects/Lead"));
    let other = app.hubspot.create(&[("email", "other@example.com"), ("lastname", "Other")]).unwrap();
    app.settle().await;
    app.hubspot.merge(one, other).unwrap();
    app.settle_after(3_000).await;
    let leads = app.salesforce.ids("Lead");
    let made = leads.iter().find(|lead| **lead != twin).unwrap();
    let (_, audit) = app.ask("GET", &format!("/v1/connections/acme/audit?kind=Lead&id={made}"), "").await;
    let name = audit["items"].as_array().unwrap().iter().find(|row| row["field"] == "LastName").unwrap();
    assert_eq!((&name["new"], &name["outcome"]), (&"Other".into(), &"written".into()), "{audit}");
    app.end().await;
}

#[tokio::test]
async fn r_070_and_r_082_what_a_survivor_lacks_is_filled_from_the_contact_that_its_lead_became() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    app.hubspot.update(contact, &[("jobtitle", "")]).unwrap();
    let other = app.hubspot.create(&[("lastname", "King")]).unwrap();
    let survivor = app.hubspot.merge(contact, other).unwrap();
    let person = app.salesforce.convert(&lead).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    // The new contact is told of first, and finds the survivor by its address.
    app.salesforce.update("Contact", &person, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(survivor, "hubforce_salesforce_contact_id").as_ref(), Some(&person));
    assert_eq!(app.salesforce.field("Contact", &person, "Title").as_deref(), Some("Countess"));
    assert_eq!(app.hubspot.property(survivor, "jobtitle").as_deref(), Some("Countess"));
    app.end().await;
}

#[tokio::test]
async fn r_070_a_survivor_goes_on_with_the_lead_that_it_names_though_nobody_recorded_that_pair() {
    let app = TestApp::start().await;
    let one = app.hubspot.create(&[("email", "one@example.com"), ("lastname", "One")]).unwrap();
    app.settle().await;
    let lead_of_one = app.lead();
    app.hubspot.control().add_fault(unanswered("POST", "/contacts/batch/create"));
    let ada = [("LastName", "Ada"), ("Company", "C"), ("Email", "ada@example.com")];
    let lead = app.salesforce.create("Lead", &ada).unwrap();
    app.settle().await;
    let made = app.hubspot.ids().into_iter().find(|id| *id != one).unwrap();
    let survivor = app.hubspot.merge(made, one).unwrap();
    app.hubspot.update(survivor, &[("email", "countess@example.com")]).unwrap();
    app.settle_after(3_000).await;
    assert_eq!(app.hubspot.property(survivor, "hubforce_salesforce_lead_id"), Some(lead.clone()));
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(survivor.to_string()));
    assert_eq!(app.lead_field(&lead_of_one, "Email").as_deref(), Some("one@example.com"));
    app.end().await;
}

#[tokio::test]
async fn i_5_a_lead_that_is_converted_before_its_create_is_known_to_have_happened_has_one_twin() {
    for lead_first in [false, true] {
        let app = TestApp::start().await;
        app.hubspot.control().add_fault(unanswered("POST", "/contacts/batch/create"));
        let person = [("LastName", "Ada"), ("Company", "C"), ("Email", "ada@example.com")];
        let lead = app.salesforce.create("Lead", &person).unwrap();
        app.settle().await;
        app.salesforce.update("Lead", &lead, &[("Email", "countess@example.com")]).unwrap();
        let contact = app.salesforce.convert(&lead).unwrap();
        if lead_first {
            app.lose_messages();
            app.settle_after(3_000).await;
            app.tell_messages();
            app.salesforce.update("Contact", &contact, &[("Phone", "7")]).unwrap();
        }
        app.settle_after(3_000).await;
        let ids = app.hubspot.ids();
        assert_eq!(ids.len(), 1, "{lead_first}: {ids:?}");
        assert_eq!(
            app.hubspot.property(ids[0], "hubforce_salesforce_contact_id").as_ref(),
            Some(&contact),
            "{lead_first}"
        );
        assert_eq!(app.hubspot.property(ids[0], "email").as_deref(), Some("countess@example.com"));
        app.end().await;
    }
}
