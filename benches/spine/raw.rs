//! Plain statements that write the rows a claim and a finish write: by primary key, known beforehand, with nothing decided.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hubforce::domain::Timestamp;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use uuid::Uuid;

use crate::queue::{BATCH, base};

/// The database behind the measurement, without the store.
pub(crate) enum Raw {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What a batch writes: jobs, their pairs, their records.
struct Batch {
    jobs: Vec<i64>,
    pairs: Vec<i64>,
    records: Vec<String>,
}

const ROWS: &str = "SELECT j.id, l.pair_id, j.record_id FROM jobs j
                      JOIN links l ON l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id
                     ORDER BY j.due_at, j.id";

impl Raw {
    pub(crate) async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            return Self::Postgres(PgPoolOptions::new().connect(url).await.expect("the server answers"));
        }
        let options: SqliteConnectOptions = url.parse().expect("a URL");
        let options = options.synchronous(SqliteSynchronous::Full).foreign_keys(true);
        Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a file"))
    }

    /// Lets the database do what it would do by itself sooner or later, so that no measurement pays for the one before.
    pub(crate) async fn settle(&self) {
        match self {
            Self::Sqlite(pool) => {
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await.map(|_| ())
            }
            Self::Postgres(pool) => sqlx::raw_sql("VACUUM (ANALYZE)").execute(pool).await.map(|_| ()),
        }
        .expect("the database tidies up");
    }

    /// Two transactions a batch, as a claim and a finish are; all batches, by so many workers.
    pub(crate) async fn work(&self, workers: usize) -> Duration {
        let rows: Vec<(i64, i64, String)> = match self {
            Self::Sqlite(pool) => sqlx::query_as(ROWS).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_as(ROWS).fetch_all(pool).await,
        }
        .expect("rows are read");
        let batches: Vec<Batch> = rows
            .chunks(BATCH)
            .map(|rows| Batch {
                jobs: rows.iter().map(|(job, ..)| *job).collect(),
                pairs: rows.iter().map(|(_, pair, _)| *pair).collect(),
                records: rows.iter().map(|(.., record)| record.clone()).collect(),
            })
            .collect();
        let base = serde_json::to_string(&base(0)).expect("JSON");
        let began = Instant::now();
        let share = batches.len().div_ceil(workers);
        let work = async |batches: &[Batch]| {
            for batch in batches {
                match self {
                    Self::Sqlite(pool) => on_sqlite(pool, batch, &base).await,
                    Self::Postgres(pool) => on_postgres(pool, batch, &base).await,
                }
                .expect("rows are written");
            }
        };
        join_all(batches.chunks(share).map(work)).await;
        began.elapsed()
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

async fn on_sqlite(pool: &SqlitePool, batch: &Batch, base: &str) -> sqlx::Result<()> {
    let worker = Uuid::now_v7();
    let (jobs, pairs) = (json(&batch.jobs), json(&batch.pairs));
    let mut claim = pool.begin_with("BEGIN IMMEDIATE").await?;
    for (sql, ids) in [
        ("UPDATE jobs SET worker = ?1, lease_until = 1 WHERE id IN (SELECT value FROM json_each(?2))", &jobs),
        (
            "UPDATE pairs SET worker = ?1, lease_until = 1 WHERE id IN (SELECT value FROM json_each(?2))",
            &pairs,
        ),
    ] {
        sqlx::query(sql).bind(worker.as_bytes().as_slice()).bind(ids).execute(&mut *claim).await?;
    }
    claim.commit().await?;
    let mut finish = pool.begin_with("BEGIN IMMEDIATE").await?;
    let put = "UPDATE pairs SET base = ?1, worker = NULL, lease_until = 0 WHERE id IN (SELECT value FROM json_each(?2))";
    sqlx::query(put).bind(base).bind(&pairs).execute(&mut *finish).await?;
    let note = "UPDATE records SET last_synced_at = ?1
                 WHERE connection = 'bench' AND kind = 'contact' AND record_id IN (SELECT value FROM json_each(?2))";
    sqlx::query(note).bind(now()).bind(json(&batch.records)).execute(&mut *finish).await?;
    let close = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?1))";
    sqlx::query(close).bind(&jobs).execute(&mut *finish).await?;
    finish.commit().await
}

async fn on_postgres(pool: &PgPool, batch: &Batch, base: &str) -> sqlx::Result<()> {
    let worker = Uuid::now_v7();
    let mut claim = pool.begin().await?;
    for (sql, ids) in [
        ("UPDATE jobs SET worker = $1, lease_until = 1 WHERE id = ANY ($2)", &batch.jobs),
        ("UPDATE pairs SET worker = $1, lease_until = 1 WHERE id = ANY ($2)", &batch.pairs),
    ] {
        sqlx::query(sql).bind(worker).bind(ids).execute(&mut *claim).await?;
    }
    claim.commit().await?;
    let mut finish = pool.begin().await?;
    let put = "UPDATE pairs SET base = $1, worker = NULL, lease_until = 0 WHERE id = ANY ($2)";
    sqlx::query(put).bind(base).bind(&batch.pairs).execute(&mut *finish).await?;
    let note = "UPDATE records SET last_synced_at = $1
                 WHERE connection = 'bench' AND kind = 'contact' AND record_id = ANY ($2)";
    sqlx::query(note).bind(now()).bind(&batch.records).execute(&mut *finish).await?;
    sqlx::query("DELETE FROM jobs WHERE id = ANY ($1)").bind(&batch.jobs).execute(&mut *finish).await?;
    finish.commit().await
}

fn json<T: serde::Serialize>(values: &T) -> String {
    serde_json::to_string(values).expect("JSON")
}

fn now() -> i64 {
    Timestamp::default().as_millis()
}
