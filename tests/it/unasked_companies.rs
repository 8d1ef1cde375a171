//! Companies and accounts are matched by the contacts they share, and by nothing less.

use serde_json::Value as Json;

use crate::companies::CONTACTS;
use crate::harness::TestApp;
use crate::people::ADA;
use crate::unasked::{explained, names, record};

/// Contacts on both sides that belong to nobody yet: a HubSpot contact and its Salesforce contact for each address.
async fn people(app: &TestApp, names: &[&str]) -> Vec<(u64, String)> {
    let email = |name: &str| format!("{name}@example.com");
    let contact = |name: &&str| app.hubspot.create(&[("email", &email(name)), ("lastname", name)]).unwrap();
    let contacts: Vec<u64> = names.iter().map(contact).collect();
    app.settle().await;
    let there = |id: &u64| app.hubspot.property(*id, "hubforce_salesforce_contact_id").unwrap();
    contacts.iter().map(|id| (*id, there(id))).collect()
}

/// The account that a company is linked to.
fn linked_account(app: &TestApp, company: u64) -> Option<String> {
    app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id")
}

fn account_with(app: &TestApp, name: &str, contacts: &[&String]) -> String {
    let account = app.salesforce.create("Account", &[("Name", name)]).unwrap();
    for contact in contacts {
        app.salesforce.update("Contact", contact, &[("AccountId", &account)]).unwrap();
    }
    account
}

fn company_with(app: &TestApp, name: &str, contacts: &[u64]) -> u64 {
    let company = app.hubspot.create_in("companies", &[("name", name)]).unwrap();
    for contact in contacts {
        app.hubspot.associate(("contacts", *contact), ("companies", company)).unwrap();
    }
    company
}

#[tokio::test]
async fn r_121_a_company_that_is_not_the_primary_one_shares_no_contact() {
    for account_edited in [false, true] {
        let app = TestApp::with(CONTACTS).await;
        let carl = people(&app, &["carl"]).await.remove(0);
        app.clock.advance_millis(1_000);
        app.lose_messages();
        let (advised, own) = (company_with(&app, "Advised", &[carl.0]), company_with(&app, "Own", &[carl.0]));
        assert_eq!(app.hubspot.associated(("contacts", carl.0), "companies"), [own, advised]);
        let account = account_with(&app, "Own Ltd", &[&carl.1]);
        app.tell_messages();
        app.clock.advance_millis(1_000);
        app.hubspot.update_in("companies", advised, &[("phone", "7")]).unwrap();
        app.settle().await;
        assert_ne!(linked_account(&app, advised), Some(account.clone()), "{account_edited}");
        assert_eq!(app.salesforce.field("Account", &account, "Phone"), None, "{account_edited}");
        app.clock.advance_millis(1_000);
        if account_edited {
            app.salesforce.update("Account", &account, &[("Fax", "8")]).unwrap();
        } else {
            app.hubspot.update_in("companies", own, &[("phone", "8")]).unwrap();
        }
        app.settle().await;
        assert_eq!(linked_account(&app, own), Some(account), "{account_edited}: its own company is free");
        app.end().await;
    }
}

#[tokio::test]
async fn r_121_a_contact_without_a_primary_company_is_shared_by_none() {
    let app = TestApp::with(CONTACTS).await;
    let carl = people(&app, &["carl"]).await.remove(0);
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let advised = company_with(&app, "Advised", &[]);
    app.hubspot.associate_secondary(("contacts", carl.0), ("companies", advised)).unwrap();
    let account = account_with(&app, "Own Ltd", &[&carl.1]);
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", advised, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_ne!(linked_account(&app, advised), Some(account.clone()));
    assert_eq!(app.salesforce.field("Account", &account, "Name").as_deref(), Some("Own Ltd"));
    assert_eq!(app.salesforce.field("Account", &account, "Phone"), None);
    app.end().await;
}

#[tokio::test]
async fn r_096_and_r_121_of_several_accounts_the_one_with_most_of_the_contacts_is_the_companys() {
    let app = TestApp::with(CONTACTS).await;
    let people = people(&app, &["ann", "bob", "carl"]).await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let company = company_with(&app, "Engines", &[people[0].0, people[1].0, people[2].0]);
    let one = account_with(&app, "One contact", &[&people[0].1]);
    let two = account_with(&app, "Two contacts", &[&people[1].1, &people[2].1]);
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(linked_account(&app, company), Some(two));
    assert_eq!(app.salesforce.field("Account", &one, "Phone"), None);
    app.end().await;
}

#[tokio::test]
async fn r_096_and_r_121_of_several_companies_the_one_with_most_of_the_contacts_is_the_accounts() {
    let app = TestApp::with(CONTACTS).await;
    let people = people(&app, &["ann", "bob", "carl"]).await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let one = company_with(&app, "One contact", &[people[0].0]);
    let two = company_with(&app, "Two contacts", &[people[1].0, people[2].0]);
    let account = account_with(&app, "Engines", &[&people[0].1, &people[1].1, &people[2].1]);
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Account", &account, &[("Phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(linked_account(&app, two), Some(account));
    assert_eq!(app.hubspot.property_in("companies", one, "phone"), None);
    app.end().await;
}

#[tokio::test]
async fn r_121_a_tie_between_accounts_waits_until_a_contact_moves() {
    let app = TestApp::with(CONTACTS).await;
    let people = people(&app, &["ann", "bob"]).await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let company = company_with(&app, "Engines", &[people[0].0, people[1].0]);
    let accounts = [account_with(&app, "A", &[&people[0].1]), account_with(&app, "B", &[&people[1].1])];
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(linked_account(&app, company), None, "neither is linked");
    assert_eq!(app.salesforce.ids("Account").len(), 2, "and no third one is made");
    let place = format!("hubspot/company/{company}");
    assert_eq!(record(&app, &place).await["state"], "ambiguous", "{}", explained(&app, &place).await);
    for account in &accounts {
        names(&app, &place, account).await;
    }
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &people[0].1, &[("AccountId", &accounts[1])]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(linked_account(&app, company).as_ref(), Some(&accounts[1]), "one contact decides it");
    assert_eq!(app.salesforce.ids("Account").len(), 2);
    assert_eq!(app.salesforce.field("Account", &accounts[0], "Phone"), None);
    assert_eq!(record(&app, &place).await["state"], "linked");
    app.stop().await;
}

#[tokio::test]
async fn r_122_a_company_entered_again_is_linked_to_the_account_by_its_contacts() {
    let app = TestApp::with(CONTACTS).await;
    let old = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", old)).unwrap();
    app.settle().await;
    let account = linked_account(&app, old).unwrap();
    app.clock.advance_millis(1_000);
    // Our id is unique: with it the old company could not come back once another one bears it.
    app.lose_messages();
    app.hubspot.update_in("companies", old, &[("hubforce_salesforce_account_id", "")]).unwrap();
    app.tell_messages();
    app.hubspot.delete_in("companies", old);
    app.settle_after(1_000).await;
    let new = company_with(&app, "Analytical Engines", &[ada]);
    app.settle().await;
    assert_eq!(linked_account(&app, new), Some(account.clone()));
    assert_eq!(app.salesforce.ids("Account"), std::slice::from_ref(&account));
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", new, &[("phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Account", &account, "Phone").as_deref(), Some("7"));
    // The old one comes back, and does not get its account back.
    app.clock.advance_millis(1_000);
    app.hubspot.restore_in("companies", old).unwrap();
    app.hubspot.update_in("companies", old, &[("phone", "8")]).unwrap();
    app.settle().await;
    let place = format!("hubspot/company/{old}");
    assert_eq!(record(&app, &place).await["linked_to"], Json::Null);
    assert_eq!(linked_account(&app, new), Some(account.clone()));
    assert_eq!(app.salesforce.field("Account", &account, "Phone").as_deref(), Some("7"));
    assert_eq!(app.salesforce.ids("Account").len(), 1);
    app.end().await;
}
