//! What is known of records: their pairs, what was told and written of them, what is at odds.

use super::*;

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
            released: any_record(),
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
async fn the_pairs_of_no_records_are_not_asked_for(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    memory.store.close().await;
    assert!(memory.store.pairs_of(&memory.name, &[contact(1)]).await.is_err());
    assert_eq!(memory.store.pairs_of(&memory.name, &[]).await.unwrap(), []);
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
    let settled = vec![(intent.id, Settled::written(Some(lead(1))))];
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
async fn i_5_a_record_is_not_taken_from_a_pair_that_the_planner_did_not_know_of(
    #[values(Sqlite, Postgres)] on: Database,
    #[values(false, true)] in_one_commit: bool,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1), contact(2)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let intents: Vec<Intent> = claimed.iter().map(|claimed| intent(claimed.jobs[0].key, claimed)).collect();
    memory.store.intend(&memory.name, &intents).await.unwrap();
    let linked = |claimed: &Claimed, intent: &Intent| Finished {
        pair: Some(pair(claimed.jobs[0].key, lead(1))),
        settled: vec![(intent.id, Settled::written(Some(lead(1))))],
        ..finished(claimed, Outcome::Done)
    };
    let outcomes = [linked(&claimed[0], &intents[0]), linked(&claimed[1], &intents[1])];
    for commit in outcomes.chunks(if in_one_commit { 2 } else { 1 }) {
        memory.finish_as(worker, commit).await;
    }
    let keys = [contact(1), contact(2), lead(1)];
    let first = Some(pair(contact(1), lead(1)));
    assert_eq!(
        memory.store.pairs_of(&memory.name, &keys).await.unwrap(),
        [first.clone(), None, first.clone()]
    );
    let query =
        AuditQuery { connection: &memory.name, system: None, key: None, since: None, after: None, limit: 9 };
    let written = memory.store.audit(&query).await.unwrap();
    assert_eq!(written.iter().filter(|row| row.written == Some(true)).count(), 2, "both were written");
    assert_eq!(memory.store.record(&memory.name, &contact(2)).await.unwrap().unwrap().state, State::Unlinked);
    // It is looked at anew, and so is the pair whose record was written to; later and later, as long as that comes to the same.
    let again = memory.claim_as(worker, 50).await;
    let due: Vec<RecordKey> = again.iter().map(|claimed| claimed.jobs[0].key).collect();
    assert!(due.contains(&contact(2)) && due.contains(&lead(1)), "{due:?}");
    let seeker = again.iter().find(|claimed| claimed.jobs[0].key == contact(2)).unwrap();
    let taking = Finished { pair: Some(pair(contact(2), lead(1))), ..finished(seeker, Outcome::Done) };
    memory.finish_as(worker, std::slice::from_ref(&taking)).await;
    let due = memory.claim_as(worker, 51).await;
    assert!(due.iter().all(|claimed| claimed.jobs[0].key != contact(2)), "{due:?}");
    // Who knows of the pair and means its end, ends it.
    let later = memory.claim_as(worker, 1_000_000).await;
    let seeker = later.iter().find(|claimed| claimed.jobs[0].key == contact(2)).unwrap();
    let meant = Finished {
        pair: Some(pair(contact(2), lead(1))),
        released: vec![contact(1)],
        ..finished(seeker, Outcome::Done)
    };
    memory.finish_as(worker, &[meant]).await;
    let second = Some(pair(contact(2), lead(1)));
    assert_eq!(memory.store.pairs_of(&memory.name, &keys).await.unwrap(), [None, second.clone(), second]);
}
