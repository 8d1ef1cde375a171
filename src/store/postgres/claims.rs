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
//! by subqueries for a row: the planner knows too little of tables that were empty a moment ago to be left the choice. A backlog comes
//! within minutes, and its first claims would take seconds each.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::domain::{ConnectionName, Family, RecordKey, Timestamp};
use crate::plan::Pair;
use crate::store::Error;
use crate::store::codec::{self, at, from_json};
use crate::store::postgres::{Transaction, audit};
use crate::store::types::{Claim, Claimed, ClaimedJob, Intent, JobId, with_intents};

/// Claims due work.
pub(super) async fn claim(connection: &mut Transaction, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error> {
    connection.execute(IN_ORDER).await?;
    let due = due_jobs(connection, claim).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let twins = twin_jobs(connection, claim, &ids(&due, "twin_id")).await?;
    let pairs = pairs(connection, &ids(&due, "pair_id")).await?;
    let claimed = claims(&due, pairs, &twins)?;
    let intents = take_leases(connection, claim, &claimed).await?;
    Ok(with_intents(claimed, intents))
}

/// Jobs are read in the order of their index. The planner, who knows of one job where a million came since, may think it as cheap to read
/// them all and sort.
const IN_ORDER: &str = "SET LOCAL enable_sort = off";

/// The pair `p` of job `j`, by its link `l`, and the job `t` of the other record, if that has one: one row after the other, each by its
/// key. `OFFSET 0` keeps the planner from joining them at large.
macro_rules! pair_and_twin {
    () => {
        "LEFT JOIN LATERAL (
                SELECT pair_id
                  FROM links
                 WHERE connection = j.connection AND kind = j.kind AND record_id = j.record_id
                OFFSET 0) l ON true
         LEFT JOIN LATERAL (
                SELECT id,
                       CASE j.kind WHEN hubspot_kind THEN salesforce_kind ELSE hubspot_kind END AS twin_kind,
                       CASE j.kind WHEN hubspot_kind THEN salesforce_id ELSE hubspot_id END AS twin_id
                  FROM pairs
                 WHERE id = l.pair_id
                OFFSET 0) p ON true
         LEFT JOIN LATERAL (
                SELECT id, state, due_at, lease_until
                  FROM jobs
                 WHERE connection = j.connection AND kind = p.twin_kind AND record_id = p.twin_id
                OFFSET 0) t ON true"
    };
}

/// The oldest due jobs that nobody works on, one for each pair: the one that is due first.
const DUE_JOBS: &str = concat!(
    "SELECT j.id, j.kind, j.record_id, j.dirty, j.attempts, j.occurred_at, j.dirty_since, j.cause_kind, j.cause,
            j.told, j.changed, j.asked_alone, p.id AS pair_id, t.id AS twin_id
       FROM jobs j ",
    pair_and_twin!(),
    " WHERE j.connection = $1 AND j.family = $2 AND j.state <> 'parked' AND j.due_at <= $3 AND j.lease_until <= $3
        AND (t.lease_until > $3
             OR t.state <> 'parked' AND t.due_at <= $3 AND (t.due_at, t.id) < (j.due_at, j.id)) IS NOT TRUE
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

/// The ids in a column of due jobs.
fn ids(due: &[PgRow], column: &str) -> Vec<i64> {
    due.iter().filter_map(|row| row.get(column)).collect()
}

/// The jobs of the other records, as far as nobody works on them: whatever waits for one side is answered by working the pair.
const TWIN_JOBS: &str = "
    SELECT id, kind, record_id, dirty, attempts, occurred_at, dirty_since, cause_kind, cause, told, changed, asked_alone
      FROM jobs
     WHERE id = ANY ($2) AND lease_until <= $1
       FOR UPDATE SKIP LOCKED";

async fn twin_jobs(
    connection: &mut Transaction,
    claim: &Claim<'_>,
    ids: &[i64],
) -> Result<HashMap<i64, PgRow>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = connection.query(TWIN_JOBS).bind(claim.now.as_millis()).bind(ids);
    let rows = query.fetch_all(&mut **connection).await?;
    Ok(rows.into_iter().map(|row| (row.get("id"), row)).collect())
}

/// The pairs of due jobs, asked for when all their jobs are locked: whoever worked a pair before has said what came of it.
const PAIRS: &str = "
    SELECT id, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base
      FROM pairs
     WHERE id = ANY ($1)";

async fn pairs(connection: &mut Transaction, ids: &[i64]) -> Result<HashMap<i64, Pair>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = connection.query(PAIRS).bind(ids).fetch_all(&mut **connection).await?;
    rows.iter().map(|row| Ok((row.get("id"), pair(row)?))).collect()
}

/// Takes the leases and asks for open intents: two questions in one journey.
async fn take_leases(
    connection: &mut Transaction,
    claim: &Claim<'_>,
    claimed: &[Claimed],
) -> Result<Vec<Intent>, Error> {
    let jobs: Vec<i64> = claimed.iter().flat_map(|one| &one.jobs).map(|job| job.id.0).collect();
    let keys: Vec<RecordKey> = claimed.iter().flat_map(Claimed::records).collect();
    let sql = "WITH leased AS (UPDATE jobs SET worker = $1, lease_until = $2 WHERE id = ANY ($3))
               SELECT a.id, a.at, a.kind, a.record_id, a.creates, a.field, a.old, a.new, a.rule, a.cause_kind, a.cause
                 FROM unnest($5::text[], $6::text[]) AS wanted (kind, record_id)
                 JOIN audit a ON a.connection = $4 AND a.kind = wanted.kind AND a.record_id = wanted.record_id
                WHERE a.written IS NULL
                ORDER BY a.id";
    let rows = connection
        .query(sql)
        .bind(claim.worker)
        .bind(claim.lease_until.as_millis())
        .bind(jobs)
        .bind(claim.connection.as_str())
        .bind(keys.iter().map(|key| key.kind().as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.id().to_string()).collect::<Vec<_>>())
        .fetch_all(&mut **connection)
        .await?;
    rows.iter().map(audit::intent).collect()
}

/// The claims that come of locked jobs: one for each pair, and one for each record without one.
fn claims(
    due: &[PgRow],
    mut pairs: HashMap<i64, Pair>,
    twins: &HashMap<i64, PgRow>,
) -> Result<Vec<Claimed>, Error> {
    let mut claims = Vec::with_capacity(due.len());
    for row in due {
        let mut jobs = vec![job(row)?];
        let (pair_id, twin_id): (Option<i64>, Option<i64>) = (row.get("pair_id"), row.get("twin_id"));
        let Some(pair_id) = pair_id else {
            claims.push(Claimed { pair: None, jobs, open_intents: Vec::new() });
            continue;
        };
        // A pair that is not there is gone, as another took its place; a twin that is not there is in other hands.
        let Some(pair) = pairs.remove(&pair_id) else { continue };
        match twin_id.map(|id| twins.get(&id)) {
            None => {}
            Some(None) => continue,
            Some(Some(twin)) => jobs.push(job(twin)?),
        }
        claims.push(Claimed { pair: Some(pair), jobs, open_intents: Vec::new() });
    }
    Ok(claims)
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
        cause: codec::job_cause(row.get("cause_kind"), cause.as_bytes(), row.get("asked_alone"))?,
        told: told.map(|told| from_json(&told, ("jobs", "told"))).transpose()?,
        changed: codec::changed(row.get("changed"))?,
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

/// When the next job can be claimed. One that a lease on its twin holds back counts from the end of that lease.
///
/// SQLite looks at every job that waits. Here that would be seconds for a long queue, and several instances ask: so the first job that
/// nothing holds back is looked for in the order in which they are due, and beyond it nothing can come earlier.
const NEXT_DUE: &str = concat!(
    "WITH free AS MATERIALIZED (
          SELECT min(first.due_at) AS due_at
            FROM unnest($2::text[]) families (family)
           CROSS JOIN LATERAL (
                 SELECT j.due_at
                   FROM jobs j ",
    pair_and_twin!(),
    " WHERE j.connection = $1 AND j.family = families.family AND j.state <> 'parked'
                    AND greatest(j.lease_until, t.lease_until) <= j.due_at
                  ORDER BY j.due_at, j.id
                  LIMIT 1) first)
     SELECT least(free.due_at, (
            SELECT min(held.until)
              FROM unnest($2::text[]) families (family)
             CROSS JOIN LATERAL (
                   SELECT greatest(j.due_at, j.lease_until, t.lease_until) AS until
                     FROM jobs j ",
    pair_and_twin!(),
    " WHERE j.connection = $1 AND j.family = families.family AND j.state <> 'parked'
                      AND j.due_at < coalesce(free.due_at, 9223372036854775807)
                    -- By the index, that is; the least of them is the same in any order.
                    ORDER BY j.due_at, j.id) held))
       FROM free"
);

/// When the next job is or becomes due.
pub(super) async fn next_due(
    connection: &mut Transaction,
    name: &ConnectionName,
) -> Result<Option<Timestamp>, Error> {
    connection.execute(IN_ORDER).await?;
    let families = Family::ALL.map(Family::as_str);
    let query = connection.query(NEXT_DUE).bind(name.as_str()).bind(&families[..]);
    let row = query.fetch_one(&mut **connection).await?;
    Ok(row.get::<Option<i64>, _>(0).map(at))
}

/// Extends the leases that are still the worker's.
pub(super) async fn renew(
    connection: &mut Transaction,
    worker: Uuid,
    jobs: &[JobId],
    lease_until: Timestamp,
) -> Result<Vec<JobId>, Error> {
    let sql = "UPDATE jobs SET lease_until = $2
                WHERE id = ANY (ARRAY (SELECT id FROM jobs WHERE id = ANY ($3) AND worker = $1
                                        ORDER BY connection, kind, record_id FOR UPDATE))
            RETURNING id";
    let rows = connection
        .query(sql)
        .bind(worker)
        .bind(lease_until.as_millis())
        .bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>())
        .fetch_all(&mut **connection)
        .await?;
    Ok(rows.iter().map(|row| JobId(row.get("id"))).collect())
}

/// Gives back every lease of a worker.
pub(super) async fn release_all(connection: &mut Transaction, worker: Uuid) -> Result<(), Error> {
    let sql = "UPDATE jobs SET worker = NULL, lease_until = 0
                WHERE id = ANY (ARRAY (SELECT id FROM jobs WHERE worker = $1
                                        ORDER BY connection, kind, record_id FOR UPDATE))";
    connection.query(sql).bind(worker).execute(&mut **connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::plans::Plans;

    /// Ten connections with their pairs.
    const TEN_CONNECTIONS: &str = "
        INSERT INTO pairs (connection, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, base)
        SELECT 'c' || n % 10, 'contact', n, 'Lead', n, '{}' FROM generate_series(1, 20000) n;
        INSERT INTO links SELECT connection, hubspot_kind, hubspot_id, id FROM pairs
                UNION ALL SELECT connection, salesforce_kind, salesforce_id, id FROM pairs";

    /// A long queue of theirs.
    const JOBS: &str = "
        INSERT INTO jobs (connection, family, kind, record_id, dirty, state, due_at, dirty_since, occurred_at, cause_kind, cause)
        SELECT 'c' || n % 10, 'people', 'contact', n, 1, 'due', n, n, n, 'sweep', gen_random_uuid()
          FROM generate_series(1, 20000) n
            ON CONFLICT DO NOTHING";

    #[tokio::test]
    async fn the_statements_of_a_claim_walk_no_table_whatever_the_planner_was_told() {
        let Some(mut plans) = Plans::of(TEN_CONNECTIONS).await else { return };
        plans.settings = IN_ORDER;
        plans.execute(JOBS).await;
        plans.execute("ANALYZE").await;
        for told in ["of the queue as it is", "of a queue of one"] {
            for asked in [
                (DUE_JOBS, "text, text, bigint, bigint", "'c1', 'people', 99999, 100"),
                (TWIN_JOBS, "bigint, bigint[]", "99999, ARRAY[1, 11, 21, 31]"),
                (PAIRS, "bigint[]", "ARRAY[1, 11, 21, 31]"),
                (NEXT_DUE, "text, text[]", "'c1', ARRAY['companies', 'people', 'deals']"),
            ] {
                assert_eq!(plans.walks(asked).await, None, "told {told}");
            }
            // One is left in many pages, and more come than the planner hears of.
            for sql in ["DELETE FROM jobs WHERE id > 1", "VACUUM ANALYZE jobs", JOBS] {
                plans.execute(sql).await;
            }
        }
    }
}
