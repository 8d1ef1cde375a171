//! The inclusion list: what a contact that is out of it keeps to itself.

use hubforce::store::types::JobState;

use crate::companies::CONTACTS;
use crate::harness::TestApp;
use crate::inclusion::LISTED;
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, held, only, record};

/// Whoever lives in London is in the inclusion list; Ada does.
fn londoners(app: &TestApp) {
    app.hubspot.set_active_list("77", &[("city", "London")]);
}

/// A service with that list and these further settings.
async fn with(settings: &str) -> TestApp {
    let app = TestApp::with(&format!("{LISTED}\n{settings}")).await;
    londoners(&app);
    app
}

/// A contact moves out of London, and out of the list.
async fn leaves(app: &TestApp, contact: u64) {
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(record(app, &contact_place(contact)).await["state"], "excluded");
    app.clock.advance_millis(1_000);
}

#[tokio::test]
async fn r_032_and_r_051_the_deletion_of_a_contact_that_left_the_list_leaves_its_lead() {
    for left in [false, true] {
        let app = with("delete_in_salesforce = true").await;
        let (contact, lead) = linked(&app).await;
        if left {
            leaves(&app, contact).await;
        }
        app.hubspot.delete(contact);
        app.settle().await;
        let expected = if left { vec![lead] } else { vec![] };
        assert_eq!(app.salesforce.ids("Lead"), expected, "{left}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_032_and_r_048_the_deletion_of_a_lead_leaves_a_contact_that_left_the_list() {
    for left in [false, true] {
        let app = with("delete_in_hubspot = true").await;
        let (contact, lead) = linked(&app).await;
        if left {
            leaves(&app, contact).await;
        }
        app.salesforce.delete("Lead", &lead);
        app.hubspot.update(contact, &[("phone", "7")]).unwrap();
        app.settle().await;
        let expected = if left { vec![contact] } else { vec![] };
        assert_eq!(app.hubspot.ids(), expected, "{left}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_021_and_r_028_to_r_030_the_first_match_fills_a_contact_out_of_the_list_and_not_its_lead() {
    let app = with("").await;
    let bob = [("email", "bob@example.com"), ("lastname", "Bob"), ("city", "Bonn"), ("phone", "7")];
    let bob = app.hubspot.create(&bob).unwrap();
    app.settle_after(1_000).await;
    let fields = [("Email", "bob@example.com"), ("LastName", "Bob"), ("Company", "C"), ("Fax", "9")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.ids(), [bob], "it is matched");
    assert_eq!(app.hubspot.property(bob, "fax").as_deref(), Some("9"), "HubSpot's blank is filled");
    let values = || (app.lead_field(&lead, "City"), app.lead_field(&lead, "Phone"));
    assert_eq!(values(), (None, None), "none of its values goes to Salesforce");
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(bob.to_string()), "only the id does");
    assert_eq!(app.hubspot.property(bob, "hubforce_salesforce_lead_id").as_ref(), Some(&lead));
    app.hubspot.update(bob, &[("jobtitle", "Baron")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!((values(), app.lead_field(&lead, "Title")), ((None, None), None), "nor do later edits");
    app.hubspot.update(bob, &[("city", "London")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(values(), (Some("London".to_owned()), Some("7".to_owned())), "it joined the list");
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Baron"));
    app.end().await;
}

#[tokio::test]
async fn r_021_and_r_062_a_contact_out_of_the_list_waits_for_nobody() {
    let app = with("on_ambiguous_match = \"hold\"\ncreate_in_hubspot = \"never\"").await;
    for name in ["First", "Second"] {
        let fields = [("LastName", name), ("Company", "C"), ("Email", "ada@example.com")];
        app.salesforce.create("Lead", &fields).unwrap();
    }
    app.settle_after(1_000).await;
    let contact = app.hubspot.create(&[ADA[0], ADA[2], ("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(record(&app, &contact_place(contact)).await["state"], "excluded");
    assert!(app.jobs(Some(JobState::Parked)).await.is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_029_and_r_163_an_opportunity_moves_no_stage_of_a_contact_that_left_the_list() {
    for left in [false, true] {
        let settings = format!("{CONTACTS}\n[connections.sync.lifecycle]\nopportunity_transitions = true");
        let app = with(&settings).await;
        let ada = app.hubspot.create(&ADA).unwrap();
        app.settle().await;
        let there = only(&app.salesforce.ids("Contact"));
        if left {
            leaves(&app, ada).await;
        }
        let fields = [("Name", "O"), ("StageName", "Prospecting"), ("CloseDate", "2026-12-31")];
        app.salesforce.drop_notifications(1);
        let opportunity = app.salesforce.create("Opportunity", &fields).unwrap();
        app.salesforce.add_contact_role(&opportunity, &there).unwrap();
        for (field, value) in [("Amount", "1"), ("StageName", "Closed Won")] {
            app.salesforce.update("Opportunity", &opportunity, &[(field, value)]).unwrap();
            app.settle_after(1_000).await;
        }
        let stage = app.hubspot.property(ada, "lifecyclestage");
        assert_eq!(stage.as_deref(), Some(if left { "lead" } else { "customer" }), "{left}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_036_and_r_113_a_company_whose_contacts_are_all_out_of_the_list_is_linked_to_no_account() {
    let app = with(CONTACTS).await;
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let there = only(&app.salesforce.ids("Contact"));
    leaves(&app, ada).await;
    app.lose_messages();
    let company = app.hubspot.create_in("companies", &[("name", "Engines"), ("phone", "7")]).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    let account = app.salesforce.create("Account", &[("Name", "Looms")]).unwrap();
    app.salesforce.update("Contact", &there, &[("AccountId", &account)]).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id"), None);
    assert_eq!(app.salesforce.ids("Account"), std::slice::from_ref(&account));
    assert_eq!(held(&app, "Account", &account, "Name").as_deref(), Some("Looms"));
    assert_eq!(held(&app, "Account", &account, "Phone"), None);
    app.end().await;
}

#[tokio::test]
async fn r_033_a_change_that_takes_a_contact_out_of_the_list_is_not_sent_though_the_list_follows_later() {
    let app = with("").await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.lag_lists(10_000);
    app.clock.advance_millis(60_000);
    app.hubspot.update(contact, &[("city", "Bonn"), ("phone", "7")]).unwrap();
    for _ in 0..30 {
        app.clock.advance_millis(1_000);
        app.settle_at_once().await;
    }
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"));
    assert_eq!(app.lead_field(&lead, "Phone"), None);
    assert_eq!(record(&app, &contact_place(contact)).await["state"], "excluded");
    // And back again: it waits until the list has it.
    app.hubspot.update(contact, &[("city", "London")]).unwrap();
    for _ in 0..30 {
        app.clock.advance_millis(1_000);
        app.settle_at_once().await;
    }
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    app.end().await;
}

#[tokio::test]
async fn r_033_a_change_that_does_not_concern_the_list_is_sent_at_once() {
    let app = with("").await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.lag_lists(10_000);
    app.clock.advance_millis(60_000);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle_at_once().await;
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    app.end().await;
}
