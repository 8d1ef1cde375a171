//! The queue: who works on what, and what ends, waits or comes back.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

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
async fn a_lease_is_renewed_unless_somebody_took_it(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1), contact(2), contact(3)]).await;
    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());
    let claimed = memory.claim_as(slow, 10).await;
    let jobs: Vec<JobId> = claimed.iter().map(|claimed| claimed.jobs[0].id).collect();
    memory.finish_as(slow, &[finished(&claimed[0], Outcome::Done)]).await;
    assert_eq!(memory.store.renew(slow, &jobs[1..2], at(20 + LEASE)).await.unwrap(), jobs[1..2]);
    let taken = memory.claim_as(quick, 10 + LEASE).await;
    assert_eq!(taken.iter().map(|claimed| claimed.jobs[0].id).collect::<Vec<_>>(), jobs[2..]);
    // One is done, one is ours, though its end is near, and one is somebody else's.
    assert_eq!(memory.store.renew(slow, &jobs, at(40 + LEASE)).await.unwrap(), jobs[1..2]);
    assert_eq!(memory.claim_as(quick, 39 + LEASE).await, []);
    assert_eq!(memory.claim_as(quick, 40 + LEASE).await.len(), 1, "it ends as it was renewed last");
}

#[rstest]
#[tokio::test]
async fn i_5_what_was_made_under_a_lost_lease_is_looked_at(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[lead(1)]).await;
    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());
    let first = memory.claim_as(slow, 10).await;
    let stolen = memory.claim_as(quick, 10 + LEASE).await;
    let made = |claimed: &Claimed, id| {
        let settled = vec![(Uuid::now_v7(), Settled::written(Some(contact(id))))];
        Finished { settled, ..finished(claimed, Outcome::Done) }
    };
    memory.finish_as(quick, &[made(&stolen[0], 1)]).await;
    memory.finish_as(slow, &[made(&first[0], 2)]).await;
    let due = memory.claim_as(quick, 60 + LEASE).await;
    let due: Vec<RecordKey> = due.iter().flat_map(|claimed| &claimed.jobs).map(|job| job.key).collect();
    assert_eq!(due, [contact(2)], "nobody else knows of it");
}

#[rstest]
#[tokio::test]
async fn i_3_a_pair_that_was_worked_under_a_lost_lease_is_looked_at(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1)]).await;
    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());
    let first = memory.claim_as(slow, 10).await;
    let stolen = memory.claim_as(quick, 10 + LEASE).await;
    let intents =
        [&first[0], &stolen[0]].map(|claimed| Intent { creates: None, ..intent(contact(1), claimed) });
    memory.store.intend(&memory.name, &intents).await.unwrap();
    let wrote = |claimed: &Claimed, intent: &Intent| {
        let settled = vec![(intent.id, Settled::written(None))];
        Finished { settled, pair: Some(pair(contact(1), lead(1))), ..finished(claimed, Outcome::Done) }
    };
    memory.finish_as(quick, &[wrote(&stolen[0], &intents[1])]).await;
    assert_eq!(memory.claim_as(quick, 60 + LEASE).await, []);
    memory.finish_as(slow, &[wrote(&first[0], &intents[0])]).await;
    let due = memory.claim_as(quick, 60 + LEASE).await;
    assert_eq!(due.len(), 1, "what was written last may not be what was agreed on");
    assert_eq!(due[0].records(), [contact(1), lead(1)]);
    assert_eq!(due[0].open_intents, intents[..1], "it is told from somebody's edit");
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
    assert_eq!(claimed[0].pair, Some(pair(contact(1), lead(1))));
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
        let mut dirty = BTreeSet::new();
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
        let left: BTreeSet<RecordKey> = memory
            .claim_as(Uuid::now_v7(), now + 5 * LEASE)
            .await
            .iter()
            .flat_map(|claimed| &claimed.jobs)
            .map(|job| job.key)
            .collect();
        assert_eq!(left, dirty);
    });
}

#[rstest]
#[tokio::test]
async fn what_is_postponed_waits_and_is_shown_as_before(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.mark(&[contact(1)]).await;
    let worker = Uuid::now_v7();
    let claimed = memory.claim_as(worker, 10).await;
    let failed = Outcome::Retry {
        at: at(60),
        counts: true,
        category: Category::Unavailable,
        message: "busy".to_owned(),
    };
    memory.finish_as(worker, &[finished(&claimed[0], failed)]).await;
    let before = memory.store.record(&memory.name, &contact(1)).await.unwrap();
    let claimed = memory.claim_as(worker, 60).await;
    let states = vec![(contact(1), State::Conflict)];
    let postponed = Finished { states, ..finished(&claimed[0], Outcome::Postpone { at: at(500) }) };
    memory.finish_as(worker, &[postponed]).await;
    assert_eq!(memory.store.record(&memory.name, &contact(1)).await.unwrap(), before);
    assert_eq!(memory.store.next_due(&memory.name).await.unwrap(), Some(at(500)));
    assert!(memory.claim_as(worker, 499).await.is_empty());
    // An event meanwhile does not end the wait, and no attempt was counted.
    memory.mark(&[contact(1)]).await;
    assert!(memory.claim_as(worker, 499).await.is_empty());
    let claimed = memory.claim_as(worker, 500).await;
    assert_eq!(claimed[0].jobs[0].attempts, 1);
}
