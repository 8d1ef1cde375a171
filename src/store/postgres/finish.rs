//! Committing what working some claims came to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use uuid::Uuid;

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use crate::plan::Pair;
use crate::store::Error;
use crate::store::codec::{count, key, key_json, to_json};
use crate::store::outcomes::{
    Held, HeldJobs, again, all_pairs, awaited, closed, job_ids, latest_pairs, looks, part_refused, settled,
    still_held,
};
use crate::store::postgres::{Transaction, audit, deliveries, resyncs, rows, text};
use crate::store::types::{Cause, Finished, Mark, Outcome};

/// Commits outcomes. Those of a lease that was lost leave no more than what they made, which is looked at.
pub(super) async fn finish(
    connection: &mut Transaction,
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

/// Marks the other records that are to be looked at. Their jobs are locked out of order, after all else: of transactions that so wait for
/// each other, the server ends one, and it is done again.
async fn mark_looks(
    connection: &mut Transaction,
    name: &ConnectionName,
    looks: &BTreeMap<Uuid, Vec<Mark>>,
    now: Timestamp,
) -> Result<(), Error> {
    for (cause, marks) in looks {
        deliveries::mark(connection, name, marks, Cause::Follow(*cause), now).await?;
    }
    Ok(())
}

/// The jobs that are still ours. They are locked: until this commits, nobody marks them or takes them over, and no other resync
/// begins to wait for them.
async fn held_jobs(
    connection: &mut Transaction,
    worker: Uuid,
    finished: &[Finished],
) -> Result<HeldJobs, Error> {
    let sql =
        "SELECT id, dirty, attempts, EXISTS (SELECT FROM resync_jobs w WHERE w.job_id = jobs.id) AS awaited
                 FROM jobs
                WHERE id = ANY ($2) AND worker = $1
                ORDER BY connection, kind, record_id
                  FOR UPDATE";
    let rows =
        connection.query(sql).bind(worker).bind(job_ids(finished)).fetch_all(&mut **connection).await?;
    let held = |row: &PgRow| {
        let (dirty, attempts, awaited) = (row.get("dirty"), count(row.get("attempts")), row.get("awaited"));
        (row.get("id"), Held { dirty, attempts, awaited })
    };
    Ok(rows.iter().map(held).collect())
}

/// Pairs, column by column.
#[derive(Default)]
struct Columns {
    hubspot_kind: Vec<&'static str>,
    hubspot_id: Vec<String>,
    salesforce_kind: Vec<&'static str>,
    salesforce_id: Vec<String>,
    stopped: Vec<Option<String>>,
    base: Vec<String>,
    set_aside: Vec<i32>,
}

impl Columns {
    fn of<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Result<Self, Error> {
        let mut columns = Self::default();
        for pair in pairs {
            columns.hubspot_kind.push(pair.hubspot.kind().as_str());
            columns.hubspot_id.push(pair.hubspot.id().to_string());
            columns.salesforce_kind.push(pair.salesforce.kind().as_str());
            columns.salesforce_id.push(pair.salesforce.id().to_string());
            columns.stopped.push(pair.stopped.as_deref().map(|reason| text(reason).into_owned()));
            columns.base.push(to_json(&pair.base)?);
            columns.set_aside.push(i32::try_from(pair.base.set_aside().count()).unwrap_or(i32::MAX));
        }
        Ok(columns)
    }
}

/// What is kept of a commit, and what is refused.
type Parted<'a> = (Vec<&'a Finished>, Vec<&'a Finished>);

/// Remembers pairs. A pair that either record was in with somebody else is gone with that, if its end was meant.
async fn put_pairs<'a>(
    connection: &mut Transaction,
    name: &ConnectionName,
    finished: Vec<&'a Finished>,
) -> Result<Parted<'a>, Error> {
    let latest = latest_pairs(&finished);
    let pairs = Columns::of(latest.iter().copied())?;
    let is_known = latest.is_empty()
        || (latest.len() == all_pairs(&finished).count() && update_pairs(connection, name, &pairs).await?);
    if is_known {
        return Ok((finished, Vec::new()));
    }
    // Two instances that pair the same record at once would each see neither the other's pair nor a conflict. So those who make
    // pairs of a connection take turns, until they commit.
    let turn = "SELECT pg_advisory_xact_lock(hashtextextended('pairs ' || $1, 0))";
    connection.query(turn).bind(name.as_str()).execute(&mut **connection).await?;
    let standing = standing_pairs(connection, name, &finished).await?;
    let (kept, refused) = part_refused(&finished, &standing);
    replace_pairs(connection, name, &kept).await?;
    Ok((kept, refused))
}

/// The pairs that the records of new ones are in.
async fn standing_pairs(
    connection: &mut Transaction,
    name: &ConnectionName,
    finished: &[&Finished],
) -> Result<Vec<[RecordKey; 2]>, Error> {
    let sql = "SELECT p.hubspot_kind, p.hubspot_id, p.salesforce_kind, p.salesforce_id
                 FROM (SELECT (SELECT l.pair_id FROM links l
                                WHERE l.connection = $1 AND l.kind = w.kind AND l.record_id = w.record_id) AS pair_id
                         FROM unnest($2::text[], $3::text[]) AS w (kind, record_id)) wanted
                 JOIN pairs p ON p.id = wanted.pair_id";
    let keys: Vec<RecordKey> = all_pairs(finished).flat_map(Pair::records).collect();
    let rows = connection
        .query(sql)
        .bind(name.as_str())
        .bind(keys.iter().map(|key| key.kind().as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.id().to_string()).collect::<Vec<_>>())
        .fetch_all(&mut **connection)
        .await?;
    let records = |row: &PgRow| {
        let hubspot = key(row.get("hubspot_kind"), row.get("hubspot_id"), ("pairs", "hubspot_id"))?;
        let salesforce =
            key(row.get("salesforce_kind"), row.get("salesforce_id"), ("pairs", "salesforce_id"))?;
        Ok([hubspot, salesforce])
    };
    rows.iter().map(records).collect()
}

/// Puts pairs in the place of those that their records were in.
async fn replace_pairs(
    connection: &mut Transaction,
    name: &ConnectionName,
    finished: &[&Finished],
) -> Result<(), Error> {
    let pairs = Columns::of(latest_pairs(finished).into_iter())?;
    let broken = "DELETE FROM pairs
                   WHERE id = ANY (ARRAY (
                         SELECT p.id
                           FROM (SELECT w.hubspot_id, w.salesforce_id,
                                        (SELECT l.pair_id FROM links l
                                          WHERE l.connection = $1 AND l.kind = side.kind AND l.record_id = side.record_id) AS pair_id
                                   FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
                                     AS w (hubspot_kind, hubspot_id, salesforce_kind, salesforce_id)
                                  CROSS JOIN LATERAL (VALUES (w.hubspot_kind, w.hubspot_id), (w.salesforce_kind, w.salesforce_id))
                                     AS side (kind, record_id)) wanted
                           JOIN pairs p ON p.id = wanted.pair_id
                          WHERE p.hubspot_id <> wanted.hubspot_id OR p.salesforce_id <> wanted.salesforce_id))";
    let put = "INSERT INTO pairs (connection, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base, set_aside)
               SELECT $1, *
                 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[])
               ON CONFLICT (connection, hubspot_kind, hubspot_id) DO UPDATE SET
                      stopped = excluded.stopped, base = excluded.base, set_aside = excluded.set_aside";
    let link = "INSERT INTO links (connection, kind, record_id, pair_id)
                SELECT $1, side.kind, side.record_id,
                       (SELECT p.id FROM pairs p
                         WHERE p.connection = $1 AND p.hubspot_kind = w.hubspot_kind AND p.hubspot_id = w.hubspot_id)
                  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
                    AS w (hubspot_kind, hubspot_id, salesforce_kind, salesforce_id)
                 CROSS JOIN LATERAL (VALUES (w.hubspot_kind, w.hubspot_id), (w.salesforce_kind, w.salesforce_id))
                    AS side (kind, record_id)
                ON CONFLICT DO NOTHING";
    let all = Columns::of(all_pairs(finished))?;
    sides(connection.query(broken).bind(name.as_str()), &all).execute(&mut **connection).await?;
    let put = sides(connection.query(put).bind(name.as_str()), &pairs);
    put.bind(&pairs.stopped).bind(&pairs.base).bind(&pairs.set_aside).execute(&mut **connection).await?;
    sides(connection.query(link).bind(name.as_str()), &pairs).execute(&mut **connection).await?;
    Ok(())
}

/// Binds the records of both sides.
fn sides<'q>(
    query: Query<'q, Postgres, PgArguments>,
    pairs: &'q Columns,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(&pairs.hubspot_kind)
        .bind(&pairs.hubspot_id)
        .bind(&pairs.salesforce_kind)
        .bind(&pairs.salesforce_id)
}

/// Remembers pairs that are there already, which is the rule; says whether all were.
async fn update_pairs(
    connection: &mut Transaction,
    name: &ConnectionName,
    pairs: &Columns,
) -> Result<bool, Error> {
    let sql = "UPDATE pairs SET
                      stopped = f.stopped, base = f.base, set_aside = f.set_aside
                 FROM (SELECT (SELECT p.id FROM pairs p
                                WHERE p.connection = $1 AND p.hubspot_kind = w.hubspot_kind AND p.hubspot_id = w.hubspot_id
                                  AND p.salesforce_kind = w.salesforce_kind AND p.salesforce_id = w.salesforce_id) AS id,
                              w.stopped, w.base, w.set_aside
                         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[])
                           AS w (hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base, set_aside)) f
                WHERE pairs.id = f.id";
    let query = sides(connection.query(sql).bind(name.as_str()), pairs);
    let done = query
        .bind(&pairs.stopped)
        .bind(&pairs.base)
        .bind(&pairs.set_aside)
        .execute(&mut **connection)
        .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == pairs.base.len()))
}

async fn put_states(
    connection: &mut Transaction,
    name: &ConnectionName,
    finished: &[&Finished],
    now: Timestamp,
) -> Result<(), Error> {
    // One row a record, as one statement may not touch a row twice: the last word counts, and the last time of agreement. In the
    // order of their keys, so that two instances never wait for each other in a ring.
    let mut states: BTreeMap<(&str, String), Standing<'_>> = BTreeMap::new();
    for finished in finished {
        let (done, error) = match &finished.outcome {
            Outcome::Done => (true, None),
            Outcome::Retry { category, message, .. } | Outcome::Park { category, message } => {
                (false, Some((category.as_str(), message)))
            }
            Outcome::Release | Outcome::Postpone { .. } => continue,
        };
        for (key, state) in &finished.states {
            let row = states.entry((key.kind().as_str(), key.id().to_string())).or_default();
            row.state = state.as_str();
            row.synced_at = done.then_some(now.as_millis()).or(row.synced_at);
            row.category = error.map(|(category, _)| category);
            row.message = error.map(|(_, message)| text(message));
        }
    }
    if states.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO records (connection, kind, record_id, state, last_synced_at, category, message)
               SELECT $1, *
                 FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
               ON CONFLICT (connection, kind, record_id) DO UPDATE SET
                      state = excluded.state, last_synced_at = coalesce(excluded.last_synced_at, records.last_synced_at),
                      category = excluded.category, message = excluded.message";
    connection
        .query(sql)
        .bind(name.as_str())
        .bind(states.keys().map(|(kind, _)| *kind).collect::<Vec<_>>())
        .bind(states.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .bind(states.values().map(|row| row.state).collect::<Vec<_>>())
        .bind(states.values().map(|row| row.synced_at).collect::<Vec<_>>())
        .bind(states.values().map(|row| row.category).collect::<Vec<_>>())
        .bind(states.values().map(|row| row.message.as_deref()).collect::<Vec<_>>())
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// How a record stands.
#[derive(Default)]
struct Standing<'a> {
    state: &'static str,
    synced_at: Option<i64>,
    category: Option<&'static str>,
    message: Option<Cow<'a, str>>,
}

async fn put_conflicts(
    connection: &mut Transaction,
    name: &ConnectionName,
    finished: &[&Finished],
) -> Result<(), Error> {
    let settled: Vec<Json> =
        finished.iter().flat_map(|finished| &finished.conflicts_settled).map(key_json).collect();
    // One row a conflict, for the reason given above: the first time it was seen, the last words for it.
    let mut listed: BTreeMap<(&str, String, &str), Json> = BTreeMap::new();
    for conflict in finished.iter().flat_map(|finished| &finished.conflicts) {
        let (kind, id) = (conflict.key.kind().as_str(), conflict.key.id().to_string());
        let property = conflict.property.as_str();
        let known = listed.remove(&(kind, id.clone(), property));
        let at = known.map_or(json!(conflict.at.as_millis()), |row| row[4].clone());
        let row = json!([kind, id, property, conflict.text, at]);
        listed.insert((kind, id, property), row);
    }
    let listed = rows(&listed.into_values().collect::<Vec<_>>())?;
    let settle = "DELETE FROM conflicts
                   WHERE (connection, kind, record_id) IN (SELECT $1, value ->> 0, value ->> 1
                                                             FROM jsonb_array_elements($2::jsonb))
                     AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements($3::jsonb) kept (value)
                                      WHERE kept.value ->> 0 = kind AND kept.value ->> 1 = record_id
                                        AND kept.value ->> 2 = property)";
    if !settled.is_empty() {
        connection
            .query(settle)
            .bind(name.as_str())
            .bind(rows(&settled)?)
            .bind(&listed)
            .execute(&mut **connection)
            .await?;
    }
    let list = "INSERT INTO conflicts (connection, kind, record_id, property, text, at)
                SELECT $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, (value ->> 4)::bigint
                  FROM jsonb_array_elements($2::jsonb)
                -- The time stays: a conflict is as old as its first sight.
                ON CONFLICT (connection, kind, record_id, property) DO UPDATE SET text = excluded.text";
    if finished.iter().any(|finished| !finished.conflicts.is_empty()) {
        connection.query(list).bind(name.as_str()).bind(&listed).execute(&mut **connection).await?;
    }
    Ok(())
}

/// Adds the jobs that end here to the resyncs that wait for them; one that became dirty meanwhile does not end.
async fn count_for_resyncs(
    connection: &mut Transaction,
    finished: &[&Finished],
    held: &HeldJobs,
) -> Result<(), Error> {
    let (done, failed) = awaited(finished, held);
    resyncs::count_ended(connection, &done, &failed).await
}

async fn close_jobs(
    connection: &mut Transaction,
    (finished, refused): (&[&Finished], &[&Finished]),
    held: &HeldJobs,
    now: Timestamp,
) -> Result<(), Error> {
    let (done, mut kept) = closed(finished, held, now);
    kept.extend(again(refused, held, now));
    let close = "DELETE FROM jobs WHERE id = ANY ($1)";
    if !done.is_empty() {
        connection.query(close).bind(done).execute(&mut **connection).await?;
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
                  FROM (SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS dirty, value ->> 2 AS outcome,
                               (value ->> 3)::bigint AS due_at, (value ->> 4)::bigint AS counts, value ->> 5 AS category,
                               value ->> 6 AS message
                          FROM jsonb_array_elements($1::jsonb)) f
                 WHERE jobs.id = f.id";
    if !kept.is_empty() {
        connection.query(keep).bind(rows(&kept)?).execute(&mut **connection).await?;
    }
    Ok(())
}
