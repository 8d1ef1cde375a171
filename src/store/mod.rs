//! Memory: what must survive the end of the process.
//!
//! One method of [`Store`] is one transaction, and no transaction waits for anything but the database. Leases save work;
//! correctness comes from idempotent steps.

mod codec;
pub mod door;
mod erasure;
pub mod error;
pub mod migrations;
mod outcomes;
pub mod postgres;
pub mod room;
pub mod sqlite;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod types;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

pub use error::Error;
pub use migrations::MigrationStatus;

use crate::domain::{ConnectionName, RecordKey, System, Timestamp};
use room::Room;
use types::{
    AuditQuery, AuditRow, Cause, Claim, Claimed, Conflict, ConnectionState, Finished, Horizon, Intent, Job,
    JobId, JobQuery, Mark, NewDelivery, QueueFigures, RecordStatus, Reserve, Reserved, Resync, Retention,
    SaidBy, SetAsideQuery, Task, TaskClaim, TaskProgress,
};

/// How memory is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the database is: `sqlite://hubforce.db`, `postgres://user:password@host/database`.
    pub url: String,
    /// Whether missing migrations are applied; otherwise they are insisted on.
    pub migrate: bool,
}

/// Opens memory.
pub async fn open(options: &Options) -> Result<Arc<dyn Store>, Error> {
    let (url, migrate) = (options.url.as_str(), options.migrate);
    Ok(match database(url)? {
        Database::Sqlite => Arc::new(sqlite::SqliteStore::open(url, migrate).await?),
        Database::Postgres => Arc::new(postgres::PostgresStore::open(url, migrate).await?),
    })
}

/// Says which migrations a database has and which it lacks, and changes nothing.
pub async fn migrations(url: &str) -> Result<Vec<MigrationStatus>, Error> {
    match database(url)? {
        Database::Sqlite => sqlite::SqliteStore::migrations(url).await,
        Database::Postgres => postgres::PostgresStore::migrations(url).await,
    }
}

/// The kinds of database behind a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

fn database(url: &str) -> Result<Database, Error> {
    let scheme = url.split_once(':').map_or("none", |(scheme, _)| scheme);
    match scheme {
        // An in-memory database would forget what was acknowledged.
        "sqlite" if !url.contains(":memory:") => Ok(Database::Sqlite),
        "postgres" | "postgresql" => Ok(Database::Postgres),
        // The rest of the URL is kept out of the message, because it may hold a password.
        _ => {
            let text = format!(
                "its scheme is {scheme}; this version stores in a file, such as sqlite://hubforce.db, or in PostgreSQL, \
                 such as postgres://user:password@host/database"
            );
            Err(Error::Url { text })
        }
    }
}

/// Memory, whatever database is behind it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores deliveries and marks their records dirty. Durable on disk when it returns.
    async fn accept(&self, deliveries: Arc<[NewDelivery]>) -> Result<(), Error>;

    /// Marks records dirty without a delivery.
    async fn mark(
        &self,
        connection: &ConnectionName,
        marks: &[Mark],
        cause: Cause,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Claims due work: oldest first, whole pairs, none that is leased to somebody.
    async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error>;

    /// When the next job of a connection is or becomes due; `None` when there is none.
    async fn next_due(&self, connection: &ConnectionName) -> Result<Option<Timestamp>, Error>;

    /// Records writes before they are made.
    async fn intend(&self, connection: &ConnectionName, intents: &[Intent]) -> Result<(), Error>;

    /// Commits what working some claims came to. Of a lease that was lost, no more is kept than what it made; its other writes stay open.
    async fn finish(
        &self,
        connection: &ConnectionName,
        worker: Uuid,
        finished: &[Finished],
        now: Timestamp,
    ) -> Result<(), Error>;

    /// The pairs that the given records are in, one answer for each; of none, nothing is asked.
    async fn pairs_of(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<crate::plan::Pair>>, Error>;

    /// Those of the given records that a create is made of whose end is not known yet: each may have a twin that nobody has seen.
    async fn with_open_creates(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<RecordKey>, Error>;

    /// Goes one bounded step on in erasing what is held of contacts that were erased for privacy: values in deliveries, the audit, the
    /// pair and messages. Returns whether it did; call again while it does. Somebody at work on the record is waited for.
    async fn advance_erasures(&self, connection: &ConnectionName, now: Timestamp) -> Result<bool, Error>;

    /// Which of the addresses are those of contacts that were erased for privacy, one answer for each.
    async fn erased(&self, connection: &ConnectionName, addresses: &[String]) -> Result<Vec<bool>, Error>;

    /// The bodies of the newest deliveries of one CRM, oldest first: at most [`types::DELIVERIES_READ`], and only those within the newest
    /// [`types::DELIVERIES_LOOKED_BACK`] of all.
    async fn newest_deliveries(
        &self,
        connection: &ConnectionName,
        source: System,
    ) -> Result<Vec<bytes::Bytes>, Error>;

    /// Extends the leases on those of the jobs that are still this worker's, and says which these are.
    async fn renew(&self, worker: Uuid, jobs: &[JobId], lease_until: Timestamp) -> Result<Vec<JobId>, Error>;

    /// Gives back every lease this worker holds.
    async fn release_all(&self, worker: Uuid) -> Result<(), Error>;

    /// What memory knows of one record; `None` if it never heard of it.
    async fn record(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Option<RecordStatus>, Error>;

    /// The conflicts listed for one record.
    async fn conflicts_of(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Vec<Conflict>, Error>;

    /// Lists jobs.
    async fn jobs(&self, query: &JobQuery<'_>) -> Result<Vec<Job>, Error>;

    /// One job.
    async fn job(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, Error>;

    /// Makes a waiting or parked job due at once, its attempts forgotten. Returns whether it did: not for an unreadable part.
    async fn retry_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error>;

    /// Deletes a job that is not running. Returns whether it did.
    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error>;

    /// Lists audit rows.
    async fn audit(&self, query: &AuditQuery<'_>) -> Result<Vec<AuditRow>, Error>;

    /// How a connection stands; `Running` for one that was never spoken of.
    async fn connection_state(&self, connection: &ConnectionName) -> Result<ConnectionState, Error>;

    /// Records how a connection stands. A pause is for a person to end: what a worker says meanwhile is not recorded.
    async fn set_connection_state(
        &self,
        connection: &ConnectionName,
        state: &ConnectionState,
        said_by: SaidBy,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Pairs with fields that are set aside, by their number, which is what the next page asks for.
    async fn set_aside(&self, query: &SetAsideQuery<'_>) -> Result<Vec<(i64, crate::plan::Pair)>, Error>;

    /// The figures of one connection's queue.
    async fn queue_figures(&self, connection: &ConnectionName, now: Timestamp)
    -> Result<QueueFigures, Error>;

    /// Brings forward whatever of a connection lies beyond the horizon.
    async fn bring_forward(&self, connection: &ConnectionName, horizon: &Horizon) -> Result<(), Error>;

    /// What room is left, and whether more than so many records wait for work.
    async fn room(&self, backlog_max: u64) -> Result<Room, Error>;

    /// Records a new resync.
    async fn create_resync(&self, resync: &Resync) -> Result<(), Error>;

    /// Records the progress of a resync that was read when its cursor was `from` and, in the same transaction, marks records for it
    /// (manually asked for). Returns whether it still stood there: if not, somebody else took that page, and nothing is recorded.
    async fn advance_resync(
        &self,
        resync: &Resync,
        from: Option<&str>,
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// One resync. Its `done` and `failed` count finished jobs.
    async fn resync(&self, id: Uuid) -> Result<Option<Resync>, Error>;

    /// Resyncs of a connection that still have records to mark or look at, oldest first.
    async fn open_resyncs(&self, connection: &ConnectionName) -> Result<Vec<Resync>, Error>;

    /// Takes calls from an allowance that all instances share (I6): what is wanted, or what is left.
    async fn reserve_calls(&self, reserve: &Reserve<'_>) -> Result<Reserved, Error>;

    /// Takes up a piece of scheduled work, if it is due and nobody else does it; one that was never done is due.
    async fn claim_task(&self, claim: &TaskClaim<'_>) -> Result<Option<Task>, Error>;

    /// Records how far a piece of scheduled work has come and marks what it found. Returns whether it was still ours: if not,
    /// nothing is recorded.
    async fn advance_task(&self, progress: &TaskProgress<'_>) -> Result<bool, Error>;

    /// Deletes what has been kept long enough. Returns how many rows went; call again while that is not 0.
    async fn retain(&self, retention: &Retention) -> Result<u64, Error>;

    /// How many calls were taken of an allowance in a slot of its window.
    async fn calls_taken(&self, connection: &ConnectionName, slot: (&str, i64)) -> Result<u64, Error>;

    /// Proves that something can be written and read back.
    async fn check(&self, now: Timestamp) -> Result<(), Error>;

    /// Closes the database after everything under way has finished.
    async fn close(&self);
}
