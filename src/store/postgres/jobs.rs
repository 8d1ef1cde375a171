//! Jobs, for those who ask and for those who mend.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::domain::{ConnectionName, Timestamp};
use crate::store::Error;
use crate::store::codec::{self, at, corrupt, error};
use crate::store::postgres::{Transaction, resyncs};
use crate::store::types::{Job, JobId, JobQuery, JobState, QueueFigures};

/// What is told of a job; the second parameter is the time. Columns are named here and elsewhere, because a later version may add some
/// while this one runs, and a prepared statement that took all would take more than it did.
macro_rules! job_columns {
    () => {
        "id, connection, kind, record_id, attempts, due_at, dirty_since, category, message,
         CASE WHEN lease_until > $2 THEN 'running' ELSE state END AS shown"
    };
}

/// Lists jobs in the order of their ids.
pub(super) async fn jobs(connection: &mut Transaction, query: &JobQuery<'_>) -> Result<Vec<Job>, Error> {
    let sql = concat!(
        "SELECT * FROM (SELECT ",
        job_columns!(),
        " FROM jobs WHERE connection = $1 AND id > $4) listed
           WHERE $3 IS NULL OR shown = $3
           ORDER BY id
           LIMIT $5"
    );
    let rows = connection
        .query(sql)
        .bind(query.connection.as_str())
        .bind(query.now.as_millis())
        .bind(query.state.map(JobState::as_str))
        .bind(query.after.map_or(0, |after| after.0))
        .bind(i64::from(query.limit))
        .fetch_all(&mut **connection)
        .await?;
    rows.iter().map(row_to_job).collect()
}

/// One job.
pub(super) async fn job(
    connection: &mut Transaction,
    id: JobId,
    now: Timestamp,
) -> Result<Option<Job>, Error> {
    let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1");
    let row =
        connection.query(sql).bind(id.0).bind(now.as_millis()).fetch_optional(&mut **connection).await?;
    row.as_ref().map(row_to_job).transpose()
}

fn row_to_job(row: &PgRow) -> Result<Job, Error> {
    let (kind, record_id): (&str, &str) = (row.get("kind"), row.get("record_id"));
    let (key, part) = if kind == "part" {
        (None, Some(codec::part(record_id)?))
    } else {
        (Some(codec::key(kind, record_id, ("jobs", "record_id"))?), None)
    };
    Ok(Job {
        id: JobId(row.get("id")),
        connection: codec::connection(row.get("connection"), ("jobs", "connection"))?,
        key,
        part,
        state: JobState::parse(row.get("shown")).ok_or_else(|| corrupt(("jobs", "state"), "state"))?,
        attempts: codec::count(row.get("attempts")),
        due_at: at(row.get("due_at")),
        dirty_since: at(row.get("dirty_since")),
        error: error(row.get("category"), row.get("message"), ("jobs", "category"))?,
    })
}

/// Makes a waiting or parked job due at once. An unreadable part stays what it is.
pub(super) async fn retry_job(
    connection: &mut Transaction,
    id: JobId,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "UPDATE jobs SET state = 'due', due_at = $2, attempts = 0
                WHERE id = $1 AND kind <> 'part' AND state <> 'due' AND lease_until <= $2";
    let done = connection.query(sql).bind(id.0).bind(now.as_millis()).execute(&mut **connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes a job that nobody works on. A resync that waits for it counts it as failed.
pub(super) async fn discard_job(
    connection: &mut Transaction,
    id: JobId,
    now: Timestamp,
) -> Result<bool, Error> {
    // Locked, so that nobody takes it up in between.
    let free = "SELECT 1 FROM jobs WHERE id = $1 AND lease_until <= $2 FOR UPDATE";
    let free =
        connection.query(free).bind(id.0).bind(now.as_millis()).fetch_optional(&mut **connection).await?;
    if free.is_none() {
        return Ok(false);
    }
    resyncs::count_ended(connection, &[], &[id]).await?;
    connection.query("DELETE FROM jobs WHERE id = $1").bind(id.0).execute(&mut **connection).await?;
    Ok(true)
}

/// The figures of one connection's queue.
pub(super) async fn queue_figures(
    connection: &mut Transaction,
    name: &ConnectionName,
    now: Timestamp,
) -> Result<QueueFigures, Error> {
    let sql = "SELECT CASE WHEN lease_until > $2 THEN 'running' ELSE state END AS shown, count(*) AS n,
                      min(CASE WHEN state <> 'parked' AND due_at <= $2 AND lease_until <= $2 THEN due_at END) AS oldest
                 FROM jobs
                WHERE connection = $1
                GROUP BY shown";
    let rows =
        connection.query(sql).bind(name.as_str()).bind(now.as_millis()).fetch_all(&mut **connection).await?;
    let mut figures = QueueFigures::default();
    figures.jobs.extend(JobState::ALL.map(|state| (state.as_str(), 0)));
    for row in rows {
        let state = JobState::parse(row.get("shown")).ok_or_else(|| corrupt(("jobs", "state"), "state"))?;
        figures.jobs.insert(state.as_str(), row.get::<i64, _>("n").unsigned_abs());
        let oldest = row.get::<Option<i64>, _>("oldest").map(at);
        figures.oldest_due = [figures.oldest_due, oldest].into_iter().flatten().min();
    }
    let pairs = "SELECT count(*) AS n FROM pairs WHERE connection = $1 AND set_aside > 0";
    let row = connection.query(pairs).bind(name.as_str()).fetch_one(&mut **connection).await?;
    figures.set_aside = row.get::<i64, _>("n").unsigned_abs();
    Ok(figures)
}

/// Whether more than so many records wait for work.
pub(super) async fn backlog_is_longer(connection: &mut Transaction, than: u64) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM jobs WHERE state <> 'parked' LIMIT 1 OFFSET $1";
    let than = i64::try_from(than).unwrap_or(i64::MAX);
    let row = connection.query(sql).bind(than).fetch_optional(&mut **connection).await?;
    Ok(row.is_some())
}
