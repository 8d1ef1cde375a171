//! Resyncs.

use serde_json::Value as Json;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::domain::{ConnectionName, Kind};
use crate::store::Error;
use crate::store::codec::{self, at, corrupt, from_json, key_json, to_json, uuid};
use crate::store::types::Resync;

/// Records a new resync.
pub(super) async fn create_resync(pool: &SqlitePool, resync: &Resync) -> Result<(), Error> {
    let sql = "INSERT INTO resyncs (id, connection, all_of, keys, dry_run, complete, cursor, total, done, failed, preview,
                                    created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let keys: Vec<Json> = resync.keys.iter().map(key_json).collect();
    sqlx::query(sql)
        .bind(resync.id.as_bytes().as_slice())
        .bind(resync.connection.as_str())
        .bind(resync.all_of.map(Kind::as_str))
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

/// One resync.
pub(super) async fn resync(pool: &SqlitePool, id: Uuid) -> Result<Option<Resync>, Error> {
    let sql = "SELECT * FROM resyncs WHERE id = ?1";
    let row = sqlx::query(sql).bind(id.as_bytes().as_slice()).fetch_optional(pool).await?;
    row.as_ref().map(read).transpose()
}

/// Resyncs that are not complete, oldest first.
pub(super) async fn open_resyncs(pool: &SqlitePool, name: &ConnectionName) -> Result<Vec<Resync>, Error> {
    let sql = "SELECT * FROM resyncs WHERE connection = ?1 AND NOT complete ORDER BY id";
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
        all_of: all_of
            .map(|kind| Kind::parse(kind).ok_or_else(|| corrupt(("resyncs", "all_of"), "kind")))
            .transpose()?,
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
