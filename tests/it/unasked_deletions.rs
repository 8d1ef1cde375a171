//! A deletion takes nobody along who has another record, and a record entered again is the same person's.

use crate::harness::{TestApp, failing};
use crate::people::{ADA, linked};
use crate::unasked::{contact_place, held, only, record};

#[tokio::test]
async fn r_048_and_r_063_another_record_with_the_address_takes_over_before_the_contact_is_deleted() {
    for deleted in ["Contact", "Lead"] {
        let app = TestApp::with("delete_in_hubspot = true").await;
        let (contact, lead) = linked(&app).await;
        app.clock.advance_millis(5_000);
        let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
        let other = app.salesforce.create("Contact", &fields).unwrap();
        app.settle_after(5_000).await;
        app.clock.advance_millis(5_000);
        if deleted == "Lead" {
            app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
            app.settle_after(5_000).await;
        }
        let id_of = |object: &str| {
            let property = format!("hubforce_salesforce_{}_id", object.to_lowercase());
            app.hubspot.property(contact, &property)
        };
        let (gone, left) =
            if deleted == "Lead" { (lead, ("Contact", other)) } else { (other, ("Lead", lead)) };
        assert_eq!(id_of(deleted).as_ref(), Some(&gone), "the one that is deleted was linked");
        app.salesforce.delete(deleted, &gone);
        app.hubspot.update(contact, &[("phone", "7")]).unwrap();
        app.settle_after(5_000).await;
        assert_eq!(app.hubspot.ids(), [contact], "{deleted}: the person is still there");
        assert_eq!(id_of(left.0).as_ref(), Some(&left.1), "{deleted}");
        assert_eq!(held(&app, left.0, &left.1, "Phone").as_deref(), Some("7"), "{deleted}");
        app.end().await;
    }
}

#[tokio::test]
async fn r_051_and_r_047_a_contact_entered_again_takes_over_before_the_lead_is_deleted() {
    let app = TestApp::with("delete_in_salesforce = true").await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    // Both before anybody looks.
    app.hubspot.delete(contact);
    let again = app.hubspot.create(&ADA).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.salesforce.ids("Lead"), std::slice::from_ref(&lead));
    assert_eq!(app.hubspot.property(again, "hubforce_salesforce_lead_id"), Some(lead.clone()));
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(again.to_string()));
    app.end().await;
}

#[tokio::test]
async fn r_047_and_r_060_a_contact_entered_again_is_linked_to_its_lead_by_the_address() {
    let app = TestApp::start().await;
    let (old, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.delete(old);
    app.settle_after(1_000).await;
    assert_eq!(record(&app, &contact_place(old)).await["state"], "stopped");
    let new = app.hubspot.create(&[ADA[0], ADA[1], ADA[2], ("jobtitle", "Countess")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(only(&app.salesforce.ids("Lead")), lead, "no second lead is made");
    assert_eq!(app.hubspot.property(new, "hubforce_salesforce_lead_id").as_ref(), Some(&lead));
    assert_eq!(app.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(new.to_string()));
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Countess"));
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("London"), "nothing is cleared");
    assert_eq!(app.hubspot.property(new, "city").as_deref(), Some("London"), "blanks are filled");
    app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(new, "city").as_deref(), Some("Rome"));
    assert_eq!(record(&app, &contact_place(new)).await["state"], "linked");
    app.end().await;
}

#[tokio::test]
async fn r_049_an_edited_lead_does_not_make_a_deleted_contact_anew() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.delete(contact);
    app.settle_after(1_000).await;
    app.salesforce.update("Lead", &lead, &[("City", "Rome")]).unwrap();
    app.settle_after(1_000).await;
    assert!(app.hubspot.ids().is_empty(), "for creation the lead still counts as paired");
    app.end().await;
}

#[tokio::test]
async fn r_048_and_r_080_a_lead_that_is_deleted_after_its_conversion_lives_on_in_its_contact() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    let person = app.salesforce.convert(&lead).unwrap();
    app.salesforce.delete("Lead", &lead);
    app.hubspot.update(contact, &[("email", "ada@example.org"), ("phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.ids(), [contact], "nobody deleted the person");
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&person));
    assert_eq!(held(&app, "Contact", &person, "Phone").as_deref(), Some("7"));
    app.end().await;
}

#[tokio::test]
async fn r_050_no_contact_is_deleted_while_nobody_knows_whether_the_survivor_has_one() {
    let app = TestApp::with("delete_in_hubspot = true").await;
    let (contact, lead) = linked(&app).await;
    let fields = [("LastName", "King"), ("Company", "Engines"), ("Email", "king@example.com")];
    let survivor = app.salesforce.create("Lead", &fields).unwrap();
    app.hubspot.control().add_fault(failing("/contacts/batch/create", 503, 1));
    app.settle().await;
    app.lose_messages();
    app.salesforce.merge("Lead", &survivor, &lead).unwrap();
    app.tell_messages();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.ids(), [contact], "its lead became one of which that is not known");
    app.settle_after(60_000).await;
    app.settle_after(60_000).await;
    let left = app.hubspot.ids();
    assert_eq!(left.len(), 1);
    assert_eq!(app.lead_field(&survivor, "Hubforce_HubSpot_Id__c"), Some(left[0].to_string()));
    assert_eq!(
        app.hubspot.property(left[0], "email").as_deref(),
        Some("king@example.com"),
        "the survivor has one"
    );
    app.end().await;
}
