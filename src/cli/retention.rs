//! The end of what was kept long enough: once an hour, by one of the instances.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::config;
use crate::domain::{Chain, Clock, ConnectionName, Timestamp};
use crate::store::types::{Cause, Retention, TaskClaim, TaskNext, TaskProgress};
use crate::store::{Error, Store};

/// How often it is done.
const EVERY_MS: i64 = 3_600_000;

/// How often an instance looks whether it is its turn; soon enough after another one ended.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// At most this many rows go in one transaction, so that the door never waits long for it.
const ROWS_MAX: u32 = 1_000;

/// How long an instance may take for that many rows before another one takes over.
const LEASE_MS: i64 = 60_000;

/// Salesforce repeats a notification for a day; twice that is on the safe side.
const NOTIFICATIONS_KEPT_MS: i64 = 48 * 3_600_000;

const DAY_MS: i64 = 86_400_000;

/// Its name among the scheduled work.
const TASK: &str = "retention";

/// What one instance needs to do it.
pub(super) struct Retainer {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long things are kept.
    pub(super) kept: config::Retention,
    /// Scheduled work belongs to a connection; this is for all of them, and belongs to the first.
    pub(super) connection: ConnectionName,
    /// Which instance this is.
    pub(super) worker: Uuid,
}

impl Retainer {
    /// Looks every now and then whether it is due.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.turn().await {
                warn!(error = %Chain(&error), "Old rows could not be deleted; tried again later");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Deletes what was kept long enough, a little at a time, if it is due and nobody else does it. Returns how many rows.
    async fn turn(&self) -> Result<u64, Error> {
        let now = self.clock.now();
        let claim = TaskClaim {
            connection: &self.connection,
            task: TASK,
            worker: self.worker,
            now,
            lease_until: now.plus_millis(LEASE_MS),
            first: None,
        };
        if self.store.claim_task(&claim).await?.is_none() {
            return Ok(0);
        }
        let mut n = 0;
        loop {
            let now = self.clock.now();
            let gone = self.store.retain(&self.retention(now)).await?;
            n += gone;
            let next = if gone > 0 {
                TaskNext::GoesOn(now.plus_millis(LEASE_MS))
            } else {
                TaskNext::Rests(now.plus_millis(EVERY_MS))
            };
            if !self.store.advance_task(&self.progress(now, next)).await? || gone == 0 {
                return Ok(n);
            }
        }
    }

    fn retention(&self, now: Timestamp) -> Retention {
        Retention {
            deliveries_before: now.plus_millis(-i64::from(self.kept.deliveries_days) * DAY_MS),
            audit_before: now.plus_millis(-i64::from(self.kept.audit_days) * DAY_MS),
            notifications_before: now.plus_millis(-NOTIFICATIONS_KEPT_MS),
            rows_max: ROWS_MAX,
        }
    }

    const fn progress(&self, now: Timestamp, next: TaskNext) -> TaskProgress<'_> {
        let cause = Cause::Sweep(self.worker);
        TaskProgress {
            connection: &self.connection,
            task: TASK,
            worker: self.worker,
            now,
            cursor: "",
            next,
            marks: &[],
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{System, TestClock};
    use crate::store::testing::TestDatabase;
    use crate::store::types::{DeliveryOutcome, NewDelivery};
    use crate::store::{Database, Options, open};

    const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn delivery(received_at: Timestamp) -> NewDelivery {
        NewDelivery {
            id: Uuid::now_v7(),
            connection: None,
            source: System::Hubspot,
            received_at,
            body: Vec::new().into(),
            outcome: DeliveryOutcome::Unknown,
            n_events: 0,
            n_echoes: 0,
            marks: Vec::new(),
            erased: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    #[rstest::rstest]
    #[tokio::test]
    async fn of_two_instances_one_deletes_what_was_kept_long_enough_once_an_hour(
        #[values(Database::Sqlite, Database::Postgres)] on: Database,
    ) {
        let Some(database) = TestDatabase::new(on).await.unwrap() else { return };
        let store = open(&Options { url: database.url(), migrate: true }).await.unwrap();
        let clock = TestClock::at(START);
        let instance = || Retainer {
            store: Arc::clone(&store),
            clock: Arc::new(clock.clone()),
            kept: config::Retention { deliveries_days: 30, audit_days: 365 },
            connection: ConnectionName::parse("acme").unwrap(),
            worker: Uuid::now_v7(),
        };
        let (one, other) = (instance(), instance());
        let old = START.plus_millis(-31 * DAY_MS);
        let accept = async |n: u32| {
            let deliveries: Vec<NewDelivery> = (0..n).map(|_| delivery(old)).collect();
            store.accept(deliveries.into()).await.unwrap();
        };
        accept(ROWS_MAX + 1).await;
        store.accept([delivery(START)].into()).await.unwrap();
        assert_eq!(one.turn().await.unwrap(), u64::from(ROWS_MAX) + 1);
        accept(1).await;
        assert_eq!(other.turn().await.unwrap(), 0, "it was done less than an hour ago");
        clock.advance_millis(EVERY_MS);
        assert_eq!((other.turn().await.unwrap(), one.turn().await.unwrap()), (1, 0));
    }
}
