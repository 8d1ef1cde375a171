//! What a CRM stored is what is agreed on, whatever it was sent.

use hubforce::emulator::salesforce::Options;

use crate::deals::DEALS;
use crate::harness::TestApp;
use crate::people::linked;
use crate::unasked::{contact_place, record};

pub(crate) fn with_fields(fields: &[(&str, &str, &'static str)]) -> Options {
    let custom_fields =
        fields.iter().map(|(object, name, kind)| ((*object).to_owned(), (*name).to_owned(), *kind)).collect();
    Options { custom_fields, ..Options::default() }
}

/// A deal and its opportunity; amounts are mapped with this conflict policy.
async fn deal_and_opportunity(app: &TestApp, amount: &str) -> (u64, String) {
    let deal =
        [("dealname", "Engine"), ("dealstage", "closedwon"), ("closedate", "2026-12-31"), ("amount", amount)];
    let deal = app.hubspot.create_in("deals", &deal).unwrap();
    app.settle().await;
    (deal, app.salesforce.ids("Opportunity")[0].clone())
}

#[tokio::test]
async fn r_192_what_salesforce_rounds_is_no_edit_in_salesforce() {
    for conflict in ["salesforce", "hold", "newest"] {
        let mapping = format!(
            "{DEALS}\nmappings = [{{ hubspot = \"amount\", salesforce = \"Amount\", conflict = \"{conflict}\" }}]"
        );
        let app = TestApp::with(&mapping).await;
        let (deal, opportunity) = deal_and_opportunity(&app, "1000.4567").await;
        let amount = || app.salesforce.field("Opportunity", &opportunity, "Amount");
        assert_eq!(amount().as_deref(), Some("1000.46"));
        app.clock.advance_millis(1_000);
        app.hubspot.update_in("deals", deal, &[("dealname", "Engine 2")]).unwrap();
        app.settle().await;
        assert_eq!(
            app.hubspot.property_in("deals", deal, "amount").as_deref(),
            Some("1000.4567"),
            "{conflict}"
        );
        app.clock.advance_millis(1_000);
        app.hubspot.update_in("deals", deal, &[("amount", "2000")]).unwrap();
        app.settle().await;
        assert_eq!(amount().as_deref(), Some("2000"), "{conflict}");
        assert_eq!(app.hubspot.property_in("deals", deal, "amount").as_deref(), Some("2000"), "{conflict}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_208_numbers_keep_every_digit_that_both_sides_keep() {
    let organization =
        with_fields(&[("Lead", "Serial__c", "double(0)"), ("Contact", "Serial__c", "double(0)")]);
    let mapping = r#"mappings = [{ hubspot = "annualrevenue", salesforce = "Serial__c" }]"#;
    let app = TestApp::in_organization(mapping, organization).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("annualrevenue", "1234567890123457")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Serial__c").as_deref(), Some("1234567890123457"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Serial__c", "7234567890123459")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "annualrevenue").as_deref(), Some("7234567890123459"));
    app.end().await;
}

#[tokio::test]
async fn r_208_an_amount_that_salesforce_would_round_is_the_same_at_the_first_link() {
    let app =
        TestApp::with(r#"mappings = [{ hubspot = "annualrevenue", salesforce = "AnnualRevenue" }]"#).await;
    app.lose_messages();
    let lead =
        [("LastName", "King"), ("Company", "C"), ("Email", "king@example.com"), ("AnnualRevenue", "10")];
    let lead = app.salesforce.create("Lead", &lead).unwrap();
    app.tell_messages();
    let contact =
        [("email", "king@example.com"), ("lastname", "King"), ("company", "C"), ("annualrevenue", "10.4")];
    let contact = app.hubspot.create(&contact).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(contact.to_string()));
    assert_eq!(app.lead_field(&lead, "AnnualRevenue").as_deref(), Some("10"));
    assert_eq!(app.hubspot.property(contact, "annualrevenue").as_deref(), Some("10.4"));
    app.end().await;
}

#[tokio::test]
async fn r_297_a_value_that_is_accepted_and_not_stored_is_named_and_not_sent_again() {
    let app = TestApp::with(DEALS).await;
    let (deal, opportunity) = deal_and_opportunity(&app, "7").await;
    app.salesforce.add_line_items(&opportunity, "50").unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property_in("deals", deal, "amount").as_deref(), Some("50"));
    app.hubspot.update_in("deals", deal, &[("amount", "99")]).unwrap();
    app.settle_after(1_000).await;
    let shown = record(&app, &format!("hubspot/deal/{deal}")).await;
    assert_eq!(shown["set_aside"][0]["class"], "accepted_not_stored", "{shown}");
    assert_eq!(shown["set_aside"][0]["hubspot"], "amount");
    assert_eq!(shown["set_aside"][0]["lacking"], "salesforce");
    assert_eq!(
        app.hubspot.property_in("deals", deal, "amount").as_deref(),
        Some("99"),
        "nobody's value is lost"
    );
    // Other fields pass, and the amount is not sent again.
    app.forget_calls();
    app.hubspot.update_in("deals", deal, &[("dealname", "Engine 2")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.salesforce.field("Opportunity", &opportunity, "Name").as_deref(), Some("Engine 2"));
    assert_eq!(app.writes(), 1);
    let (_, audit) = app.ask("GET", "/v1/connections/acme/audit", "").await;
    let mut rows = audit["items"].as_array().unwrap().iter().filter(|row| row["field"] == "Amount");
    let last = rows.next_back().unwrap();
    assert_eq!(last["old"], last["new"], "audited as stored");
    app.end().await;
}

#[tokio::test]
async fn r_192_what_a_flow_makes_of_our_value_is_agreed_on_as_it_is_stored() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.salesforce.on_save_set("Lead", "Title", "Dr.");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Dr."));
    assert_eq!(
        app.hubspot.property(contact, "jobtitle").as_deref(),
        Some("Countess"),
        "that is nobody's edit"
    );
    assert_eq!(record(&app, &contact_place(contact)).await["state"], "linked");
    app.forget_calls();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    assert_eq!(app.writes(), 1, "the title is not sent again");
    app.end().await;
}

#[tokio::test]
async fn r_248_what_salesforce_derives_from_our_write_travels_at_once() {
    let formulas = vec![("Lead".to_owned(), "Shown__c".to_owned(), "LastName".to_owned())];
    let organization = Options { formulas, ..Options::default() };
    let mapping = r#"mappings = [{ hubspot = "salutation", lead = "Shown__c", rule = "always_salesforce" }]"#;
    let app = TestApp::in_organization(mapping, organization).await;
    let (contact, _) = linked(&app).await;
    let shown = || app.hubspot.property(contact, "salutation");
    assert_eq!(shown(), app.hubspot.property(contact, "lastname"), "of a new lead");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("lastname", "King")]).unwrap();
    app.settle().await;
    assert_eq!(shown().as_deref(), Some("King"));
    app.end().await;
}
