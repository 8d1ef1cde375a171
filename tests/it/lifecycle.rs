//! Lifecycle stages as stories.

use crate::harness::TestApp;
use crate::people::ADA;

const BASE: &str = "create_in_salesforce = \"contact\"\n[connections.sync.companies]\nenabled = true\n[connections.sync.lifecycle]";

async fn with(lifecycle: &str) -> TestApp {
    TestApp::with(&format!("{BASE}\n{lifecycle}")).await
}

fn stage(app: &TestApp, object: &str, id: u64) -> String {
    app.hubspot.property_in(object, id, "lifecyclestage").unwrap_or_default()
}

/// Engines with Ada and Grace, all on both sides. Returns the company, Ada, Grace, and the account.
async fn engines(app: &TestApp) -> (u64, u64, u64, String) {
    let company = app.hubspot.create_in("companies", &[("name", "Engines")]).unwrap();
    let ada = app.hubspot.create(&ADA).unwrap();
    let grace = app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "Hopper")]).unwrap();
    for contact in [ada, grace] {
        app.hubspot.associate(("contacts", contact), ("companies", company)).unwrap();
    }
    app.settle().await;
    (company, ada, grace, app.salesforce.ids("Account")[0].clone())
}

fn twin(app: &TestApp, contact: u64) -> String {
    app.hubspot.property(contact, "hubforce_salesforce_contact_id").unwrap()
}

/// An opportunity of the account, with a role for this contact. Its own message is lost, so that an edit tells of both.
async fn opportunity(app: &TestApp, account: &str, stage: &str, contact: Option<u64>) -> String {
    app.salesforce.drop_notifications(1);
    let fields = [("Name", "O"), ("StageName", stage), ("CloseDate", "2026-12-31"), ("AccountId", account)];
    let id = app.salesforce.create("Opportunity", &fields).unwrap();
    app.settle().await;
    if let Some(contact) = contact {
        app.salesforce.add_contact_role(&id, &twin(app, contact)).unwrap();
    }
    app.salesforce.update("Opportunity", &id, &[("Amount", "1")]).unwrap();
    app.settle().await;
    id
}

async fn win(app: &TestApp, opportunity: &str) {
    app.clock.advance_millis(1_000);
    app.salesforce.update("Opportunity", opportunity, &[("StageName", "Closed Won")]).unwrap();
    app.settle().await;
}

#[tokio::test]
async fn r_129_a_contacts_stage_moves_its_companys_where_that_is_set() {
    for on in [true, false] {
        let app = with(&format!("contact_to_company = {on}")).await;
        let (company, ada, grace, _) = engines(&app).await;
        app.hubspot.update(ada, &[("lifecyclestage", "salesqualifiedlead")]).unwrap();
        app.settle().await;
        let expected = if on { "salesqualifiedlead" } else { "lead" };
        assert_eq!(stage(&app, "companies", company), expected);
        app.hubspot.update(grace, &[("lifecyclestage", "marketingqualifiedlead")]).unwrap();
        app.settle().await;
        assert_eq!(stage(&app, "companies", company), expected, "never back");
        assert_eq!(
            stage(&app, "contacts", grace),
            "marketingqualifiedlead",
            "the other way is another setting"
        );
        app.end().await;
    }
}

#[tokio::test]
async fn r_160_r_161_and_r_167_a_won_opportunity_moves_the_whole_account_with_all_three_settings() {
    for (transitions, to_contacts) in [(true, true), (false, true), (true, false)] {
        let app =
            with(&format!("opportunity_transitions = {transitions}\ncompany_to_contacts = {to_contacts}"))
                .await;
        let (company, ada, grace, account) = engines(&app).await;
        let id = opportunity(&app, &account, "Prospecting", Some(ada)).await;
        win(&app, &id).await;
        let all = transitions && to_contacts;
        assert_eq!(stage(&app, "companies", company) == "customer", all, "{transitions} {to_contacts}");
        assert_eq!(stage(&app, "contacts", grace) == "customer", all, "{transitions} {to_contacts}");
        assert_eq!(stage(&app, "contacts", ada) == "customer", transitions, "who has a role");
        app.end().await;
    }
}

#[tokio::test]
async fn r_161_without_company_sync_only_those_with_a_role_move() {
    let setting = "create_in_salesforce = \"contact\"\n[connections.sync.lifecycle]\nopportunity_transitions = true\ncompany_to_contacts = true";
    let app = TestApp::with(setting).await;
    let ada = app.hubspot.create(&ADA).unwrap();
    let grace = app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "Hopper")]).unwrap();
    app.settle().await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    for contact in [ada, grace] {
        app.salesforce.update("Contact", &twin(&app, contact), &[("AccountId", &account)]).unwrap();
    }
    app.settle().await;
    let id = opportunity(&app, &account, "Prospecting", Some(ada)).await;
    win(&app, &id).await;
    assert_eq!(
        (stage(&app, "contacts", ada), stage(&app, "contacts", grace)),
        ("customer".into(), "lead".into())
    );
    app.end().await;
}

#[tokio::test]
async fn r_162_without_a_contact_role_nothing_moves() {
    let app = with("opportunity_transitions = true\ncompany_to_contacts = true").await;
    let (company, ada, _, account) = engines(&app).await;
    let id = opportunity(&app, &account, "Prospecting", None).await;
    win(&app, &id).await;
    assert_eq!(
        (stage(&app, "companies", company), stage(&app, "contacts", ada)),
        ("lead".into(), "lead".into())
    );
    app.end().await;
}

#[tokio::test]
async fn r_163_and_r_166_a_role_on_an_open_opportunity_makes_an_opportunity_where_that_is_set() {
    for on in [true, false] {
        let app = with(&format!("opportunity_transitions = {on}")).await;
        let (_, ada, _, account) = engines(&app).await;
        opportunity(&app, &account, "Prospecting", Some(ada)).await;
        assert_eq!(stage(&app, "contacts", ada), if on { "opportunity" } else { "lead" });
        app.end().await;
    }
}

#[tokio::test]
async fn r_165_a_won_opportunity_outdoes_an_open_one_that_moves_the_contact_at_the_same_time() {
    let app = with("opportunity_transitions = true").await;
    let (_, ada, _, account) = engines(&app).await;
    let won = opportunity(&app, &account, "Closed Won", None).await;
    let open = opportunity(&app, &account, "Prospecting", None).await;
    app.clock.advance_millis(1_000);
    for opportunity in [&won, &open] {
        app.salesforce.add_contact_role(opportunity, &twin(&app, ada)).unwrap();
    }
    // Both are planned at once, from the stage that the contact had before.
    for opportunity in [&won, &open] {
        app.salesforce.update("Opportunity", opportunity, &[("Amount", "2")]).unwrap();
    }
    app.settle().await;
    assert_eq!(stage(&app, "contacts", ada), "customer");
    app.end().await;
}

#[tokio::test]
async fn r_164_a_role_on_an_opportunity_that_is_won_already_counts() {
    let app = with("opportunity_transitions = true").await;
    let (_, ada, _, account) = engines(&app).await;
    opportunity(&app, &account, "Closed Won", Some(ada)).await;
    assert_eq!(stage(&app, "contacts", ada), "customer");
    app.end().await;
}

#[tokio::test]
async fn r_165_a_customer_never_goes_back() {
    let app = with("opportunity_transitions = true").await;
    let (_, ada, _, account) = engines(&app).await;
    app.hubspot.update(ada, &[("lifecyclestage", "customer")]).unwrap();
    app.settle().await;
    opportunity(&app, &account, "Prospecting", Some(ada)).await;
    assert_eq!(stage(&app, "contacts", ada), "customer");
    app.end().await;
}

#[tokio::test]
async fn r_167_a_companys_stage_moves_its_contacts_forward_where_that_is_set() {
    for on in [true, false] {
        let app = with(&format!("company_to_contacts = {on}")).await;
        let (company, ada, grace, _) = engines(&app).await;
        app.hubspot.update(grace, &[("lifecyclestage", "evangelist")]).unwrap();
        app.settle().await;
        app.hubspot.update_in("companies", company, &[("lifecyclestage", "evangelist")]).unwrap();
        app.settle().await;
        assert_eq!(stage(&app, "contacts", ada), if on { "evangelist" } else { "lead" });
        app.end().await;
    }
}

#[tokio::test]
async fn r_083_no_stage_converts_a_lead() {
    let app = TestApp::start().await;
    let ada = app.hubspot.create(&ADA).unwrap();
    app.settle().await;
    app.hubspot.update(ada, &[("lifecyclestage", "customer")]).unwrap();
    app.settle().await;
    assert!(app.salesforce.ids("Contact").is_empty());
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.end().await;
}

/// A customer whose lead carries the stage in a field of the organization's own.
async fn customer_in_both() -> (TestApp, u64, String) {
    let field = |object: &str| (object.to_owned(), "Stage__c".to_owned(), "string");
    let custom_fields = ["Lead", "Contact"].map(field).to_vec();
    let organization = hubforce::emulator::salesforce::Options { custom_fields, ..Default::default() };
    let setting = "[connections.sync.lifecycle]\nsalesforce_field = \"Stage__c\"";
    let app = TestApp::in_organization(setting, organization).await;
    let ada = app.hubspot.create(&[&ADA[..], &[("lifecyclestage", "customer")]].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    (app, ada, lead)
}

#[tokio::test]
async fn r_205_a_field_of_the_organizations_own_carries_the_stage_back_as_well() {
    let (app, ada, lead) = customer_in_both().await;
    assert_eq!(app.lead_field(&lead, "Stage__c").as_deref(), Some("customer"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Stage__c", "opportunity")]).unwrap();
    app.settle().await;
    assert_eq!(
        stage(&app, "contacts", ada),
        "opportunity",
        "cleared, then set: HubSpot alone goes forward only"
    );
    app.end().await;
}

#[tokio::test]
async fn r_205_a_step_back_that_breaks_off_after_the_clearing_is_made_later() {
    let (app, ada, lead) = customer_in_both().await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Stage__c", "opportunity")]).unwrap();
    app.clock.advance_millis(1_000);
    let fault = r#"{ "path": "/contacts/batch/update", "skip": 2, "status": 503 }"#;
    app.hubspot.control().add_fault(serde_json::from_str(fault).unwrap());
    app.settle().await;
    assert_eq!(stage(&app, "contacts", ada), "", "cleared, and not set yet");
    app.settle_after(60_000).await;
    assert_eq!(stage(&app, "contacts", ada), "opportunity");
    assert_eq!(app.lead_field(&lead, "Stage__c").as_deref(), Some("opportunity"));
    app.end().await;
}
