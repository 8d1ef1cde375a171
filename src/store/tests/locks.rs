//! PostgreSQL's own races, one step at a time: what a transaction under way in another instance does to a claim and to a finish.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::*;

/// Memory on PostgreSQL, and a transaction of somebody else's in the same database.
struct Meeting {
    memory: Memory,
    other: PgConnection,
    worker: Uuid,
}

impl Meeting {
    async fn new() -> Option<Self> {
        let memory = Memory::new(Postgres).await?;
        let mut other = PgConnection::connect(&memory.database.url()).await.unwrap();
        other.execute("BEGIN").await.unwrap();
        Some(Self { memory, other, worker: Uuid::now_v7() })
    }

    /// Does something in the other transaction, which goes on.
    async fn meanwhile(&mut self, sql: &str) {
        self.other.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// Ends the other transaction and begins the next.
    async fn then(&mut self, end: &'static str) {
        self.other.execute(end).await.unwrap();
        self.other.execute("BEGIN").await.unwrap();
    }

    /// Makes contact 1 and lead 1 a pair.
    async fn pair_up(&self) {
        self.memory.mark(&[contact(1)]).await;
        let claimed = self.memory.claim_as(self.worker, 10).await;
        let put = Finished { pair: Some(pair(contact(1), lead(1))), ..finished(&claimed[0], Outcome::Done) };
        self.memory.finish_as(self.worker, &[put]).await;
    }

    async fn claimed(&self) -> Vec<RecordKey> {
        let claimed = self.memory.claim_as(self.worker, 20).await;
        self.memory.store.release_all(self.worker).await.unwrap();
        claimed.iter().flat_map(|claimed| &claimed.jobs).map(|job| job.key).collect()
    }
}

/// Looks until somebody waits for a lock of this connection's.
async fn until_somebody_waits_for(other: &mut PgConnection) {
    const LOOKS_MAX: usize = 50_000;
    let waiting =
        "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    for _ in 0..LOOKS_MAX {
        if other.fetch_optional(waiting).await.unwrap().is_some() {
            return;
        }
    }
    panic!("nobody waits");
}

#[tokio::test]
async fn a_claim_passes_over_what_another_instance_has_in_hand() {
    let Some(mut meeting) = Meeting::new().await else { return };
    meeting.memory.mark(&[contact(1), contact(2)]).await;
    meeting.meanwhile("SELECT FROM jobs WHERE record_id = '1' FOR UPDATE").await;
    assert_eq!(meeting.claimed().await, [contact(2)], "without waiting");
    meeting.then("ROLLBACK").await;
    assert_eq!(meeting.claimed().await, [contact(1), contact(2)]);
}

#[tokio::test]
async fn a_claim_leaves_a_pair_whose_other_record_somebody_takes_without_knowing_the_pair() {
    let Some(mut meeting) = Meeting::new().await else { return };
    meeting.pair_up().await;
    meeting.memory.mark(&[contact(1)]).await;
    meeting.memory.mark(&[lead(1)]).await;
    // It looked before the pair was there, and is about to take the lead.
    meeting
        .meanwhile("UPDATE jobs SET lease_until = 9999, worker = gen_random_uuid() WHERE kind = 'Lead'")
        .await;
    assert_eq!(meeting.claimed().await, []);
    meeting.then("COMMIT").await;
    assert_eq!(meeting.claimed().await, [], "it is leased now");
    meeting.meanwhile("UPDATE jobs SET lease_until = 0, worker = NULL").await;
    meeting.then("COMMIT").await;
    assert_eq!(meeting.claimed().await, [contact(1), lead(1)]);
}

#[tokio::test]
async fn of_a_pairs_two_jobs_the_one_due_first_stands_for_the_pair() {
    let Some(mut meeting) = Meeting::new().await else { return };
    meeting.pair_up().await;
    meeting.memory.mark(&[lead(1)]).await;
    meeting.memory.mark(&[contact(1)]).await;
    // Were the contact's job taken here, each of two instances could hold the job that the other needs.
    meeting.meanwhile("SELECT FROM jobs WHERE kind = 'Lead' FOR UPDATE").await;
    assert_eq!(meeting.claimed().await, []);
    meeting.then("ROLLBACK").await;
    assert_eq!(meeting.claimed().await, [lead(1), contact(1)], "one pair, one claim, the older change first");
}

#[tokio::test]
async fn a_finish_waits_for_a_mark_under_way_and_leaves_its_record_due() {
    let Some(mut meeting) = Meeting::new().await else { return };
    meeting.memory.mark(&[contact(1)]).await;
    let claimed = meeting.memory.claim_as(meeting.worker, 10).await;
    meeting.meanwhile("UPDATE jobs SET dirty = dirty + 1").await;
    let outcome = [finished(&claimed[0], Outcome::Done)];
    let Meeting { memory, other, worker } = &mut meeting;
    let (finishing, ()) = tokio::join!(memory.store.finish(&memory.name, *worker, &outcome, at(50)), async {
        until_somebody_waits_for(other).await;
        other.execute("COMMIT").await.unwrap();
    });
    finishing.unwrap();
    assert_eq!(memory.n_jobs(JobState::Due, 60).await, 1);
}

#[tokio::test]
async fn of_two_instances_that_pair_a_record_at_once_the_later_one_is_refused_unless_it_knew() {
    for knew in [false, true] {
        let Some(mut meeting) = Meeting::new().await else { return };
        meeting.memory.mark(&[contact(1)]).await;
        let claimed = meeting.memory.claim_as(meeting.worker, 10).await;
        let salesforce_id = lead(1).id().to_string();
        meeting
        .meanwhile(&format!(
            "SELECT pg_advisory_xact_lock(hashtextextended('pairs acme', 0));
             WITH put AS (INSERT INTO pairs (connection, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, base)
                          VALUES ('acme', 'contact', '2', 'Lead', '{salesforce_id}', '{{}}') RETURNING id)
             INSERT INTO links SELECT 'acme', kind, record_id, put.id
               FROM put, (VALUES ('contact', '2'), ('Lead', '{salesforce_id}')) AS l (kind, record_id)"
        ))
        .await;
        let released = if knew { vec![contact(2)] } else { Vec::new() };
        let pair = Some(pair(contact(1), lead(1)));
        let put = [Finished { pair, released, ..finished(&claimed[0], Outcome::Done) }];
        let Meeting { memory, other, worker } = &mut meeting;
        let (finishing, ()) = tokio::join!(memory.store.finish(&memory.name, *worker, &put, at(50)), async {
            until_somebody_waits_for(other).await;
            other.execute("COMMIT").await.unwrap();
        });
        finishing.unwrap();
        let pairs = memory.store.pairs_of(&memory.name, &[contact(1), lead(1), contact(2)]).await.unwrap();
        let ours = put[0].pair.clone();
        if knew {
            assert_eq!(pairs, [ours.clone(), ours, None]);
        } else {
            assert_eq!(pairs[0], None);
            assert_eq!(pairs[1].as_ref().map(|pair| pair.hubspot), Some(contact(2)), "what was there stays");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_loses_a_race_is_done_again() {
    let Some(mut meeting) = Meeting::new().await else { return };
    meeting.memory.mark(&[contact(1), contact(2)]).await;
    meeting
        .meanwhile("SET LOCAL deadlock_timeout = '1h'; SELECT FROM jobs WHERE record_id = '2' FOR UPDATE")
        .await;
    let Meeting { memory, other, worker } = &mut meeting;
    // It locks 1 and waits for 2, which the other holds; the other then waits for 1.
    let (accepted, ()) =
        tokio::join!(memory.store.accept([memory.delivery(&[contact(1), contact(2)])].into()), async {
            until_somebody_waits_for(other).await;
            other.execute("SELECT FROM jobs WHERE record_id = '1' FOR UPDATE").await.unwrap();
            other.execute("COMMIT").await.unwrap();
        });
    accepted.unwrap();
    let claimed = memory.claim_as(*worker, 10).await;
    assert!(claimed.iter().all(|claimed| claimed.jobs[0].dirty == 2), "{claimed:?}");
}
