//! Associations: a removal on one side stays on that side and is listed as a difference; a move is followed.

use crate::companies::{CONTACTS, ENGINES, account_of, company_of, settled};
use crate::deals::{ALL, DEAL, OPPORTUNITY};
use crate::harness::{Setup, TestApp};
use crate::people::ADA;
use crate::unasked::{contact_place, differences, differs_in, held, only};

/// Edits a HubSpot contact and then its Salesforce contact, sweeping after each.
async fn edited_on_both_sides(app: &TestApp, contact: u64, there: &str) {
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle().await;
    app.sweep().await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", there, &[("Phone", "7")]).unwrap();
    app.settle().await;
    app.sweep().await;
    assert_eq!(held(app, "Contact", there, "Title").as_deref(), Some("Countess"), "the rest travels");
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"), "the rest travels");
}

#[tokio::test]
async fn r_123_a_contact_whose_company_is_deleted_or_taken_away_keeps_its_account() {
    for deleted in [true, false] {
        let app = TestApp::sweeping(CONTACTS).await;
        let (company, account, ada, contact) = settled(&app).await;
        app.clock.advance_millis(1_000);
        if deleted {
            app.hubspot.delete_in("companies", company);
        } else {
            app.hubspot.dissociate(("contacts", ada), ("companies", company)).unwrap();
        }
        app.settle().await;
        edited_on_both_sides(&app, ada, &contact).await;
        assert_eq!(account_of(&app, &contact), Some(account.clone()), "{deleted}: nothing is cleared");
        assert_eq!(company_of(&app, ada), None, "{deleted}: nothing is undone");
        differs_in(&app, &contact_place(ada), "associatedcompanyid", "AccountId").await;
        differs_in(&app, &format!("salesforce/Contact/{contact}"), "associatedcompanyid", "AccountId").await;
        app.clock.advance_millis(1_000);
        if deleted {
            app.hubspot.restore_in("companies", company).unwrap();
        }
        app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
        app.settle().await;
        assert!(differences(&app, &contact_place(ada)).await.is_empty(), "{deleted}: they agree again");
        assert_eq!(account_of(&app, &contact), Some(account));
        app.end().await;
    }
}

#[tokio::test]
async fn r_123_an_account_taken_from_a_contact_leaves_hubspots_company() {
    let app = TestApp::sweeping(CONTACTS).await;
    let (company, account, ada, contact) = settled(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("AccountId", "")]).unwrap();
    app.settle().await;
    edited_on_both_sides(&app, ada, &contact).await;
    assert_eq!(app.hubspot.associated(("contacts", ada), "companies"), [company]);
    assert_eq!(account_of(&app, &contact), None, "nothing is undone");
    differs_in(&app, &contact_place(ada), "associatedcompanyid", "AccountId").await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("AccountId", &account)]).unwrap();
    app.settle().await;
    assert!(differences(&app, &contact_place(ada)).await.is_empty());
    app.end().await;
}

/// A company with an account, and a deal of theirs on both sides. Returns company, account, deal and opportunity.
async fn with_deal(app: &TestApp) -> (u64, String, u64, String) {
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    app.settle().await;
    let fields = [&OPPORTUNITY[..], &[("AccountId", account.as_str())]].concat();
    let opportunity = app.salesforce.create("Opportunity", &fields).unwrap();
    app.settle().await;
    let deal = only(&app.hubspot.ids_in("deals"));
    let company = only(&app.hubspot.associated(("deals", deal), "companies"));
    (company, account, deal, opportunity)
}

/// Edits an opportunity and then its deal, sweeping after each.
async fn edited_deal(app: &TestApp, deal: u64, opportunity: &str) {
    app.clock.advance_millis(1_000);
    app.salesforce.update("Opportunity", opportunity, &[("Amount", "8")]).unwrap();
    app.settle().await;
    app.sweep().await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("deals", deal, &[("dealname", "Engine 3")]).unwrap();
    app.settle().await;
    app.sweep().await;
    assert_eq!(app.hubspot.property_in("deals", deal, "amount").as_deref(), Some("8"), "the rest travels");
    assert_eq!(
        held(app, "Opportunity", opportunity, "Name").as_deref(),
        Some("Engine 3"),
        "the rest travels"
    );
}

#[tokio::test]
async fn r_149_and_r_151_a_deals_company_that_one_side_takes_away_stays_on_the_other() {
    for in_hubspot in [true, false] {
        let app = TestApp::sweeping(ALL).await;
        let (company, account, deal, opportunity) = with_deal(&app).await;
        app.clock.advance_millis(1_000);
        if in_hubspot {
            app.hubspot.dissociate(("deals", deal), ("companies", company)).unwrap();
        } else {
            app.salesforce.update("Opportunity", &opportunity, &[("AccountId", "")]).unwrap();
        }
        app.settle().await;
        edited_deal(&app, deal, &opportunity).await;
        let there = held(&app, "Opportunity", &opportunity, "AccountId");
        assert_eq!(there, in_hubspot.then_some(account), "{in_hubspot}");
        let here = app.hubspot.associated(("deals", deal), "companies");
        assert_eq!(here, if in_hubspot { vec![] } else { vec![company] }, "{in_hubspot}");
        let listed = differences(&app, &format!("hubspot/deal/{deal}")).await;
        assert_eq!(listed.len(), 1, "{in_hubspot}: {listed:?}");
        assert_eq!(listed[0]["field"], "AccountId");
        app.end().await;
    }
}

#[tokio::test]
async fn r_151_a_deleted_company_takes_no_account_from_an_opportunity() {
    let app = TestApp::sweeping(ALL).await;
    let (company, account, deal, opportunity) = with_deal(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.delete_in("companies", company);
    app.settle().await;
    edited_deal(&app, deal, &opportunity).await;
    assert_eq!(held(&app, "Opportunity", &opportunity, "AccountId"), Some(account));
    assert!(!differences(&app, &format!("hubspot/deal/{deal}")).await.is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_154_a_role_or_a_deals_contact_that_is_taken_away_stays_on_the_other_side() {
    for in_hubspot in [true, false] {
        let app = TestApp::sweeping(ALL).await;
        let fields = [("LastName", "Hopper"), ("Email", "grace@example.com")];
        let grace = app.salesforce.create("Contact", &fields).unwrap();
        let opportunity = app.salesforce.create("Opportunity", &OPPORTUNITY).unwrap();
        let role = app.salesforce.add_contact_role(&opportunity, &grace).unwrap();
        app.settle().await;
        let (deal, contact) = (only(&app.hubspot.ids_in("deals")), only(&app.hubspot.ids()));
        assert_eq!(app.hubspot.associated(("deals", deal), "contacts"), [contact]);
        app.clock.advance_millis(1_000);
        if in_hubspot {
            app.hubspot.dissociate(("deals", deal), ("contacts", contact)).unwrap();
        } else {
            app.salesforce.remove_contact_role(&role);
        }
        app.settle().await;
        edited_deal(&app, deal, &opportunity).await;
        let here = app.hubspot.associated(("deals", deal), "contacts");
        assert_eq!(here, if in_hubspot { vec![] } else { vec![contact] }, "{in_hubspot}");
        let roles = app.salesforce.ids("OpportunityContactRole").len();
        assert_eq!(roles, usize::from(in_hubspot), "roles are the salespeople's");
        assert!(!differences(&app, &format!("hubspot/deal/{deal}")).await.is_empty(), "{in_hubspot}");
        app.clock.advance_millis(1_000);
        if in_hubspot {
            app.hubspot.associate(("deals", deal), ("contacts", contact)).unwrap();
        } else {
            app.salesforce.add_contact_role(&opportunity, &grace).unwrap();
        }
        edited_deal(&app, deal, &opportunity).await;
        assert!(differences(&app, &format!("hubspot/deal/{deal}")).await.is_empty(), "{in_hubspot}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_124_a_move_is_followed_and_the_former_company_stays_associated() {
    let app = TestApp::sweeping(CONTACTS).await;
    let (company, account, ada, contact) = settled(&app).await;
    let other = app.salesforce.create("Account", &[("Name", "Difference Engines")]).unwrap();
    app.settle().await;
    let other_company = app.hubspot.ids_in("companies").into_iter().find(|id| *id != company).unwrap();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &contact, &[("AccountId", &other)]).unwrap();
    app.settle().await;
    let companies = || app.hubspot.associated(("contacts", ada), "companies");
    assert_eq!(companies(), [other_company, company], "the former one is not primary any more");
    app.clock.advance_millis(1_000);
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    assert_eq!(account_of(&app, &contact), Some(account));
    assert_eq!(companies(), [company, other_company]);
    assert!(differences(&app, &contact_place(ada)).await.is_empty(), "a move leaves no difference");
    app.end().await;
}

/// Acme and Beta, each with a contact, all on both sides.
struct Two {
    /// The companies of Acme and Beta.
    companies: [u64; 2],
    accounts: [String; 2],
    /// The HubSpot contacts in them.
    contacts: [u64; 2],
}

impl Two {
    async fn new(app: &TestApp) -> Self {
        let company = |name| app.hubspot.create_in("companies", &[("name", name)]).unwrap();
        let companies = [company("Acme"), company("Beta")];
        let bob = [("email", "bob@example.com"), ("lastname", "Bob")];
        let contacts = [app.hubspot.create(&ADA).unwrap(), app.hubspot.create(&bob).unwrap()];
        for (contact, company) in contacts.iter().zip(companies) {
            app.hubspot.associate(("contacts", *contact), ("companies", company)).unwrap();
        }
        app.settle().await;
        let account =
            |company| app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
        let accounts = companies.map(|company| account(company).unwrap());
        app.clock.advance_millis(1_000);
        Self { companies, accounts, contacts }
    }

    /// The account of one of the contacts.
    fn account_of(&self, app: &TestApp, place: usize) -> Option<String> {
        let there = app.hubspot.property(self.contacts[place], "hubforce_salesforce_contact_id").unwrap();
        account_of(app, &there)
    }
}

#[tokio::test]
async fn r_124_after_a_merge_of_accounts_the_losers_contact_moves_into_the_survivors_company() {
    for company_edited in [true, false] {
        let app = TestApp::sweeping(CONTACTS).await;
        let two = Two::new(&app).await;
        let ([acme, beta], bob) = (two.companies, two.contacts[1]);
        app.salesforce.merge("Account", &two.accounts[0], &two.accounts[1]).unwrap();
        if company_edited {
            app.hubspot.update_in("companies", beta, &[("phone", "7")]).unwrap();
        }
        app.settle_after(2_000).await;
        app.hubspot.update(bob, &[("jobtitle", "Baron")]).unwrap();
        app.settle().await;
        app.sweep().await;
        assert_eq!(two.account_of(&app, 1).as_ref(), Some(&two.accounts[0]), "{company_edited}");
        assert_eq!(company_of(&app, bob), Some(acme.to_string()), "{company_edited}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_124_a_merge_of_accounts_deletes_no_company_and_takes_no_account_from_its_contacts() {
    let app = TestApp::sweeping(&format!("{CONTACTS}\ndelete_in_hubspot = true")).await;
    let two = Two::new(&app).await;
    let (acme, [ada, _]) = (two.companies[0], two.contacts);
    app.salesforce.merge("Account", &two.accounts[1], &two.accounts[0]).unwrap();
    app.hubspot.update_in("companies", acme, &[("phone", "7")]).unwrap();
    app.settle_after(2_000).await;
    app.sweep().await;
    app.hubspot.update(ada, &[("jobtitle", "Countess")]).unwrap();
    app.settle_after(2_000).await;
    app.sweep().await;
    assert!(app.hubspot.ids_in("companies").contains(&acme), "a merge is no deletion");
    for place in [0, 1] {
        assert_eq!(two.account_of(&app, place).as_ref(), Some(&two.accounts[1]), "contact {place}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_121_and_r_125_the_account_of_a_contact_decides_when_the_two_are_first_linked() {
    let app = TestApp::set_up(Setup::with(CONTACTS)).await;
    let account = |name| app.salesforce.create("Account", &[("Name", name)]).unwrap();
    let (emea, _) = (account("Acme EMEA"), account("Acme"));
    app.settle().await;
    let named = |name: &str| {
        let of_name = |id: &u64| app.hubspot.property_in("companies", *id, "name").as_deref() == Some(name);
        app.hubspot.ids_in("companies").into_iter().find(of_name).unwrap()
    };
    let (emea_company, acme_company) = (named("Acme EMEA"), named("Acme"));
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let fields = [("LastName", "Lee"), ("Email", "ann@example.com"), ("AccountId", emea.as_str())];
    let there = app.salesforce.create("Contact", &fields).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    let ann = app.hubspot.create(&[("email", "ann@example.com"), ("lastname", "Lee")]).unwrap();
    app.hubspot.associate(("contacts", ann), ("companies", acme_company)).unwrap();
    app.settle().await;
    assert_eq!(account_of(&app, &there), Some(emea));
    assert_eq!(app.hubspot.associated(("contacts", ann), "companies"), [emea_company, acme_company]);
    app.end().await;
}

#[tokio::test]
async fn r_149_a_deals_company_still_gives_an_account_to_an_opportunity_that_never_had_one() {
    let app = TestApp::with(ALL).await;
    let company = app.hubspot.create_in("companies", &ENGINES).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    let deal = app.hubspot.create_in("deals", &DEAL).unwrap();
    app.settle().await;
    let opportunity = only(&app.salesforce.ids("Opportunity"));
    assert_eq!(held(&app, "Opportunity", &opportunity, "AccountId"), None);
    app.clock.advance_millis(1_000);
    app.hubspot.associate(("deals", deal), ("companies", company)).unwrap();
    app.settle().await;
    let account = only(&app.salesforce.ids("Account"));
    assert_eq!(held(&app, "Opportunity", &opportunity, "AccountId"), Some(account));
    app.end().await;
}
