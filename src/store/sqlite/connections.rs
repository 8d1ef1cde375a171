//! Connections, allowances and the proof that something can be stored.

use sqlx::sqlite::SqlitePool;
use sqlx::{Row, SqliteConnection};

use crate::domain::{ConnectionName, Timestamp};
use crate::store::Error;
use crate::store::codec::corrupt;
use crate::store::types::{ConnectionState, Reserve, Reserved, SaidBy};

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
    (state, said_by): (&ConnectionState, SaidBy),
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
                      state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at
                WHERE ?5 OR connections.state <> 'paused'";
    sqlx::query(sql)
        .bind(name.as_str())
        .bind(state)
        .bind(reason)
        .bind(now.as_millis())
        .bind(said_by == SaidBy::Person)
        .execute(pool)
        .await?;
    Ok(())
}

/// Takes calls from a shared allowance, as many as are wanted or left, and forgets the slots that no longer count.
pub(super) async fn reserve_calls(
    connection: &mut SqliteConnection,
    reserve: &Reserve<'_>,
) -> Result<Reserved, Error> {
    let forget = "DELETE FROM spent WHERE connection = ?1 AND allowance = ?2 AND slot NOT BETWEEN ?3 AND ?4";
    sqlx::query(forget)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .bind(reserve.oldest_slot)
        .bind(reserve.newest_slot)
        .execute(&mut *connection)
        .await?;
    let sum = "SELECT coalesce(sum(n), 0) FROM spent WHERE connection = ?1 AND allowance = ?2";
    let spent: i64 = sqlx::query_scalar(sum)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .fetch_one(&mut *connection)
        .await?;
    let left = i64::from(reserve.limit).saturating_sub(spent).max(0);
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    let calls = left.min(reserve.wanted);
    if calls == 0 {
        return Ok(Reserved { calls, left });
    }
    let take = "INSERT INTO spent (connection, allowance, slot, n) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (connection, allowance, slot) DO UPDATE SET n = n + excluded.n";
    sqlx::query(take)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .bind(reserve.slot)
        .bind(calls)
        .execute(connection)
        .await?;
    Ok(Reserved { calls, left: left - calls })
}

/// How many calls were taken of an allowance in a slot of its window.
pub(super) async fn calls_taken(
    pool: &SqlitePool,
    name: &ConnectionName,
    (allowance, slot): (&str, i64),
) -> Result<u64, Error> {
    let sql = "SELECT n FROM spent WHERE connection = ?1 AND allowance = ?2 AND slot = ?3";
    let query = sqlx::query_scalar(sql).bind(name.as_str()).bind(allowance).bind(slot);
    let taken: Option<i64> = query.fetch_optional(pool).await?;
    Ok(taken.unwrap_or_default().unsigned_abs())
}

/// Writes and reads back.
pub(super) async fn check(pool: &SqlitePool, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO spent (connection, allowance, slot, n) VALUES (?1, '', 0, ?2)
               ON CONFLICT (connection, allowance, slot) DO UPDATE SET n = excluded.n
               RETURNING n";
    let read: i64 = sqlx::query_scalar(sql).bind(CHECK_ROW).bind(now.as_millis()).fetch_one(pool).await?;
    if read == now.as_millis() { Ok(()) } else { Err(corrupt(("spent", "n"), "value just written")) }
}
