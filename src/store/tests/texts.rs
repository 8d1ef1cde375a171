//! Texts that a database may not be able to hold: nothing acknowledged is lost for them.

use super::*;

/// The one character that PostgreSQL's text cannot hold.
const ZERO: &str = "a\0b";

fn zero() -> Value {
    Value::text(ZERO)
}

#[rstest]
#[tokio::test]
async fn a_delivery_with_the_zero_character_is_stored_and_worked(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let mut delivery = memory.delivery(&[lead(1), lead(2)]);
    delivery.body = bytes::Bytes::from_static(b"\0\xff");
    delivery.marks[0].told = Some(Fields::from([(ZERO.to_owned(), zero())]));
    delivery.marks[1].notification = Some(ZERO.to_owned());
    delivery.unreadable = vec![Unreadable { position: 0, reason: ZERO.to_owned() }];
    memory.store.accept([delivery].into()).await.unwrap();
    let claimed = memory.claim_as(Uuid::now_v7(), 10).await;
    assert_eq!(claimed.len(), 2);
    let told = claimed.iter().find_map(|claimed| claimed.jobs[0].told.clone()).unwrap();
    assert_eq!(told[ZERO], zero(), "values are what they were");
    let jobs = memory.n_jobs(JobState::Parked, 10).await;
    assert_eq!(jobs, 1);
}

#[rstest]
#[tokio::test]
async fn outcomes_with_the_zero_character_are_kept(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.mark(&[contact(1)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let intent = Intent {
        id: Uuid::now_v7(),
        at: at(20),
        key: contact(1),
        creates: None,
        field: "City".to_owned(),
        old: zero(),
        new: Value::text("\\u0000"),
        rule: ZERO.to_owned(),
        cause: claimed[0].cause(),
    };
    memory.store.intend(&memory.name, std::slice::from_ref(&intent)).await.unwrap();
    let base = Base::from_iter([(ZERO.to_owned(), Agreed::new(zero()))]);
    let put = Pair { base, stopped: Some(ZERO.to_owned()), ..pair(contact(1), lead(1)) };
    let conflict = Conflict { key: contact(1), property: ZERO.to_owned(), text: ZERO.to_owned(), at: at(1) };
    let outcome = Outcome::Park { category: Category::Validation, message: ZERO.to_owned() };
    let all =
        Finished { pair: Some(put.clone()), conflicts: vec![conflict], ..finished(&claimed[0], outcome) };
    memory.finish_as(worker, &[all]).await;
    let pairs = memory.store.pairs_of(&memory.name, &[lead(1)]).await.unwrap();
    assert_eq!(pairs[0].as_ref().unwrap().base, put.base, "values are what they were");
    let query =
        AuditQuery { connection: &memory.name, system: None, key: None, since: None, after: None, limit: 10 };
    let rows = memory.store.audit(&query).await.unwrap();
    assert_eq!((&rows[0].intent.old, &rows[0].intent.new), (&intent.old, &intent.new));
    let status = memory.store.record(&memory.name, &contact(1)).await.unwrap().unwrap();
    assert_eq!(shown(on), status.last_error.unwrap().1);
    assert_eq!(memory.store.conflicts_of(&memory.name, &contact(1)).await.unwrap()[0].text, shown(on));
}

#[rstest]
#[tokio::test]
async fn states_and_places_with_the_zero_character_are_kept(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let state = ConnectionState::Unauthorized(ZERO.to_owned());
    memory.store.set_connection_state(&memory.name, &state, SaidBy::Worker, at(1)).await.unwrap();
    let kept = memory.store.connection_state(&memory.name).await.unwrap();
    assert_eq!(kept, ConnectionState::Unauthorized(shown(on)));
    let worker = Uuid::now_v7();
    memory.store.claim_task(&upkeep::task_claim(&memory, worker, 1)).await.unwrap();
    let progress = upkeep::progress(&memory, worker, ZERO, TaskNext::Rests(at(2)));
    assert!(memory.store.advance_task(&progress).await.unwrap());
    let resync = Resync { cursor: Some(ZERO.to_owned()), ..edges::resync_of(&memory, 1) };
    memory.store.create_resync(&resync).await.unwrap();
    let read = memory.store.resync(resync.id).await.unwrap().unwrap();
    assert!(memory.store.advance_resync(&resync, read.cursor.as_deref(), &[], at(2)).await.unwrap());
    assert_eq!(memory.store.resync(resync.id).await.unwrap().unwrap().cursor, Some(shown(on)));
}

/// What people are shown.
fn shown(on: Database) -> String {
    match on {
        Sqlite => ZERO.to_owned(),
        Postgres => "a\u{fffd}b".to_owned(),
    }
}
