//! A clock that is set back: nothing waits for an instant that comes a second time.

use hubforce::domain::{Clock, Family};
use hubforce::emulator::salesforce;
use hubforce::store::types::Claim;
use uuid::Uuid;

use crate::harness::TestApp;
use crate::people::ADA;

/// How far it is ahead; HubSpot's signatures allow five minutes.
const AHEAD_MS: i64 = 4 * 60_000;

/// How long the claim of an instance that ended is respected.
const LEASE_MS: i64 = 30_000;

#[tokio::test]
async fn i_1_what_was_due_or_leased_before_the_clock_was_set_back_is_worked() {
    let app = TestApp::start().await;
    app.own_clock.set_ahead_ms(AHEAD_MS);
    app.settle().await;
    app.hubspot.create(&[("email", "grace@example.com"), ("lastname", "Hopper")]).unwrap();
    app.deliver().await;
    let now = app.own_clock.now();
    let gone = Claim {
        connection: &app.name,
        family: Family::People,
        worker: Uuid::now_v7(),
        now,
        lease_until: now.plus_millis(LEASE_MS),
        limit: 10,
    };
    assert_eq!(app.store.claim(&gone).await.unwrap().len(), 1);
    app.hubspot.create(&ADA).unwrap();
    app.deliver().await;
    app.own_clock.set_ahead_ms(0);
    app.worker.drain().await.unwrap();
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.clock.advance_millis(LEASE_MS);
    app.settle().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 2);
    app.end().await;
}

#[tokio::test]
async fn i_3_sweeps_go_on_when_the_clock_is_set_back() {
    let app = TestApp::unswept("", salesforce::Options::default()).await;
    app.own_clock.set_ahead_ms(AHEAD_MS);
    app.settle().await;
    app.own_clock.set_ahead_ms(0);
    // A service looks every second whether there is anything to do.
    app.settle().await;
    app.lose_messages();
    app.hubspot.create(&ADA).unwrap();
    app.sweep().await;
    assert_eq!(app.salesforce.ids("Lead").len(), 1);
    app.stop().await;
}
