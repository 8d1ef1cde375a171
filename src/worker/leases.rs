//! The leases of a round: kept while it works, and known to be lost before it writes.
//!
//! A lease ends by itself, so that nobody has to bury a dead instance. One that lives and is slow keeps its leases by renewing them.
//! Where one was lost all the same, as the process stood still or the database was away, somebody else has read the records anew: what
//! was planned before is not written any more.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use crate::domain::{Chain, Clock, Timestamp};
use crate::store::Store;
use crate::store::types::{Claimed, JobId};
use crate::worker::Error;

/// How often a lease is renewed in its own length: two renewals may fail before it ends.
const RENEWALS: u64 = 3;

/// What part of a lease must be left before something is written; calls seldom take as long.
const LEFT_TO_WRITE: i64 = 2;

/// What the leases of a round are about.
pub(super) struct Leases<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    worker: Uuid,
    lease_ms: i64,
    state: Mutex<State>,
}

struct State {
    /// When they end, all at once.
    until: Timestamp,
    /// The jobs that are ours, as far as we know.
    held: BTreeSet<JobId>,
}

impl<'a> Leases<'a> {
    /// Those that a claim took.
    pub(super) fn new(
        (store, clock): (&'a dyn Store, &'a dyn Clock),
        (worker, lease_ms): (Uuid, i64),
        (claimed, until): (&[Claimed], Timestamp),
    ) -> Self {
        let held = claimed.iter().flat_map(|claimed| &claimed.jobs).map(|job| job.id).collect();
        Self { store, clock, worker, lease_ms, state: Mutex::new(State { until, held }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rests until a renewal is due.
    pub(super) async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(self.lease_ms.unsigned_abs() / RENEWALS)).await;
    }

    /// Works, and renews the leases after each tick until that is done.
    pub(super) async fn kept<T, Tick: Future<Output = ()>>(
        &self,
        tick: impl Fn() -> Tick,
        work: impl Future<Output = T>,
    ) -> T {
        // Both go on side by side: the work may hold what renewing waits for, such as the turn to write.
        let renewing = async {
            loop {
                tick().await;
                if let Err(error) = self.renew().await {
                    warn!(error = %Chain(&error), "Leases could not be renewed; that is tried again before anything is written");
                }
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = renewing => unreachable!("renewing never ends"),
        }
    }

    /// Makes sure that what is written next is written under a lease.
    pub(super) async fn insist(&self) -> Result<(), Error> {
        let left_ms = self.state().until.millis_since(self.clock.now());
        if left_ms < self.lease_ms / LEFT_TO_WRITE { self.renew().await } else { Ok(()) }
    }

    /// Whether the records of a claim are still ours.
    pub(super) fn hold(&self, claimed: &Claimed) -> bool {
        let state = self.state();
        claimed.jobs.iter().all(|job| state.held.contains(&job.id))
    }

    async fn renew(&self) -> Result<(), Error> {
        let jobs: Vec<JobId> = self.state().held.iter().copied().collect();
        let until = self.clock.now().plus_millis(self.lease_ms);
        let held = self.store.renew(self.worker, &jobs, until).await?;
        *self.state() = State { until, held: held.into_iter().collect() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;
    use crate::domain::{ConnectionName, Family, Kind, RecordKey, TestClock};
    use crate::store::testing::TestDatabase;
    use crate::store::types::{Cause, Claim, Mark};
    use crate::store::{Database, Options, open};

    const LEASE_MS: i64 = 30_000;

    struct Memory {
        _database: TestDatabase,
        store: Arc<dyn Store>,
        clock: TestClock,
        name: ConnectionName,
    }

    impl Memory {
        async fn with_dirty_records() -> Self {
            let database = TestDatabase::new(Database::Sqlite).await.unwrap().unwrap();
            let store = open(&Options { url: database.url(), migrate: true }).await.unwrap();
            let memory = Self {
                _database: database,
                store,
                clock: TestClock::at(Timestamp::default()),
                name: ConnectionName::parse("acme").unwrap(),
            };
            let mark = |id| Mark::of(RecordKey::parse(Kind::HubspotContact, id).unwrap());
            let cause = Cause::Delivery(Uuid::now_v7());
            memory
                .store
                .mark(&memory.name, &[mark("1"), mark("2")], cause, memory.clock.now())
                .await
                .unwrap();
            memory
        }

        async fn claim(&self, worker: Uuid, limit: usize) -> Vec<Claimed> {
            let now = self.clock.now();
            let lease_until = now.plus_millis(LEASE_MS);
            let claim =
                Claim { connection: &self.name, family: Family::People, worker, now, lease_until, limit };
            self.store.claim(&claim).await.unwrap()
        }

        fn leases(&self, worker: Uuid, claimed: &[Claimed]) -> Leases<'_> {
            let until = self.clock.now().plus_millis(LEASE_MS);
            Leases::new((&*self.store, &self.clock), (worker, LEASE_MS), (claimed, until))
        }
    }

    #[tokio::test]
    async fn who_is_slow_keeps_what_is_claimed() {
        let memory = Memory::with_dirty_records().await;
        let (slow, other) = (Uuid::now_v7(), Uuid::now_v7());
        let claimed = memory.claim(slow, 10).await;
        let leases = memory.leases(slow, &claimed);
        let (third, answered) = (Notify::new(), Notify::new());
        let work = async {
            answered.notified().await;
            for _ in 0..6 {
                memory.clock.advance_millis(LEASE_MS / 3);
                third.notify_one();
                answered.notified().await;
                assert_eq!(memory.claim(other, 10).await, []);
            }
        };
        // It is asked for again when the renewal before it is done.
        let tick = || async {
            answered.notify_one();
            third.notified().await;
        };
        leases.kept(tick, work).await;
        assert!(claimed.iter().all(|claimed| leases.hold(claimed)));
    }

    #[tokio::test]
    async fn who_stood_still_knows_what_is_lost_before_anything_is_written() {
        let memory = Memory::with_dirty_records().await;
        let (slow, other) = (Uuid::now_v7(), Uuid::now_v7());
        let claimed = memory.claim(slow, 10).await;
        let leases = memory.leases(slow, &claimed);
        memory.clock.advance_millis(LEASE_MS);
        let taken = memory.claim(other, 1).await;
        leases.insist().await.unwrap();
        let held: Vec<&Claimed> = claimed.iter().filter(|claimed| leases.hold(claimed)).collect();
        assert_eq!(held.len(), 1);
        assert_ne!(held[0].jobs[0].id, taken[0].jobs[0].id);
        assert_eq!(memory.claim(other, 10).await, [], "the other one is ours for another while");
    }
}
