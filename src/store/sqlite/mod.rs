//! Memory on SQLite: one file, one writer, everything acknowledged is on disk.
//!
//! Deliveries have a thread and a connection of their own (`intake`); all other writes share a pool of one connection. Both take
//! turns here and so never find the database locked by ourselves. Groups of rows travel through the pool as one JSON array that
//! SQLite takes apart (`json_each`), because a statement a row costs more than the row.

mod audit;
mod claims;
mod clock;
mod connections;
mod deliveries;
mod erasures;
mod finish;
mod intake;
mod jobs;
mod migrations;
mod pairs;
mod resyncs;
mod tasks;

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::domain::{ConnectionName, RecordKey, System, Timestamp};
use crate::plan::Pair;
use crate::store::migrations::{MigrationStatus, none_applied};
use crate::store::room::Room;
use crate::store::types::{
    AuditQuery, AuditRow, Cause, Claim, Claimed, Conflict, ConnectionState, Finished, Horizon, Intent, Job,
    JobId, JobQuery, Mark, NewDelivery, QueueFigures, RecordStatus, Reserve, Reserved, Resync, Retention,
    SaidBy, SetAsideQuery, Task, TaskClaim, TaskProgress,
};
use crate::store::{Error, Store};
use intake::Intake;

pub(super) use migrations::MIGRATIONS;

/// How long a statement waits for another process that writes (a backup, a shell) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections for questions, which WAL lets run beside the writer.
const READERS: u32 = 4;

/// Pages in the log before it is folded into the file: large enough that folding is rare beside commits.
const CHECKPOINT_PAGES: &str = "4000";

/// Memory on SQLite.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    intake: Intake,
    file: PathBuf,
    /// Held by whoever writes.
    turn: Arc<Mutex<()>>,
}

/// A transaction whose turn it is.
struct Writing<'a> {
    transaction: Transaction<'static, Sqlite>,
    _turn: MutexGuard<'a, ()>,
}

impl Writing<'_> {
    async fn commit(self) -> Result<(), Error> {
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Writing<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

impl SqliteStore {
    /// Opens the file, creating it if need be, and applies missing migrations or, with `migrate` off, insists on them.
    pub async fn open(url: &str, migrate: bool) -> Result<Self, Error> {
        let (writer, readers) = connect(url).await?;
        if migrate {
            migrations::apply(&writer).await?;
        } else {
            migrations::insist(&writer).await?;
        }
        let turn = Arc::default();
        let file = connect_options(url)?.get_filename().to_owned();
        let intake = Intake::open(&file, Arc::clone(&turn))?;
        Ok(Self { writer, readers, intake, file, turn })
    }

    /// Says which migrations are applied and which are missing, and changes nothing.
    pub async fn migrations(url: &str) -> Result<Vec<MigrationStatus>, Error> {
        if !connect_options(url)?.get_filename().exists() {
            return Ok(none_applied(&MIGRATIONS));
        }
        let (writer, readers) = connect(url).await?;
        let status = migrations::status(&writer).await;
        readers.close().await;
        writer.close().await;
        status
    }

    async fn begin(&self) -> Result<Writing<'_>, Error> {
        let turn = self.turn.lock().await;
        Ok(Writing { transaction: self.writer.begin_with("BEGIN IMMEDIATE").await?, _turn: turn })
    }
}

/// The pool of one that writes, and the pool that reads.
async fn connect(url: &str) -> Result<(SqlitePool, SqlitePool), Error> {
    let options = connect_options(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .statement_cache_capacity(200);
    let unavailable = |error: sqlx::Error| Error::Unavailable(Box::new(error));
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(unavailable)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .connect_with(options.read_only(true))
        .await
        .map_err(unavailable)?;
    Ok((writer, readers))
}

fn connect_options(url: &str) -> Result<SqliteConnectOptions, Error> {
    SqliteConnectOptions::from_str(url).map_err(|error| Error::Url { text: error.to_string() })
}

/// SQLite's primary result codes that blame the statement or its values: no later attempt can succeed. From the list at
/// <https://www.sqlite.org/rescode.html>: ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE.
const STATEMENT_CODES: [i32; 5] = [1, 18, 19, 20, 25];

/// Whether the database blames the statement or its values, not its own condition.
pub(super) fn blames_statement(extended_code: i32) -> bool {
    // The low byte of an extended result code is the primary one.
    STATEMENT_CODES.contains(&(extended_code & 0xff))
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, deliveries: Arc<[NewDelivery]>) -> Result<(), Error> {
        self.intake.store(deliveries).await
    }

    async fn mark(
        &self,
        connection: &ConnectionName,
        marks: &[Mark],
        cause: Cause,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        deliveries::mark(&mut transaction, connection, marks, cause, now).await?;
        transaction.commit().await
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error> {
        // Most looks find nothing; they need not take the writer.
        if !claims::anything_due(&self.readers, claim).await? {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let claimed = claims::claim(&mut transaction, claim).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    async fn next_due(&self, connection: &ConnectionName) -> Result<Option<Timestamp>, Error> {
        claims::next_due(&self.readers, connection).await
    }

    async fn intend(&self, connection: &ConnectionName, intents: &[Intent]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        audit::intend(&mut transaction, connection, intents).await?;
        transaction.commit().await
    }

    async fn finish(
        &self,
        connection: &ConnectionName,
        worker: Uuid,
        finished: &[Finished],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        finish::finish(&mut transaction, connection, worker, finished, now).await?;
        transaction.commit().await
    }

    async fn pairs_of(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<Pair>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        pairs::pairs_of(&self.readers, connection, keys).await
    }

    async fn advance_erasures(&self, connection: &ConnectionName, now: Timestamp) -> Result<bool, Error> {
        // Most looks find nothing; they need not take the writer.
        if !erasures::any(&self.readers, connection).await? {
            return Ok(false);
        }
        let mut transaction = self.begin().await?;
        let advanced = erasures::advance(&mut transaction, connection, now).await?;
        transaction.commit().await?;
        Ok(advanced)
    }

    async fn erased(&self, connection: &ConnectionName, addresses: &[String]) -> Result<Vec<bool>, Error> {
        erasures::erased(&self.readers, connection, addresses).await
    }

    async fn newest_deliveries(
        &self,
        connection: &ConnectionName,
        source: System,
    ) -> Result<Vec<bytes::Bytes>, Error> {
        deliveries::newest(&self.readers, connection, source).await
    }

    async fn with_open_creates(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<RecordKey>, Error> {
        audit::with_open_creates(&self.readers, connection, keys).await
    }

    async fn renew(&self, worker: Uuid, jobs: &[JobId], lease_until: Timestamp) -> Result<Vec<JobId>, Error> {
        let mut transaction = self.begin().await?;
        let held = claims::renew(&mut transaction, worker, jobs, lease_until).await?;
        transaction.commit().await?;
        Ok(held)
    }

    async fn release_all(&self, worker: Uuid) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        claims::release_all(&mut transaction, worker).await?;
        transaction.commit().await
    }

    async fn record(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Option<RecordStatus>, Error> {
        pairs::record(&self.readers, connection, key).await
    }

    async fn conflicts_of(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Vec<Conflict>, Error> {
        pairs::conflicts_of(&self.readers, connection, key).await
    }

    async fn set_aside(&self, query: &SetAsideQuery<'_>) -> Result<Vec<(i64, Pair)>, Error> {
        pairs::set_aside(&self.readers, query).await
    }

    async fn jobs(&self, query: &JobQuery<'_>) -> Result<Vec<Job>, Error> {
        jobs::jobs(&self.readers, query).await
    }

    async fn job(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, Error> {
        jobs::job(&self.readers, id, now).await
    }

    async fn retry_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        jobs::retry_job(&self.writer, id, now).await
    }

    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let done = jobs::discard_job(&mut transaction, id, now).await?;
        transaction.commit().await?;
        Ok(done)
    }

    async fn audit(&self, query: &AuditQuery<'_>) -> Result<Vec<AuditRow>, Error> {
        audit::audit(&self.readers, query).await
    }

    async fn connection_state(&self, connection: &ConnectionName) -> Result<ConnectionState, Error> {
        connections::connection_state(&self.readers, connection).await
    }

    async fn set_connection_state(
        &self,
        connection: &ConnectionName,
        state: &ConnectionState,
        said_by: SaidBy,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        connections::set_connection_state(&self.writer, connection, (state, said_by), now).await
    }

    async fn queue_figures(
        &self,
        connection: &ConnectionName,
        now: Timestamp,
    ) -> Result<QueueFigures, Error> {
        jobs::queue_figures(&self.readers, connection, now).await
    }

    async fn bring_forward(&self, connection: &ConnectionName, horizon: &Horizon) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        clock::bring_forward(&mut transaction, connection, horizon).await?;
        transaction.commit().await
    }

    async fn room(&self, backlog_max: u64) -> Result<Room, Error> {
        let disk = rustix::fs::statvfs(&self.file).map_err(|error| Error::Unavailable(Box::new(error)))?;
        let backlog_is_longer = jobs::backlog_is_longer(&self.readers, backlog_max).await?;
        Ok(Room { free_bytes: Some(disk.f_bavail.saturating_mul(disk.f_frsize)), backlog_is_longer })
    }

    async fn create_resync(&self, resync: &Resync) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        resyncs::create_resync(&self.writer, resync).await
    }

    async fn advance_resync(
        &self,
        resync: &Resync,
        from: Option<&str>,
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let stands = resyncs::stands_at(&mut transaction, resync.id, from).await?;
        if stands {
            deliveries::mark(&mut transaction, &resync.connection, marks, resync.cause(), now).await?;
            resyncs::advance_resync(&mut transaction, resync).await?;
        }
        transaction.commit().await?;
        Ok(stands)
    }

    async fn resync(&self, id: Uuid) -> Result<Option<Resync>, Error> {
        resyncs::resync(&self.readers, id).await
    }

    async fn open_resyncs(&self, connection: &ConnectionName) -> Result<Vec<Resync>, Error> {
        resyncs::open_resyncs(&self.readers, connection).await
    }

    async fn reserve_calls(&self, reserve: &Reserve<'_>) -> Result<Reserved, Error> {
        let mut transaction = self.begin().await?;
        let reserved = connections::reserve_calls(&mut transaction, reserve).await?;
        transaction.commit().await?;
        Ok(reserved)
    }

    async fn claim_task(&self, claim: &TaskClaim<'_>) -> Result<Option<Task>, Error> {
        let _turn = self.turn.lock().await;
        tasks::claim_task(&self.writer, claim).await
    }

    async fn advance_task(&self, progress: &TaskProgress<'_>) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let ours = tasks::advance_task(&mut transaction, progress).await?;
        transaction.commit().await?;
        Ok(ours)
    }

    async fn retain(&self, retention: &Retention) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let gone = deliveries::retain(&mut transaction, retention).await?
            + audit::retain(&mut transaction, retention).await?;
        transaction.commit().await?;
        Ok(gone)
    }

    async fn calls_taken(&self, connection: &ConnectionName, slot: (&str, i64)) -> Result<u64, Error> {
        connections::calls_taken(&self.readers, connection, slot).await
    }

    async fn check(&self, now: Timestamp) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        connections::check(&self.writer, now).await
    }

    async fn close(&self) {
        self.intake.close();
        self.readers.close().await;
        self.writer.close().await;
    }
}
