//! Whose change is the later one is asked of each value, not of the record, and our own writes do not count.

use hubforce::domain::Clock;
use hubforce::emulator::{Answer, Vendor};

use crate::harness::TestApp;
use crate::owners::{ann, bob};
use crate::people::{ADA, linked};
use crate::portals::{KEY, two};
use crate::unasked::held;

/// What both sides hold: the HubSpot property and the lead's field.
fn both(app: &TestApp, (contact, property): (u64, &str), (lead, field): (&str, &str)) -> [Option<String>; 2] {
    [app.hubspot.property(contact, property), app.lead_field(lead, field)]
}

#[tokio::test]
async fn r_192_the_later_value_wins_although_another_property_moved_later_in_hubspot() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(2_000);
    app.hubspot.update(contact, &[("jobtitle", "older")]).unwrap();
    app.clock.advance_millis(2_000);
    app.salesforce.update("Lead", &lead, &[("Title", "newer")]).unwrap();
    app.clock.advance_millis(2_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let titles = both(&app, (contact, "jobtitle"), (&lead, "Title"));
    assert_eq!(titles, ["newer", "newer"].map(|text| Some(text.to_owned())));
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
async fn r_192_the_later_value_wins_although_another_field_moved_later_in_salesforce() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(2_000);
    app.salesforce.update("Lead", &lead, &[("Title", "older")]).unwrap();
    // The message is on its way: it tells of the title at its own time.
    let mut late = app.salesforce.take_due(app.clock.now());
    app.clock.advance_millis(2_000);
    app.hubspot.update(contact, &[("jobtitle", "newer")]).unwrap();
    late.extend(app.hubspot.take_due(app.clock.now()));
    app.clock.advance_millis(2_000);
    app.salesforce.update("Lead", &lead, &[("City", "Bonn")]).unwrap();
    late.extend(app.salesforce.take_due(app.clock.now()));
    for message in &late {
        app.carry(message).await;
    }
    app.settle().await;
    let titles = both(&app, (contact, "jobtitle"), (&lead, "Title"));
    assert_eq!(titles, ["newer", "newer"].map(|text| Some(text.to_owned())));
    assert_eq!(app.hubspot.property(contact, "city").as_deref(), Some("Bonn"));
    app.end().await;
}

#[tokio::test]
async fn r_192_and_r_063_a_property_that_is_not_mapped_makes_no_older_value_the_later_one() {
    let app = TestApp::start().await;
    let contact = app.hubspot.create(&[&ADA[..], &[("phone", "1")]].concat()).unwrap();
    app.settle_after(5_000).await;
    let lead = app.lead();
    app.clock.advance_millis(5_000);
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com"), ("Phone", "2")];
    let other = app.salesforce.create("Contact", &fields).unwrap();
    app.clock.advance_millis(5_000);
    // As a page view does, this moves the time that HubSpot keeps for the contact.
    app.hubspot.update(contact, &[("date_of_birth", "1815-12-10")]).unwrap();
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&other));
    assert_eq!(held(&app, "Contact", &other, "Phone").as_deref(), Some("2"), "the salesperson's edit stays");
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("2"));
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("1"));
    app.settle_after(5_000).await;
    app.end().await;
}

#[tokio::test]
async fn r_192_another_property_that_moved_later_does_not_decide_a_first_link() {
    let app = TestApp::start().await;
    app.lose_messages();
    let contact = app.hubspot.create(&[&ADA[..], &[("phone", "1")]].concat()).unwrap();
    app.tell_messages();
    app.clock.advance_millis(5_000);
    app.lose_messages();
    let fields = [("LastName", "Lovelace"), ("Company", "C"), ("Email", "ada@example.com"), ("Phone", "2")];
    let lead = app.salesforce.create("Lead", &fields).unwrap();
    app.tell_messages();
    app.clock.advance_millis(5_000);
    app.hubspot.update(contact, &[("fax", "9")]).unwrap();
    app.settle().await;
    let phones = both(&app, (contact, "phone"), (&lead, "Phone"));
    assert_eq!(phones, ["2", "2"].map(|text| Some(text.to_owned())));
    app.end().await;
}

#[tokio::test]
async fn r_192_a_late_repetition_of_an_event_makes_no_older_value_win() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    // It is taken in, but HubSpot never learns of that and sends it again hours later.
    for message in app.hubspot.take_due(app.clock.now()) {
        app.carry(&message).await;
        app.hubspot.settle(message.id, &Answer::Status(503, Vec::new()), app.clock.now());
    }
    app.worker.drain().await.unwrap();
    app.clock.advance_millis(3_600_000);
    app.lose_messages();
    app.salesforce.update("Lead", &lead, &[("Title", "older")]).unwrap();
    app.clock.advance_millis(2_000);
    app.hubspot.update(contact, &[("jobtitle", "newer")]).unwrap();
    app.tell_messages();
    app.clock.advance_millis(2_000);
    app.hubspot.try_again_now();
    assert!(app.deliver().await > 0, "it comes again");
    app.settle().await;
    let titles = both(&app, (contact, "jobtitle"), (&lead, "Title"));
    assert_eq!(titles, ["newer", "newer"].map(|text| Some(text.to_owned())));
    app.end().await;
}

#[tokio::test]
async fn r_178_the_later_owner_wins_although_another_property_moved_later() {
    let app = TestApp::start().await;
    let (_, bob) = (ann(&app), bob(&app));
    app.hubspot.add_owner(13, "cy@example.com", "Cy", "Orr");
    let cy = app.salesforce.add_user("cy@example.com", "Cy", "Orr", true);
    let contact = app.hubspot.create(&[&ADA[..], &[("hubspot_owner_id", "11")]].concat()).unwrap();
    app.settle().await;
    let lead = app.lead();
    app.clock.advance_millis(600_000);
    app.hubspot.update(contact, &[("hubspot_owner_id", "13")]).unwrap();
    app.clock.advance_millis(600_000);
    app.salesforce.update("Lead", &lead, &[("OwnerId", &bob)]).unwrap();
    app.clock.advance_millis(600_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    let owners = both(&app, (contact, "hubspot_owner_id"), (&lead, "OwnerId"));
    assert_eq!(owners, [Some("12".to_owned()), Some(bob)], "not {cy}");
    app.end().await;
}

#[tokio::test]
async fn r_063_what_we_write_to_the_linked_record_does_not_outdo_a_persons_edit_of_another() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(5_000);
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
    let other = app.salesforce.create("Contact", &fields).unwrap();
    app.settle_after(5_000).await;
    app.clock.advance_millis(5_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle_after(5_000).await;
    let linked_to = |object: &str| app.hubspot.property(contact, &format!("hubforce_salesforce_{object}_id"));
    assert_eq!(linked_to("lead").as_ref(), Some(&lead));
    app.quiet().await;
    // A salesperson edits the contact, which no message tells; two minutes later we write to the lead.
    app.lose_messages();
    app.salesforce.update("Contact", &other, &[("Phone", "2")]).unwrap();
    app.tell_messages();
    app.clock.advance_millis(120_000);
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    app.sweep().await;
    app.sweep().await;
    assert_eq!(linked_to("contact").as_ref(), Some(&other));
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("2"));
    assert_eq!(held(&app, "Contact", &other, "Phone").as_deref(), Some("2"));
    assert_eq!(held(&app, "Contact", &other, "MailingCity").as_deref(), Some("Bonn"));
    app.end().await;
}

/// Lets both portals work until nothing more happens, but not for ever. A message of Salesforce goes to those named.
async fn settle_at_most(rounds: usize, first: &TestApp, second: &TestApp) -> bool {
    for _ in 0..rounds {
        let mut told = 0;
        for app in [first, second] {
            for message in app.hubspot.take_due(app.clock.now()) {
                told += 1;
                let answer = app.carry(&message).await;
                app.hubspot.settle(message.id, &answer, app.clock.now());
            }
        }
        for message in first.salesforce.take_due(first.clock.now()) {
            told += 1;
            let answers = [first.carry(&message).await, second.carry(&message).await];
            first.salesforce.settle(message.id, &answers[0], first.clock.now());
        }
        for app in [first, second] {
            app.worker.drain().await.unwrap();
        }
        if told == 0 {
            return true;
        }
        first.clock.advance_millis(1_000);
    }
    false
}

#[tokio::test]
async fn r_008_and_r_063_two_portals_that_are_linked_to_two_leads_of_one_address_settle() {
    let (first, second) = two("").await;
    let ada = first.hubspot.create(&ADA).unwrap();
    assert!(settle_at_most(20, &first, &second).await);
    let lead = first.lead();
    let other = second.hubspot.ids()[0];
    first.clock.advance_millis(5_000);
    // Of the second lead only the second portal is told.
    let fields = [("LastName", "Lovelace"), ("Company", "C"), ("Email", "ada@example.com"), ("Phone", "2")];
    let newer = first.salesforce.create("Lead", &fields).unwrap();
    for message in first.salesforce.take_due(first.clock.now()) {
        let answer = second.carry(&message).await;
        first.salesforce.settle(message.id, &answer, first.clock.now());
    }
    second.worker.drain().await.unwrap();
    assert_eq!(first.lead_field(&newer, KEY), Some(other.to_string()), "it goes over to the newer one");
    assert_eq!(first.lead_field(&lead, "Hubforce_HubSpot_Id__c"), Some(ada.to_string()));
    assert!(settle_at_most(30, &first, &second).await, "the two take turns");
    first.clock.advance_millis(5_000);
    first.salesforce.update("Lead", &newer, &[("City", "Rome")]).unwrap();
    assert!(settle_at_most(30, &first, &second).await, "the two take turns");
    assert_eq!(first.hubspot.property(ada, "city").as_deref(), Some("Rome"));
    assert_eq!(second.hubspot.property(other, "city").as_deref(), Some("Rome"));
    first.forget_calls();
    second.forget_calls();
    assert!(settle_at_most(3, &first, &second).await);
    assert_eq!(first.writes() + second.writes(), 0);
    second.end().await;
    first.end().await;
}
