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
