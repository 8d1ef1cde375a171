//! The contract of [`Store`], told as stories over the trait alone; every database runs them all.

mod alike;
mod edges;
mod groups;
mod instances;
mod locks;
mod outages;
mod texts;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
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
use crate::plan::{Agreed, Base, Category, Pair, State};

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
        let mark = |key: &RecordKey| Mark { key: *key, occurred_at: at(1), notification: None, told: None };
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
    let base = Base(BTreeMap::from([("city".to_owned(), Agreed::new(Value::text("Köln")))]));
    Pair { hubspot, salesforce, stopped: None, base }
}

fn finished(claimed: &Claimed, outcome: Outcome) -> Finished {
    Finished {
        jobs: claimed.jobs.iter().map(|job| (job.id, job.dirty)).collect(),
        outcome,
        states: claimed.jobs.iter().map(|job| (job.key, State::Linked)).collect(),
        pair: claimed.pair.as_ref().map(|(_, pair)| pair.clone()),
        conflicts: Vec::new(),
        conflicts_settled: Vec::new(),
        settled: Vec::new(),
        looks: Vec::new(),
    }
}

fn parked() -> Outcome {
    Outcome::Park { category: Category::Validation, message: "no".to_owned() }
}

#[rstest]
#[tokio::test]
async fn what_is_accepted_survives_a_restart_and_is_claimed_once(#[values(Sqlite, Postgres)] on: Database) {
    let Some(mut memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1), contact(2)]).await;
    memory.mark(&[contact(1)]).await;
    memory.restart().await;
    let worker = Uuid::now_v7();
    let claimed = memory.claim_as(worker, 10).await;
    assert_eq!(claimed.len(), 2);
    assert_eq!(claimed[0].jobs[0].dirty, 2, "one entry a record, with a counter");
    assert!(memory.claim_as(Uuid::now_v7(), 10).await.is_empty(), "it is leased");
    let done: Vec<Finished> = claimed.iter().map(|claimed| finished(claimed, Outcome::Done)).collect();
    memory.finish_as(worker, &done).await;
    assert_eq!(memory.store.next_due(&memory.name).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn an_event_during_the_work_makes_the_record_due_again(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1)]).await;
    let worker = Uuid::now_v7();
    for outcome in [Outcome::Done, parked(), Outcome::Release] {
        let claimed = memory.claim_as(worker, 10).await;
        memory.mark(&[contact(1)]).await;
        memory.finish_as(worker, &[finished(&claimed[0], outcome)]).await;
        assert_eq!(memory.n_jobs(JobState::Due, 60).await, 1);
        let claimed = memory.claim_as(worker, 60).await;
        memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
        assert_eq!(memory.n_jobs(JobState::Due, 60).await, 0);
        memory.mark(&[contact(1)]).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_stolen_lease_makes_the_first_workers_results_void(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1)]).await;
    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());
    let first = memory.claim_as(slow, 10).await;
    let stolen = memory.claim_as(quick, 10 + LEASE).await;
    assert_eq!(stolen.len(), 1, "an expired lease can be taken");
    let linked = |claimed: &Claimed, n| Finished {
        pair: Some(pair(contact(1), lead(n))),
        ..finished(claimed, Outcome::Done)
    };
    memory.finish_as(slow, &[linked(&first[0], 1)]).await;
    assert_eq!(memory.store.pairs_of(&memory.name, &[contact(1)]).await.unwrap(), [None]);
    memory.finish_as(quick, &[linked(&stolen[0], 2)]).await;
    assert_eq!(
        memory.store.pairs_of(&memory.name, &[contact(1)]).await.unwrap(),
        [Some(pair(contact(1), lead(2)))]
    );
}

#[rstest]
#[tokio::test]
async fn both_records_of_a_pair_are_claimed_together_and_by_one_worker(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let linked = Finished { pair: Some(pair(contact(1), lead(1))), ..finished(&claimed[0], Outcome::Done) };
    memory.finish_as(worker, &[linked]).await;

    memory.mark(&[lead(1)]).await;
    let claimed = memory.claim_as(worker, 20).await;
    assert_eq!(claimed[0].pair.as_ref().map(|(_, pair)| pair), Some(&pair(contact(1), lead(1))));
    memory.mark(&[contact(1)]).await;
    assert!(
        memory.claim_as(Uuid::now_v7(), 20).await.is_empty(),
        "the pair is leased, so the other record waits"
    );
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;

    memory.mark(&[lead(1)]).await;
    let claimed = memory.claim_as(worker, 30).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].jobs.len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_new_pair_ends_the_pairs_its_records_were_in(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    for (hubspot, salesforce) in [(1, 1), (2, 2), (1, 2)] {
        memory.mark(&[contact(hubspot)]).await;
        let claimed = memory.claim_as(worker, 10).await;
        let put = Finished {
            pair: Some(pair(contact(hubspot), lead(salesforce))),
            ..finished(&claimed[0], Outcome::Done)
        };
        memory.finish_as(worker, &[put]).await;
    }
    let pairs =
        memory.store.pairs_of(&memory.name, &[contact(1), contact(2), lead(1), lead(2)]).await.unwrap();
    let last = Some(pair(contact(1), lead(2)));
    assert_eq!(pairs, [last.clone(), None, None, last]);
}

#[rstest]
#[tokio::test]
async fn a_repeated_notification_marks_nothing(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let mut delivery = memory.delivery(&[lead(1)]);
    delivery.marks[0].notification = Some("04l1I000000fztEQAQ".to_owned());
    memory.store.accept([delivery.clone()].into()).await.unwrap();
    let claimed = memory.claim_as(worker, 10).await;
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Done)]).await;
    delivery.id = Uuid::now_v7();
    memory.store.accept([delivery].into()).await.unwrap();
    assert!(memory.claim_as(worker, 10).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_retry_waits_and_a_parked_job_wakes_when_its_record_changes(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let retry = Outcome::Retry {
        at: at(500),
        counts: true,
        category: Category::Unavailable,
        message: "busy".to_owned(),
    };
    memory.finish_as(worker, &[finished(&claimed[0], retry)]).await;
    memory.mark(&[contact(1)]).await;
    assert!(memory.claim_as(worker, 499).await.is_empty(), "its CRM asked us to wait");
    let claimed = memory.claim_as(worker, 500).await;
    assert_eq!(claimed[0].jobs[0].attempts, 1);
    memory.finish_as(worker, &[finished(&claimed[0], parked())]).await;
    assert_eq!(memory.n_jobs(JobState::Parked, 600).await, 1);
    let status = memory.store.record(&memory.name, &contact(1)).await.unwrap().unwrap();
    assert_eq!(status.last_error, Some((Category::Validation, "no".to_owned())));
    memory.mark(&[contact(1)]).await;
    assert_eq!(memory.claim_as(worker, 600).await[0].jobs[0].attempts, 0);
}

#[rstest]
#[tokio::test]
async fn people_can_retry_and_discard(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let id = claimed[0].jobs[0].id;
    assert!(!memory.store.discard_job(id, at(20)).await.unwrap(), "it is being worked on");
    memory.finish_as(worker, &[finished(&claimed[0], parked())]).await;
    assert!(memory.store.retry_job(id, at(60)).await.unwrap());
    assert_eq!(memory.store.job(id, at(60)).await.unwrap().unwrap().state, JobState::Due);
    assert!(memory.store.discard_job(id, at(60)).await.unwrap());
    assert_eq!(memory.store.job(id, at(60)).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn an_unreadable_part_is_parked_and_cannot_be_retried(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let mut delivery = memory.delivery(&[contact(1)]);
    delivery.unreadable = vec![Unreadable { position: 3, reason: "no id".to_owned() }];
    memory.store.accept([delivery.clone()].into()).await.unwrap();
    let query = JobQuery {
        connection: &memory.name,
        state: Some(JobState::Parked),
        after: None,
        limit: 10,
        now: at(5),
    };
    let jobs = memory.store.jobs(&query).await.unwrap();
    assert_eq!(jobs[0].part, Some((delivery.id, 3)));
    assert_eq!(jobs[0].error, Some((Category::Unreadable, "no id".to_owned())));
    assert!(!memory.store.retry_job(jobs[0].id, at(5)).await.unwrap());
    assert_eq!(memory.claim_as(Uuid::now_v7(), 10).await.len(), 1, "the readable part is worked");
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
        cause: claimed.jobs[0].cause,
    }
}

#[rstest]
#[tokio::test]
async fn i_7_an_intent_left_open_comes_back_with_the_next_claim(#[values(Sqlite, Postgres)] on: Database) {
    let Some(mut memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let intent = intent(contact(1), &claimed[0]);
    memory.store.intend(&memory.name, std::slice::from_ref(&intent)).await.unwrap();
    memory.restart().await;
    let claimed = memory.claim_as(worker, 10 + LEASE).await;
    assert_eq!(claimed[0].open_intents, std::slice::from_ref(&intent));
    let settled = vec![(intent.id, Settled::Written(Some(lead(1))))];
    memory.finish_as(worker, &[Finished { settled, ..finished(&claimed[0], Outcome::Done) }]).await;
    for key in [contact(1), lead(1)] {
        let query = AuditQuery {
            connection: &memory.name,
            system: None,
            key: Some(key),
            since: None,
            after: None,
            limit: 10,
        };
        let rows = memory.store.audit(&query).await.unwrap();
        assert_eq!(
            rows,
            [AuditRow { intent: intent.clone(), written: Some(true), created: Some(lead(1)) }],
            "{key}"
        );
    }
}

#[rstest]
#[tokio::test]
async fn values_told_count_only_while_every_mark_carries_them(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let told = Fields::from([("City".to_owned(), Value::text("Köln"))]);
    let mut by_us = memory.delivery(&[lead(1)]);
    by_us.marks[0].told = Some(told.clone());
    memory
        .store
        .accept([by_us.clone(), NewDelivery { id: Uuid::now_v7(), ..by_us.clone() }].into())
        .await
        .unwrap();
    let worker = Uuid::now_v7();
    let claimed = memory.claim_as(worker, 10).await;
    assert_eq!(claimed[0].jobs[0].told, Some(told));
    memory.finish_as(worker, &[finished(&claimed[0], Outcome::Release)]).await;
    memory.mark(&[lead(1)]).await;
    assert_eq!(memory.claim_as(worker, 60).await[0].jobs[0].told, None);
}

#[rstest]
#[tokio::test]
async fn conflicts_are_listed_until_they_are_settled(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let conflict = |property: &str| Conflict {
        key: contact(1),
        property: property.to_owned(),
        text: "x".to_owned(),
        at: at(1),
    };
    for (listed, expected) in [(vec!["city", "zip"], 2), (vec!["zip"], 1), (vec![], 0)] {
        memory.mark(&[contact(1)]).await;
        let claimed = memory.claim_as(worker, 10).await;
        let conflicts = listed.into_iter().map(conflict).collect();
        let put = Finished {
            conflicts,
            conflicts_settled: vec![contact(1)],
            ..finished(&claimed[0], Outcome::Done)
        };
        memory.finish_as(worker, &[put]).await;
        assert_eq!(memory.store.conflicts_of(&memory.name, &contact(1)).await.unwrap().len(), expected);
    }
}

#[rstest]
#[tokio::test]
async fn an_ending_worker_gives_everything_back(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    assert_eq!(memory.claim_as(worker, 10).await.len(), 1);
    assert_eq!(memory.n_jobs(JobState::Running, 11).await, 1);
    memory.store.release_all(worker).await.unwrap();
    assert_eq!(memory.claim_as(Uuid::now_v7(), 11).await.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i_1_no_mark_is_ever_lost_on_sqlite(steps in steps()) {
        no_mark_is_lost(Sqlite, steps);
    }

    #[test]
    fn i_1_no_mark_is_ever_lost_on_postgres(steps in steps()) {
        no_mark_is_lost(Postgres, steps);
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, u64)>> {
    proptest::collection::vec((0u8..4, 1u64..4), 1..40)
}

/// Whatever the order of marks, claims, finishes and lost leases: a record marked after its last claim is claimed again.
fn no_mark_is_lost(on: Database, steps: Vec<(u8, u64)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(memory) = Memory::new(on).await else { return };
        let worker = Uuid::now_v7();
        let mut dirty = std::collections::BTreeSet::new();
        let mut in_hand: Vec<Claimed> = Vec::new();
        let mut now = 10;
        for (step, id) in steps {
            match step {
                0 => {
                    memory.mark(&[contact(id)]).await;
                    dirty.insert(contact(id));
                }
                1 => {
                    let claimed = memory.claim_as(worker, now).await;
                    for job in claimed.iter().flat_map(|claimed| &claimed.jobs) {
                        dirty.remove(&job.key);
                    }
                    in_hand.extend(claimed);
                }
                2 => {
                    let done: Vec<Finished> =
                        in_hand.drain(..).map(|claimed| finished(&claimed, Outcome::Done)).collect();
                    memory.finish_as(worker, &done).await;
                }
                _ => {
                    // The process ends: its leases run out, and what it had in hand is dirty still.
                    dirty.extend(in_hand.drain(..).flat_map(|claimed| claimed.jobs).map(|job| job.key));
                    now += 2 * LEASE;
                }
            }
        }
        let done: Vec<Finished> =
            in_hand.drain(..).map(|claimed| finished(&claimed, Outcome::Done)).collect();
        memory.finish_as(worker, &done).await;
        let left: std::collections::BTreeSet<RecordKey> = memory
            .claim_as(Uuid::now_v7(), now + 5 * LEASE)
            .await
            .iter()
            .flat_map(|claimed| &claimed.jobs)
            .map(|job| job.key)
            .collect();
        assert_eq!(left, dirty);
    });
}
