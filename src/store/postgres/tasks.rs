//! Scheduled work: whose turn it is, and how far it has come.

use sqlx::Row;

use crate::store::Error;
use crate::store::postgres::{Transaction, deliveries, text};
use crate::store::types::{Task, TaskClaim, TaskNext, TaskProgress};

/// Takes up a piece of work, if it is due and nobody else does it.
pub(super) async fn claim_task(
    connection: &mut Transaction,
    claim: &TaskClaim<'_>,
) -> Result<Option<Task>, Error> {
    // Of two instances, the second waits for the first one's row and then finds it leased.
    let sql = "INSERT INTO tasks (connection, task, due_at, worker, lease_until, cursor) VALUES ($1, $2, $4, $3, $5, $6)
               ON CONFLICT (connection, task) DO UPDATE SET worker = excluded.worker, lease_until = excluded.lease_until
                WHERE tasks.due_at <= $4 AND tasks.lease_until <= $4
               RETURNING cursor";
    let row = connection
        .query(sql)
        .bind(claim.connection.as_str())
        .bind(claim.task)
        .bind(claim.worker)
        .bind(claim.now.as_millis())
        .bind(claim.lease_until.as_millis())
        .bind(claim.first.map(text))
        .fetch_optional(&mut **connection)
        .await?;
    Ok(row.map(|row| Task { cursor: row.get("cursor") }))
}

/// Records progress and marks what was found, if the work is still the worker's.
pub(super) async fn advance_task(
    connection: &mut Transaction,
    progress: &TaskProgress<'_>,
) -> Result<bool, Error> {
    let sql = "UPDATE tasks SET cursor = $4, due_at = coalesce($5, due_at), lease_until = $6
                WHERE connection = $1 AND task = $2 AND worker = $3 AND lease_until > 0";
    let (due_at, lease_until) = match progress.next {
        TaskNext::GoesOn(lease_until) => (None, lease_until.as_millis()),
        TaskNext::Rests(due_at) => (Some(due_at.as_millis()), 0),
    };
    let done = connection
        .query(sql)
        .bind(progress.connection.as_str())
        .bind(progress.task)
        .bind(progress.worker)
        .bind(text(progress.cursor))
        .bind(due_at)
        .bind(lease_until)
        .execute(&mut **connection)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    deliveries::mark(connection, progress.connection, progress.marks, progress.cause, progress.now).await?;
    Ok(true)
}
