//! Committing what working some claims came to.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use crate::plan::Pair;
use crate::store::Error;
use crate::store::codec::{key, key_json, pair_json, to_json};
use crate::store::outcomes::{
    Held, HeldJobs, again, all_pairs, awaited, closed, job_ids, latest_pairs, looks, part_refused, settled,
    still_held,
};
use crate::store::sqlite::{audit, deliveries, resyncs};
use crate::store::types::{Cause, Finished, Mark, Outcome};

/// Commits outcomes. Those of a lease that was lost leave no more than what they made, which is looked at.
pub(super) async fn finish(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    worker: Uuid,
    finished: &[Finished],
    now: Timestamp,
) -> Result<(), Error> {
    let held = held_jobs(connection, worker, finished).await?;
    let (kept, refused) = put_pairs(connection, name, still_held(finished, &held)).await?;
    audit::settle(connection, &settled(finished, &kept)).await?;
    put_states(connection, name, &kept, now).await?;
    put_conflicts(connection, name, &kept).await?;
    count_for_resyncs(connection, &kept, &held).await?;
    close_jobs(connection, (&kept, &refused), &held, now).await?;
    let looks = looks(finished, &held, &refused);
    mark_looks(connection, name, &looks, now).await
}

/// Marks the other records that are to be looked at.
async fn mark_looks(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    looks: &BTreeMap<Uuid, Vec<Mark>>,
    now: Timestamp,
) -> Result<(), Error> {
    for (cause, marks) in looks {
        deliveries::mark(connection, name, marks, Cause::Follow(*cause), now).await?;
    }
    Ok(())
}

/// The jobs that are still ours.
async fn held_jobs(
    connection: &mut SqliteConnection,
    worker: Uuid,
    finished: &[Finished],
) -> Result<HeldJobs, Error> {
    let sql = "SELECT j.id, j.dirty, j.attempts, EXISTS (SELECT 1 FROM resync_jobs w WHERE w.job_id = j.id) AS awaited
                 FROM json_each(?2) wanted CROSS JOIN jobs j ON j.id = wanted.value
                WHERE j.worker = ?1";
    let rows = sqlx::query(sql)
        .bind(worker.as_bytes().as_slice())
        .bind(to_json(&job_ids(finished))?)
        .fetch_all(connection)
        .await?;
    let held = |row: &SqliteRow| {
        let (dirty, attempts, awaited) = (row.get("dirty"), row.get("attempts"), row.get("awaited"));
        (row.get("id"), Held { dirty, attempts, awaited })
    };
    Ok(rows.iter().map(held).collect())
}

/// What is kept of a commit, and what is refused.
type Parted<'a> = (Vec<&'a Finished>, Vec<&'a Finished>);

/// Remembers pairs. A pair that either record was in with somebody else is gone with that, if its end was meant.
async fn put_pairs<'a>(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    finished: Vec<&'a Finished>,
) -> Result<Parted<'a>, Error> {
    let pairs: Vec<Json> = latest_pairs(&finished).into_iter().map(pair_json).collect::<Result<_, _>>()?;
    let is_known = pairs.is_empty()
        || (pairs.len() == all_pairs(&finished).count() && update_pairs(connection, name, &pairs).await?);
    if is_known {
        return Ok((finished, Vec::new()));
    }
    let standing = standing_pairs(connection, name, &finished).await?;
    let (kept, refused) = part_refused(&finished, &standing);
    let pairs: Vec<Json> = latest_pairs(&kept).into_iter().map(pair_json).collect::<Result<_, _>>()?;
    let all: Vec<Json> = all_pairs(&kept).map(pair_json).collect::<Result<_, _>>()?;
    let broken = "DELETE FROM pairs
                   WHERE id IN (
                         SELECT l.pair_id
                           FROM json_each(?2) wanted
                           CROSS JOIN links l ON l.connection = ?1
                                AND (l.kind, l.record_id) IN (
                                    (wanted.value ->> 'hubspot_kind', wanted.value ->> 'hubspot_id'),
                                    (wanted.value ->> 'salesforce_kind', wanted.value ->> 'salesforce_id'))
                           CROSS JOIN pairs p ON p.id = l.pair_id
                          WHERE p.hubspot_id <> wanted.value ->> 'hubspot_id'
                             OR p.salesforce_id <> wanted.value ->> 'salesforce_id')";
    let put = "INSERT INTO pairs (connection, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base, set_aside)
               SELECT ?1, value ->> 'hubspot_kind', value ->> 'hubspot_id', value ->> 'salesforce_kind',
                      value ->> 'salesforce_id', value ->> 'stopped', value ->> 'base',
                      value ->> 'set_aside'
                 FROM json_each(?2)
                WHERE true
               ON CONFLICT (connection, hubspot_kind, hubspot_id) DO UPDATE SET
                      stopped = excluded.stopped, base = excluded.base, set_aside = excluded.set_aside";
    let link = "INSERT INTO links (connection, kind, record_id, pair_id)
                SELECT p.connection, p.hubspot_kind, p.hubspot_id, p.id
                  FROM json_each(?2) wanted
                  CROSS JOIN pairs p ON p.connection = ?1 AND p.hubspot_kind = wanted.value ->> 'hubspot_kind'
                       AND p.hubspot_id = wanted.value ->> 'hubspot_id'
                 WHERE true
                UNION ALL
                SELECT p.connection, p.salesforce_kind, p.salesforce_id, p.id
                  FROM json_each(?2) wanted
                  CROSS JOIN pairs p ON p.connection = ?1 AND p.hubspot_kind = wanted.value ->> 'hubspot_kind'
                       AND p.hubspot_id = wanted.value ->> 'hubspot_id'
                 WHERE true
                ON CONFLICT DO NOTHING";
    let (all, pairs) = (to_json(&all)?, to_json(&pairs)?);
    for (sql, pairs) in [(broken, &all), (put, &pairs), (link, &pairs)] {
        sqlx::query(sql).bind(name.as_str()).bind(pairs).execute(&mut *connection).await?;
    }
    Ok((kept, refused))
}

/// The pairs that the records of new ones are in.
async fn standing_pairs(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    finished: &[&Finished],
) -> Result<Vec<[RecordKey; 2]>, Error> {
    let keys: Vec<Json> = all_pairs(finished).flat_map(Pair::records).map(|key| key_json(&key)).collect();
    let sql = "SELECT p.hubspot_kind, p.hubspot_id, p.salesforce_kind, p.salesforce_id
                 FROM json_each(?2) wanted
                 CROSS JOIN links l ON l.connection = ?1 AND l.kind = wanted.value ->> 0 AND l.record_id = wanted.value ->> 1
                 CROSS JOIN pairs p ON p.id = l.pair_id";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(to_json(&keys)?).fetch_all(connection).await?;
    let records = |row: &SqliteRow| {
        let hubspot = key(row.get("hubspot_kind"), row.get("hubspot_id"), ("pairs", "hubspot_id"))?;
        let salesforce =
            key(row.get("salesforce_kind"), row.get("salesforce_id"), ("pairs", "salesforce_id"))?;
        Ok([hubspot, salesforce])
    };
    rows.iter().map(records).collect()
}

/// The subquery, where a join would do, keeps the planner from walking all pairs of the connection.
const UPDATE_PAIRS: &str = "
    UPDATE pairs SET stopped = f.value ->> 'stopped', base = f.value ->> 'base', set_aside = f.value ->> 'set_aside'
      FROM json_each(?2) f
     WHERE pairs.id = (SELECT p.id FROM pairs p
                        WHERE p.connection = ?1
                          AND p.hubspot_kind = f.value ->> 'hubspot_kind' AND p.hubspot_id = f.value ->> 'hubspot_id'
                          AND p.salesforce_kind = f.value ->> 'salesforce_kind'
                          AND p.salesforce_id = f.value ->> 'salesforce_id')";

/// Remembers pairs that are there already, which is the rule; says whether all were.
async fn update_pairs(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    pairs: &[Json],
) -> Result<bool, Error> {
    let done =
        sqlx::query(UPDATE_PAIRS).bind(name.as_str()).bind(to_json(&pairs)?).execute(connection).await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == pairs.len()))
}

async fn put_states(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    finished: &[&Finished],
    now: Timestamp,
) -> Result<(), Error> {
    let mut rows = Vec::new();
    for finished in finished {
        let (done, error) = match &finished.outcome {
            Outcome::Done => (true, None),
            Outcome::Retry { category, message, .. } | Outcome::Park { category, message } => {
                (false, Some((category.as_str(), message)))
            }
            Outcome::Release | Outcome::Postpone { .. } => continue,
        };
        for (key, state) in &finished.states {
            rows.push(json!([
                key.kind().as_str(),
                key.id().to_string(),
                state.as_str(),
                done.then_some(now.as_millis()),
                error.map(|(category, _)| category),
                error.map(|(_, message)| message),
            ]));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO records (connection, kind, record_id, state, last_synced_at, category, message)
               SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
                 FROM json_each(?2)
                WHERE true
               ON CONFLICT (connection, kind, record_id) DO UPDATE SET
                      state = excluded.state, last_synced_at = coalesce(excluded.last_synced_at, last_synced_at),
                      category = excluded.category, message = excluded.message";
    sqlx::query(sql).bind(name.as_str()).bind(to_json(&rows)?).execute(connection).await?;
    Ok(())
}

async fn put_conflicts(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    finished: &[&Finished],
) -> Result<(), Error> {
    let settled: Vec<Json> =
        finished.iter().flat_map(|finished| &finished.conflicts_settled).map(key_json).collect();
    let listed: Vec<Json> = finished
        .iter()
        .flat_map(|finished| &finished.conflicts)
        .map(|conflict| {
            let key = conflict.key;
            json!([
                key.kind().as_str(),
                key.id().to_string(),
                conflict.property,
                conflict.text,
                conflict.at.as_millis()
            ])
        })
        .collect();
    let settle = "DELETE FROM conflicts
                   WHERE (connection, kind, record_id) IN (SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2))
                     AND NOT EXISTS (SELECT 1 FROM json_each(?3) kept
                                      WHERE kept.value ->> 0 = kind AND kept.value ->> 1 = record_id
                                        AND kept.value ->> 2 = property)";
    if !settled.is_empty() {
        sqlx::query(settle)
            .bind(name.as_str())
            .bind(to_json(&settled)?)
            .bind(to_json(&listed)?)
            .execute(&mut *connection)
            .await?;
    }
    if listed.is_empty() {
        return Ok(());
    }
    let list = "INSERT INTO conflicts (connection, kind, record_id, property, text, at)
                SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2)
                 WHERE true
                -- The time stays: a conflict is as old as its first sight.
                ON CONFLICT (connection, kind, record_id, property) DO UPDATE SET text = excluded.text";
    sqlx::query(list).bind(name.as_str()).bind(to_json(&listed)?).execute(connection).await?;
    Ok(())
}

/// Adds the jobs that end here to the resyncs that wait for them; one that became dirty meanwhile does not end.
async fn count_for_resyncs(
    connection: &mut SqliteConnection,
    finished: &[&Finished],
    held: &HeldJobs,
) -> Result<(), Error> {
    let (done, failed) = awaited(finished, held);
    resyncs::count_ended(connection, &done, &failed).await
}

async fn close_jobs(
    connection: &mut SqliteConnection,
    (finished, refused): (&[&Finished], &[&Finished]),
    held: &HeldJobs,
    now: Timestamp,
) -> Result<(), Error> {
    let (done, mut kept) = closed(finished, held, now);
    kept.extend(again(refused, held, now));
    if !done.is_empty() {
        let close = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?1))";
        sqlx::query(close).bind(to_json(&done)?).execute(&mut *connection).await?;
    }
    if kept.is_empty() {
        return Ok(());
    }
    let keep = "UPDATE jobs SET
                       worker = NULL, lease_until = 0,
                       -- A record that changed while it was worked on is due again, unless its CRM asked us to wait.
                       state = CASE WHEN f.outcome IN ('retry', 'postpone') THEN 'waiting'
                                    WHEN f.outcome = 'park' AND jobs.dirty = f.dirty THEN 'parked'
                                    ELSE 'due' END,
                       due_at = CASE f.outcome WHEN 'release' THEN jobs.due_at ELSE f.due_at END,
                       attempts = CASE f.outcome WHEN 'done' THEN 0 ELSE jobs.attempts + f.counts END,
                       dirty_since = CASE WHEN f.outcome <> 'done' THEN jobs.dirty_since
                                          WHEN jobs.occurred_at = 0 THEN f.due_at ELSE jobs.occurred_at END,
                       told = NULL,
                       category = CASE f.outcome WHEN 'postpone' THEN jobs.category ELSE f.category END,
                       message = CASE f.outcome WHEN 'postpone' THEN jobs.message ELSE f.message END
                  FROM (SELECT value ->> 0 AS id, value ->> 1 AS dirty, value ->> 2 AS outcome, value ->> 3 AS due_at,
                               value ->> 4 AS counts, value ->> 5 AS category, value ->> 6 AS message
                          FROM json_each(?1)) f
                 WHERE jobs.id = f.id";
    sqlx::query(keep).bind(to_json(&kept)?).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::claims::tests::plan_of;

    #[tokio::test]
    async fn pairs_are_remembered_without_a_walk_through_all_of_them() {
        let steps = plan_of(UPDATE_PAIRS).await;
        let looks_up = |text: &&String| text.contains("rowid=?") || text.contains("hubspot_id=?");
        assert_eq!(steps.iter().filter(looks_up).count(), 2, "{steps:?}");
        // Two lookups for each element of the list, which is what is walked.
        assert_eq!(steps.iter().filter(|text| text.starts_with("SCAN")).count(), 1, "{steps:?}");
    }
}
