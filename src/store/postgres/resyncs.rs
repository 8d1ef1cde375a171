//! Resyncs.

use serde_json::Value as Json;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::domain::ConnectionName;
use crate::store::Error;
use crate::store::codec::{self, at, from_json, key_json, to_json};
use crate::store::postgres::{Transaction, rows, text};
use crate::store::types::{JobId, Mark, Resync};

/// What is known of a resync.
macro_rules! resync_columns {
    () => {
        "id, connection, all_of, keys, dry_run, complete, cursor, total, done, failed, preview, created_at"
    };
}

/// Records a new resync.
pub(super) async fn create_resync(connection: &mut Transaction, resync: &Resync) -> Result<(), Error> {
    let sql = concat!(
        "INSERT INTO resyncs (",
        resync_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    let keys: Vec<Json> = resync.keys.iter().map(key_json).collect();
    connection
        .query(sql)
        .bind(resync.id)
        .bind(resync.connection.as_str())
        .bind(resync.all_of.as_ref().map(codec::all_of_text))
        .bind(to_json(&keys)?)
        .bind(resync.dry_run)
        .bind(resync.complete)
        .bind(resync.cursor.as_deref().map(text))
        .bind(count(resync.total))
        .bind(count(resync.done))
        .bind(count(resync.failed))
        .bind(to_json(&resync.preview)?)
        .bind(resync.created_at.as_millis())
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// Whether a resync still stands where it was read, its next page not taken by another instance. A complete one stands nowhere: its
/// cursor is what it was at the beginning.
pub(super) async fn stands_at(
    connection: &mut Transaction,
    id: Uuid,
    from: Option<&str>,
) -> Result<bool, Error> {
    // Instances take turns, until they commit. The row itself is locked later, after the jobs of the page.
    let turn = "SELECT pg_advisory_xact_lock(hashtextextended('resync ' || $1::text, 0))";
    connection.query(turn).bind(id).execute(&mut **connection).await?;
    let sql = "SELECT 1 FROM resyncs WHERE id = $1 AND NOT complete AND cursor IS NOT DISTINCT FROM $2";
    let row = connection.query(sql).bind(id).bind(from.map(text)).fetch_optional(&mut **connection).await?;
    Ok(row.is_some())
}

/// Records progress. A dry run counts by itself; otherwise `done` and `failed` move when jobs are finished.
pub(super) async fn advance_resync(connection: &mut Transaction, resync: &Resync) -> Result<(), Error> {
    let sql = "UPDATE resyncs SET
                      keys = $2, complete = $3, cursor = $4, total = $5, preview = $6,
                      done = CASE WHEN dry_run THEN $7 ELSE done END,
                      failed = CASE WHEN dry_run THEN $8 ELSE failed END
                WHERE id = $1";
    let keys: Vec<Json> = resync.keys.iter().map(key_json).collect();
    connection
        .query(sql)
        .bind(resync.id)
        .bind(to_json(&keys)?)
        .bind(resync.complete)
        .bind(resync.cursor.as_deref().map(text))
        .bind(count(resync.total))
        .bind(to_json(&resync.preview)?)
        .bind(count(resync.done))
        .bind(count(resync.failed))
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// Notes that a resync waits for the jobs of these records.
pub(super) async fn wait_for(
    connection: &mut Transaction,
    name: &ConnectionName,
    id: Uuid,
    marks: &[Mark],
) -> Result<(), Error> {
    let keys: Vec<Json> = marks.iter().map(|mark| key_json(&mark.key)).collect();
    let sql = "INSERT INTO resync_jobs (job_id, resync)
               SELECT wanted.job_id, $2
                 FROM (SELECT (SELECT j.id FROM jobs j
                                WHERE j.connection = $1 AND j.kind = value ->> 0 AND j.record_id = value ->> 1) AS job_id
                         FROM jsonb_array_elements($3::jsonb)) wanted
                WHERE wanted.job_id IS NOT NULL
               ON CONFLICT DO NOTHING";
    connection.query(sql).bind(name.as_str()).bind(id).bind(rows(&keys)?).execute(&mut **connection).await?;
    Ok(())
}

/// Counts jobs that ended as done or failed, once for each resync that waits for them.
pub(super) async fn count_ended(
    connection: &mut Transaction,
    done: &[JobId],
    failed: &[JobId],
) -> Result<(), Error> {
    // One statement, because most jobs have no resync that waits for them. Resyncs are locked in the order of their ids.
    let count = "WITH ended AS (
                      DELETE FROM resync_jobs WHERE job_id = ANY ($1 || $2) RETURNING job_id, resync),
                      counts AS (
                      SELECT resync, count(*) FILTER (WHERE job_id = ANY ($1)) AS n_done,
                             count(*) FILTER (WHERE job_id = ANY ($2)) AS n_failed
                        FROM ended
                       GROUP BY resync),
                      locked AS MATERIALIZED (
                      SELECT r.id, c.n_done, c.n_failed FROM resyncs r JOIN counts c ON c.resync = r.id
                       ORDER BY r.id
                         FOR UPDATE OF r)
                 UPDATE resyncs SET done = resyncs.done + locked.n_done, failed = resyncs.failed + locked.n_failed
                   FROM locked
                  WHERE resyncs.id = locked.id";
    if done.is_empty() && failed.is_empty() {
        return Ok(());
    }
    let ids = |jobs: &[JobId]| jobs.iter().map(|id| id.0).collect::<Vec<i64>>();
    connection.query(count).bind(ids(done)).bind(ids(failed)).execute(&mut **connection).await?;
    Ok(())
}

/// One resync.
pub(super) async fn resync(connection: &mut Transaction, id: Uuid) -> Result<Option<Resync>, Error> {
    let sql = concat!("SELECT ", resync_columns!(), " FROM resyncs WHERE id = $1");
    let row = connection.query(sql).bind(id).fetch_optional(&mut **connection).await?;
    row.as_ref().map(read).transpose()
}

/// Resyncs that are not complete, oldest first.
pub(super) async fn open_resyncs(
    connection: &mut Transaction,
    name: &ConnectionName,
) -> Result<Vec<Resync>, Error> {
    let sql = concat!(
        "SELECT ",
        resync_columns!(),
        " FROM resyncs WHERE connection = $1 AND NOT complete ORDER BY id"
    );
    let rows = connection.query(sql).bind(name.as_str()).fetch_all(&mut **connection).await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Resync, Error> {
    let keys: Vec<(String, String)> = from_json(row.get("keys"), ("resyncs", "keys"))?;
    let keys: Result<Vec<_>, Error> =
        keys.iter().map(|(kind, id)| codec::key(kind, id, ("resyncs", "keys"))).collect();
    let all_of: Option<&str> = row.get("all_of");
    Ok(Resync {
        id: row.get("id"),
        connection: codec::connection(row.get("connection"), ("resyncs", "connection"))?,
        all_of: all_of.map(|text| codec::all_of(text, ("resyncs", "all_of"))).transpose()?,
        keys: keys?,
        dry_run: row.get("dry_run"),
        complete: row.get("complete"),
        cursor: row.get("cursor"),
        total: row.get::<i64, _>("total").unsigned_abs(),
        done: row.get::<i64, _>("done").unsigned_abs(),
        failed: row.get::<i64, _>("failed").unsigned_abs(),
        preview: from_json(row.get("preview"), ("resyncs", "preview"))?,
        created_at: at(row.get("created_at")),
    })
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
