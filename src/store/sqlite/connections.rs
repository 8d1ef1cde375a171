//! Connections, allowances and the proof that something can be stored.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use crate::domain::{ConnectionName, Timestamp};
use crate::store::Error;
use crate::store::codec::corrupt;
use crate::store::types::ConnectionState;

/// The row under which `check` writes; no connection can have this name.
const CHECK_ROW: &str = "(check)";

/// How a connection stands.
pub(super) async fn connection_state(
    pool: &SqlitePool,
    name: &ConnectionName,
) -> Result<ConnectionState, Error> {
    let sql = "SELECT state, reason FROM connections WHERE name = ?1";
    let Some(row) = sqlx::query(sql).bind(name.as_str()).fetch_optional(pool).await? else {
        return Ok(ConnectionState::Running);
    };
    let reason = || row.get::<String, _>("reason");
    match row.get("state") {
        "running" => Ok(ConnectionState::Running),
        "paused" => Ok(ConnectionState::Paused),
        "unauthorized" => Ok(ConnectionState::Unauthorized(reason())),
        "refused" => Ok(ConnectionState::Refused(reason())),
        _ => Err(corrupt(("connections", "state"), "state")),
    }
}

/// Records how a connection stands.
pub(super) async fn set_connection_state(
    pool: &SqlitePool,
    name: &ConnectionName,
    state: &ConnectionState,
    now: Timestamp,
) -> Result<(), Error> {
    let (state, reason) = match state {
        ConnectionState::Running => ("running", ""),
        ConnectionState::Paused => ("paused", ""),
        ConnectionState::Unauthorized(reason) => ("unauthorized", reason.as_str()),
        ConnectionState::Refused(reason) => ("refused", reason.as_str()),
    };
    let sql = "INSERT INTO connections (name, state, reason, changed_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE SET
                      state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at";
    sqlx::query(sql).bind(name.as_str()).bind(state).bind(reason).bind(now.as_millis()).execute(pool).await?;
    Ok(())
}

/// Adds calls to a window and returns its sum.
pub(super) async fn count_calls(
    pool: &SqlitePool,
    name: &ConnectionName,
    window: &str,
    n: u32,
) -> Result<u64, Error> {
    let sql = "INSERT INTO calls (connection, window, n) VALUES (?1, ?2, ?3)
               ON CONFLICT (connection, window) DO UPDATE SET n = n + excluded.n
               RETURNING n";
    let sum: i64 = sqlx::query_scalar(sql).bind(name.as_str()).bind(window).bind(n).fetch_one(pool).await?;
    Ok(sum.unsigned_abs())
}

/// Writes and reads back.
pub(super) async fn check(pool: &SqlitePool, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO calls (connection, window, n) VALUES (?1, '', ?2)
               ON CONFLICT (connection, window) DO UPDATE SET n = excluded.n
               RETURNING n";
    let read: i64 = sqlx::query_scalar(sql).bind(CHECK_ROW).bind(now.as_millis()).fetch_one(pool).await?;
    if read == now.as_millis() { Ok(()) } else { Err(corrupt(("calls", "n"), "value just written")) }
}
