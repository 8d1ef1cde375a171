//! Resyncs.

use serde_json::Value as Json;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::domain::ConnectionName;
use crate::store::Error;
use crate::store::codec::{self, at, from_json, key_json, to_json, uuid};
use crate::store::types::{JobId, Mark, Resync};

/// What is known of a resync.
macro_rules! resync_columns {
    () => {
        "id, connection, all_of, keys, dry_run, complete, cursor, total, done, failed, preview, created_at"
    };
}

/// Records a new resync.
pub(super) async fn create_resync(pool: &SqlitePool, resync: &Resync) -> Result<(), Error> {
    let sql = concat!(
        "INSERT INTO resyncs (",
        resync_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    let keys: Vec<Json> = resync.keys.iter().map(key_json).collect();
    sqlx::query(sql)
        .bind(resync.id.as_bytes().as_slice())
        .bind(resync.connection.as_str())
        .bind(resync.all_of.as_ref().map(codec::all_of_text))
        .bind(to_json(&keys)?)
        .bind(resync.dry_run)
        .bind(resync.complete)
        .bind(resync.cursor.as_deref())
        .bind(count(resync.total))
        .bind(count(resync.done))
        .bind(count(resync.failed))
        .bind(to_json(&resync.preview)?)
        .bind(resync.created_at.as_millis())
        .execute(pool)
        .await?;
    Ok(())
}

/// Whether a resync still stands where it was read, its next page not taken by another instance. A complete one stands nowhere: its
/// cursor is what it was at the beginning.
pub(super) async fn stands_at(
    connection: &mut SqliteConnection,
    id: Uuid,
    from: Option<&str>,
) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM resyncs WHERE id = ?1 AND NOT complete AND cursor IS ?2";
    let row = sqlx::query(sql).bind(id.as_bytes().as_slice()).bind(from).fetch_optional(connection).await?;
    Ok(row.is_some())
}

/// Records progress. A dry run counts by itself; otherwise `done` and `failed` move when jobs are finished.
pub(super) async fn advance_resync(connection: &mut SqliteConnection, resync: &Resync) -> Result<(), Error> {
    let sql = "UPDATE resyncs SET
                      keys = ?2, complete = ?3, cursor = ?4, total = ?5, preview = ?6,
                      done = CASE WHEN dry_run THEN ?7 ELSE done END,
                      failed = CASE WHEN dry_run THEN ?8 ELSE failed END
                WHERE id = ?1";
    let keys: Vec<Json> = resync.keys.iter().map(key_json).collect();
    sqlx::query(sql)
        .bind(resync.id.as_bytes().as_slice())
        .bind(to_json(&keys)?)
        .bind(resync.complete)
        .bind(resync.cursor.as_deref())
        .bind(count(resync.total))
        .bind(to_json(&resync.preview)?)
        .bind(count(resync.done))
        .bind(count(resync.failed))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a resync waits for the jobs of these records.
pub(super) async fn wait_for(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    id: Uuid,
    marks: &[Mark],
) -> Result<(), Error> {
    let keys: Vec<Json> = marks.iter().map(|mark| key_json(&mark.key)).collect();
    let sql = "INSERT INTO resync_jobs (job_id, resync)
               SELECT j.id, ?2
                 FROM json_each(?3) wanted
                 CROSS JOIN jobs j ON j.connection = ?1 AND j.kind = wanted.value ->> 0 AND j.record_id = wanted.value ->> 1
                WHERE true
               ON CONFLICT DO NOTHING";
    sqlx::query(sql)
        .bind(name.as_str())
        .bind(id.as_bytes().as_slice())
        .bind(to_json(&keys)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts jobs that ended as done or failed, once for each resync that waits for them.
pub(super) async fn count_ended(
    connection: &mut SqliteConnection,
    done: &[JobId],
    failed: &[JobId],
) -> Result<(), Error> {
    let count = "UPDATE resyncs SET done = done + ended.n_done, failed = failed + ended.n_failed
                   FROM (SELECT w.resync, sum(j.value ->> 1) AS n_done, sum(1 - (j.value ->> 1)) AS n_failed
                           FROM json_each(?1) j CROSS JOIN resync_jobs w ON w.job_id = j.value ->> 0
                          GROUP BY w.resync) ended
                  WHERE resyncs.id = ended.resync";
    let forget = "DELETE FROM resync_jobs WHERE job_id IN (SELECT value ->> 0 FROM json_each(?1))";
    let ended: Vec<(JobId, u8)> =
        done.iter().map(|id| (*id, 1)).chain(failed.iter().map(|id| (*id, 0))).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let ended = to_json(&ended)?;
    for sql in [count, forget] {
        sqlx::query(sql).bind(&ended).execute(&mut *connection).await?;
    }
    Ok(())
}

/// One resync.
pub(super) async fn resync(pool: &SqlitePool, id: Uuid) -> Result<Option<Resync>, Error> {
    let sql = concat!("SELECT ", resync_columns!(), " FROM resyncs WHERE id = ?1");
    let row = sqlx::query(sql).bind(id.as_bytes().as_slice()).fetch_optional(pool).await?;
    row.as_ref().map(read).transpose()
}

/// Resyncs that are not complete, oldest first.
pub(super) async fn open_resyncs(pool: &SqlitePool, name: &ConnectionName) -> Result<Vec<Resync>, Error> {
    let sql = concat!(
        "SELECT ",
        resync_columns!(),
        " FROM resyncs WHERE connection = ?1 AND NOT complete ORDER BY id"
    );
    let rows = sqlx::query(sql).bind(name.as_str()).fetch_all(pool).await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Resync, Error> {
    let keys: Vec<(String, String)> = from_json(row.get("keys"), ("resyncs", "keys"))?;
    let keys: Result<Vec<_>, Error> =
        keys.iter().map(|(kind, id)| codec::key(kind, id, ("resyncs", "keys"))).collect();
    let all_of: Option<&str> = row.get("all_of");
    Ok(Resync {
        id: uuid(row.get("id"), ("resyncs", "id"))?,
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
