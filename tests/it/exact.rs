//! The parts of rules that their first tests leave out.

use crate::deals::{ALL, DEALS, OPPORTUNITY};
use crate::harness::{IN_LIST, TestApp};
use crate::inclusion::LISTED;
use crate::people::{ADA, linked};
use crate::stored::with_fields;
use crate::unasked::{contact_place, explained, record};

const COMPANIES: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true";

#[tokio::test]
async fn r_028_and_r_029_a_contact_out_of_the_list_is_matched_and_nothing_passes_afterwards() {
    let app = TestApp::with(LISTED).await;
    let contact = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    let fields = [("LastName", "Lovelace"), ("Company", "Engines"), ("Email", "ada@example.com")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids(), [contact], "it is matched, not made anew");
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(lead.clone()));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("London"));
    assert_eq!(app.lead_field(&lead, "Title"), None);
    app.end().await;
}

#[tokio::test]
async fn r_034_an_opt_out_in_salesforce_does_not_reach_a_contact_out_of_the_list_before_it_joins() {
    let app = TestApp::with(LISTED).await;
    let fields = [("LastName", "Lovelace"), ("Company", "Engines"), ("Email", "ada@example.com")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    let contact = app.hubspot.ids()[0];
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("HasOptedOutOfEmail", "true")]).unwrap();
    app.settle().await;
    let out = || app.hubspot.property(contact, "hs_email_optout").as_deref() == Some("true");
    assert!(!out());
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[IN_LIST]).unwrap();
    app.settle_after(20_000).await;
    assert!(out(), "it syncs now");
    app.end().await;
}

#[tokio::test]
async fn r_042_a_stopped_contact_goes_on_once_contacts_come_to_hubspot() {
    let app = TestApp::with(r#"create_in_hubspot = "leads""#).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    let heir = app.salesforce.convert(&lead).unwrap();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(record(&app, &contact_place(contact)).await["state"], "stopped");
    // Somebody changes the setting, and then the contact.
    let again = app.another_with(r#"create_in_hubspot = "leads_and_contacts""#).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    while app.deliver().await > 0 {}
    again.worker.drain().await.unwrap();
    assert_eq!(app.salesforce.field("Contact", &heir, "Phone").as_deref(), Some("7"));
    assert_eq!(
        app.salesforce.field("Contact", &heir, "MailingCity").as_deref(),
        Some("Bonn"),
        "and what was held back"
    );
    drop(again);
    app.end().await;
}

#[tokio::test]
async fn r_050_without_following_merges_the_losers_contact_is_deleted_although_the_primary_has_none() {
    let app = TestApp::with("delete_in_hubspot = true\nfollow_merges = false").await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    let primary = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let primary = app.salesforce.create("Lead", &primary).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &primary, &lead).unwrap();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert!(!app.hubspot.ids().contains(&contact), "R-050");
    app.end().await;
}

#[tokio::test]
async fn r_069_and_r_070_the_pair_goes_on_where_the_linked_contact_is_not_the_primary() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let primary = app.hubspot.create(&[("lastname", "King"), ("city", "Bonn")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    let survivor = app.hubspot.merge(primary, contact).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(survivor.to_string()));
    assert_eq!(
        app.lead_field(&lead, "City").as_deref(),
        Some("Bonn"),
        "the primary's values are the survivor's"
    );
    assert_eq!(app.salesforce.ids("Lead"), [lead]);
    app.end().await;
}

#[tokio::test]
async fn r_073_no_second_lead_is_made_while_another_contact_has_the_one_with_the_address() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    // The address moves on in HubSpot, which nobody tells, and somebody else enters it.
    app.lose_messages();
    app.hubspot.update(contact, &[("email", "new@example.com")]).unwrap();
    app.tell_messages();
    let other = app.hubspot.create(&[("email", "ada@example.com"), ("lastname", "Other")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead"), [lead]);
    assert_eq!(record(&app, &contact_place(other)).await["state"], "unlinked");
    assert!(explained(&app, &contact_place(other)).await.to_string().contains("R-073"));
    app.end().await;
}

#[tokio::test]
async fn r_081_the_account_of_a_conversion_is_the_company_that_the_contact_has_already() {
    let app = TestApp::with("[connections.sync.companies]\nenabled = true").await;
    let ada = app.hubspot.create(&ADA).unwrap();
    let company = app.hubspot.make_company_for(ada, "example.com").unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    // The contact is told of first.
    app.lose_messages();
    let contact = app.salesforce.convert(&app.lead()).unwrap();
    app.tell_messages();
    app.salesforce.update("Contact", &contact, &[("Phone", "7")]).unwrap();
    app.settle().await;
    let account = app.salesforce.ids("Account")[0].clone();
    app.salesforce.update("Account", &account, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.ids_in("companies"), [company], "no second one is made");
    let account = app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
    assert_eq!(account.as_ref(), app.salesforce.ids("Account").first());
    app.end().await;
}

#[tokio::test]
async fn r_091_a_resync_of_all_accounts_makes_no_company_while_companies_are_off() {
    let app = TestApp::start().await;
    app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    let body = r#"{"kind":"Account","all":true}"#;
    assert_eq!(app.ask("POST", "/v1/connections/acme/resync", body).await.0, 202);
    app.settle().await;
    assert!(app.hubspot.ids_in("companies").is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_102_where_leads_are_the_default_no_account_is_made_of_a_company_that_the_portal_made() {
    let app = TestApp::with("[connections.sync.companies]\nenabled = true").await;
    let ada = app.hubspot.create(&ADA).unwrap();
    let company = app.hubspot.make_company_for(ada, "example.com").unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Account").is_empty());
    app.end().await;
}

#[tokio::test]
async fn r_151_no_opportunity_loses_its_account_when_company_sync_comes_after_deal_sync() {
    let app = TestApp::with(DEALS).await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    let fields = [&OPPORTUNITY[..], &[("AccountId", account.as_str())]].concat();
    let opportunity = app.salesforce.create("Opportunity", &fields).unwrap();
    app.settle().await;
    let deal = app.hubspot.ids_in("deals")[0];
    let again = app.another_with(ALL).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("deals", deal, &[("description", "Steam")]).unwrap();
    while app.deliver().await > 0 {}
    again.worker.drain().await.unwrap();
    let held = |field: &str| app.salesforce.field("Opportunity", &opportunity, field);
    assert_eq!(held("Description").as_deref(), Some("Steam"), "it was looked at with companies on");
    assert_eq!(held("AccountId"), Some(account));
    drop(again);
    app.end().await;
}

#[tokio::test]
async fn r_155_an_amount_is_the_same_number_whatever_its_currency() {
    let organization = with_fields(&[("Opportunity", "CurrencyIsoCode", "string(3)")]);
    let app = TestApp::in_organization(DEALS, organization).await;
    let euros = [&OPPORTUNITY[..], &[("CurrencyIsoCode", "EUR")]].concat();
    let opportunity = app.salesforce.create("Opportunity", &euros).unwrap();
    app.settle().await;
    let deal = app.hubspot.ids_in("deals")[0];
    let held = |name: &str| app.hubspot.property_in("deals", deal, name);
    assert_eq!(held("amount").as_deref(), Some("7"));
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("deals", deal, &[("amount", "8")]).unwrap();
    app.settle().await;
    let currency = app.salesforce.field("Opportunity", &opportunity, "CurrencyIsoCode");
    assert_eq!(currency.as_deref(), Some("EUR"));
    assert_eq!(app.salesforce.field("Opportunity", &opportunity, "Amount").as_deref(), Some("8"));
    app.end().await;
}

#[tokio::test]
async fn r_180_an_account_whose_company_has_no_owner_known_to_salesforce_is_ours() {
    let app = TestApp::with(COMPANIES).await;
    app.hubspot.add_owner(11, "ann@example.com", "Ann", "Lee");
    let company = [("name", "Engines"), ("hubspot_owner_id", "11")];
    let company = app.hubspot.create_in("companies", &company).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    let account = &app.salesforce.ids("Account")[0];
    let owner = app.salesforce.field("Account", account, "OwnerId");
    assert_eq!(owner.as_deref(), Some(app.salesforce.integration_user()));
    app.end().await;
}

#[tokio::test]
async fn r_181_salesforces_owner_wins_when_a_company_meets_an_account_and_the_later_one_afterwards() {
    let app = TestApp::with(COMPANIES).await;
    let ann = crate::owners::ann(&app);
    app.hubspot.add_owner(12, "bob@example.com", "Bob", "Ray");
    let bob = app.salesforce.add_user("bob@example.com", "Bob", "Ray", true);
    let person = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
    let contact = app.salesforce.create("Contact", &person).unwrap();
    app.settle().await;
    // Of the account and of the company nobody tells until both are there.
    app.lose_messages();
    let account = app.salesforce.create("Account", &[("Name", "Engines"), ("OwnerId", &bob)]).unwrap();
    app.salesforce.update("Contact", &contact, &[("AccountId", &account)]).unwrap();
    app.settle_after(60_000).await;
    let company = [("name", "Engines"), ("hubspot_owner_id", "11")];
    let company = app.hubspot.create_in("companies", &company).unwrap();
    app.hubspot.associate(("contacts", app.hubspot.ids()[0]), ("companies", company)).unwrap();
    app.settle().await;
    app.tell_messages();
    app.hubspot.update_in("companies", company, &[("phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    let owner = || app.hubspot.property_in("companies", company, "hubspot_owner_id");
    assert_eq!(app.salesforce.ids("Account"), [account.as_str()], "they are linked");
    assert_eq!(owner().as_deref(), Some("12"), "although HubSpot's was given later");
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("hubspot_owner_id", "11")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Account", &account, "OwnerId"), Some(ann));
    assert_eq!(owner().as_deref(), Some("11"));
    app.end().await;
}

#[tokio::test]
async fn r_152_the_default_mappings_of_deals_bring_type_description_and_owner_along() {
    let app = TestApp::with(DEALS).await;
    let ann = crate::owners::ann(&app);
    let more = [("Type", "New Business"), ("Description", "Brass"), ("OwnerId", ann.as_str())];
    let opportunity = app.salesforce.create("Opportunity", &[&OPPORTUNITY[..], &more].concat()).unwrap();
    app.settle().await;
    let deal = app.hubspot.ids_in("deals")[0];
    let held = |name: &str| app.hubspot.property_in("deals", deal, name);
    assert_eq!(held("description").as_deref(), Some("Brass"));
    assert_eq!(held("hubspot_owner_id").as_deref(), Some("11"));
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("deals", deal, &[("description", "Steam")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Opportunity", &opportunity, "Description").as_deref(), Some("Steam"));
    app.end().await;
}

#[tokio::test]
async fn r_160_a_role_of_somebody_from_another_account_moves_no_account_as_a_whole() {
    let settings = format!(
        "{COMPANIES}\n[connections.sync.lifecycle]\nopportunity_transitions = true\ncompany_to_contacts = true"
    );
    for own in [false, true] {
        let app = TestApp::with(&settings).await;
        let accounts =
            ["Engines", "Looms"].map(|name| app.salesforce.create("Account", &[("Name", name)]).unwrap());
        let person = |name: &str, account: &str| {
            let email = format!("{name}@example.com");
            let fields = [("LastName", name), ("Email", email.as_str()), ("AccountId", account)];
            app.salesforce.create("Contact", &fields).unwrap()
        };
        let (ada, bob) = (person("ada", &accounts[0]), person("bob", &accounts[usize::from(!own)]));
        app.settle().await;
        let won = [&OPPORTUNITY[..], &[("AccountId", accounts[0].as_str())]].concat();
        let opportunity = app.salesforce.create("Opportunity", &won).unwrap();
        app.salesforce.add_contact_role(&opportunity, &bob).unwrap();
        app.clock.advance_millis(1_000);
        app.salesforce.update("Opportunity", &opportunity, &[("Amount", "8")]).unwrap();
        app.settle_after(1_000).await;
        let stage = |contact: &str| {
            let id =
                app.salesforce.field("Contact", contact, "Hubforce_HubSpot_Id__c").unwrap().parse().unwrap();
            app.hubspot.property(id, "lifecyclestage")
        };
        assert_eq!(stage(&bob).as_deref(), Some("customer"), "R-163: who has the role");
        assert_eq!(stage(&ada).as_deref() == Some("customer"), own, "the account as a whole");
        app.end().await;
    }
}
