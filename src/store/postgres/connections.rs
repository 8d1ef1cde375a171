//! Connections, allowances and the proof that something can be stored.

use sqlx::Row;

use crate::domain::{ConnectionName, Timestamp};
use crate::store::Error;
use crate::store::codec::corrupt;
use crate::store::postgres::{Transaction, text};
use crate::store::types::{ConnectionState, Reserve, Reserved, SaidBy};

/// The row under which `check` writes; no connection can have this name.
const CHECK_ROW: &str = "(check)";

/// How a connection stands.
pub(super) async fn connection_state(
    connection: &mut Transaction,
    name: &ConnectionName,
) -> Result<ConnectionState, Error> {
    let sql = "SELECT state, reason FROM connections WHERE name = $1";
    let Some(row) = connection.query(sql).bind(name.as_str()).fetch_optional(&mut **connection).await? else {
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
    connection: &mut Transaction,
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
    let sql = "INSERT INTO connections (name, state, reason, changed_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (name) DO UPDATE SET
                      state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at
                WHERE $5 OR connections.state <> 'paused'";
    connection
        .query(sql)
        .bind(name.as_str())
        .bind(state)
        .bind(text(reason))
        .bind(now.as_millis())
        .bind(said_by == SaidBy::Person)
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// Takes calls from a shared allowance, as many as are wanted or left, and forgets the slots that no longer count.
pub(super) async fn reserve_calls(
    connection: &mut Transaction,
    reserve: &Reserve<'_>,
) -> Result<Reserved, Error> {
    // Instances take from an allowance one after the other. No row stands for all its slots, so the lock is on its name.
    let turn = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))";
    connection
        .query(turn)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .execute(&mut **connection)
        .await?;
    let forget = "DELETE FROM spent WHERE connection = $1 AND allowance = $2 AND slot NOT BETWEEN $3 AND $4";
    connection
        .query(forget)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .bind(reserve.oldest_slot)
        .bind(reserve.newest_slot)
        .execute(&mut **connection)
        .await?;
    let sum = "SELECT coalesce(sum(n), 0)::bigint FROM spent WHERE connection = $1 AND allowance = $2";
    let spent: i64 = connection
        .query(sum)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .fetch_one(&mut **connection)
        .await?
        .get(0);
    let left = i64::from(reserve.limit).saturating_sub(spent).max(0);
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    let calls = left.min(reserve.wanted);
    if calls == 0 {
        return Ok(Reserved { calls, left });
    }
    let take = "INSERT INTO spent (connection, allowance, slot, n) VALUES ($1, $2, $3, $4)
                ON CONFLICT (connection, allowance, slot) DO UPDATE SET n = spent.n + excluded.n";
    connection
        .query(take)
        .bind(reserve.connection.as_str())
        .bind(reserve.allowance)
        .bind(reserve.slot)
        .bind(i64::from(calls))
        .execute(&mut **connection)
        .await?;
    Ok(Reserved { calls, left: left - calls })
}

/// How many calls were taken of an allowance in a slot of its window.
pub(super) async fn calls_taken(
    connection: &mut Transaction,
    name: &ConnectionName,
    (allowance, slot): (&str, i64),
) -> Result<u64, Error> {
    let sql = "SELECT n FROM spent WHERE connection = $1 AND allowance = $2 AND slot = $3";
    let query = connection.query(sql).bind(name.as_str()).bind(allowance).bind(slot);
    let row = query.fetch_optional(&mut **connection).await?;
    Ok(row.map(|row| row.get::<i64, _>(0)).unwrap_or_default().unsigned_abs())
}

/// Writes and reads back.
pub(super) async fn check(connection: &mut Transaction, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO spent (connection, allowance, slot, n) VALUES ($1, '', 0, $2)
               ON CONFLICT (connection, allowance, slot) DO UPDATE SET n = excluded.n
               RETURNING n";
    let row =
        connection.query(sql).bind(CHECK_ROW).bind(now.as_millis()).fetch_one(&mut **connection).await?;
    let read: i64 = row.get(0);
    if read == now.as_millis() { Ok(()) } else { Err(corrupt(("spent", "n"), "value just written")) }
}
