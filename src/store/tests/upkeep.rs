//! Opening, figures and retention.

use super::*;

#[rstest]
#[tokio::test]
async fn a_pause_is_for_a_person_to_end(#[values(Sqlite, Postgres)] on: Database) {
    use ConnectionState::{Paused, Running};
    use SaidBy::{Person, Worker};
    let Some(memory) = Memory::new(on).await else { return };
    let unauthorized = ConnectionState::Unauthorized("token expired".to_owned());
    let said = [
        (Worker, &unauthorized, &unauthorized),
        (Worker, &Running, &Running),
        (Person, &Paused, &Paused),
        (Worker, &unauthorized, &Paused),
        (Worker, &Running, &Paused),
        (Person, &Running, &Running),
        (Worker, &unauthorized, &unauthorized),
    ];
    for (place, (said_by, state, stands)) in said.into_iter().enumerate() {
        memory.store.set_connection_state(&memory.name, state, said_by, at(1)).await.unwrap();
        assert_eq!(memory.store.connection_state(&memory.name).await.unwrap(), *stands, "{place}");
    }
}

#[rstest]
#[tokio::test]
async fn connections_figures_and_retention(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let name = &memory.name;
    assert_eq!(memory.store.connection_state(name).await.unwrap(), ConnectionState::Running);
    let state = ConnectionState::Unauthorized("token expired".to_owned());
    memory.store.set_connection_state(name, &state, SaidBy::Worker, at(1)).await.unwrap();
    assert_eq!(memory.store.connection_state(name).await.unwrap(), state);
    memory.mark(&[contact(1)]).await;
    let figures = memory.store.queue_figures(name, at(9)).await.unwrap();
    assert_eq!((figures.jobs["due"], figures.jobs["parked"], figures.oldest_due), (1, 0, Some(at(1))));
    memory.store.check(at(7)).await.unwrap();
    let rooms = [memory.store.room(0).await.unwrap(), memory.store.room(1).await.unwrap()];
    assert_eq!(rooms.map(|room| room.backlog_is_longer), [true, false]);
    assert!(rooms.iter().all(|room| room.free_bytes.is_some() == (on == Sqlite)), "{rooms:?}");
    let all = Retention {
        deliveries_before: at(9),
        audit_before: at(9),
        notifications_before: at(9),
        rows_max: 10,
    };
    assert_eq!(memory.store.retain(&all).await.unwrap(), 1);
    assert_eq!(memory.store.retain(&all).await.unwrap(), 0);
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_without_naming_the_password() {
    for url in [
        "mysql://u:secret@h/d",
        "sqlite::memory:",
        "nonsense",
        "postgres://u:secret@h:port/d",
        "postgresql://u:secret@h/d?sslmode=maybe",
        "postgres://u:secret@%2Fnowhere/d",
    ] {
        let error = open(&Options { url: url.to_owned(), migrate: true }).await.err().unwrap();
        let said = format!("{error:?} {}", crate::domain::Chain(&error));
        assert!(!said.contains("secret"), "{said}");
    }
}

#[rstest]
#[tokio::test]
async fn a_newer_schema_is_refused(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let url = memory.database.url();
    assert!(crate::store::migrations(&url).await.unwrap().iter().all(|status| status.applied));
    memory.store.close().await;
    execute(&memory, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 5").await;
    for migrate in [true, false] {
        let error = open(&Options { url: url.clone(), migrate }).await.err().unwrap();
        assert!(error.to_string().contains("migrations"), "{error}");
    }
}

#[rstest]
#[tokio::test]
async fn missing_migrations_are_insisted_on_and_named(#[values(Sqlite, Postgres)] on: Database) {
    let Some(database) = TestDatabase::new(on).await.unwrap() else { return };
    let url = database.url();
    let listed = crate::store::migrations(&url).await.unwrap();
    assert!(!listed.is_empty() && listed.iter().all(|status| !status.applied));
    let error = open(&Options { url: url.clone(), migrate: false }).await.err().unwrap();
    assert!(error.to_string().contains("missing: deliveries, pairs"), "{error}");
    open_at(&url).await.close().await;
    open(&Options { url, migrate: false }).await.unwrap();
}

/// Does something behind the store's back.
pub(super) async fn execute(memory: &Memory, sql: &'static str) {
    let url = memory.database.url();
    match memory.database {
        TestDatabase::Sqlite(_) => {
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&pool).await.unwrap();
            pool.close().await;
        }
        TestDatabase::Postgres(_) => {
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }
}

#[rstest]
#[tokio::test]
async fn i_6_an_allowance_is_shared_and_its_old_slots_are_forgotten(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let reserve = |slot, wanted| Reserve {
        connection: &memory.name,
        allowance: "hubspot.burst",
        slot,
        oldest_slot: slot - 9,
        newest_slot: slot + 20,
        limit: 10,
        wanted,
    };
    for (slot, wanted, granted) in
        [(100, 6, 6), (105, 6, 4), (109, 1, 0), (110, 9, 6), (114, 9, 0), (115, 9, 4)]
    {
        let got = memory.store.reserve_calls(&reserve(slot, wanted)).await.unwrap();
        assert_eq!(got.calls, granted, "slot {slot}");
    }
    let other = Reserve { allowance: "hubspot.day", ..reserve(115, 9) };
    let all = Reserved { calls: 9, left: 1 };
    assert_eq!(memory.store.reserve_calls(&other).await.unwrap(), all);
    let late = memory.store.reserve_calls(&reserve(95, 10)).await.unwrap();
    assert_eq!(late.calls, 0, "whoever was held up meanwhile takes nothing from those who were not");
    let back = memory.store.reserve_calls(&reserve(50, 10)).await.unwrap();
    assert_eq!(back.calls, 10, "the clock went back: what is written of later is no reason to stand still");
}

pub(super) fn task_claim(memory: &Memory, worker: Uuid, now: i64) -> TaskClaim<'_> {
    let lease_until = at(now + LEASE);
    TaskClaim { connection: &memory.name, task: "sweep", worker, now: at(now), lease_until, first: None }
}

pub(super) fn progress<'a>(
    memory: &'a Memory,
    worker: Uuid,
    cursor: &'a str,
    next: TaskNext,
) -> TaskProgress<'a> {
    let cause = Cause::Sweep(Uuid::nil());
    TaskProgress {
        connection: &memory.name,
        task: "sweep",
        worker,
        now: at(5),
        cursor,
        next,
        marks: &[],
        cause,
    }
}

#[rstest]
#[tokio::test]
async fn where_a_task_begins_is_recorded_with_its_first_claim(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let claim = async |now, first: &str| {
        let claim = TaskClaim { first: Some(first), ..task_claim(&memory, Uuid::now_v7(), now) };
        memory.store.claim_task(&claim).await.unwrap().map(|task| task.cursor.unwrap())
    };
    assert_eq!(claim(10, "a").await.as_deref(), Some("a"));
    assert_eq!(claim(11, "b").await, None, "it is leased");
    assert_eq!(claim(11 + LEASE, "b").await.as_deref(), Some("a"), "whoever claimed it first died");
}

#[rstest]
#[tokio::test]
async fn scheduled_work_is_done_by_one_at_a_time_and_goes_on_where_it_was_left(
    #[values(Sqlite, Postgres)] on: Database,
) {
    let Some(memory) = Memory::new(on).await else { return };
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let task = |cursor: Option<&str>| Some(Task { cursor: cursor.map(str::to_owned) });
    let claim = async |worker, now| memory.store.claim_task(&task_claim(&memory, worker, now)).await.unwrap();
    let advance = async |worker, cursor: &str, next| {
        memory.store.advance_task(&progress(&memory, worker, cursor, next)).await.unwrap()
    };
    assert_eq!(claim(one, 1).await, task(None), "what was never done is due");
    assert_eq!(claim(two, 2).await, None, "somebody does it");
    assert!(advance(one, "a", TaskNext::GoesOn(at(3 + LEASE))).await);
    assert_eq!(claim(two, 2 + LEASE).await, None, "the lease was renewed");
    assert_eq!(claim(two, 3 + LEASE).await, task(Some("a")), "a lease that ended is taken over");
    assert!(!advance(one, "b", TaskNext::Rests(at(900))).await, "it is somebody else's now");
    assert!(advance(two, "c", TaskNext::Rests(at(900))).await);
    assert!(!advance(two, "d", TaskNext::Rests(at(1_000))).await, "it rests");
    assert_eq!(claim(one, 899).await, None, "it is not due");
    assert_eq!(claim(one, 900).await, task(Some("c")));
}

#[rstest]
#[tokio::test]
async fn what_scheduled_work_found_is_marked_with_its_progress(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    memory.store.claim_task(&task_claim(&memory, worker, 1)).await.unwrap();
    let told = Fields::from([("city".to_owned(), Value::text("Bonn"))]);
    let mark = Mark { told: Some(told.clone()), ..Mark::at(contact(1), at(3)) };
    let found = progress(&memory, worker, "a", TaskNext::Rests(at(900)));
    assert!(memory.store.advance_task(&TaskProgress { marks: &[mark], ..found }).await.unwrap());
    let claimed = memory.claim_as(worker, 10).await;
    let job = &claimed[0].jobs[0];
    assert_eq!((job.key, job.told.as_ref(), job.occurred_at), (contact(1), Some(&told), at(3)));
    assert_eq!(job.cause, Cause::Sweep(Uuid::nil()));
}

/// What a later version may add while this one runs.
const MORE_COLUMNS: &str = "
    ALTER TABLE pairs ADD COLUMN later TEXT;
    ALTER TABLE links ADD COLUMN later TEXT;
    ALTER TABLE records ADD COLUMN later TEXT;
    ALTER TABLE conflicts ADD COLUMN later TEXT;
    ALTER TABLE jobs ADD COLUMN later TEXT;
    ALTER TABLE resyncs ADD COLUMN later TEXT;
    ALTER TABLE audit ADD COLUMN later TEXT;
    ALTER TABLE tasks ADD COLUMN later TEXT;
    ALTER TABLE connections ADD COLUMN later TEXT;
    ALTER TABLE deliveries ADD COLUMN later TEXT;
    ALTER TABLE notifications ADD COLUMN later TEXT";

#[rstest]
#[tokio::test]
async fn questions_go_on_while_a_newer_version_adds_columns(#[values(Sqlite, Postgres)] on: Database) {
    let Some(memory) = Memory::new(on).await else { return };
    let worker = Uuid::now_v7();
    let resync = edges::resync_of(&memory, 1);
    memory.store.create_resync(&resync).await.unwrap();
    memory.mark(&[contact(1), contact(2)]).await;
    let claimed = memory.claim_as(worker, 10).await;
    let intents = [intent(contact(1), &claimed[0])];
    memory.store.intend(&memory.name, &intents).await.unwrap();
    let linked = Finished { pair: Some(pair(contact(1), lead(1))), ..finished(&claimed[0], Outcome::Done) };
    memory.finish_as(worker, &[linked]).await;
    memory.mark(&[contact(1)]).await;
    let first = memory.claim_as(worker, 10).await;
    let before = everything_asked(&memory, claimed[1].jobs[0].id, resync.id).await;
    execute(&memory, MORE_COLUMNS).await;
    assert_eq!(everything_asked(&memory, claimed[1].jobs[0].id, resync.id).await, before);
    memory.store.release_all(worker).await.unwrap();
    let again = memory.claim_as(worker, 10).await.into_iter().filter(|one| one.pair.is_some());
    assert_eq!(again.collect::<Vec<_>>(), first);
    assert_eq!(first[0].open_intents.len(), 1);
}

/// What is answered to whoever asks.
async fn everything_asked(memory: &Memory, job: JobId, resync: Uuid) -> [String; 8] {
    let (store, name, key) = (&memory.store, &memory.name, contact(1));
    let jobs = JobQuery { connection: name, state: None, after: None, limit: 9, now: at(60) };
    let rows = AuditQuery { connection: name, system: None, key: None, since: None, after: None, limit: 9 };
    [
        format!("{:?}", store.record(name, &key).await.unwrap().unwrap()),
        format!("{:?}", store.pairs_of(name, &[key, contact(9)]).await.unwrap()),
        format!("{:?}", store.jobs(&jobs).await.unwrap()),
        format!("{:?}", store.job(job, at(60)).await.unwrap().unwrap()),
        format!("{:?}", store.resync(resync).await.unwrap().unwrap()),
        format!("{:?}", store.open_resyncs(name).await.unwrap()),
        format!("{:?}", store.audit(&rows).await.unwrap()),
        format!("{:?}", store.audit(&AuditQuery { key: Some(key), ..rows }).await.unwrap()),
    ]
}
