//! No resync and no copied id takes a record from the one that holds it.

use hubforce::domain::Clock;
use hubforce::emulator::Vendor;
use rstest::rstest;

use crate::companies::CONTACTS;
use crate::harness::TestApp;
use crate::owners::{ann, bob};
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, held, names, record, resync};

const AS_CONTACTS: &str = r#"create_in_salesforce = "contact""#;

/// Two people on both sides.
struct Two {
    object: &'static str,
    /// The HubSpot contacts of Ada and Bob.
    contacts: [u64; 2],
    /// What each is linked to.
    there: [String; 2],
}

impl Two {
    async fn new(app: &TestApp, object: &'static str) -> Self {
        let bob = [("email", "bob@example.com"), ("lastname", "Bob"), ("jobtitle", "Baron")];
        let contacts = [app.hubspot.create(&ADA).unwrap(), app.hubspot.create(&bob).unwrap()];
        app.settle().await;
        let property = format!("hubforce_salesforce_{}_id", object.to_lowercase());
        let there = contacts.map(|contact| app.hubspot.property(contact, &property).unwrap());
        app.clock.advance_millis(1_000);
        Self { object, contacts, there }
    }

    /// Ada's record is still hers and goes on syncing, and Bob's answer says who holds it.
    async fn nothing_is_taken(&self, app: &TestApp) {
        let ([ada, bob], object, holder) = (self.contacts, self.object, &self.there[0]);
        for (field, value) in [("Email", "ada@example.com"), ("LastName", "Lovelace"), ("FirstName", "Ada")] {
            assert_eq!(held(app, object, holder, field).as_deref(), Some(value), "{field}");
        }
        assert_eq!(held(app, object, holder, "Title"), None, "nothing of Bob's is written");
        assert_eq!(held(app, object, holder, "Hubforce_HubSpot_Id__c"), Some(ada.to_string()));
        let shown = record(app, &contact_place(bob)).await;
        assert_eq!(shown["state"], "stopped", "{shown}");
        names(app, &contact_place(bob), &ada.to_string()).await;
        let shown = record(app, &contact_place(ada)).await;
        assert_eq!((&shown["state"], &shown["linked_to"]["id"]), (&"linked".into(), &holder.as_str().into()));
        app.clock.advance_millis(1_000);
        app.hubspot.update(ada, &[("phone", "7")]).unwrap();
        app.settle().await;
        assert_eq!(held(app, object, holder, "Phone").as_deref(), Some("7"), "she goes on syncing");
        app.clock.advance_millis(1_000);
        app.salesforce.update(object, holder, &[("FirstName", "Augusta")]).unwrap();
        app.settle().await;
        assert_eq!(app.hubspot.property(ada, "firstname").as_deref(), Some("Augusta"), "both ways");
        assert_eq!(app.hubspot.property(bob, "firstname"), None);
    }
}

/// Resyncs the second HubSpot record, or all of its kind.
async fn resync_by(app: &TestApp, way: &str, kind: &str, id: u64) {
    match way {
        "one" => resync(app, &format!(r#"{{"kind":"{kind}","ids":["{id}"]}}"#)).await,
        "list" => {
            app.hubspot.set_active_list("78", &[("lifecyclestage", "lead")]);
            resync(app, r#"{"list_id":"78"}"#).await;
        }
        _ => resync(app, &format!(r#"{{"kind":"{kind}","all":true}}"#)).await,
    }
}

#[rstest]
#[case::leads("", "Lead")]
#[case::contacts(AS_CONTACTS, "Contact")]
#[tokio::test]
async fn r_068_and_r_072_a_resync_after_a_merge_takes_no_record_from_the_contact_that_holds_it(
    #[case] settings: &str,
    #[case] object: &'static str,
    #[values("one", "all", "list")] way: &str,
) {
    let app = TestApp::with(settings).await;
    let two = Two::new(&app, object).await;
    app.salesforce.merge(object, &two.there[0], &two.there[1]).unwrap();
    app.hubspot.update(two.contacts[1], &[("city", "Bonn")]).unwrap();
    app.settle().await;
    resync_by(&app, way, "contact", two.contacts[1]).await;
    two.nothing_is_taken(&app).await;
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_068_and_r_080_a_resync_after_a_conversion_takes_no_contact_from_the_one_that_holds_it(
    #[values("one", "all", "list")] way: &str,
) {
    let app = TestApp::start().await;
    let two = Two::new(&app, "Lead").await;
    let ([ada, bob], [_, lead]) = (two.contacts, two.there);
    // A salesperson finds that the second lead is Ada and converts it: the contact with her address becomes hers.
    app.lose_messages();
    let hers = [("Email", "ada@example.com"), ("FirstName", "Ada"), ("LastName", "Lovelace"), ("Title", "")];
    app.salesforce.update("Lead", &lead, &hers).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    let holder = app.salesforce.convert(&lead).unwrap();
    app.settle_after(1_000).await;
    let linked = app.hubspot.property(ada, "hubforce_salesforce_contact_id");
    assert_eq!(linked.as_ref(), Some(&holder));
    app.hubspot.update(bob, &[("city", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    resync_by(&app, way, "contact", bob).await;
    let two = Two { object: "Contact", contacts: [ada, bob], there: [holder, lead] };
    two.nothing_is_taken(&app).await;
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_123_a_resync_after_a_merge_takes_no_account_from_the_company_that_holds_it(
    #[values("one", "all")] way: &str,
) {
    let app = TestApp::with(CONTACTS).await;
    let account = |name| app.salesforce.create("Account", &[("Name", name)]).unwrap();
    let accounts = [account("Acme"), account("Beta")];
    app.settle().await;
    let company = |account: &String| {
        let own = |id: &u64| {
            let linked = app.hubspot.property_in("companies", *id, "hubforce_salesforce_account_id");
            linked.as_ref() == Some(account)
        };
        app.hubspot.ids_in("companies").into_iter().find(own).unwrap()
    };
    let [acme, beta] = [company(&accounts[0]), company(&accounts[1])];
    app.clock.advance_millis(1_000);
    app.salesforce.merge("Account", &accounts[0], &accounts[1]).unwrap();
    app.hubspot.update_in("companies", beta, &[("phone", "7")]).unwrap();
    app.settle().await;
    resync_by(&app, way, "company", beta).await;
    let of_account = |field| held(&app, "Account", &accounts[0], field);
    assert_eq!((of_account("Name").as_deref(), of_account("Phone")), (Some("Acme"), None));
    assert_eq!(of_account("Hubforce_HubSpot_Id__c"), Some(acme.to_string()));
    assert_eq!(app.salesforce.ids("Account").len(), 1);
    let place = format!("hubspot/company/{beta}");
    assert_eq!(record(&app, &place).await["state"], "stopped");
    names(&app, &place, &acme.to_string()).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update_in("companies", acme, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(of_account("BillingCity").as_deref(), Some("Bonn"), "the holder goes on syncing");
    app.end().await;
}

#[tokio::test]
async fn r_065_an_id_copied_onto_another_hubspot_contact_takes_no_lead_from_its_own() {
    let app = TestApp::start().await;
    let (ada, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    // The property is unique: it is moved from one contact to the other.
    app.lose_messages();
    app.hubspot.update(ada, &[("hubforce_salesforce_lead_id", "")]).unwrap();
    app.tell_messages();
    let eve = [("email", "eve@example.com"), ("lastname", "Eve"), ("hubforce_salesforce_lead_id", &lead)];
    let eve = app.hubspot.create(&eve).unwrap();
    app.settle_after(1_000).await;
    resync_by(&app, "one", "contact", eve).await;
    assert_eq!(app.lead_field(&lead, "Email").as_deref(), Some("ada@example.com"));
    assert_eq!(app.lead_field(&lead, "LastName").as_deref(), Some("Lovelace"));
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(ada.to_string()));
    app.hubspot.update(ada, &[("city", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"), "the pair goes on syncing");
    let shown = record(&app, &contact_place(ada)).await;
    assert_eq!(shown["linked_to"]["id"].as_str(), Some(lead.as_str()), "{shown}");
    let shown = record(&app, &contact_place(eve)).await;
    assert_ne!(shown["linked_to"]["id"].as_str(), Some(lead.as_str()), "{shown}");
    app.stop().await;
}

#[tokio::test]
async fn r_065_an_id_copied_onto_another_lead_takes_no_contact_from_its_own() {
    let app = TestApp::start().await;
    let (ada, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.lose_messages();
    app.salesforce.update("Lead", &lead, &[("Hubforce_HubSpot_Id__c", "")]).unwrap();
    app.tell_messages();
    let eve = [
        ("Email", "eve@example.com"),
        ("LastName", "Eve"),
        ("Company", "Navy"),
        ("Hubforce_HubSpot_Id__c", &ada.to_string()),
    ];
    let eve = app.salesforce.create("Lead", &eve).unwrap();
    app.settle_after(1_000).await;
    resync(&app, &format!(r#"{{"kind":"Lead","ids":["{eve}"]}}"#)).await;
    assert_eq!(app.hubspot.property(ada, "email").as_deref(), Some("ada@example.com"));
    assert_eq!(app.hubspot.property(ada, "lastname").as_deref(), Some("Lovelace"));
    assert_eq!(app.hubspot.property(ada, "hubforce_salesforce_lead_id").as_ref(), Some(&lead));
    app.salesforce.update("Lead", &lead, &[("City", "Bonn")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(ada, "city").as_deref(), Some("Bonn"), "the pair goes on syncing");
    let shown = record(&app, &contact_place(ada)).await;
    assert_eq!(shown["linked_to"]["id"].as_str(), Some(lead.as_str()), "{shown}");
    app.stop().await;
}

#[tokio::test]
async fn r_065_a_free_record_that_bears_the_id_is_linked_first_whatever_its_address() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&ADA).unwrap();
    let late = app.hubspot.take_due(app.clock.now());
    app.lose_messages();
    let lead = [("Email", "countess@example.com"), ("LastName", "King"), ("Company", "Navy")];
    let key = contact.to_string();
    let lead = [&lead[..], &[("Hubforce_HubSpot_Id__c", key.as_str())]].concat();
    let lead = app.salesforce.create("Lead", &lead).unwrap();
    app.tell_messages();
    for message in &late {
        app.carry(message).await;
    }
    app.settle().await;
    assert_eq!(app.lead(), lead, "no second one is made");
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id"), Some(lead));
    app.end().await;
}

#[tokio::test]
async fn r_080_and_r_177_another_contact_of_the_address_takes_over_nothing_that_was_agreed_with_a_lead() {
    let app = TestApp::start().await;
    let (ann, _) = (ann(&app), bob(&app));
    let contact = app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
    app.settle_after(1_000).await;
    let lead = app.lead();
    app.lose_messages();
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com"), ("OwnerId", ann.as_str())];
    let other = app.salesforce.create("Contact", &fields).unwrap();
    let became = app.salesforce.convert(&lead).unwrap();
    app.salesforce.delete("Contact", &became);
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "12")]).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &other, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&other));
    assert_eq!(app.salesforce.field("Contact", &other, "OwnerId"), Some(ann), "nobody gave it to Bob");
    assert_eq!(app.hubspot.property(contact, "hubspot_owner_id").as_deref(), Some("11"), "R-177");
    app.end().await;
}

#[tokio::test]
async fn r_080_what_a_lead_became_goes_before_another_contact_of_the_address() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.lose_messages();
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com"), ("Title", "Countess")];
    let other = app.salesforce.create("Contact", &fields).unwrap();
    app.clock.advance_millis(1_000);
    let became = app.salesforce.convert(&lead).unwrap();
    app.tell_messages();
    app.clock.advance_millis(1_000);
    app.salesforce.update("Contact", &other, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&became));
    assert_eq!(app.hubspot.property(contact, "jobtitle"), None, "nothing of the other contact is taken");
    assert_eq!(held(&app, "Contact", &other, "Hubforce_HubSpot_Id__c"), None);
    app.end().await;
}
