//! Owners as stories.

use crate::fates::deleted_and_restored;
use crate::harness::{TestApp, unanswered};
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, record};

/// Somebody who is the same on both sides: owner 11 in HubSpot, the user returned in Salesforce.
pub(crate) fn ann(app: &TestApp) -> String {
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    app.salesforce.add_user("ann@example.com", "Ann", "Lee", true)
}

pub(crate) fn bob(app: &TestApp) -> String {
    app.hubspot.add_owner(12, "bob@example.com", "Bob", "Ray");
    app.salesforce.add_user("bob@example.com", "Bob", "Ray", true)
}

fn owner_of_lead(app: &TestApp) -> Option<String> {
    app.lead_field(&app.lead(), "OwnerId")
}

fn owner_in_hubspot(app: &TestApp, contact: u64) -> Option<String> {
    app.hubspot.property(contact, "hubspot_owner_id")
}

/// Ada, owned by this owner.
fn ada_of(app: &TestApp, owner: &str) -> u64 {
    app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", owner)]].concat()).unwrap()
}

#[tokio::test]
async fn r_171_and_r_175_a_new_lead_gets_the_owner_who_matches() {
    let app = TestApp::start().await;
    let ann = ann(&app);
    app.salesforce.assign_leads_to(app.salesforce.integration_user());
    ada_of(&app, "11");
    app.settle().await;
    assert_eq!(owner_of_lead(&app), Some(ann));
    app.end().await;
}

#[tokio::test]
async fn r_171_switched_off_owners_stay_where_they_are() {
    let app = TestApp::with("[connections.sync.owners]\nenabled = false").await;
    ann(&app);
    ada_of(&app, "11");
    app.settle().await;
    assert_eq!(owner_of_lead(&app).as_deref(), Some(app.salesforce.integration_user()));
    app.end().await;
}

#[tokio::test]
async fn r_176_and_r_179_without_a_match_assignment_rules_choose_or_we_own_it() {
    for assigned in [true, false] {
        let app = TestApp::start().await;
        let ann = ann(&app);
        if assigned {
            app.salesforce.assign_leads_to(&ann);
        }
        let contact = app.hubspot.create(&ADA).unwrap();
        app.settle().await;
        let expected = if assigned { ann.as_str() } else { app.salesforce.integration_user() };
        assert_eq!(owner_of_lead(&app).as_deref(), Some(expected), "{assigned}");
        // The owner that Salesforce chose comes to HubSpot with the next look.
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(owner_in_hubspot(&app, contact).as_deref(), assigned.then_some("11"));
        app.end().await;
    }
}

#[tokio::test]
async fn r_173_name_and_address_of_an_active_user_must_match() {
    for (email, last_name, active) in [
        ("ann@example.com", "Other", true),
        ("other@example.com", "Lee", true),
        ("ann@example.com", "Lee", false),
    ] {
        let app = TestApp::start().await;
        app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
        app.salesforce.add_user(email, "Ann", last_name, active);
        ada_of(&app, "11");
        app.settle().await;
        assert_eq!(
            owner_of_lead(&app).as_deref(),
            Some(app.salesforce.integration_user()),
            "{email} {active}"
        );
        app.end().await;
    }
}

#[tokio::test]
async fn r_177_salesforces_active_owner_wins_when_the_two_first_meet() {
    for active in [true, false] {
        let app = TestApp::start().await;
        let (ann, bob) = (ann(&app), bob(&app));
        // Before the two know of each other: the lead's message is lost.
        app.salesforce.drop_notifications(1);
        let fields = [("Email", "ada@example.com"), ("LastName", "L"), ("Company", "C"), ("OwnerId", &bob)];
        app.salesforce.create("Lead", &fields).unwrap();
        app.salesforce.assign_leads_to(app.salesforce.integration_user());
        if !active {
            app.salesforce.deactivate_user(&bob);
        }
        let contact = ada_of(&app, "11");
        app.settle().await;
        let (user, owner) = if active { (bob, "12") } else { (ann, "11") };
        assert_eq!(owner_of_lead(&app), Some(user), "{active}");
        assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some(owner), "{active}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_178_and_r_184_later_the_most_recent_change_wins_both_ways() {
    // Owners travel both ways whatever the rule of the other fields.
    let app = TestApp::with(r#"default_rule = "always_salesforce""#).await;
    let (ann, bob) = (ann(&app), bob(&app));
    let contact = ada_of(&app, "11");
    app.settle().await;
    let lead = app.lead();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &bob)]).unwrap();
    app.settle().await;
    assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some("12"));
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "11")]).unwrap();
    app.settle().await;
    assert_eq!(owner_of_lead(&app), Some(ann));
    app.end().await;
}

#[tokio::test]
async fn r_174_an_owner_unknown_to_salesforce_is_reset_to_salesforces() {
    let app = TestApp::start().await;
    let ann = ann(&app);
    app.hubspot.add_owner(13, "eve@example.com", "Eve", "Day");
    let contact = ada_of(&app, "11");
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "13")]).unwrap();
    app.settle().await;
    assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some("11"), "reset");
    assert_eq!(owner_of_lead(&app), Some(ann));
    app.end().await;
}

#[tokio::test]
async fn r_170_and_r_172_any_salesforce_owner_can_come_queues_and_those_who_left_included() {
    let app = TestApp::start().await;
    let (ann, bob) = (ann(&app), bob(&app));
    let queue = app.salesforce.add_queue("Inbound");
    let fields = [("Email", "ada@example.com"), ("LastName", "L"), ("Company", "C"), ("OwnerId", &bob)];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.salesforce.deactivate_user(&bob);
    app.settle().await;
    let contact = app.hubspot.ids()[0];
    assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some("12"), "HubSpot still knows Bob");
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &queue), ("Phone", "1")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "phone").as_deref(),
        Some("1"),
        "the rest of the record travels"
    );
    assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some("12"), "no HubSpot owner is a queue");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "11")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "OwnerId"), Some(ann), "a later change takes it from the queue");
    app.end().await;
}

#[tokio::test]
async fn an_owner_who_joins_later_is_learned_of_when_a_record_names_them() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let ann = ann(&app);
    app.clock.advance_millis(61_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "11")]).unwrap();
    app.settle().await;
    assert_eq!(owner_of_lead(&app), Some(ann));
    app.end().await;
}

#[tokio::test]
async fn owners_cost_no_call_of_their_own() {
    let app = TestApp::start().await;
    ann(&app);
    bob(&app);
    let contact = ada_of(&app, "11");
    app.settle().await;
    app.forget_calls();
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "12")]).unwrap();
    app.settle().await;
    assert_eq!(app.calls(), 3, "two reads and a write");
    app.end().await;
}

#[tokio::test]
async fn r_170_a_portal_user_of_the_same_name_and_address_owns_nothing() {
    let app = TestApp::start().await;
    app.salesforce.add_user_of_type("CustomerSuccess", "ann@example.com", ("Ann", "Lee"));
    let ann = ann(&app);
    app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
    app.settle().await;
    assert_eq!(owner_of_lead(&app), Some(ann));
    app.end().await;
}

#[tokio::test]
async fn r_178_hubspots_owner_reaches_a_lead_that_we_made_and_nobody_recorded() {
    let app = TestApp::start().await;
    let ann = ann(&app);
    app.salesforce.assign_leads_to(app.salesforce.integration_user());
    app.salesforce.control().add_fault(unanswered("PATCH", "/composite/sobjects/Lead"));
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.hubspot.update(contact, &[("hubspot_owner_id", "11")]).unwrap();
    app.settle_after(3_000).await;
    assert_eq!(owner_of_lead(&app), Some(ann), "our own user is nobody's choice");
    assert_eq!(owner_in_hubspot(&app, contact).as_deref(), Some("11"));
    app.end().await;
}

#[tokio::test]
async fn r_172_and_r_177_a_lead_of_our_own_user_stays_his_and_the_difference_is_named() {
    for (owner, named) in [("11", true), ("", false)] {
        let app = TestApp::start().await;
        ann(&app);
        let ours = app.salesforce.integration_user();
        let lead = [("LastName", "L"), ("Company", "C"), ("Email", "ada@example.com"), ("OwnerId", ours)];
        let lead = app.salesforce.create("Lead", &lead).unwrap();
        app.salesforce.drop_notifications(1);
        let contact = ada_of(&app, owner);
        app.settle().await;
        assert_eq!(app.lead_field(&lead, "OwnerId").as_deref(), Some(ours), "{owner}");
        let shown = record(&app, &contact_place(contact)).await;
        let aside = shown["set_aside"].as_array().unwrap();
        assert_eq!(aside.iter().any(|one| one["class"] == "no_owner"), named, "{shown}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_172_an_owner_who_is_not_known_stays_named_when_the_lead_comes_back() {
    let app = TestApp::start().await;
    let zoe = app.salesforce.add_user("zoe@example.com", "Zoe", "Poe", true);
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &zoe)]).unwrap();
    app.settle().await;
    deleted_and_restored(&app, contact, &lead).await;
    let shown = record(&app, &contact_place(contact)).await;
    assert_eq!((&shown["state"], &shown["set_aside"][0]["class"]), (&"linked".into(), &"no_owner".into()));
    app.end().await;
}
