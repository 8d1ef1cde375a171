//! Times that were written before the clock went back.

use sqlx::SqliteConnection;

use crate::domain::ConnectionName;
use crate::store::Error;
use crate::store::types::Horizon;

/// Brings forward whatever lies beyond the horizon.
pub(super) async fn bring_forward(
    connection: &mut SqliteConnection,
    name: &ConnectionName,
    horizon: &Horizon,
) -> Result<(), Error> {
    let of_due = "UPDATE jobs SET due_at = ?2 WHERE connection = ?1 AND state = 'due' AND due_at > ?2";
    let of_waiting =
        "UPDATE jobs SET due_at = ?2 WHERE connection = ?1 AND state = 'waiting' AND due_at > ?2";
    let of_jobs =
        "UPDATE jobs SET lease_until = ?2 WHERE connection = ?1 AND worker IS NOT NULL AND lease_until > ?2";
    let of_tasks = "UPDATE tasks SET due_at = ?2 WHERE connection = ?1 AND due_at > ?2";
    let of_leased_tasks = "UPDATE tasks SET lease_until = ?2 WHERE connection = ?1 AND lease_until > ?2";
    let later = [
        (of_due, horizon.now),
        (of_waiting, horizon.waits_until),
        (of_jobs, horizon.leased_until),
        (of_tasks, horizon.now),
        (of_leased_tasks, horizon.task_leased_until),
    ];
    for (sql, at) in later {
        sqlx::query(sql).bind(name.as_str()).bind(at.as_millis()).execute(&mut *connection).await?;
    }
    Ok(())
}
