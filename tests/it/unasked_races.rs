//! What a person does between our read and our write is not lost.

use std::sync::Arc;

use hubforce::domain::Clock;
use hubforce::emulator::{Fault, Vendor};
use rstest::rstest;

use crate::companies::{CONTACTS, account_of, settled};
use crate::harness::{TestApp, failing, unanswered};
use crate::people::{ADA, linked};
use crate::unasked::only;

/// Right before the service writes to Salesforce next, a person edits this record. Reads and writes share a path: the first call is
/// the service's read, the next its write.
fn edits_before_our_write(app: &TestApp, object: &'static str, id: &str, edit: (&'static str, &str)) {
    let (salesforce, id) = (Arc::clone(&app.salesforce), id.to_owned());
    let (field, value) = (edit.0, edit.1.to_owned());
    app.salesforce.control().before_next_call("/composite/sobjects", move || {
        let desk = Arc::clone(&salesforce);
        desk.control().before_next_call("/composite/sobjects", move || {
            salesforce.update(object, &id, &[(field, value.as_str())]).unwrap();
        });
    });
}

/// Lets HubSpot's events and our write happen.
async fn our_write(app: &TestApp) {
    for message in app.hubspot.take_due(app.clock.now()) {
        app.carry(&message).await;
    }
    app.worker.drain().await.unwrap();
}

/// Carries what Salesforce tells, without this field: nobody selected it for the message.
async fn told_without(app: &TestApp, field: &str) {
    let told = app.salesforce.take_due(app.clock.now());
    assert_eq!(told.len(), 1, "of the person's edit");
    for mut message in told {
        let body = String::from_utf8(message.body).unwrap();
        assert!(body.contains(&format!("<sf:LastModifiedById>{}<", app.salesforce.integration_user())));
        let tag = format!("<sf:{field}>");
        message.body = body.lines().filter(|line| !line.contains(&tag)).collect::<Vec<_>>().join("\n").into();
        app.carry(&message).await;
    }
    app.worker.drain().await.unwrap();
}

#[rstest]
#[case::filled("", "Countess", "")]
#[case::filled_in_a_field_that_the_message_leaves_out("", "Countess", "Title")]
#[case::changed("Baroness", "Countess", "")]
#[case::changed_in_a_field_that_the_message_leaves_out("Baroness", "Countess", "Title")]
#[case::cleared("Baroness", "", "")]
#[tokio::test]
async fn r_192_an_edit_of_a_lead_between_our_read_and_our_write_is_not_taken_for_our_own(
    #[case] before: &str,
    #[case] after: &str,
    #[case] left_out: &str,
) {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", before)]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "jobtitle").unwrap_or_default(), before);
    edits_before_our_write(&app, "Lead", &lead, ("Title", after));
    app.hubspot.update(contact, &[("phone", "7")]).unwrap();
    our_write(&app).await;
    assert_eq!(app.lead_field(&lead, "Phone").as_deref(), Some("7"));
    assert_eq!(app.lead_field(&lead, "Title").unwrap_or_default(), after);
    told_without(&app, if left_out.is_empty() { "Nothing" } else { left_out }).await;
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "jobtitle").unwrap_or_default(), after);
    app.end().await;
}

#[tokio::test]
async fn r_192_a_write_that_never_arrived_does_not_speak_for_a_value_that_was_written_after_it() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    let edit = |value: &'static str| app.hubspot.update(contact, &[("jobtitle", value)]).unwrap();
    app.clock.advance_millis(1_000);
    edit("Countess");
    app.settle().await;
    app.salesforce
        .control()
        .add_fault(Fault { method: Some("PATCH".to_owned()), ..failing("/composite", 503, 1) });
    app.clock.advance_millis(1_000);
    edit("Duchess");
    our_write(&app).await;
    edit("");
    app.settle_after(2_000).await;
    assert_eq!(app.lead_field(&lead, "Title"), None);
    // A later value, and a still later edit of another field in Salesforce.
    app.clock.advance_millis(1_000);
    app.lose_messages();
    edit("Baroness");
    app.clock.advance_millis(1_000);
    app.tell_messages();
    app.salesforce.update("Lead", &lead, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Baroness"));
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Baroness"));
    app.end().await;
}

#[rstest]
#[tokio::test]
async fn r_063_what_was_written_for_the_former_lead_says_nothing_of_the_contact_that_takes_its_place(
    #[values(3, 4, 5, 6)] calls_before_one_fails: u32,
) {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.control().add_fault(unanswered("POST", "/contacts/batch/update"));
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle().await;
    app.clock.advance_millis(1_000);
    let fails = Fault { skip: calls_before_one_fails, ..failing("/composite", 503, 1) };
    app.salesforce.control().add_fault(fails);
    let other = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
    let other = app.salesforce.create("Contact", &other).unwrap();
    app.settle().await;
    for _ in 0..3 {
        app.settle_after(3_000).await;
    }
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_contact_id").as_ref(), Some(&other));
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Countess"));
    assert_eq!(app.salesforce.field("Contact", &other, "Title").as_deref(), Some("Countess"));
    app.end().await;
}

#[tokio::test]
async fn r_192_a_move_of_a_contact_between_our_read_and_our_write_is_not_taken_for_our_own() {
    let app = TestApp::with(CONTACTS).await;
    let (company, _, ada, contact) = settled(&app).await;
    let other = app.salesforce.create("Account", &[("Name", "Looms")]).unwrap();
    app.settle_after(1_000).await;
    let other_company = app.hubspot.ids_in("companies").into_iter().find(|id| *id != company).unwrap();
    edits_before_our_write(&app, "Contact", &contact, ("AccountId", &other));
    app.hubspot.update(ada, &[("phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(account_of(&app, &contact), Some(other));
    assert_eq!(app.hubspot.associated(("contacts", ada), "companies")[0], other_company);
    app.end().await;
}

#[tokio::test]
async fn r_192_an_edit_in_hubspot_between_our_read_and_our_write_is_not_overwritten_unseen() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    let hubspot = Arc::clone(&app.hubspot);
    app.hubspot.control().before_next_call("/contacts/batch/update", move || {
        hubspot.update(contact, &[("jobtitle", "Countess")]).unwrap();
    });
    app.salesforce.update("Lead", &lead, &[("Phone", "7")]).unwrap();
    app.settle_after(1_000).await;
    assert_eq!(app.hubspot.property(contact, "phone").as_deref(), Some("7"));
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Countess"));
    app.end().await;
}

#[tokio::test]
async fn r_049_a_contact_erased_for_privacy_comes_back_only_when_somebody_enters_it_again() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.hubspot.erase(contact).unwrap();
    app.settle_after(1_000).await;
    let fields = [("LastName", "Lovelace"), ("Company", "C"), ("Email", "ada@example.com")];
    let other = app.salesforce.create("Lead", &fields).unwrap();
    app.settle_after(1_000).await;
    assert!(app.hubspot.ids().is_empty(), "a new lead with the address");
    for body in
        [r#"{"kind":"Lead","all":true}"#.to_owned(), format!(r#"{{"kind":"Lead","ids":["{other}"]}}"#)]
    {
        crate::unasked::resync(&app, &body).await;
        assert!(app.hubspot.ids().is_empty(), "{body}");
    }
    let creates = app.hubspot.control().calls_to("batch/create");
    assert_eq!(creates, 0, "HubSpot is not even asked");
    app.hubspot.create(&ADA).unwrap();
    app.settle_after(1_000).await;
    let again = only(&app.hubspot.ids());
    let linked = app.hubspot.property(again, "hubforce_salesforce_lead_id").unwrap_or_default();
    assert!([lead, other].contains(&linked), "a person entered it: {linked}");
    app.end().await;
}

#[tokio::test]
async fn r_192_an_edit_between_our_read_and_the_question_for_its_time_is_the_one_that_wins() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(2_000);
    app.hubspot.update(contact, &[("jobtitle", "oldest")]).unwrap();
    app.clock.advance_millis(2_000);
    app.salesforce.update("Lead", &lead, &[("Title", "older")]).unwrap();
    app.clock.advance_millis(2_000);
    // The first read tells the values, the next one their times.
    let portal = Arc::clone(&app.hubspot);
    app.hubspot.control().before_next_call("/contacts/batch/read", move || {
        let desk = Arc::clone(&portal);
        portal.control().before_next_call("/contacts/batch/read", move || {
            desk.update(contact, &[("jobtitle", "newest")]).unwrap();
        });
    });
    app.settle_after(1_000).await;
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("newest"));
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("newest"));
    let told = app.salesforce.journal();
    let wrote = |entry: &&hubforce::emulator::Entry| entry.field == "Title" && entry.new == "oldest";
    assert_eq!(told.iter().find(wrote), None, "the time of the newest value makes no older one win");
    app.end().await;
}

#[tokio::test]
async fn r_192_what_we_wrote_without_an_answer_is_no_edit_that_outdoes_a_persons() {
    let app = TestApp::start().await;
    let (contact, lead) = linked(&app).await;
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle_after(1_000).await;
    app.salesforce.update("Lead", &lead, &[("Title", "Baroness")]).unwrap();
    app.hubspot.control().add_fault(unanswered("POST", "/contacts/batch/update"));
    app.settle().await;
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Baroness"));
    // A person takes it back before anybody looks again.
    app.clock.advance_millis(1_000);
    app.salesforce.update("Lead", &lead, &[("Title", "Countess")]).unwrap();
    app.settle_after(60_000).await;
    assert_eq!(app.lead_field(&lead, "Title").as_deref(), Some("Countess"));
    assert_eq!(app.hubspot.property(contact, "jobtitle").as_deref(), Some("Countess"));
    app.end().await;
}

#[tokio::test]
async fn r_063_an_edit_of_the_linked_record_between_our_read_and_our_write_counts() {
    let app = TestApp::sweeping("").await;
    let (contact, lead) = linked(&app).await;
    app.quiet().await;
    app.lose_messages();
    app.clock.advance_millis(60_000);
    let fields = [("LastName", "Lovelace"), ("Email", "ada@example.com")];
    let other = app.salesforce.create("Contact", &fields).unwrap();
    app.clock.advance_millis(60_000);
    edits_before_our_write(&app, "Lead", &lead, ("Phone", "7"));
    app.tell_messages();
    app.hubspot.update(contact, &[("city", "Bonn")]).unwrap();
    app.settle().await;
    assert_eq!(app.lead_field(&lead, "City").as_deref(), Some("Bonn"));
    assert_eq!(
        app.hubspot.property(contact, "phone").as_deref(),
        Some("7"),
        "what the write brought to light"
    );
    app.sweep().await;
    assert_eq!(app.hubspot.property(contact, "hubforce_salesforce_lead_id").as_ref(), Some(&lead));
    assert_eq!(
        app.salesforce.field("Contact", &other, "Hubforce_HubSpot_Id__c"),
        None,
        "it was edited before"
    );
    app.end().await;
}
