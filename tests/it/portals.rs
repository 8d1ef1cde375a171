//! Several portals on one organization, as stories.

use hubforce::domain::Clock;
use hubforce::emulator::salesforce::Options;
use hubforce::emulator::{Answer, Vendor};

use crate::harness::{Setup, TestApp};
use crate::people::ADA;

/// The second portal's key on the same objects.
pub(crate) const KEY: &str = "Hubforce_Second_Id__c";

/// Two portals, each with a service of its own. What one of them writes is told to the other: their users may send messages.
pub(crate) async fn two(settings: &str) -> (TestApp, TestApp) {
    let organization = Options {
        more_external_id_fields: vec![KEY.to_owned()],
        integration_sends_messages: true,
        ..Options::default()
    };
    let first = TestApp::in_organization("", organization).await;
    let second = first.beside(&Setup { external_id_field: Some(KEY), ..Setup::with(settings) }).await;
    (first, second)
}

/// Lets both work until nothing more happens; every message of Salesforce goes to both.
async fn settle(first: &TestApp, second: &TestApp) {
    loop {
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
            assert!(answers.iter().all(|answer| matches!(answer, Answer::Status(200, _))));
            first.salesforce.settle(message.id, &answers[0], first.clock.now());
        }
        for app in [first, second] {
            app.worker.drain().await.unwrap();
        }
        if told == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn r_005_r_008_and_r_009_what_one_portal_creates_the_other_picks_up_and_nothing_loops() {
    let (first, second) = two("").await;
    let ada = first.hubspot.create(&ADA).unwrap();
    settle(&first, &second).await;
    let lead = first.lead();
    let other = second.hubspot.ids();
    assert_eq!(other.len(), 1, "R-008: the second portal made its own contact of the lead");
    assert_eq!(first.lead_field(&lead, KEY), Some(other[0].to_string()));
    assert_eq!(
        first.lead_field(&lead, "Hubforce_HubSpot_Id__c"),
        Some(ada.to_string()),
        "each has a key of its own"
    );
    first.clock.advance_millis(1_000);
    second.hubspot.update(other[0], &[("city", "Bonn")]).unwrap();
    settle(&first, &second).await;
    assert_eq!(first.hubspot.property(ada, "city").as_deref(), Some("Bonn"), "through the organization");
    first.forget_calls();
    second.forget_calls();
    settle(&first, &second).await;
    assert_eq!(first.writes() + second.writes(), 0, "no loop between them");
    second.end().await;
    first.end().await;
}

#[tokio::test]
async fn r_007_a_portal_that_creates_nothing_stays_empty() {
    let (first, second) = two(r#"create_in_hubspot = "never""#).await;
    first.hubspot.create(&ADA).unwrap();
    settle(&first, &second).await;
    assert_eq!(first.salesforce.ids("Lead").len(), 1);
    assert!(second.hubspot.ids().is_empty());
    second.end().await;
    first.end().await;
}
