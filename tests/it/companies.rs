//! Companies and accounts as stories.

use hubforce::domain::Clock;
use hubforce::emulator::{Fault, Vendor};
use rstest::rstest;

use crate::harness::{IN_LIST, TestApp, unanswered};
use crate::people::ADA;
use crate::unasked::{contact_place, record};

/// Companies on, contacts become contacts.
pub(crate) const CONTACTS: &str =
    "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true";

/// Companies on, contacts become leads.
pub(crate) const LEADS: &str = "[connections.sync.companies]\nenabled = true";

pub(crate) const ENGINES: [(&str, &str); 2] = [("name", "Analytical Engines"), ("city", "London")];

pub(crate) fn company_of(app: &TestApp, contact: u64) -> Option<String> {
    app.hubspot.property(contact, "associatedcompanyid")
}

pub(crate) fn account_of(app: &TestApp, contact: &str) -> Option<String> {
    app.salesforce.field("Contact", contact, "AccountId")
}

fn only(mut ids: Vec<String>) -> String {
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.remove(0)
}

/// A company with a contact, both on both sides. Returns company, account, HubSpot contact and Salesforce contact.
pub(crate) async fn settled(app: &TestApp) -> (u64, String, u64, String) {
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    (company, only(app.salesforce.ids("Account")), ada, only(app.salesforce.ids("Contact")))
}

async fn resync(app: &TestApp, kind: &str, id: &str) {
    let body = format!(r#"{{"system":"hubspot","kind":"{kind}","ids":["{id}"]}}"#);
    let (status, answer) = app.ask("POST", "/v1/connections/acme/resync", &body).await;
    assert_eq!(status, 202, "{answer}");
    app.settle().await;
}

async fn reason(app: &TestApp, company: u64) -> String {
    let path = format!("/v1/connections/acme/records/hubspot/company/{company}/explain");
    let (_, explained) = app.ask("GET", &path, "").await;
    explained["reasons"][0]["rule"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn r_090_and_r_091_switched_off_no_account_becomes_a_company() {
    let app = TestApp::start().await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.salesforce.update("Account", &account, &[("Phone", "1")]).unwrap();
    app.settle().await;
    assert!(app.hubspot.ids_in("companies").is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_092_and_r_097_a_new_account_becomes_a_company_with_or_without_contacts() {
    let app = TestApp::with(LEADS).await;
    let fields =
        [("Name", "Engines"), ("BillingCity", "London"), ("NumberOfEmployees", "7"), ("Type", "Prospect")];
    let account = app.salesforce.create("Account", &fields).unwrap();
    app.settle().await;
    let company = app.hubspot.ids_in("companies")[0];
    let property = |name: &str| app.hubspot.property_in("companies", company, name);
    assert_eq!(property("name").as_deref(), Some("Engines"));
    assert_eq!(
        (property("city").as_deref(), property("numberofemployees").as_deref()),
        (Some("London"), Some("7"))
    );
    assert_eq!(property("type"), None, "Salesforce's value is not in HubSpot's list");
    assert_eq!(property("hubforce_salesforce_account_id").as_ref(), Some(&account));
    assert_eq!(
        app.salesforce.field("Account", &account, "Hubforce_HubSpot_Id__c"),
        Some(company.to_string())
    );
    app.end().await;
}

#[tokio::test]
async fn r_093_to_r_095_an_account_from_before_comes_when_it_is_edited_or_resynced() {
    for edited in [true, false] {
        let app = TestApp::with(LEADS).await;
        app.salesforce.drop_notifications(1);
        let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
        app.settle().await;
        assert!(app.hubspot.ids_in("companies").is_empty(), "R-093");
        if edited {
            app.salesforce.update("Account", &account, &[("Phone", "1")]).unwrap();
        } else {
            app.ask("POST", "/v1/connections/acme/resync", r#"{"kind":"Account","all":true}"#).await;
        }
        app.settle().await;
        assert_eq!(app.hubspot.ids_in("companies").len(), 1, "{edited}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_096_and_r_121_an_account_is_the_company_whose_contact_it_shares() {
    let app = TestApp::with(CONTACTS).await;
    let contact =
        app.salesforce.create("Contact", &[("LastName", "L"), ("Email", "ada@example.com")]).unwrap();
    app.settle().await;
    let ada = app.hubspot.ids()[0];
    // Neither side's news of the company and the account is told until both are there.
    app.hubspot.drop_events(20);
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    app.hubspot.drop_events(0);
    app.salesforce.drop_notifications(2);
    let account = app.salesforce.create("Account", &[("Name", "Engines Ltd")]).unwrap();
    app.salesforce.update("Contact", &contact, &[("AccountId", &account)]).unwrap();
    app.settle().await;
    app.salesforce.drop_notifications(0);
    app.clock.advance_millis(1_000);
    app.salesforce.update("Account", &account, &[("Phone", "1")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids_in("companies"), [company], "no second company");
    assert_eq!(
        app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id"),
        Some(account),
        "linked by the shared contact"
    );
    app.end().await;
}

#[tokio::test]
async fn r_121_a_shared_contact_is_no_match_while_the_accounts_own_company_is_on_its_way() {
    let app = TestApp::with(CONTACTS).await;
    let contact =
        app.salesforce.create("Contact", &[("LastName", "L"), ("Email", "ada@example.com")]).unwrap();
    app.settle().await;
    let ada = app.hubspot.ids()[0];
    let lost = r#"{ "path": "/companies/batch/create", "applied_but_unanswered": true }"#;
    app.hubspot.control().add_fault(serde_json::from_str::<Fault>(lost).unwrap());
    let account = app.salesforce.create("Account", &[("Name", "Engines Ltd")]).unwrap();
    app.salesforce.update("Contact", &contact, &[("AccountId", &account)]).unwrap();
    app.settle().await;
    let made = app.hubspot.ids_in("companies")[0];
    let other = app.hubspot.create_in("companies", &ENGINES).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", other)).unwrap();
    app.settle().await;
    app.settle_after(60_000).await;
    let account_of =
        |company| app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
    assert_eq!(account_of(made), Some(account.clone()));
    assert_ne!(account_of(other), Some(account.clone()));
    assert_eq!(app.salesforce.field("Account", &account, "Name").as_deref(), Some("Engines Ltd"));
    app.end().await;
}

#[tokio::test]
async fn r_120_and_r_121_a_company_that_bears_the_id_of_another_account_is_no_match() {
    let app = TestApp::with(CONTACTS).await;
    let contact =
        app.salesforce.create("Contact", &[("LastName", "L"), ("Email", "ada@example.com")]).unwrap();
    app.settle().await;
    let ada = app.hubspot.ids()[0];
    let own = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    let engines = [("name", "Engines"), ("hubforce_salesforce_account_id", own.as_str())];
    let company = app.hubspot.create_in("companies", &engines).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    // Nobody tells of these two.
    app.hubspot.take_due(app.clock.now());
    app.salesforce.take_due(app.clock.now());
    let other = app.salesforce.create("Account", &[("Name", "Engines Ltd")]).unwrap();
    app.salesforce.update("Contact", &contact, &[("AccountId", &other)]).unwrap();
    app.settle().await;
    let account_of =
        |company| app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
    assert_eq!(account_of(company), Some(own));
    let companies = app.hubspot.ids_in("companies");
    assert_eq!(companies.iter().filter(|id| account_of(**id) == Some(other.clone())).count(), 1);
    app.end().await;
}

#[tokio::test]
async fn r_122_the_same_domain_is_no_match() {
    let app = TestApp::with(CONTACTS).await;
    app.hubspot.create_in("companies", &[("name", "Engines"), ("domain", "engines.example")]).unwrap();
    app.salesforce.create("Account", &[("Name", "Engines"), ("Website", "https://engines.example")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids_in("companies").len(), 2);
    app.end().await;
}

#[tokio::test]
async fn r_100_and_r_104_a_company_with_a_contact_who_qualifies_becomes_an_account() {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, ada, contact) = settled(&app).await;
    assert_eq!(app.salesforce.field("Account", &account, "Name").as_deref(), Some("Analytical Engines"));
    assert_eq!(
        app.salesforce.field("Account", &account, "Hubforce_HubSpot_Id__c"),
        Some(company.to_string())
    );
    assert_eq!(account_of(&app, &contact), Some(account), "R-125: the contact belongs to it");
    assert_eq!(company_of(&app, ada), Some(company.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_101_and_r_102_a_company_that_the_portal_made_follows_the_default_object() {
    for (setting, accounts) in [
        (CONTACTS.to_owned(), 1),
        (LEADS.to_owned(), 0),
        (format!("{CONTACTS}\nhubspot_creates_companies = false"), 0),
    ] {
        let app = TestApp::with(&setting).await;
        let ada = app.hubspot.create(&ADA).unwrap();
        let company = app.hubspot.make_company_for(ada, "example.com").unwrap();
        // The company is told of before its contact.
        let explained = reason(&app, company).await;
        assert_eq!(explained, if accounts == 1 { "R-101" } else { "R-111" }, "{setting}");
        app.settle().await;
        if accounts == 1 {
            assert_eq!(app.salesforce.ids("Account").len(), 1, "{setting}");
        }
        app.end().await;
    }
}

#[tokio::test]
async fn r_103_a_private_contact_gets_an_account_with_its_company() {
    let app = TestApp::with(CONTACTS).await;
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let contact = only(app.salesforce.ids("Contact"));
    assert_eq!(account_of(&app, &contact), None, "private");
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    assert_eq!(reason(&app, company).await, "R-103");
    app.settle().await;
    assert_eq!(account_of(&app, &contact), Some(only(app.salesforce.ids("Account"))));
    app.end().await;
}

#[tokio::test]
async fn r_110_r_115_and_r_116_a_company_without_contacts_becomes_an_account_only_when_asked_for() {
    let app = TestApp::with(CONTACTS).await;
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty());
    assert_eq!(reason(&app, company).await, "R-110");
    resync(&app, "company", &company.to_string()).await;
    assert_eq!(app.salesforce.ids("Account").len(), 1, "a person asked");
    app.end().await;
}

#[tokio::test]
async fn r_111_r_112_and_r_114_contacts_that_sync_with_leads_block_until_one_is_a_contact() {
    let app = TestApp::with(LEADS).await;
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty(), "R-114: the block wins over a contact who qualifies");
    assert_eq!(reason(&app, company).await, "R-111");
    let fields = [("LastName", "Hopper"), ("Email", "grace@example.com")];
    app.salesforce.create("Contact", &fields).unwrap();
    app.settle().await;
    let grace = app.hubspot.ids().into_iter().find(|id| *id != ada).unwrap();
    app.hubspot.associate(("contacts", grace), ("companies", company)).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Account").len(), 1, "R-112");
    app.end().await;
}

#[tokio::test]
async fn r_036_and_r_113_a_company_without_a_listed_contact_gets_no_account() {
    let listed = format!("inclusion_list_id = \"77\"\n{CONTACTS}");
    let app = TestApp::with(&listed).await;
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty());
    assert_eq!(reason(&app, company).await, "R-113");
    app.hubspot.update(ada, &[IN_LIST]).unwrap();
    app.hubspot.update_in("companies", company, &[("phone", "1")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Account").len(), 1, "one of its contacts is in the list now");
    app.end().await;
}

#[tokio::test]
async fn r_120_a_company_that_bears_an_accounts_id_is_its_twin() {
    let app = TestApp::with(CONTACTS).await;
    app.salesforce.drop_notifications(1);
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    app.hubspot.drop_events(10);
    let id = ("hubforce_salesforce_account_id", account.as_str());
    let company = app.hubspot.create_in("companies", &[("name", "Other"), id]).unwrap();
    app.settle().await;
    app.hubspot.drop_events(0);
    app.salesforce.update("Account", &account, &[("Phone", "1")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids_in("companies"), [company]);
    assert_eq!(app.hubspot.property_in("companies", company, "phone").as_deref(), Some("1"));
    app.end().await;
}

#[tokio::test]
async fn r_123_and_r_124_contacts_move_between_companies_and_the_pairs_stay() {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, ada, contact) = settled(&app).await;
    let other = app.salesforce.create("Account", &[("Name", "Difference Engines")]).unwrap();
    app.settle().await;
    let other_company = app.hubspot.ids_in("companies").into_iter().find(|id| *id != company).unwrap();
    app.clock.advance_millis(1_000);
    app.hubspot.associate(("contacts", ada), ("companies", other_company)).unwrap();
    app.settle().await;
    assert_eq!(account_of(&app, &contact).as_ref(), Some(&other), "R-124");
    let linked = |id| app.hubspot.property_in("companies", id, "hubforce_salesforce_account_id");
    assert_eq!((linked(company), linked(other_company)), (Some(account.clone()), Some(other)), "R-123");
    // And back again, in Salesforce.
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("AccountId", &account)]).unwrap();
    app.settle().await;
    assert_eq!(company_of(&app, ada), Some(company.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_125_the_contacts_account_becomes_its_company_with_its_fields() {
    let app = TestApp::with(CONTACTS).await;
    app.salesforce.drop_notifications(1);
    let account = app.salesforce.create("Account", &[("Name", "Engines"), ("Phone", "1")]).unwrap();
    app.settle().await;
    let fields = [("LastName", "L"), ("Email", "ada@example.com"), ("AccountId", account.as_str())];
    app.salesforce.create("Contact", &fields).unwrap();
    app.settle().await;
    let company = app.hubspot.ids_in("companies")[0];
    assert_eq!(app.hubspot.property_in("companies", company, "phone").as_deref(), Some("1"));
    assert_eq!(company_of(&app, app.hubspot.ids()[0]), Some(company.to_string()));
    app.salesforce.update("Account", &account, &[("Phone", "2")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property_in("companies", company, "phone").as_deref(), Some("2"));
    app.end().await;
}

#[tokio::test]
async fn r_126_a_merge_of_companies_is_followed() {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, _, contact) = settled(&app).await;
    let other = app.hubspot.create_in("companies", &[("name", "Twin")]).unwrap();
    app.settle().await;
    let survivor = app.hubspot.merge_in("companies", company, other).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", survivor, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Account", &account, "Phone").as_deref(), Some("7"));
    assert_eq!(app.salesforce.ids("Account").len(), 1);
    assert_eq!(account_of(&app, &contact), Some(account), "the contact stays where it is");
    app.end().await;
}

#[tokio::test]
async fn i_5_a_company_that_is_merged_before_its_create_is_known_to_have_happened_has_one_account() {
    for account_first in [false, true] {
        let app = TestApp::with(CONTACTS).await;
        app.salesforce.control().add_fault(unanswered("PATCH", "/composite/sobjects/Account"));
        let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
        let ada = app.hubspot.create(&ADA).unwrap();
        app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
        app.settle().await;
        let account = only(app.salesforce.ids("Account"));
        let other = app.hubspot.create_in("companies", &[("name", "Twin")]).unwrap();
        let survivor = app.hubspot.merge_in("companies", other, company).unwrap();
        if account_first {
            let late = app.hubspot.take_due(app.clock.now());
            app.salesforce.update("Account", &account, &[("Phone", "7")]).unwrap();
            app.settle().await;
            for message in &late {
                app.carry(message).await;
            }
        }
        app.settle_after(3_000).await;
        assert_eq!(only(app.salesforce.ids("Account")), account, "{account_first}");
        assert_eq!(app.hubspot.ids_in("companies"), [survivor], "{account_first}");
        let key = app.salesforce.field("Account", &account, "Hubforce_HubSpot_Id__c");
        assert_eq!(key, Some(survivor.to_string()), "{account_first}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_081_a_conversion_brings_its_account_and_the_contact_moves_into_the_company() {
    let app = TestApp::with(LEADS).await;
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    let contact = app.salesforce.convert(&app.lead()).unwrap();
    app.settle().await;
    let company = app.hubspot.ids_in("companies");
    assert_eq!(company.len(), 1, "the account's company");
    assert_eq!(company_of(&app, ada), Some(company[0].to_string()));
    assert!(account_of(&app, &contact).is_some());
    app.end().await;
}

#[tokio::test]
async fn r_180_and_r_181_owners_of_companies_follow_the_same_rules() {
    let app = TestApp::with(CONTACTS).await;
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    app.hubspot.add_owner(12, "bob@example.com", "Bob", "Ray");
    let ann = app.salesforce.add_user("ann@example.com", "Ann", "Lee", true);
    let bob = app.salesforce.add_user("bob@example.com", "Bob", "Ray", true);
    let company = app.hubspot.create_in("companies", &[("name", "E"), ("hubspot_owner_id", "11")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    let account = only(app.salesforce.ids("Account"));
    assert_eq!(app.salesforce.field("Account", &account, "OwnerId"), Some(ann), "R-180");
    app.clock.advance_millis(1_000);
    app.salesforce.update("Account", &account, &[("OwnerId", &bob)]).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property_in("companies", company, "hubspot_owner_id").as_deref(),
        Some("12"),
        "R-181"
    );
    app.end().await;
}

#[tokio::test]
async fn a_deleted_account_deletes_its_company_where_that_is_set() {
    for (setting, left) in [(format!("{CONTACTS}\ndelete_in_hubspot = true"), 0), (CONTACTS.to_owned(), 1)] {
        let app = TestApp::with(&setting).await;
        let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
        app.settle().await;
        let company = app.hubspot.ids_in("companies")[0];
        app.salesforce.delete("Account", &account);
        app.hubspot.update_in("companies", company, &[("phone", "1")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.ids_in("companies").len(), left);
        app.end().await;
    }
}

#[tokio::test]
async fn r_121_and_r_126_a_contact_that_came_while_a_merge_was_unknown_joins_the_surviving_company() {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, ..) = settled(&app).await;
    let double = app.hubspot.create_in("companies", &[("name", "Engines Ltd")]).unwrap();
    app.settle().await;
    app.lose_messages();
    let survivor = app.hubspot.merge_in("companies", company, double).unwrap();
    app.tell_messages();
    let grace = [("LastName", "Hopper"), ("Email", "grace@example.com"), ("AccountId", account.as_str())];
    app.salesforce.create("Contact", &grace).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", survivor, &[("phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    let grace = app.hubspot.ids().into_iter().max().unwrap();
    assert_eq!(app.hubspot.property(grace, "email").as_deref(), Some("grace@example.com"));
    assert_eq!(company_of(&app, grace), Some(survivor.to_string()));
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_121_a_contact_whose_account_has_no_company_says_that_it_waits(
    #[values(true, false)] is_in_hubspot: bool,
) {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, ..) = settled(&app).await;
    assert!(app.hubspot.delete_in("companies", company));
    app.settle().await;
    if is_in_hubspot {
        app.lose_messages();
        app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "Hopper")]).unwrap();
        app.tell_messages();
    }
    let grace = [("LastName", "Hopper"), ("Email", "grace@example.com"), ("AccountId", account.as_str())];
    app.salesforce.create("Contact", &grace).unwrap();
    app.settle_after(1_000).await;
    let contact = app.hubspot.ids().into_iter().max().unwrap();
    let waits = || async {
        let shown = record(&app, &contact_place(contact)).await;
        let mut aside = shown["set_aside"].as_array().unwrap().iter();
        aside.any(|one| one["class"] == "waiting" && one["hubspot"] == "associatedcompanyid")
    };
    assert!(waits().await, "when it is linked");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert!(waits().await, "and later");
    app.end().await;
}
