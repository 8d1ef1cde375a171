//! The contract of [`Store`], told as stories over the trait alone; every database runs them all.

mod alike;
mod edges;
mod erasures;
mod groups;
mod instances;
mod locks;
mod outages;
mod queue;
mod records;
mod texts;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use rstest::rstest;
use uuid::Uuid;

use super::Database::{self, Postgres, Sqlite};
use super::door::Door;
use super::room::Limits;
use super::testing::TestDatabase;
use super::types::*;
use super::{Options, Store, open};
use crate::domain::{
    ConnectionName, Family, Fields, HubspotId, Kind, RecordKey, SalesforceId, System, TestClock, Timestamp,
    Value,
};
use crate::plan::{Agreed, Base, Category, Changed, Pair, State};

struct Memory {
    database: TestDatabase,
    store: Arc<dyn Store>,
    name: ConnectionName,
}

impl Memory {
    /// Memory on a new database; `None` where this machine has no server for it.
    async fn new(on: Database) -> Option<Self> {
        let database = TestDatabase::new(on).await.unwrap()?;
        let store = open_at(&database.url()).await;
        Some(Self { database, store, name: ConnectionName::parse("acme").unwrap() })
    }

    /// A door with room behind it, and its keeper.
    fn door(&self) -> (Door, impl Future<Output = ()> + Send + 'static) {
        let limits = Limits { free_bytes_min: 0, backlog_max: u64::MAX };
        Door::open(Arc::clone(&self.store), limits, Arc::new(TestClock::at(at(1))))
    }

    async fn restart(&mut self) {
        self.store.close().await;
        self.store = open_at(&self.database.url()).await;
    }

    async fn mark(&self, keys: &[RecordKey]) {
        self.store.accept([self.delivery(keys)].into()).await.unwrap();
    }

    fn delivery(&self, keys: &[RecordKey]) -> NewDelivery {
        let mark = |key: &RecordKey| Mark::at(*key, at(1));
        NewDelivery {
            id: Uuid::now_v7(),
            connection: Some(self.name.clone()),
            source: System::Hubspot,
            received_at: at(1),
            body: bytes::Bytes::from_static(b"[\"\xc3\xa9\\\"]"),
            outcome: DeliveryOutcome::Accepted,
            n_events: 1,
            n_echoes: 0,
            marks: keys.iter().map(mark).collect(),
            erased: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    async fn claim_as(&self, worker: Uuid, now: i64) -> Vec<Claimed> {
        let claim = Claim {
            connection: &self.name,
            family: Family::People,
            worker,
            now: at(now),
            lease_until: at(now + LEASE),
            limit: 100,
        };
        self.store.claim(&claim).await.unwrap()
    }

    async fn finish_as(&self, worker: Uuid, finished: &[Finished]) {
        self.store.finish(&self.name, worker, finished, at(50)).await.unwrap();
    }

    async fn n_jobs(&self, state: JobState, now: i64) -> usize {
        let query =
            JobQuery { connection: &self.name, state: Some(state), after: None, limit: 100, now: at(now) };
        self.store.jobs(&query).await.unwrap().len()
    }
}

const LEASE: i64 = 1_000;

async fn open_at(url: &str) -> Arc<dyn Store> {
    open(&Options { url: url.to_owned(), migrate: true }).await.unwrap()
}

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const fn contact(id: u64) -> RecordKey {
    RecordKey::hubspot_contact(HubspotId::new(id))
}

fn lead(n: u32) -> RecordKey {
    RecordKey::lead(SalesforceId::parse(&format!("00Q{n:012}")).unwrap())
}

fn pair(hubspot: RecordKey, salesforce: RecordKey) -> Pair {
    let base = Base::from_iter([("city".to_owned(), Agreed::new(Value::text("Köln")))]);
    Pair { hubspot, salesforce, stopped: None, base }
}

fn finished(claimed: &Claimed, outcome: Outcome) -> Finished {
    Finished {
        jobs: claimed.jobs.iter().map(|job| (job.id, job.dirty)).collect(),
        outcome,
        states: claimed.jobs.iter().map(|job| (job.key, State::Linked)).collect(),
        pair: claimed.pair.clone(),
        released: claimed.records(),
        conflicts: Vec::new(),
        conflicts_settled: Vec::new(),
        settled: Vec::new(),
        looks: Vec::new(),
        cause: claimed.cause().id(),
    }
}

/// Every record that tests pair, for those whose new pairs may end any other.
fn any_record() -> Vec<RecordKey> {
    (1..=20).flat_map(|n| [contact(n.into()), lead(n)]).collect()
}

fn parked() -> Outcome {
    Outcome::Park { category: Category::Validation, message: "no".to_owned() }
}

fn intent(key: RecordKey, claimed: &Claimed) -> Intent {
    Intent {
        id: Uuid::now_v7(),
        at: at(20),
        key,
        creates: Some(Kind::Lead),
        field: "City".to_owned(),
        old: Value::Blank,
        new: Value::text("Köln"),
        rule: "R-192".to_owned(),
        cause: claimed.cause(),
    }
}
