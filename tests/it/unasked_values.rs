//! Successors: what a record that takes another's place holds travels, and what it lacks clears nothing.

use hubforce::emulator::salesforce::Options;
use rstest::rstest;

use crate::companies::{CONTACTS, settled};
use crate::harness::TestApp;
use crate::people::linked;
use crate::unasked::held;

/// An organization with one custom field on leads and contacts, which no conversion carries over.
fn nicknames() -> Options {
    let custom = |object: &str| (object.to_owned(), "Nickname__c".to_owned(), "string");
    Options { custom_fields: vec![custom("Lead"), custom("Contact")], ..Options::default() }
}

/// A mapping of that field.
fn mapping(rule: &str) -> String {
    format!(r#"mappings = [{{ hubspot = "salutation", salesforce = "Nickname__c", rule = "{rule}" }}]"#)
}

#[rstest]
#[tokio::test]
async fn r_082_and_r_195_a_field_that_a_conversion_does_not_carry_over_is_filled_from_hubspot(
    #[values("two_way", "prefer_salesforce")] rule: &str,
) {
    let app = TestApp::in_organization(&mapping(rule), nicknames()).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Nickname__c", "Countess")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "salutation").as_deref(), Some("Countess"));
    app.clock.advance_millis(1_000);
    let successor = app.salesforce.convert(&lead).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "salutation").as_deref(),
        Some("Countess"),
        "nothing is cleared"
    );
    assert_eq!(held(&app, "Contact", &successor, "Nickname__c").as_deref(), Some("Countess"), "it is filled");
    // From then on a person who clears it means it.
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &successor, &[("Nickname__c", "")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "salutation"), None);
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_067_and_r_195_the_blanks_of_a_surviving_lead_are_filled_and_its_values_travel(
    #[values("two_way", "prefer_salesforce")] rule: &str,
) {
    let app = TestApp::with(&format!("default_rule = \"{rule}\"")).await;
    let (contact, lead) = linked(&app).await;
    let fields = [("LastName", "King"), ("Company", "Engines"), ("Title", "Countess")];
    let survivor = app.salesforce.create("Lead", &fields).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    // No message tells of the lead that is gone; a look at its contact does.
    app.hubspot.update(contact, &[("fax", "9")]).unwrap();
    app.settle_after(1_000).await;
    for (property, field, value) in [
        ("email", "Email", "ada@example.com"),
        ("firstname", "FirstName", "Ada"),
        ("city", "City", "London"),
        ("lastname", "LastName", "King"),
        ("jobtitle", "Title", "Countess"),
    ] {
        assert_eq!(app.hubspot.property(contact, property).as_deref(), Some(value), "{property}");
        assert_eq!(app.lead_field(&survivor, field).as_deref(), Some(value), "{field}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_067_and_r_202_a_company_that_was_filled_in_outdoes_nothing_when_its_lead_survives() {
    let app = TestApp::start().await;
    // The lead of a contact without a company gets the address's domain.
    let filled = app.hubspot.create(&[("email", "king@example.com"), ("lastname", "King")]).unwrap();
    app.settle().await;
    let survivor = app.hubspot.property(filled, "hubforce_salesforce_lead_id").unwrap();
    assert_eq!(app.lead_field(&survivor, "Company").as_deref(), Some("example.com"));
    app.clock.advance_millis(1_000);
    assert!(app.hubspot.delete(filled));
    app.settle().await;
    let fields = [("email", "ada@example.com"), ("lastname", "Lovelace"), ("company", "Engines")];
    let contact = app.hubspot.create(&fields).unwrap();
    app.settle_after(1_000).await;
    let lead = app.hubspot.property(contact, "hubforce_salesforce_lead_id").unwrap();
    assert_eq!(app.lead_field(&lead, "Company").as_deref(), Some("Engines"));
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    app.hubspot.update(contact, &[("fax", "9")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(&survivor));
    assert_eq!(app.hubspot.property(contact, "company").as_deref(), Some("Engines"));
    assert_eq!(app.lead_field(&survivor, "Company").as_deref(), Some("Engines"));
    app.end().await;
}

#[tokio::test]
async fn r_067_and_r_195_the_blanks_of_a_surviving_account_are_filled_and_its_values_travel() {
    let app = TestApp::with(CONTACTS).await;
    let (company, account, ..) = settled(&app).await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    let survivor = app.salesforce.create("Account", &[("Name", "Engines"), ("Phone", "7")]).unwrap();
    app.salesforce.merge("Account", &survivor, &account).unwrap();
    app.tell_messages();
    // The survivor is unknown: an edit of the company finds it.
    app.hubspot.update_in("companies", company, &[("website", "engines.example")]).unwrap();
    app.settle_after(1_000).await;
    let linked = app.hubspot.property_in("companies", company, "hubforce_salesforce_account_id");
    assert_eq!(linked.as_ref(), Some(&survivor));
    for (property, field, value) in
        [("city", "BillingCity", "London"), ("name", "Name", "Engines"), ("phone", "Phone", "7")]
    {
        let here = app.hubspot.property_in("companies", company, property);
        assert_eq!(here.as_deref(), Some(value), "{property}");
        assert_eq!(held(&app, "Account", &survivor, field).as_deref(), Some(value), "{field}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_069_and_r_195_the_blanks_of_a_surviving_hubspot_contact_are_filled_and_its_values_travel() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    let king = [("email", "king@example.com"), ("lastname", "King"), ("jobtitle", "Countess")];
    let primary = app.hubspot.create(&king).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    let survivor = app.hubspot.merge(primary, contact).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(survivor.to_string()));
    for (property, field, value) in [
        ("email", "Email", "king@example.com"),
        ("lastname", "LastName", "King"),
        ("jobtitle", "Title", "Countess"),
        ("firstname", "FirstName", "Ada"),
        ("city", "City", "London"),
    ] {
        assert_eq!(app.hubspot.property(survivor, property).as_deref(), Some(value), "{property}");
        assert_eq!(app.lead_field(&lead, field).as_deref(), Some(value), "{field}");
    }
    app.end().await;
}

#[tokio::test]
async fn r_216_an_opt_out_is_carried_on_to_the_survivor_of_a_merge() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.unsubscribe("ada@example.com");
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "HasOptedOutOfEmail").as_deref(), Some("true"));
    let survivor =
        app.salesforce.create("Lead", &[("LastName", "Lovelace"), ("Company", "Engines")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&survivor, "Title").as_deref(), Some("Countess"), "it is followed");
    assert_eq!(app.lead_field(&survivor, "HasOptedOutOfEmail").as_deref(), Some("true"));
    assert_eq!(app.hubspot.property(contact, "hs_email_optout").as_deref(), Some("true"));
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    assert_eq!(app.ask("GET", &path, "").await.1["state"], "linked");
    app.end().await;
}

#[tokio::test]
async fn r_216_an_opt_out_is_carried_on_to_the_contact_that_a_lead_became() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.hubspot.unsubscribe("ada@example.com");
    app.settle().await;
    app.clock.advance_millis(1_000);
    // As where it is converted into a contact that was there before, whose box is not ticked.
    let existing = app.salesforce.convert(&lead).unwrap();
    app.salesforce.update("Contact", &existing, &[("HasOptedOutOfEmail", "false")]).unwrap();
    app.hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    app.settle_after(1_000).await;
    let linked = app.hubspot.property(contact, "hubforce_salesforce_contact_id");
    assert_eq!(linked.as_ref(), Some(&existing));
    assert_eq!(held(&app, "Contact", &existing, "HasOptedOutOfEmail").as_deref(), Some("true"));
    assert_eq!(app.hubspot.property(contact, "hs_email_optout").as_deref(), Some("true"));
    app.end().await;
}
