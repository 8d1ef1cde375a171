//! Pairs and records, for those who ask.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use crate::domain::{ConnectionName, RecordKey};
use crate::plan::{Pair, State};
use crate::store::Error;
use crate::store::codec::{at, error, key_json, state, to_json};
use crate::store::sqlite::claims::pair;
use crate::store::types::{Conflict, RecordStatus, SetAsideQuery};

/// The pairs that records are in, one answer for each.
pub(super) async fn pairs_of(
    pool: &SqlitePool,
    name: &ConnectionName,
    keys: &[RecordKey],
) -> Result<Vec<Option<Pair>>, Error> {
    let wanted: Vec<_> = keys.iter().map(key_json).collect();
    let sql = "SELECT wanted.key AS place, p.hubspot_kind, p.hubspot_id, p.salesforce_kind, p.salesforce_id, p.stopped, p.base
                 FROM json_each(?2) wanted
                 CROSS JOIN links l ON l.connection = ?1 AND l.kind = wanted.value ->> 0 AND l.record_id = wanted.value ->> 1
                 CROSS JOIN pairs p ON p.id = l.pair_id";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(to_json(&wanted)?).fetch_all(pool).await?;
    let mut pairs = vec![None; keys.len()];
    for row in rows {
        let place = usize::try_from(row.get::<i64, _>("place")).unwrap_or(usize::MAX);
        if let Some(slot) = pairs.get_mut(place) {
            *slot = Some(pair(&row)?);
        }
    }
    Ok(pairs)
}

/// What memory knows of one record.
pub(super) async fn record(
    pool: &SqlitePool,
    name: &ConnectionName,
    key: &RecordKey,
) -> Result<Option<RecordStatus>, Error> {
    let sql = "SELECT r.state, r.last_synced_at, r.category, r.message, j.id AS job, j.state AS job_state,
                      j.category AS job_category, j.message AS job_message
                 FROM (SELECT ?1 AS connection, ?2 AS kind, ?3 AS record_id) asked
                 LEFT JOIN records r USING (connection, kind, record_id)
                 LEFT JOIN jobs j USING (connection, kind, record_id)";
    let row = sqlx::query(sql)
        .bind(name.as_str())
        .bind(key.kind().as_str())
        .bind(key.id().to_string())
        .fetch_one(pool)
        .await?;
    let known: Option<&str> = row.get("state");
    let job: Option<i64> = row.get("job");
    let pair = pairs_of(pool, name, std::slice::from_ref(key)).await?.into_iter().next().flatten();
    if known.is_none() && job.is_none() && pair.is_none() {
        return Ok(None);
    }
    let last_error = match error(row.get("category"), row.get("message"), ("records", "category"))? {
        Some(last_error) => Some(last_error),
        None => error(row.get("job_category"), row.get("job_message"), ("jobs", "category"))?,
    };
    Ok(Some(RecordStatus {
        state: known.map(state).transpose()?.unwrap_or(State::Unlinked),
        pair,
        last_synced_at: row.get::<Option<i64>, _>("last_synced_at").map(at),
        last_error,
        pending: row.get::<Option<&str>, _>("job_state").is_some_and(|state| state != "parked"),
    }))
}

/// Pairs with fields that are set aside.
pub(super) async fn set_aside(
    pool: &SqlitePool,
    query: &SetAsideQuery<'_>,
) -> Result<Vec<(i64, Pair)>, Error> {
    let sql = "SELECT id, hubspot_kind, hubspot_id, salesforce_kind, salesforce_id, stopped, base FROM pairs
                WHERE connection = ?1 AND set_aside > 0 AND id > ?2
                ORDER BY id
                LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(query.connection.as_str())
        .bind(query.after.unwrap_or_default())
        .bind(query.limit)
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok((row.get("id"), pair(row)?))).collect()
}

/// The conflicts listed for one record.
pub(super) async fn conflicts_of(
    pool: &SqlitePool,
    name: &ConnectionName,
    key: &RecordKey,
) -> Result<Vec<Conflict>, Error> {
    let sql = "SELECT property, text, at FROM conflicts
                WHERE connection = ?1 AND kind = ?2 AND record_id = ?3
                ORDER BY property";
    let rows = sqlx::query(sql)
        .bind(name.as_str())
        .bind(key.kind().as_str())
        .bind(key.id().to_string())
        .fetch_all(pool)
        .await?;
    let conflict = |row: &sqlx::sqlite::SqliteRow| Conflict {
        key: *key,
        property: row.get("property"),
        text: row.get("text"),
        at: at(row.get("at")),
    };
    Ok(rows.iter().map(conflict).collect())
}
