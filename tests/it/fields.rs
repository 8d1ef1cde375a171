//! Fields of special kinds, as stories: formulas, places, one name on both objects.

use hubforce::emulator::salesforce::Options;

use crate::harness::TestApp;
use crate::people::{ADA, linked};

fn formula(object: &str, shown: &str) -> Options {
    let formula = (object.to_owned(), "Shown__c".to_owned(), shown.to_owned());
    Options { formulas: vec![formula], ..Options::default() }
}

#[tokio::test]
async fn r_082_one_mapping_serves_lead_and_contact_and_survives_the_conversion() {
    let custom = |object: &str| (object.to_owned(), "Nickname__c".to_owned(), "string");
    let organization =
        Options { custom_fields: vec![custom("Lead"), custom("Contact")], ..Options::default() };
    let mapping = r#"mappings = [{ hubspot = "salutation", salesforce = "Nickname__c" }]"#;
    let app = TestApp::in_organization(mapping, organization).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("salutation", "Countess")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "Nickname__c").as_deref(), Some("Countess"));
    // No lead-conversion mapping carries the custom field: the new contact's is blank.
    let heir = app.salesforce.convert(&lead).unwrap();
    assert_eq!(app.salesforce.field("Contact", &heir, "Nickname__c"), None);
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "salutation").as_deref(),
        Some("Countess"),
        "it keeps its value"
    );
    assert_eq!(app.salesforce.field("Contact", &heir, "Nickname__c").as_deref(), Some("Countess"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &heir, &[("Nickname__c", "Ada")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "salutation").as_deref(), Some("Ada"));
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("salutation", "A.")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Contact", &heir, "Nickname__c").as_deref(), Some("A."));
    app.end().await;
}

#[tokio::test]
async fn r_212_r_247_and_r_248_a_formula_travels_with_the_field_that_feeds_it() {
    let mapping = r#"mappings = [{ hubspot = "salutation", lead = "Shown__c" }]"#;
    let app = TestApp::in_organization(mapping, formula("Lead", "Rating")).await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Rating", "Hot"), ("Phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "salutation").as_deref(), Some("Hot"), "R-248");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("salutation", "Cold")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "salutation").as_deref(),
        Some("Hot"),
        "R-212: it flows one way"
    );
    let findings = serde_json::to_string(&app.worker.inspect(&app.name).await.unwrap()).unwrap();
    assert!(findings.contains("R-212"), "{findings}");
    app.end().await;
}

#[tokio::test]
async fn r_247_and_r_249_a_formula_fed_by_another_record_tells_of_nothing() {
    let mapping = "create_in_salesforce = \"contact\"\nmappings = [{ hubspot = \"salutation\", contact = \"Shown__c\" }]";
    let app = TestApp::in_organization(mapping, formula("Contact", "Account.Name")).await;
    let account = app.salesforce.create("Account", &[("Name", "Engines")]).unwrap();
    let fields = [("LastName", "L"), ("Email", "ada@example.com"), ("AccountId", account.as_str())];
    let row = app.salesforce.create("Contact", &fields).unwrap();
    app.settle().await;
    let contact = app.hubspot.ids()[0];
    assert_eq!(app.hubspot.property(contact, "salutation").as_deref(), Some("Engines"));
    app.clock.advance_millis(1_000);
    app.salesforce.update("Account", &account, &[("Name", "Looms")]).unwrap();
    app.settle().await;
    assert_eq!(app.salesforce.field("Contact", &row, "Shown__c").as_deref(), Some("Looms"));
    assert_eq!(app.hubspot.property(contact, "salutation").as_deref(), Some("Engines"), "nothing told of it");
    app.salesforce.update("Contact", &row, &[("Phone", "7")]).unwrap();
    app.settle().await;
    assert_eq!(
        app.hubspot.property(contact, "salutation").as_deref(),
        Some("Looms"),
        "it comes with the next change"
    );
    app.end().await;
}

#[tokio::test]
async fn r_209_states_and_countries_come_from_lists_and_no_state_without_its_country() {
    let organization = Options { lists_places: true, ..Options::default() };
    let app = TestApp::in_organization("", organization).await;
    let place = |state: &'static str, country: &'static str| [("state", state), ("country", country)];
    let contact = app.hubspot.create(&[&ADA[..], &place("Ohio", "United States")].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    let held = |app: &TestApp| (app.lead_field(&lead, "State"), app.lead_field(&lead, "Country"));
    assert_eq!(held(&app), (Some("Ohio".into()), Some("United States".into())));
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("country", "Atlantis"), ("state", "North"), ("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(held(&app), (Some("Ohio".into()), Some("United States".into())), "both are set aside");
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "the rest is written");
    let path = format!("/v1/connections/acme/records/hubspot/contact/{contact}");
    let (_, record) = app.ask("GET", &path, "").await;
    assert!(record["last_error"].to_string().contains("problem with this country"), "{record}");
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &place("Queensland", "Australia")).unwrap();
    app.settle().await;
    assert_eq!(held(&app), (Some("Queensland".into()), Some("Australia".into())));
    app.end().await;
}

#[tokio::test]
async fn r_209_a_new_record_comes_without_a_place_that_no_list_has() {
    let organization = Options { lists_places: true, ..Options::default() };
    let app = TestApp::in_organization("", organization).await;
    let place = [("state", "North"), ("country", "Atlantis")];
    app.hubspot.create(&[&ADA[..], &place].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"));
    assert_eq!((app.lead_field(&lead, "State"), app.lead_field(&lead, "Country")), (None, None));
    app.stop().await;
}

#[tokio::test]
async fn r_202_a_lead_without_a_company_gets_the_name_of_the_associated_one() {
    for (settings, name) in
        [("", "Engines Ltd"), ("[connections.sync.companies]\nenabled = true", "Looms Ltd")]
    {
        let app = TestApp::with(settings).await;
        let company = app.hubspot.create_in("companies", &[("name", name)]).unwrap();
        app.settle().await;
        let contact = app.hubspot.create(&[("lastname", "King"), ("email", "king@gmail.com")]).unwrap();
        app.hubspot.associate(("contacts", contact), ("companies", company)).unwrap();
        app.settle().await;
        let lead = app.lead();
        assert_eq!(app.lead_field(&lead, "Company").as_deref(), Some(name));
        assert_eq!(app.hubspot.property(contact, "company"), None, "what is filled in never travels back");
        app.clock.advance_millis(1_000);
        app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
        app.settle().await;
        assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
        assert_eq!(app.hubspot.property(contact, "company"), None);
        // A contact that names a company itself, and one without any.
        let own = [("lastname", "A"), ("email", "a@gmail.com"), ("company", "Own Ltd")];
        let own = app.hubspot.create(&own).unwrap();
        app.hubspot.associate(("contacts", own), ("companies", company)).unwrap();
        let alone = app.hubspot.create(&[("lastname", "B"), ("email", "b@example.org")]).unwrap();
        app.settle().await;
        let company_of = |contact: u64| {
            let lead = app.hubspot.property(contact, "hubforce_salesforce_lead_id").unwrap();
            app.lead_field(&lead, "Company")
        };
        assert_eq!(company_of(own).as_deref(), Some("Own Ltd"));
        assert_eq!(company_of(alone).as_deref(), Some("example.org"));
        app.end().await;
    }
}
