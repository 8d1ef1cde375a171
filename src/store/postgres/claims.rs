//! Claims: which work is whose, and until when.
//!
//! A claim takes its rows with `FOR UPDATE SKIP LOCKED`, so that instances share the work and none waits for another. Two races are
//! decided here, of which SQLite, with its one writer, knows nothing:
//!
//! - *Both records of a pair are due, and two instances look at once.* Only the job that is due first stands for its pair, so both
//!   reach for the same row and one gets it.
//! - *A record was taken while it had no pair, and gets one.* Whoever takes a pair locks the jobs of both its records. One that is
//!   locked by somebody else, or leased, makes the claim leave the pair for this time.
//!
//! What SQLite is told by `CROSS JOIN`, to take these rows first and look up each of them there, is said here and in the other files
//! by subqueries for a row: the planner knows too little of tables that were empty a moment ago to be left the choice.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::domain::{ConnectionName, Family, RecordKey, Timestamp};
use crate::plan::Pair;
use crate::store::Error;
use crate::store::codec::{self, at, from_json};
use crate::store::postgres::{Transaction, audit};
use crate::store::types::{Claim, Claimed, ClaimedJob, Intent, JobId, PairId};

/// Claims due work.
pub(super) async fn claim(connection: &mut Transaction, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error> {
    let due = due_jobs(connection, claim).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let pairs = lock(connection, claim, FREE_PAIRS, &due, "pair_id").await?;
    let twins = lock(connection, claim, FREE_JOBS, &due, "twin_id").await?;
    let claimed = Claims::of(&due, &pairs, &twins)?;
    let intents = take_leases(connection, claim, &claimed).await?;
    Ok(claimed.with_intents(intents))
}

/// The pair `p` of job `j`, by its link `l`, and the job `t` of the other record, if that has one.
macro_rules! pair_and_twin {
    () => {
        "links l
              JOIN pairs p ON p.id = l.pair_id
              LEFT JOIN jobs t ON t.connection = p.connection
               AND t.kind = CASE l.kind WHEN p.hubspot_kind THEN p.salesforce_kind ELSE p.hubspot_kind END
               AND t.record_id = CASE l.kind WHEN p.hubspot_kind THEN p.salesforce_id ELSE p.hubspot_id END
             WHERE l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id"
    };
}

/// The oldest due jobs that nobody works on, one for each pair: the one that is due first.
const DUE_JOBS: &str = concat!(
    "SELECT j.id, j.kind, j.record_id, j.dirty, j.attempts, j.occurred_at, j.dirty_since, j.cause_kind, j.cause,
            j.told, of.pair_id, of.twin_id
       FROM jobs j
       LEFT JOIN LATERAL (
            SELECT p.id AS pair_id, t.id AS twin_id,
                   p.lease_until > $3
                   -- A twin that was claimed before the two were a pair is leased by itself.
                   OR t.lease_until > $3
                   OR t.state <> 'parked' AND t.due_at <= $3 AND (t.due_at, t.id) < (j.due_at, j.id) AS waits
              FROM ",
    pair_and_twin!(),
    // Looked up for each job, never joined at large.
    " OFFSET 0) of ON true
      WHERE j.connection = $1 AND j.family = $2 AND j.state <> 'parked' AND j.due_at <= $3 AND j.lease_until <= $3
        AND of.waits IS NOT TRUE
      ORDER BY j.due_at, j.id
      LIMIT $4
        FOR UPDATE OF j SKIP LOCKED"
);

async fn due_jobs(connection: &mut Transaction, claim: &Claim<'_>) -> Result<Vec<PgRow>, Error> {
    let rows = connection
        .query(DUE_JOBS)
        .bind(claim.connection.as_str())
        .bind(claim.family.as_str())
        .bind(claim.now.as_millis())
        .bind(i64::try_from(claim.limit).unwrap_or(i64::MAX))
        .fetch_all(&mut **connection)
        .await?;
    Ok(rows)
}

/// The pairs of due jobs, as far as nobody works on them or is about to.
const FREE_PAIRS: &str = "
    SELECT id, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base
      FROM pairs
     WHERE id = ANY ($2) AND lease_until <= $1
       FOR UPDATE SKIP LOCKED";

/// The jobs of their other records, likewise: whatever waits for one side is answered by working the pair.
const FREE_JOBS: &str = "
    SELECT id, kind, record_id, dirty, attempts, occurred_at, dirty_since, cause_kind, cause, told
      FROM jobs
     WHERE id = ANY ($2) AND lease_until <= $1
       FOR UPDATE SKIP LOCKED";

/// Locks the rows that due jobs name in a column, as far as they are free.
async fn lock(
    connection: &mut Transaction,
    claim: &Claim<'_>,
    sql: &'static str,
    due: &[PgRow],
    column: &str,
) -> Result<HashMap<i64, PgRow>, Error> {
    let ids: Vec<i64> = due.iter().filter_map(|row| row.get(column)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = connection.query(sql).bind(claim.now.as_millis()).bind(ids);
    let rows = query.fetch_all(&mut **connection).await?;
    Ok(rows.into_iter().map(|row| (row.get("id"), row)).collect())
}

/// Takes the leases and asks for open intents: two questions in one journey.
async fn take_leases(
    connection: &mut Transaction,
    claim: &Claim<'_>,
    claims: &Claims,
) -> Result<Vec<Intent>, Error> {
    let claimed = || claims.claimed.iter();
    let jobs: Vec<i64> = claimed().flat_map(|claimed| claimed.jobs.iter().map(|job| job.id.0)).collect();
    let pairs: Vec<i64> = claimed().filter_map(|claimed| claimed.pair.as_ref().map(|(id, _)| id.0)).collect();
    let keys: Vec<RecordKey> = claimed().flat_map(keys_of).collect();
    let sql = "WITH of_jobs AS (UPDATE jobs SET worker = $1, lease_until = $2 WHERE id = ANY ($3)),
                    of_pairs AS (UPDATE pairs SET worker = $1, lease_until = $2 WHERE id = ANY ($4))
               SELECT a.*
                 FROM unnest($6::text[], $7::text[]) AS wanted (kind, record_id)
                 JOIN audit a ON a.connection = $5 AND a.kind = wanted.kind AND a.record_id = wanted.record_id
                WHERE a.written IS NULL";
    let rows = connection
        .query(sql)
        .bind(claim.worker)
        .bind(claim.lease_until.as_millis())
        .bind(jobs)
        .bind(pairs)
        .bind(claim.connection.as_str())
        .bind(keys.iter().map(|key| key.kind().as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.id().to_string()).collect::<Vec<_>>())
        .fetch_all(&mut **connection)
        .await?;
    rows.iter().map(audit::intent).collect()
}

fn keys_of(claimed: &Claimed) -> Vec<RecordKey> {
    match &claimed.pair {
        Some((_, pair)) => vec![pair.hubspot, pair.salesforce],
        None => claimed.jobs.iter().map(|job| job.key).collect(),
    }
}

/// Claims in the making: one for each pair, and one for each record without one.
struct Claims {
    claimed: Vec<Claimed>,
}

impl Claims {
    fn of(due: &[PgRow], pairs: &HashMap<i64, PgRow>, twins: &HashMap<i64, PgRow>) -> Result<Self, Error> {
        let mut claimed = Vec::with_capacity(due.len());
        for row in due {
            let mut jobs = vec![job(row)?];
            let (pair_id, twin_id): (Option<i64>, Option<i64>) = (row.get("pair_id"), row.get("twin_id"));
            let Some(pair_id) = pair_id else {
                claimed.push(Claimed { pair: None, jobs, open_intents: Vec::new() });
                continue;
            };
            // A pair that is not there is in other hands, or another one took its place; its other record's job, likewise.
            let Some(of_pair) = pairs.get(&pair_id) else { continue };
            match twin_id.map(|id| twins.get(&id)) {
                None => {}
                Some(None) => continue,
                Some(Some(twin)) => jobs.push(job(twin)?),
            }
            let pair = Some((PairId(pair_id), pair(of_pair)?));
            claimed.push(Claimed { pair, jobs, open_intents: Vec::new() });
        }
        Ok(Self { claimed })
    }

    fn with_intents(mut self, intents: Vec<Intent>) -> Vec<Claimed> {
        for intent in intents {
            let of_record = self.claimed.iter_mut().find(|claimed| keys_of(claimed).contains(&intent.key));
            if let Some(claimed) = of_record {
                claimed.open_intents.push(intent);
            }
        }
        self.claimed
    }
}

fn job(row: &PgRow) -> Result<ClaimedJob, Error> {
    let told: Option<String> = row.get("told");
    let cause: Uuid = row.get("cause");
    Ok(ClaimedJob {
        id: JobId(row.get("id")),
        key: codec::key(row.get("kind"), row.get("record_id"), ("jobs", "record_id"))?,
        dirty: row.get("dirty"),
        attempts: codec::count(row.get("attempts")),
        occurred_at: at(row.get("occurred_at")),
        dirty_since: at(row.get("dirty_since")),
        cause: codec::cause(row.get("cause_kind"), cause.as_bytes(), ("jobs", "cause"))?,
        told: told.map(|told| from_json(&told, ("jobs", "told"))).transpose()?,
    })
}

/// A pair, from the columns of `pairs`.
pub(super) fn pair(row: &PgRow) -> Result<Pair, Error> {
    Ok(Pair {
        hubspot: codec::key(row.get("hubspot_kind"), row.get("hubspot_id"), ("pairs", "hubspot_id"))?,
        salesforce: codec::key(
            row.get("salesforce_kind"),
            row.get("salesforce_id"),
            ("pairs", "salesforce_id"),
        )?,
        stopped: row.get("stopped"),
        base: from_json(row.get("base"), ("pairs", "base"))?,
    })
}

/// Until when job `j` is held back by a lease: its own, its pair's, its twin's.
macro_rules! held_until {
    () => {
        concat!(
            "greatest(j.lease_until, (SELECT greatest(p.lease_until, t.lease_until) FROM ",
            pair_and_twin!(),
            "))"
        )
    };
}

/// When the next job can be claimed. One that a lease on its pair or its twin holds back counts from the end of that lease.
///
/// SQLite looks at every job that waits. Here that would be seconds for a long queue, and several instances ask: so the first job that
/// nothing holds back is looked for in the order in which they are due, and beyond it nothing can come earlier.
const NEXT_DUE: &str = concat!(
    "WITH free AS MATERIALIZED (
          SELECT min(first.due_at) AS due_at
            FROM unnest($2::text[]) families (family)
           CROSS JOIN LATERAL (
                 SELECT j.due_at
                   FROM jobs j
                  WHERE j.connection = $1 AND j.family = families.family AND j.state <> 'parked'
                    AND ",
    held_until!(),
    " <= j.due_at
                  ORDER BY j.due_at
                  LIMIT 1) first)
     SELECT least(free.due_at, (
            SELECT min(greatest(j.due_at, ",
    held_until!(),
    "))
              FROM jobs j
             WHERE j.connection = $1 AND j.family = ANY ($2) AND j.state <> 'parked'
               AND j.due_at < coalesce(free.due_at, 9223372036854775807)))
       FROM free"
);

/// When the next job is or becomes due.
pub(super) async fn next_due(
    connection: &mut Transaction,
    name: &ConnectionName,
) -> Result<Option<Timestamp>, Error> {
    let families = Family::ALL.map(Family::as_str);
    let query = connection.query(NEXT_DUE).bind(name.as_str()).bind(&families[..]);
    let row = query.fetch_one(&mut **connection).await?;
    Ok(row.get::<Option<i64>, _>(0).map(at))
}

/// Gives back every lease of a worker.
pub(super) async fn release_all(connection: &mut Transaction, worker: Uuid) -> Result<(), Error> {
    let of_jobs = "UPDATE jobs SET worker = NULL, lease_until = 0
                    WHERE id = ANY (ARRAY (SELECT id FROM jobs WHERE worker = $1
                                            ORDER BY connection, kind, record_id FOR UPDATE))";
    let of_pairs = "UPDATE pairs SET worker = NULL, lease_until = 0
                     WHERE id = ANY (ARRAY (SELECT id FROM pairs WHERE worker = $1 ORDER BY id FOR UPDATE))";
    for sql in [of_jobs, of_pairs] {
        connection.query(sql).bind(worker).execute(&mut **connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

    use super::*;
    use crate::store::Database;
    use crate::store::testing::TestDatabase;

    /// A queue of ten connections with their pairs, large enough that a walk through a table would be dearer than its indexes.
    const FILL: &str = "
        INSERT INTO pairs (connection, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, base)
        SELECT 'c' || n % 10, 'contact', n, 'Lead', n, '{}' FROM generate_series(1, 20000) n;
        INSERT INTO links SELECT connection, hubspot_kind, hubspot_id, id FROM pairs
                UNION ALL SELECT connection, salesforce_kind, salesforce_id, id FROM pairs;
        INSERT INTO jobs (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at, cause_kind, cause)
        SELECT 'c' || n % 10, 'people', 'contact', n, 1, 'due', n, n, n, 'sweep', gen_random_uuid()
          FROM generate_series(1, 20000) n;
        ANALYZE";

    #[tokio::test]
    async fn the_statements_of_a_claim_walk_no_table() {
        let Some(database) = TestDatabase::new(Database::Postgres).await.unwrap() else { return };
        let url = database.url();
        crate::store::postgres::PostgresStore::open(&url, true).await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute(FILL).await.unwrap();
        for (sql, types, values) in [
            (DUE_JOBS, "text, text, bigint, bigint", "'c1', 'people', 99999, 100"),
            (FREE_PAIRS, "bigint, bigint[]", "99999, ARRAY[1, 11, 21, 31]"),
            (FREE_JOBS, "bigint, bigint[]", "99999, ARRAY[2, 3, 4, 5]"),
            (NEXT_DUE, "text, text[]", "'c1', ARRAY['companies', 'people', 'deals']"),
        ] {
            let explain = format!(
                "PREPARE asked ({types}) AS {sql}; EXPLAIN EXECUTE asked ({values}); DEALLOCATE asked"
            );
            let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert!(steps.len() >= 3, "{steps:?}");
            let walks = |step: &&String| step.contains("Seq Scan") || step.contains("Sort");
            assert_eq!(steps.iter().find(walks), None, "{steps:#?}");
        }
    }
}
