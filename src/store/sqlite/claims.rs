//! Claims: which work is whose, and until when.

use std::collections::HashMap;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::domain::{ConnectionName, Timestamp};
use crate::plan::Pair;
use crate::store::Error;
use crate::store::codec::{self, at, from_json, key_json, to_json};
use crate::store::sqlite::audit;
use crate::store::types::{Claim, Claimed, ClaimedJob, Intent, JobId, with_intents};

/// Whether a claim would find anything; it asks what [`due_jobs`] asks, or a worker would knock at the writer in vain.
const ANYTHING_DUE: &str = "
    SELECT 1
      FROM jobs j
      LEFT JOIN links l ON l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id
     WHERE j.connection = ?1 AND j.family = ?2 AND j.state <> 'parked' AND j.due_at <= ?3
       AND j.lease_until <= ?3
       AND NOT EXISTS (SELECT 1 FROM links tl
                         CROSS JOIN jobs t ON t.connection = tl.connection AND t.kind = tl.kind AND t.record_id = tl.record_id
                        WHERE tl.pair_id = l.pair_id AND t.lease_until > ?3)
     LIMIT 1";

/// Whether a claim would find anything.
pub(super) async fn anything_due(pool: &SqlitePool, claim: &Claim<'_>) -> Result<bool, Error> {
    let row = sqlx::query(ANYTHING_DUE)
        .bind(claim.connection.as_str())
        .bind(claim.family.as_str())
        .bind(claim.now.as_millis())
        .fetch_optional(pool)
        .await?;
    Ok(row.is_some())
}

/// Claims due work.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    claim: &Claim<'_>,
) -> Result<Vec<Claimed>, Error> {
    let due = due_jobs(connection, claim).await?;
    let pair_ids: Vec<i64> = due.iter().filter_map(|row| row.get("pair_id")).collect();
    let twins = if pair_ids.is_empty() {
        Vec::new()
    } else {
        let due_ids: Vec<i64> = due.iter().map(|row| row.get("id")).collect();
        twin_jobs(connection, &pair_ids, &due_ids).await?
    };
    let claimed = claims(due.iter().chain(&twins))?;
    take_leases(connection, claim, &claimed).await?;
    let intents = open_intents(connection, claim.connection, &claimed).await?;
    Ok(with_intents(claimed, intents))
}

/// The oldest due jobs that nobody works on: a lease on either record is one on their pair.
const DUE_JOBS: &str = "
    SELECT j.id, j.kind, j.record_id, j.dirty, j.attempts, j.occurred_at, j.dirty_since, j.cause_kind, j.cause,
           j.told, j.changed, j.asked_alone, p.id AS pair_id, p.hubspot_kind, p.hubspot_id, p.salesforce_kind, p.salesforce_id,
           p.stopped, p.base
      FROM jobs j
      LEFT JOIN links l ON l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id
      LEFT JOIN pairs p ON p.id = l.pair_id
     WHERE j.connection = ?1 AND j.family = ?2 AND j.state <> 'parked' AND j.due_at <= ?3
       AND j.lease_until <= ?3
       AND NOT EXISTS (SELECT 1 FROM links tl
                         CROSS JOIN jobs t ON t.connection = tl.connection AND t.kind = tl.kind AND t.record_id = tl.record_id
                        WHERE tl.pair_id = p.id AND t.lease_until > ?3)
     ORDER BY j.due_at
     LIMIT ?4";

async fn due_jobs(connection: &mut SqliteConnection, claim: &Claim<'_>) -> Result<Vec<SqliteRow>, Error> {
    let rows = sqlx::query(DUE_JOBS)
        .bind(claim.connection.as_str())
        .bind(claim.family.as_str())
        .bind(claim.now.as_millis())
        .bind(i64::try_from(claim.limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// What else waits for the records of the claimed pairs: it is answered by working the pair. None of it is leased, as the pair would be
/// held back.
async fn twin_jobs(
    connection: &mut SqliteConnection,
    pair_ids: &[i64],
    due_ids: &[i64],
) -> Result<Vec<SqliteRow>, Error> {
    let sql = "SELECT j.id, j.kind, j.record_id, j.dirty, j.attempts, j.occurred_at, j.dirty_since, j.cause_kind, j.cause,
                      j.told, j.changed, j.asked_alone, l.pair_id
                 FROM json_each(?1) wanted
                 CROSS JOIN links l ON l.pair_id = wanted.value
                 CROSS JOIN jobs j ON j.connection = l.connection AND j.kind = l.kind AND j.record_id = l.record_id
                WHERE j.id NOT IN (SELECT value FROM json_each(?2))";
    Ok(sqlx::query(sql).bind(to_json(&pair_ids)?).bind(to_json(&due_ids)?).fetch_all(connection).await?)
}

async fn take_leases(
    connection: &mut SqliteConnection,
    claim: &Claim<'_>,
    claimed: &[Claimed],
) -> Result<(), Error> {
    let jobs: Vec<JobId> = claimed.iter().flat_map(|one| &one.jobs).map(|job| job.id).collect();
    let sql = "UPDATE jobs SET worker = ?1, lease_until = ?2 WHERE id IN (SELECT value FROM json_each(?3))";
    sqlx::query(sql)
        .bind(claim.worker.as_bytes().as_slice())
        .bind(claim.lease_until.as_millis())
        .bind(to_json(&jobs)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn open_intents(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    claimed: &[Claimed],
) -> Result<Vec<Intent>, Error> {
    let keys: Vec<_> = claimed.iter().flat_map(Claimed::records).map(|key| key_json(&key)).collect();
    let sql = "SELECT a.id, a.at, a.kind, a.record_id, a.creates, a.field, a.old, a.new, a.rule, a.cause_kind, a.cause
                 FROM json_each(?2) wanted
                 CROSS JOIN audit a ON a.connection = ?1 AND a.kind = wanted.value ->> 0 AND a.record_id = wanted.value ->> 1
                WHERE a.written IS NULL
                ORDER BY a.id";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(to_json(&keys)?).fetch_all(connection).await?;
    rows.iter().map(audit::intent).collect()
}

/// The claims that come of due jobs and of what else waits for their pairs: one for each pair, and one for each record without one.
fn claims<'r>(rows: impl Iterator<Item = &'r SqliteRow>) -> Result<Vec<Claimed>, Error> {
    let mut claims: Vec<Claimed> = Vec::new();
    let mut by_pair: HashMap<i64, usize> = HashMap::new();
    for row in rows {
        let pair_id: Option<i64> = row.get("pair_id");
        if let Some(place) = pair_id.and_then(|id| by_pair.get(&id)) {
            claims[*place].jobs.push(job(row)?);
            continue;
        }
        by_pair.extend(pair_id.map(|id| (id, claims.len())));
        let pair = pair_id.map(|_| pair(row)).transpose()?;
        claims.push(Claimed { pair, jobs: vec![job(row)?], open_intents: Vec::new() });
    }
    Ok(claims)
}

fn job(row: &SqliteRow) -> Result<ClaimedJob, Error> {
    let told: Option<String> = row.get("told");
    Ok(ClaimedJob {
        id: JobId(row.get("id")),
        key: codec::key(row.get("kind"), row.get("record_id"), ("jobs", "record_id"))?,
        dirty: row.get("dirty"),
        attempts: row.get("attempts"),
        occurred_at: at(row.get("occurred_at")),
        dirty_since: at(row.get("dirty_since")),
        cause: codec::job_cause(row.get("cause_kind"), row.get("cause"), row.get("asked_alone"))?,
        told: told.map(|told| from_json(&told, ("jobs", "told"))).transpose()?,
        changed: codec::changed(row.get("changed"))?,
    })
}

/// A pair, from the columns of `pairs`.
pub(super) fn pair(row: &SqliteRow) -> Result<Pair, Error> {
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
const NEXT_DUE: &str = "
    SELECT min(max(j.due_at, j.lease_until,
                   coalesce((SELECT max(t.lease_until) FROM links tl
                               CROSS JOIN jobs t ON t.connection = tl.connection AND t.kind = tl.kind AND t.record_id = tl.record_id
                              WHERE tl.pair_id = l.pair_id), 0)))
      FROM jobs j
      LEFT JOIN links l ON l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id
     WHERE j.connection = ?1 AND j.state <> 'parked'";

/// When the next job is or becomes due.
pub(super) async fn next_due(pool: &SqlitePool, name: &ConnectionName) -> Result<Option<Timestamp>, Error> {
    let due: Option<i64> = sqlx::query_scalar(NEXT_DUE).bind(name.as_str()).fetch_one(pool).await?;
    Ok(due.map(at))
}

/// Extends the leases that are still the worker's.
pub(super) async fn renew(
    connection: &mut SqliteConnection,
    worker: Uuid,
    jobs: &[JobId],
    lease_until: Timestamp,
) -> Result<Vec<JobId>, Error> {
    let sql = "UPDATE jobs SET lease_until = ?2
                WHERE id IN (SELECT value FROM json_each(?3)) AND worker = ?1
            RETURNING id";
    let held: Vec<i64> = sqlx::query_scalar(sql)
        .bind(worker.as_bytes().as_slice())
        .bind(lease_until.as_millis())
        .bind(to_json(&jobs)?)
        .fetch_all(connection)
        .await?;
    Ok(held.into_iter().map(JobId).collect())
}

/// Gives back every lease of a worker.
pub(super) async fn release_all(connection: &mut SqliteConnection, worker: Uuid) -> Result<(), Error> {
    let sql = "UPDATE jobs SET worker = NULL, lease_until = 0 WHERE worker = ?1";
    sqlx::query(sql).bind(worker.as_bytes().as_slice()).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// How SQLite would go about a statement, step by step.
    pub(in crate::store::sqlite) async fn plan_of(sql: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/test.db", directory.path().display());
        let store = crate::store::sqlite::SqliteStore::open(&url, true).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(&store.writer).await.unwrap();
        steps.into_iter().map(|(.., text)| text).collect()
    }

    #[tokio::test]
    async fn the_statements_of_a_claim_walk_no_table() {
        for sql in [ANYTHING_DUE, DUE_JOBS, NEXT_DUE] {
            let steps = plan_of(sql).await;
            assert!(steps.len() >= 3, "{steps:?}");
            let walks = |text: &&String| text.starts_with("SCAN") || text.contains("TEMP B-TREE");
            assert_eq!(steps.iter().find(walks), None, "{sql}");
        }
    }
}
