//! What no message told, found by the sweep, as stories.

use hubforce::domain::Clock;
use hubforce::emulator::salesforce::Options;
use hubforce::store::types::TaskClaim;
use rstest::rstest;
use uuid::Uuid;

use crate::harness::{IN_LIST, TestApp};
use crate::people::{ADA, linked};

/// Everything takes part; contacts become contacts.
const ALL: &str = "create_in_salesforce = \"contact\"
    [connections.sync.companies]
    enabled = true
    [connections.sync.deals]
    enabled = true
    stages = [{ pipeline = \"default\", stage = \"qualifiedtobuy\", salesforce = \"Prospecting\" }]
    [connections.sync.lifecycle]
    opportunity_transitions = true";

const GRACE: [(&str, &str); 3] =
    [("LastName", "Hopper"), ("Company", "Navy"), ("Email", "grace@example.com")];

const OPPORTUNITY: [(&str, &str); 3] =
    [("Name", "Engine"), ("StageName", "Prospecting"), ("CloseDate", "2026-12-31")];

async fn state(app: &TestApp, kind: &str, id: &str) -> String {
    let (_, record) = app.ask("GET", &format!("/v1/connections/acme/records/{kind}/{id}"), "").await;
    record["state"].as_str().unwrap_or_default().to_owned()
}

fn stage(app: &TestApp, contact: u64) -> Option<String> {
    app.hubspot.property(contact, "lifecyclestage")
}

/// Ada with her contact in Salesforce, and the deal of an opportunity. Returns Ada, her twin, the opportunity and the deal.
async fn ada_and_a_deal(app: &TestApp) -> (u64, String, String, u64) {
    let ada = app.hubspot.create(&ADA).unwrap();
    let opportunity = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
    app.settle().await;
    let deals = app.hubspot.ids_in("deals");
    assert_eq!(deals.len(), 1);
    (ada, app.hubspot.property(ada, "hubforce_salesforce_contact_id").unwrap(), opportunity, deals[0])
}

#[tokio::test]
async fn r_230_r_240_and_r_241_what_was_edited_on_either_side_is_found() {
    let app = TestApp::sweeping(ALL).await;
    let (ada, twin, opportunity, deal) = ada_and_a_deal(&app).await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    let company = app.hubspot.ids_in("companies")[0];
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    app.hubspot.update_in("companies", company, &[("city", "Bonn")]).unwrap();
    app.hubspot.update_in("deals", deal, &[("amount", "12")]).unwrap();
    app.salesforce.update("Contact", &twin, &[("Phone", "7")]).unwrap();
    app.salesforce.update("Account", &account, &[("Phone", "8")]).unwrap();
    app.salesforce.update("Opportunity", &opportunity, &[("Name", "Engine 9")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(ada, "phone"), None, "nobody told");
    app.sweep().await;
    let field =
        |object: &str, id: &str, name: &str| app.salesforce.field(object, id, name).unwrap_or_default();
    assert_eq!(field("Contact", &twin, "MailingCity"), "Bonn");
    assert_eq!(field("Account", &account, "BillingCity"), "Bonn");
    assert_eq!(field("Opportunity", &opportunity, "Amount"), "12");
    let property =
        |object: &str, id: u64, name: &str| app.hubspot.property_in(object, id, name).unwrap_or_default();
    assert_eq!(property("contacts", ada, "phone"), "7");
    assert_eq!(property("companies", company, "phone"), "8");
    assert_eq!(property("deals", deal, "dealname"), "Engine 9");
    app.end().await;
}

#[tokio::test]
async fn r_231_what_is_told_is_there_at_once_and_the_rest_within_five_minutes() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    let began = app.clock.now();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    assert_eq!(app.clock.now(), began, "at once");
    app.lose_messages();
    app.hubspot.update(contact, &[("city", "Rome")]).unwrap();
    while app.lead_field(&lead, "City").as_deref() == Some("Bonn") {
        app.settle_after(1_000).await;
        assert!(app.clock.now().millis_since(began) <= 300_000, "within five minutes");
    }
    app.end().await;
}

#[tokio::test]
async fn r_242_and_r_243_new_records_on_either_side_are_found() {
    let app = TestApp::sweeping("").await;
    app.lose_messages();
    app.hubspot.create(&ADA).unwrap();
    app.salesforce.create("Lead", &GRACE).unwrap();
    app.settle().await;
    app.sweep().await;
    assert_eq!((app.hubspot.ids().len(), app.salesforce.ids("Lead").len()), (2, 2));
    app.end().await;
}

#[tokio::test]
async fn r_245_and_r_246_owners_and_lifecycle_stages_are_found() {
    let app = TestApp::sweeping(ALL).await;
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    let ann = app.salesforce.add_user("ann@example.com", "Ann", "Lee", true);
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    let grace =
        app.salesforce.create("Contact", &[("LastName", "H"), ("Email", "grace@example.com")]).unwrap();
    app.settle().await;
    let of_grace = *app.hubspot.ids().last().unwrap();
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(120_000);
    app.hubspot.update(ada, &[("lifecyclestage", "salesqualifiedlead")]).unwrap();
    app.salesforce.update("Contact", &grace, &[("OwnerId", &ann)]).unwrap();
    app.sweep().await;
    assert_eq!(app.hubspot.property(of_grace, "hubspot_owner_id").as_deref(), Some("11"));
    let of_company = app.hubspot.property_in("companies", company, "lifecyclestage");
    assert_eq!(of_company.as_deref(), Some("salesqualifiedlead"), "no mapping has the stage");
    app.end().await;
}

#[tokio::test]
async fn r_011_r_093_and_r_148_what_was_there_before_does_not_come_by_itself() {
    let app = TestApp::unswept(ALL, Options::default()).await;
    let seed = serde_json::json!({
        "hubspot": { "contacts": [{ "email": "ada@example.com", "lastname": "L" }] },
        "salesforce": {
            "Contact": [{ "LastName": "H", "Email": "grace@example.com" }], "Account": [{ "Name": "Engines" }],
            "Opportunity": [{ "Name": "Engine", "StageName": "Prospecting", "CloseDate": "2026-12-31" }],
        },
    });
    app.hubspot.seed(&seed).unwrap();
    app.salesforce.seed(&seed).unwrap();
    app.clock.advance_millis(1_000);
    app.settle().await;
    let n = |object: &str| app.hubspot.ids_in(object).len();
    app.sweep().await;
    assert_eq!((n("contacts"), n("companies"), n("deals")), (1, 0, 0), "nothing happened");
    // What the CRMs do to records by themselves, and what is not mapped, is no reason either.
    let ada = app.hubspot.ids()[0];
    app.lose_messages();
    app.hubspot.update(ada, &[("hs_lead_status", "OPEN")]).unwrap();
    for object in ["Contact", "Account", "Opportunity"] {
        app.salesforce.touch(object, &app.salesforce.ids(object)[0]);
    }
    app.sweep().await;
    assert_eq!((n("contacts"), n("companies"), n("deals")), (1, 0, 0), "nobody edited anything mapped");
    assert_eq!(app.salesforce.ids("Contact").len(), 1);
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    for object in ["Contact", "Account", "Opportunity"] {
        app.salesforce.update(object, &app.salesforce.ids(object)[0], &[("Description", "x")]).unwrap();
    }
    app.sweep().await;
    assert_eq!((n("contacts"), n("companies"), n("deals")), (2, 1, 1), "somebody did");
    assert_eq!(app.salesforce.ids("Contact").len(), 2);
    app.end().await;
}

#[tokio::test]
async fn r_048_r_049_and_r_052_deletions_on_either_side_are_found() {
    let app = TestApp::sweeping(&format!("delete_in_hubspot = true\n{ALL}")).await;
    let (_, twin, opportunity, _) = ada_and_a_deal(&app).await;
    let grace = app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "H")]).unwrap();
    app.settle().await;
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.hubspot.delete(grace);
    app.salesforce.delete("Contact", &twin);
    app.salesforce.delete("Opportunity", &opportunity);
    app.sweep().await;
    assert!(app.hubspot.ids().is_empty(), "R-048: Ada went with her twin");
    assert!(app.hubspot.ids_in("deals").is_empty(), "R-052");
    assert_eq!(app.salesforce.ids("Contact").len(), 1, "nothing is deleted in Salesforce");
    assert_eq!(state(&app, "hubspot/contact", &grace.to_string()).await, "stopped");
    app.forget_calls();
    app.sweep().await;
    assert_eq!((app.writes(), app.hubspot.control().calls_to("batch/read")), (0, 0), "that was all");
    app.end().await;
}

#[tokio::test]
async fn r_049_records_that_were_restored_on_either_side_are_found() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.salesforce.create("Lead", &GRACE).unwrap();
    app.settle().await;
    let grace = app.hubspot.ids()[1];
    let of_grace = app.hubspot.property(grace, "hubforce_salesforce_lead_id").unwrap();
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.hubspot.delete(contact);
    app.salesforce.delete("Lead", &of_grace);
    app.sweep().await;
    assert_eq!(state(&app, "hubspot/contact", &contact.to_string()).await, "stopped");
    assert_eq!(state(&app, "hubspot/contact", &grace.to_string()).await, "stopped");
    app.hubspot.restore(contact).unwrap();
    app.salesforce.undelete("Lead", &of_grace).unwrap();
    app.sweep().await;
    assert_eq!(state(&app, "hubspot/contact", &contact.to_string()).await, "linked");
    assert_eq!(state(&app, "hubspot/contact", &grace.to_string()).await, "linked");
    app.tell_messages();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "all is as before");
    app.end().await;
}

#[tokio::test]
async fn r_067_and_r_080_merges_and_conversions_in_salesforce_are_found() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    let grace = app.salesforce.create("Lead", &GRACE).unwrap();
    app.settle().await;
    let other = app.salesforce.create("Lead", &[("LastName", "L"), ("Company", "Engines")]).unwrap();
    app.settle().await;
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.salesforce.merge("Lead", &other, &lead).unwrap();
    let heir = app.salesforce.convert(&grace).unwrap();
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(other), "R-067");
    let of_grace = app.hubspot.ids()[1];
    assert_eq!(app.hubspot.property(of_grace, "hubforce_salesforce_contact_id"), Some(heir), "R-080");
    assert_eq!(app.hubspot.ids().len(), 2, "nothing is doubled");
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_070_and_r_126_merges_in_hubspot_are_found(#[values(1, 2)] in_a_row: usize) {
    let app = TestApp::sweeping(ALL).await;
    let (ada, twin, ..) = ada_and_a_deal(&app).await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    let company = app.hubspot.ids_in("companies")[0];
    let others: Vec<(u64, u64)> = (0..in_a_row)
        .map(|_| {
            let contact = app.hubspot.create(&[("lastname", "King")]).unwrap();
            (contact, app.hubspot.create_in("companies", &[("name", "Engines Ltd")]).unwrap())
        })
        .collect();
    app.settle().await;
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    let (mut survivor, mut company) = (ada, company);
    for (contact, double) in others {
        survivor = app.hubspot.merge(survivor, contact).unwrap();
        company = app.hubspot.merge_in("companies", company, double).unwrap();
    }
    app.sweep().await;
    let key = |object: &str, id: &str| app.salesforce.field(object, id, "Hubforce_HubSpot_Id__c");
    assert_eq!(key("Contact", &twin), Some(survivor.to_string()), "R-070");
    assert_eq!(key("Account", &account), Some(company.to_string()), "R-126");
    assert_eq!((app.salesforce.ids("Contact").len(), app.salesforce.ids("Account").len()), (1, 1));
    app.end().await;
}

#[tokio::test]
async fn r_063_and_r_070_what_two_merges_in_a_row_left_competes_with_the_twin_that_it_names() {
    let app = TestApp::sweeping("").await;
    let (ada, lead) = linked(&app).await;
    let grace = app.salesforce.create("Lead", &GRACE).unwrap();
    let nameless = app.hubspot.create(&[("lastname", "King")]).unwrap();
    app.settle().await;
    let of_grace = app.lead_field(&grace, "Hubforce_HubSpot_Id__c").unwrap().parse().unwrap();
    app.quiet().await;
    app.clock.advance_millis(60_000);
    let address = app.hubspot.property(ada, "email").unwrap();
    let other = app.salesforce.create("Contact", &[("LastName", "King"), ("Email", &address)]).unwrap();
    // Of what happens before that arrives, nobody tells.
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
    let between = app.hubspot.merge(ada, nameless).unwrap();
    let survivor = app.hubspot.merge(between, of_grace).unwrap();
    app.settle().await;
    app.sweep().await;
    assert_eq!(app.hubspot.property(survivor, "hubforce_salesforce_lead_id"), Some(lead.clone()));
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(survivor.to_string()));
    assert_eq!(
        app.salesforce.field("Contact", &other, "Hubforce_HubSpot_Id__c"),
        None,
        "it was edited before"
    );
    app.end().await;
}

#[tokio::test]
async fn r_124_and_r_149_moves_to_another_company_are_found() {
    let app = TestApp::sweeping(ALL).await;
    let (ada, twin, opportunity, deal) = ada_and_a_deal(&app).await;
    for name in ["Engines", "Looms"] {
        app.salesforce.create("Account", &[("Name", name)]).unwrap();
    }
    app.settle().await;
    let (accounts, companies) = (app.salesforce.ids("Account"), app.hubspot.ids_in("companies"));
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    app.hubspot.associate(("contacts", ada), ("companies", companies[1])).unwrap();
    app.salesforce.update("Opportunity", &opportunity, &[("AccountId", &accounts[0])]).unwrap();
    app.sweep().await;
    let company_of =
        |account: &str| app.salesforce.field("Account", account, "Hubforce_HubSpot_Id__c").unwrap();
    let account = app.salesforce.field("Contact", &twin, "AccountId").unwrap();
    assert_eq!(company_of(&account), companies[1].to_string(), "R-124");
    let of_deal = app.hubspot.associated(("deals", deal), "companies");
    assert_eq!(of_deal.iter().map(u64::to_string).collect::<Vec<_>>(), [company_of(&accounts[0])], "R-149");
    app.end().await;
}

#[tokio::test]
async fn r_154_r_163_and_r_164_contact_roles_are_found_which_nothing_ever_tells() {
    for won in [false, true] {
        let app = TestApp::sweeping(ALL).await;
        let (ada, twin, opportunity, deal) = ada_and_a_deal(&app).await;
        if won {
            app.salesforce.update("Opportunity", &opportunity, &[("StageName", "Closed Won")]).unwrap();
            app.settle().await;
        }
        app.quiet().await;
        let role = app.salesforce.add_contact_role(&opportunity, &twin).unwrap();
        app.settle().await;
        assert_eq!(stage(&app, ada).as_deref(), Some("lead"), "nobody told");
        app.sweep().await;
        let expected = if won { "customer" } else { "opportunity" };
        assert_eq!(stage(&app, ada).as_deref(), Some(expected));
        assert_eq!(app.hubspot.associated(("deals", deal), "contacts"), [ada], "R-154");
        assert!(app.salesforce.remove_contact_role(&role));
        app.sweep().await;
        assert_eq!(
            app.hubspot.associated(("deals", deal), "contacts"),
            [ada],
            "a role that goes takes nobody"
        );
        app.end().await;
    }
}

#[tokio::test]
async fn r_148_a_role_on_an_opportunity_that_is_no_deal_makes_none() {
    let app = TestApp::unswept("[connections.sync.deals]\nenabled = true", Options::default()).await;
    let seed = serde_json::json!({ "salesforce": {
        "Opportunity": [{ "Name": "Engine", "StageName": "Closed Won", "CloseDate": "2026-12-31" }],
        "Contact": [{ "LastName": "Lovelace" }],
    } });
    app.salesforce.seed(&seed).unwrap();
    app.clock.advance_millis(1_000);
    app.settle().await;
    let (opportunity, contact) =
        (app.salesforce.ids("Opportunity")[0].clone(), &app.salesforce.ids("Contact")[0]);
    app.salesforce.add_contact_role(&opportunity, contact).unwrap();
    app.sweep().await;
    assert!(app.hubspot.ids_in("deals").is_empty());
    app.salesforce.update("Opportunity", &opportunity, &[("Amount", "7")]).unwrap();
    app.sweep().await;
    assert_eq!(app.hubspot.ids_in("deals").len(), 1, "an edit does");
    app.end().await;
}

#[tokio::test]
async fn r_026_and_r_027_joining_the_list_is_a_trigger_and_having_been_in_it_is_none() {
    let app = TestApp::unswept(r#"inclusion_list_id = "77""#, Options::default()).await;
    app.lose_messages();
    app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "H"), IN_LIST]).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.quiet().await;
    assert!(app.salesforce.ids("Lead").is_empty(), "neither of them syncs yet");
    // The portal evaluates the list long after the change was told and swept.
    app.hubspot.lag_lists(700_000);
    app.hubspot.update(ada, &[IN_LIST]).unwrap();
    app.settle().await;
    app.quiet().await;
    assert!(app.salesforce.ids("Lead").is_empty(), "it has not joined yet");
    app.sweep().await;
    let lead = app.lead();
    assert_eq!(app.lead_field(&lead, "Email").as_deref(), Some("ada@example.com"));
    // What Salesforce made of the new lead is looked at once.
    app.sweep().await;
    app.forget_calls();
    app.sweep().await;
    assert_eq!(app.hubspot.control().calls_to("batch/read"), 0, "joining is told once");
    app.end().await;
}

#[tokio::test]
async fn r_003_an_edition_that_sends_no_messages_is_carried_by_the_sweep() {
    let organization = Options { edition: "Professional Edition".to_owned(), ..Options::default() };
    let app = TestApp::sweeping_in("", organization).await;
    let (contact, lead) = linked(&app).await;
    let grace = app.salesforce.create("Lead", &GRACE).unwrap();
    app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids().len(), 1, "Salesforce says nothing");
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Rome"));
    let of_grace = app.hubspot.ids()[1];
    assert_eq!(app.hubspot.property(of_grace, "hubforce_salesforce_lead_id"), Some(grace.clone()));
    app.clock.advance_millis(60_000);
    app.salesforce.update("Lead", &grace, &[("Phone", "7")]).unwrap();
    app.sweep().await;
    assert_eq!(app.hubspot.property(of_grace, "phone").as_deref(), Some("7"));
    app.end().await;
}

#[tokio::test]
async fn r_176_what_a_rule_or_a_flow_does_after_our_own_write_is_brought_back() {
    let app = TestApp::sweeping("").await;
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    let ann = app.salesforce.add_user("ann@example.com", "Ann", "Lee", true);
    app.salesforce.assign_leads_to(&ann);
    app.salesforce.on_save_set("Lead", "Title", "Countess");
    let (contact, lead) = linked(&app).await;
    assert_eq!(app.lead_field(&lead, "OwnerId"), Some(ann), "the rule chose when we saved the lead");
    assert_eq!(app.hubspot.property(contact, "hubspot_owner_id"), None, "a message about us tells nobody");
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "hubspot_owner_id").as_deref(), Some("11"));
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Countess"));
    app.end().await;
}

#[tokio::test]
async fn r_014_an_object_that_is_hidden_is_left_out_and_the_others_are_swept() {
    let app = TestApp::sweeping(ALL).await;
    app.salesforce.hide_object("Opportunity");
    app.clock.advance_millis(16 * 60_000);
    app.lose_messages();
    let contact = app.hubspot.create(&ADA).unwrap();
    app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.sweep().await;
    assert!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").is_some());
    assert_eq!(app.hubspot.ids_in("companies").len(), 1);
    app.end().await;
}

#[tokio::test]
async fn i_3_a_sweep_whose_beginning_nobody_recorded_begins_when_it_was_meant_to() {
    let app = TestApp::unswept("", Options::default()).await;
    // Another instance was about to record the beginning, and ended.
    let now = app.clock.now();
    let claim = TaskClaim {
        connection: &app.name,
        task: "sweep.salesforce",
        worker: Uuid::now_v7(),
        now,
        lease_until: now.plus_millis(600_000),
        first: None,
    };
    assert!(app.store.claim_task(&claim).await.unwrap().is_some());
    let (contact, lead) = linked(&app).await;
    // A deletion in Salesforce sends no message.
    app.clock.advance_millis(1_000);
    app.salesforce.delete("Lead", &lead);
    app.settle().await;
    assert_eq!(state(&app, "hubspot/contact", &contact.to_string()).await, "linked");
    app.clock.advance_millis(1_200_000);
    app.sweep().await;
    app.sweep().await;
    assert_eq!(state(&app, "hubspot/contact", &contact.to_string()).await, "stopped");
    app.end().await;
}
