//! Person accounts as stories.

use hubforce::emulator::salesforce::Options;

use crate::harness::TestApp;
use crate::people::ADA;

const COMPANIES: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true";

const GRACE: [(&str, &str); 4] = [
    ("FirstName", "Grace"),
    ("LastName", "Hopper"),
    ("PersonEmail", "grace@example.com"),
    ("PersonMailingCity", "New York"),
];

async fn app_with(settings: &str) -> TestApp {
    TestApp::in_organization(settings, Options { person_accounts: true, ..Options::default() }).await
}

/// A person account, and the contact behind it.
async fn grace(app: &TestApp) -> (String, String) {
    let account = app.salesforce.create("Account", &GRACE).unwrap();
    app.settle().await;
    let contact = app.salesforce.field("Account", &account, "PersonContactId").unwrap();
    (account, contact)
}

#[tokio::test]
async fn r_220_and_r_221_a_person_account_is_a_contact_and_a_company() {
    for (settings, companies) in [(COMPANIES, 1), ("", 0)] {
        let app = app_with(settings).await;
        let (account, behind) = grace(&app).await;
        let (contacts, made) = (app.hubspot.ids(), app.hubspot.ids_in("companies"));
        assert_eq!((contacts.len(), made.len()), (1, companies));
        let of_contact = |name: &str| app.hubspot.property(contacts[0], name);
        assert_eq!(of_contact("email").as_deref(), Some("grace@example.com"));
        assert_eq!(
            (of_contact("firstname"), of_contact("lastname")),
            (Some("Grace".into()), Some("Hopper".into()))
        );
        assert_eq!(of_contact("hubforce_salesforce_contact_id"), Some(behind.clone()));
        assert_eq!(
            app.salesforce.field("Contact", &behind, "Hubforce_HubSpot_Id__c"),
            Some(contacts[0].to_string()),
            "the id is written through the account"
        );
        if let [company] = made[..] {
            assert_eq!(
                app.hubspot.property_in("companies", company, "name").as_deref(),
                Some("Grace Hopper")
            );
            assert_eq!(
                app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id"),
                Some(account)
            );
            assert_eq!(app.hubspot.associated(("contacts", contacts[0]), "companies"), [company]);
        }
        app.forget_calls();
        app.settle_after(60_000).await;
        assert_eq!(app.writes(), 0);
        app.end().await;
    }
}

#[tokio::test]
async fn r_222_one_record_holds_what_hubspot_keeps_in_two() {
    let app = app_with(COMPANIES).await;
    let (account, behind) = grace(&app).await;
    let (contact, company) = (app.hubspot.ids()[0], app.hubspot.ids_in("companies")[0]);
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("city", "Boston"), ("phone", "1")]).unwrap();
    app.settle().await;
    let of_account = |name: &str| app.salesforce.field("Account", &account, name);
    assert_eq!(of_account("PersonMailingCity").as_deref(), Some("Boston"));
    assert_eq!(app.salesforce.field("Contact", &behind, "MailingCity").as_deref(), Some("Boston"));
    let phone = |app: &TestApp| app.hubspot.property_in("companies", company, "phone");
    assert_eq!(
        (of_account("Phone"), phone(&app)),
        (Some("1".into()), Some("1".into())),
        "both have one telephone"
    );
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", company, &[("phone", "2"), ("name", "Somebody")]).unwrap();
    app.settle().await;
    assert_eq!(of_account("Phone").as_deref(), Some("2"));
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("2"));
    assert_eq!(of_account("Name").as_deref(), Some("Grace Hopper"), "the name follows from the person's");
    assert_eq!(app.hubspot.property_in("companies", company, "name").as_deref(), Some("Grace Hopper"));
    app.clock.advance_millis(1_000);
    app.salesforce
        .update("Account", &account, &[("PersonEmail", "hopper@example.com"), ("LastName", "H")])
        .unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "email").as_deref(), Some("hopper@example.com"));
    assert_eq!(app.hubspot.property_in("companies", company, "name").as_deref(), Some("Grace H"));
    app.end().await;
}

#[tokio::test]
async fn r_222_a_person_account_has_no_further_contacts_and_is_not_deleted_for_its_own() {
    let app = app_with(&format!("delete_in_salesforce = true\n{COMPANIES}")).await;
    let (account, _) = grace(&app).await;
    let (contact, company) = (app.hubspot.ids()[0], app.hubspot.ids_in("companies")[0]);
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.hubspot.associate(("contacts", ada), ("companies", company)).unwrap();
    app.settle().await;
    let path = format!("/v1/connections/acme/records/hubspot/contact/{ada}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert!(record["last_error"].to_string().contains("no other contacts"), "{record}");
    app.hubspot.delete(contact);
    app.settle().await;
    assert_eq!(app.salesforce.ids("Account"), [account]);
    app.stop().await;
}

#[tokio::test]
async fn r_084_and_r_223_a_lead_without_a_company_becomes_a_person() {
    for company in ["", "Engines"] {
        let app = app_with("").await;
        let ada = [&ADA[..], &[("company", company)]].concat();
        let contact = app.hubspot.create(&ada).unwrap();
        app.settle().await;
        let lead = app.lead();
        assert_eq!(app.lead_field(&lead, "Company").unwrap_or_default(), company, "R-223: it is not filled");
        app.clock.advance_millis(1_000);
        let made = app.salesforce.convert_into(&lead, None, None).unwrap();
        app.settle().await;
        let person = app.salesforce.field("Account", &made.account, "IsPersonAccount");
        assert_eq!(person.as_deref(), Some(if company.is_empty() { "true" } else { "false" }), "R-084");
        app.clock.advance_millis(1_000);
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(app.salesforce.field("Contact", &made.contact, "MailingCity").as_deref(), Some("Bonn"));
        app.end().await;
    }
}
