//! Several instances on one database: whatever they do at once comes to what they would have done one after the other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::edges::{counts_of, resync_of};
use super::*;

/// Instances in a story, each with a store of its own.
const INSTANCES: usize = 3;

async fn instances(memory: &Memory) -> Vec<Arc<dyn Store>> {
    let url = memory.database.url();
    let mut stores = vec![Arc::clone(&memory.store)];
    while stores.len() < INSTANCES {
        stores.push(open_at(&url).await);
    }
    stores
}

/// Runs one task for each store, all at once; a failed assertion in one fails the test.
async fn together<F>(stores: &[Arc<dyn Store>], work: impl Fn(usize, Arc<dyn Store>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(place, store)| tokio::spawn(work(place, Arc::clone(store))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Contacts and leads of [`claims_of_several_instances_never_overlap_on_a_pair`].
const RECORDS: u32 = 12;

/// Rounds of each instance in it.
const ROUNDS: usize = 60;

/// The records that somebody has in hand.
#[derive(Default)]
struct Hands {
    records: Mutex<BTreeSet<RecordKey>>,
    n_pairs: AtomicUsize,
}

impl Hands {
    fn take(&self, claimed: &[Claimed]) {
        let mut records = self.records.lock().unwrap();
        for claimed in claimed {
            for key in claimed.records() {
                assert!(records.insert(key), "{key} is in two hands");
            }
            self.n_pairs.fetch_add(usize::from(claimed.pair.is_some()), Ordering::Relaxed);
        }
    }

    fn give_back(&self, claimed: &[Claimed]) {
        let mut records = self.records.lock().unwrap();
        for key in claimed.iter().flat_map(Claimed::records) {
            assert!(records.remove(&key));
        }
    }
}

fn any_record(chance: &mut fastrand::Rng) -> RecordKey {
    let n = chance.u32(1..=RECORDS);
    if chance.bool() { contact(n.into()) } else { lead(n) }
}

/// Marks anything, works whatever can be claimed, and now and then pairs its record with another one.
async fn mark_and_work(store: Arc<dyn Store>, name: ConnectionName, seed: u64, hands: Arc<Hands>) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let worker = Uuid::now_v7();
    for _ in 0..ROUNDS {
        let marks: Vec<Mark> = (0..3)
            .map(|_| Mark {
                key: any_record(&mut chance),
                occurred_at: at(1),
                notification: None,
                told: None,
                changed: Changed::Anything,
            })
            .collect();
        store.mark(&name, &marks, Cause::Sweep(worker), at(1)).await.unwrap();
        let claim = Claim {
            connection: &name,
            family: Family::People,
            worker,
            now: at(10),
            lease_until: at(10 + LEASE),
            limit: 4,
        };
        let claimed = store.claim(&claim).await.unwrap();
        hands.take(&claimed);
        tokio::task::yield_now().await;
        let mut outcomes = Vec::new();
        for claimed in &claimed {
            let mut outcome = Finished { released: super::any_record(), ..finished(claimed, Outcome::Done) };
            if outcome.pair.is_none() || chance.u32(0..4) == 0 {
                let twin = chance.u32(1..=RECORDS);
                outcome.pair = Some(match claimed.jobs[0].key {
                    key if key.system() == System::Hubspot => pair(key, lead(twin)),
                    key => pair(contact(twin.into()), key),
                });
            }
            outcomes.push(outcome);
        }
        // Given back before the lease is, so that nobody is accused who takes it up at once.
        hands.give_back(&claimed);
        store.finish(&name, worker, &outcomes, at(10)).await.unwrap();
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_several_instances_never_overlap_on_a_pair(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let hands = Arc::new(Hands::default());
    together(&stores, |place, store| {
        mark_and_work(store, memory.name.clone(), place as u64, Arc::clone(&hands))
    })
    .await;
    assert!(hands.n_pairs.load(Ordering::Relaxed) > ROUNDS, "pairs were worked");
    // What is left can be claimed, all of it: nothing was lost and nothing is held.
    let worker = Uuid::now_v7();
    let left = memory.claim_as(worker, 20).await;
    let done: Vec<Finished> = left.iter().map(|claimed| finished(claimed, Outcome::Done)).collect();
    memory.finish_as(worker, &done).await;
    assert_eq!(memory.store.next_due(&memory.name).await.unwrap(), None);
    let keys: Vec<RecordKey> = (1..=RECORDS).flat_map(|n| [contact(n.into()), lead(n)]).collect();
    for pair in memory.store.pairs_of(&memory.name, &keys).await.unwrap().into_iter().flatten() {
        let both = memory.store.pairs_of(&memory.name, &pair.records()).await.unwrap();
        assert_eq!(both, [Some(pair.clone()), Some(pair)], "both records know their pair");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_1_a_mark_that_meets_a_finish_is_never_lost(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let other = open_at(&memory.database.url()).await;
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    for outcome in [Outcome::Done, parked(), Outcome::Release].into_iter().cycle().take(90) {
        let claimed = memory.claim_as(worker, 60).await;
        assert_eq!(claimed.len(), 1, "it was marked while it was worked on: {outcome:?}");
        let outcome = [finished(&claimed[0], outcome)];
        let ((), outcome) = tokio::join!(
            memory.finish_as(worker, &outcome),
            other.accept([memory.delivery(&[contact(1)])].into()),
        );
        outcome.unwrap();
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_accepted_by_several_instances_at_once_are_counted_each_time(
    #[values(Sqlite, Postgres)] on: Database,
) {
    const GROUPS: usize = 40;
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let counted: Arc<Mutex<HashMap<RecordKey, i64>>> = Arc::default();
    let delivery = memory.delivery(&[]);
    together(&stores, |place, store| {
        let (counted, delivery) = (Arc::clone(&counted), delivery.clone());
        async move {
            let mut chance = fastrand::Rng::with_seed(place as u64);
            for _ in 0..GROUPS {
                let group: Vec<NewDelivery> = (0..5)
                    .map(|_| {
                        let mark = |_| Mark {
                            key: any_record(&mut chance),
                            occurred_at: at(1),
                            notification: None,
                            told: None,
                            changed: Changed::Anything,
                        };
                        NewDelivery {
                            id: Uuid::now_v7(),
                            marks: (0..6).map(mark).collect(),
                            ..delivery.clone()
                        }
                    })
                    .collect();
                store.accept(group.clone().into()).await.unwrap();
                let mut counted = counted.lock().unwrap();
                for mark in group.iter().flat_map(|delivery| &delivery.marks) {
                    *counted.entry(mark.key).or_default() += 1;
                }
            }
        }
    })
    .await;
    let claimed = memory.claim_as(Uuid::now_v7(), 10).await;
    let stored: HashMap<RecordKey, i64> =
        claimed.iter().flat_map(|claimed| &claimed.jobs).map(|job| (job.key, job.dirty)).collect();
    assert_eq!(stored, *counted.lock().unwrap());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_told_to_several_instances_at_once_marks_once(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let told = memory.delivery(&[lead(1)]);
    together(&stores, |_, store| {
        let told = told.clone();
        async move {
            for n in 0..30 {
                let mut delivery = NewDelivery { id: Uuid::now_v7(), ..told.clone() };
                delivery.marks[0].notification = Some(format!("04l{n}"));
                let again = NewDelivery { id: Uuid::now_v7(), ..delivery.clone() };
                store.accept([delivery, again].into()).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(memory.claim_as(Uuid::now_v7(), 10).await[0].jobs[0].dirty, 30);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_6_several_instances_together_never_take_more_than_an_allowance(
    #[values(Sqlite, Postgres)] on: Database,
) {
    const LIMIT: u32 = 250;
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let taken = Arc::new(AtomicU32::new(0));
    together(&stores, |place, store| {
        let (name, taken) = (memory.name.clone(), Arc::clone(&taken));
        async move {
            // Instances disagree about the slot: their clocks do.
            for slot in 0..30 {
                let slot = slot + i64::try_from(place).unwrap();
                let reserve = Reserve {
                    connection: &name,
                    allowance: "hubspot.day",
                    slot,
                    oldest_slot: slot - 99,
                    newest_slot: slot + 99,
                    limit: LIMIT,
                    wanted: 7,
                };
                taken.fetch_add(store.reserve_calls(&reserve).await.unwrap().calls, Ordering::Relaxed);
            }
        }
    })
    .await;
    assert_eq!(taken.load(Ordering::Relaxed), LIMIT);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduled_work_is_taken_up_by_one_of_several_instances(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    for round in 0..20 {
        let taken = Arc::new(AtomicUsize::new(0));
        together(&stores, |_, store| {
            let (name, taken) = (memory.name.clone(), Arc::clone(&taken));
            async move {
                let (now, lease_until) = (at(round * LEASE), at((round + 1) * LEASE));
                let worker = Uuid::now_v7();
                let claim =
                    TaskClaim { connection: &name, task: "sweep", worker, now, lease_until, first: None };
                let task = store.claim_task(&claim).await.unwrap();
                taken.fetch_add(usize::from(task.is_some()), Ordering::Relaxed);
            }
        })
        .await;
        assert_eq!(taken.load(Ordering::Relaxed), 1, "round {round}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_worked_by_several_instances_counts_every_record_once(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let total = u64::from(RECORDS) * 10;
    let resyncs = [resync_of(&memory, total), resync_of(&memory, total)];
    for resync in &resyncs {
        memory.store.create_resync(resync).await.unwrap();
    }
    let marks: Vec<Mark> = (1..=total).map(|n| Mark::at(contact(n), at(1))).collect();
    for resync in &resyncs {
        memory.store.advance_resync(resync, None, &marks, at(1)).await.unwrap();
    }
    together(&stores, |_, store| {
        let (name, resyncs) = (memory.name.clone(), resyncs.clone());
        async move {
            let worker = Uuid::now_v7();
            loop {
                let claim = Claim {
                    connection: &name,
                    family: Family::People,
                    worker,
                    now: at(10),
                    lease_until: at(10 + LEASE),
                    limit: 5,
                };
                let claimed = store.claim(&claim).await.unwrap();
                if claimed.is_empty() {
                    return;
                }
                let done: Vec<Finished> =
                    claimed.iter().map(|claimed| finished(claimed, Outcome::Done)).collect();
                // The page goes on while records of it are finished.
                store.advance_resync(&resyncs[0], None, &[], at(10)).await.unwrap();
                store.finish(&name, worker, &done, at(10)).await.unwrap();
            }
        }
    })
    .await;
    for resync in resyncs {
        assert_eq!(counts_of(&memory, resync.id).await, (total, 0));
    }
}

/// A resync's next page, which has one record.
fn next_page(resync: &Resync) -> (Resync, Mark) {
    let total = resync.total + 1;
    let mark = Mark::at(contact(total), at(1));
    (Resync { cursor: Some(total.to_string()), total, ..resync.clone() }, mark)
}

#[rstest]
#[tokio::test]
async fn a_page_of_a_resync_that_another_instance_took_meanwhile_changes_nothing(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let advance = async |resync: &Resync, from: &Resync, mark: Mark| {
        memory.store.advance_resync(resync, from.cursor.as_deref(), &[mark], at(1)).await.unwrap()
    };
    let dry_run = Resync { dry_run: true, ..resync_of(&memory, 0) };
    memory.store.create_resync(&dry_run).await.unwrap();
    let (first, mark) = next_page(&dry_run);
    let first = Resync { done: 1, ..first };
    assert!(advance(&first, &dry_run, mark.clone()).await);
    let (last, other_mark) = next_page(&first);
    let last = Resync { done: 2, complete: true, cursor: None, ..last };
    let too_late = Mark { key: lead(1), ..mark };
    assert!(!advance(&first, &dry_run, too_late.clone()).await, "the first page was taken");
    assert!(advance(&last, &first, other_mark).await);
    assert!(!advance(&last, &first, too_late.clone()).await, "the last page was taken");
    assert!(!advance(&first, &dry_run, too_late).await, "its end is not its beginning");
    assert_eq!(memory.store.resync(last.id).await.unwrap(), Some(last));
    let claimed = memory.claim_as(Uuid::now_v7(), 10).await;
    let keys: Vec<RecordKey> = claimed.iter().flat_map(Claimed::records).collect();
    assert_eq!(keys, [contact(1), contact(2)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_of_a_resync_is_taken_by_one_of_several_instances(
    #[values(Sqlite, Postgres)] on: Database,
) {
    const PAGES: u64 = 60;
    let Some(memory) = Memory::new(on).await else { return };
    let stores = instances(&memory).await;
    let resync = resync_of(&memory, 0);
    memory.store.create_resync(&resync).await.unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    together(&stores, |_, store| {
        let (id, taken) = (resync.id, Arc::clone(&taken));
        async move {
            loop {
                let read = store.resync(id).await.unwrap().unwrap();
                if read.total == PAGES {
                    return;
                }
                let (next, mark) = next_page(&read);
                let ours = store.advance_resync(&next, read.cursor.as_deref(), &[mark], at(1)).await.unwrap();
                taken.fetch_add(usize::from(ours), Ordering::Relaxed);
            }
        }
    })
    .await;
    let claimed = memory.claim_as(Uuid::now_v7(), 10).await;
    assert!(claimed.iter().all(|claimed| claimed.jobs[0].dirty == 1), "each is marked once: {claimed:?}");
    assert_eq!((claimed.len(), taken.load(Ordering::Relaxed) as u64), (60, PAGES));
}
