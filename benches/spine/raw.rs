//! Plain statements that read and write what a claim and a finish read and write: the same rows and values, by primary keys known
//! beforehand, with nothing looked for and nothing decided.

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

/// What a batch reads and writes: jobs, the contacts that they are of, their pairs with what is to be agreed on, the records of both
/// sides.
struct Batch {
    jobs: Vec<i64>,
    contacts: Vec<String>,
    pairs: Vec<i64>,
    bases: Vec<String>,
    kinds: Vec<&'static str>,
    records: Vec<String>,
}

const ROWS: &str = "SELECT j.id, p.id, p.hubspot_id, p.salesforce_id FROM jobs j
                      JOIN links l ON l.connection = j.connection AND l.kind = j.kind AND l.record_id = j.record_id
                      JOIN pairs p ON p.id = l.pair_id
                     ORDER BY j.due_at, j.id";

type Row = (i64, i64, String, String);

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
        let rows: Vec<Row> = match self {
            Self::Sqlite(pool) => sqlx::query_as(ROWS).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_as(ROWS).fetch_all(pool).await,
        }
        .expect("rows are read");
        let batches: Vec<Batch> = rows.chunks(BATCH).map(batch).collect();
        let began = Instant::now();
        let share = batches.len().div_ceil(workers);
        let work = async |batches: &[Batch]| {
            for batch in batches {
                match self {
                    Self::Sqlite(pool) => on_sqlite(pool, batch).await,
                    Self::Postgres(pool) => on_postgres(pool, batch).await,
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

fn batch(rows: &[Row]) -> Batch {
    let sides =
        rows.iter().flat_map(|(.., hubspot, salesforce)| [("contact", hubspot), ("Lead", salesforce)]);
    Batch {
        jobs: rows.iter().map(|(job, ..)| *job).collect(),
        contacts: rows.iter().map(|(.., contact, _)| contact.clone()).collect(),
        pairs: rows.iter().map(|(_, pair, ..)| *pair).collect(),
        bases: rows.iter().map(|_| serde_json::to_string(&base(0)).expect("JSON")).collect(),
        kinds: sides.clone().map(|(kind, _)| kind).collect(),
        records: sides.map(|(_, record)| record.clone()).collect(),
    }
}

async fn on_sqlite(pool: &SqlitePool, batch: &Batch) -> sqlx::Result<()> {
    let worker = Uuid::now_v7();
    let (jobs, contacts, pairs) = (json(&batch.jobs), json(&batch.contacts), json(&batch.pairs));
    let read_jobs = "SELECT * FROM jobs WHERE id IN (SELECT value FROM json_each(?1))";
    let mut claim = pool.begin_with("BEGIN IMMEDIATE").await?;
    for (read, ids) in [
        (read_jobs, &jobs),
        (
            "SELECT * FROM links
              WHERE connection = 'bench' AND kind = 'contact' AND record_id IN (SELECT value FROM json_each(?1))",
            &contacts,
        ),
        ("SELECT * FROM pairs WHERE id IN (SELECT value FROM json_each(?1))", &pairs),
    ] {
        assert_eq!(sqlx::query(read).bind(ids).fetch_all(&mut *claim).await?.len(), batch.jobs.len());
    }
    let lease = "UPDATE jobs SET worker = ?1, lease_until = 1 WHERE id IN (SELECT value FROM json_each(?2))";
    sqlx::query(lease).bind(worker.as_bytes().as_slice()).bind(&jobs).execute(&mut *claim).await?;
    claim.commit().await?;
    let mut finish = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(read_jobs).bind(&jobs).fetch_all(&mut *finish).await?;
    let put = "UPDATE pairs SET base = f.value ->> 1
                 FROM json_each(?1) f WHERE pairs.id = f.value ->> 0";
    let put_rows: Vec<_> = batch.pairs.iter().zip(&batch.bases).collect();
    sqlx::query(put).bind(json(&put_rows)).execute(&mut *finish).await?;
    let note = "UPDATE records SET state = 'linked', last_synced_at = ?1, category = NULL, message = NULL
                 WHERE (connection, kind, record_id) IN (SELECT 'bench', value ->> 0, value ->> 1 FROM json_each(?2))";
    let note_rows: Vec<_> = batch.kinds.iter().zip(&batch.records).collect();
    sqlx::query(note).bind(now()).bind(json(&note_rows)).execute(&mut *finish).await?;
    let close = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?1))";
    sqlx::query(close).bind(&jobs).execute(&mut *finish).await?;
    finish.commit().await
}

async fn on_postgres(pool: &PgPool, batch: &Batch) -> sqlx::Result<()> {
    let worker = Uuid::now_v7();
    let mut claim = pool.begin().await?;
    let lock_jobs = "SELECT * FROM jobs WHERE id = ANY ($1) FOR UPDATE";
    let read_links =
        "SELECT * FROM links WHERE connection = 'bench' AND kind = 'contact' AND record_id = ANY ($1)";
    let read_pairs = "SELECT * FROM pairs WHERE id = ANY ($1)";
    sqlx::query(lock_jobs).bind(&batch.jobs).fetch_all(&mut *claim).await?;
    sqlx::query(read_links).bind(&batch.contacts).fetch_all(&mut *claim).await?;
    sqlx::query(read_pairs).bind(&batch.pairs).fetch_all(&mut *claim).await?;
    let lease = "UPDATE jobs SET worker = $1, lease_until = 1 WHERE id = ANY ($2)";
    sqlx::query(lease).bind(worker).bind(&batch.jobs).execute(&mut *claim).await?;
    claim.commit().await?;
    let mut finish = pool.begin().await?;
    sqlx::query(lock_jobs).bind(&batch.jobs).fetch_all(&mut *finish).await?;
    let put = "UPDATE pairs SET base = f.base
                 FROM unnest($1::bigint[], $2::text[]) AS f (id, base) WHERE pairs.id = f.id";
    sqlx::query(put).bind(&batch.pairs).bind(&batch.bases).execute(&mut *finish).await?;
    let note = "UPDATE records SET state = 'linked', last_synced_at = $1, category = NULL, message = NULL
                  FROM unnest($2::text[], $3::text[]) AS f (kind, record_id)
                 WHERE connection = 'bench' AND records.kind = f.kind AND records.record_id = f.record_id";
    sqlx::query(note).bind(now()).bind(&batch.kinds).bind(&batch.records).execute(&mut *finish).await?;
    sqlx::query("DELETE FROM jobs WHERE id = ANY ($1)").bind(&batch.jobs).execute(&mut *finish).await?;
    finish.commit().await
}

fn json<T: serde::Serialize>(values: &T) -> String {
    serde_json::to_string(values).expect("JSON")
}

fn now() -> i64 {
    Timestamp::default().as_millis()
}
