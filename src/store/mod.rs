//! Memory: what must survive the end of the process.
//!
//! One method of [`Store`] is one transaction, and no transaction waits for anything but the database. Leases save work;
//! correctness comes from idempotent steps.

pub mod error;
pub mod types;

use async_trait::async_trait;
use uuid::Uuid;

pub use error::Error;

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use types::{
    AuditQuery, AuditRow, Cause, Claim, Claimed, Conflict, ConnectionState, Finished, Intent, Job, JobId,
    JobQuery, Mark, NewDelivery, QueueFigures, RecordStatus, Resync, Retention,
};

/// Memory, whatever database is behind it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores deliveries and marks their records dirty. Durable on disk when it returns.
    async fn accept(&self, deliveries: &[NewDelivery]) -> Result<(), Error>;

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

    /// Commits what working some claims came to. Results of a lease that was lost are kept as audit rows and otherwise dropped.
    async fn finish(
        &self,
        connection: &ConnectionName,
        worker: Uuid,
        finished: &[Finished],
        now: Timestamp,
    ) -> Result<(), Error>;

    /// The pairs that the given records are in, one answer for each.
    async fn pairs_of(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<crate::plan::Pair>>, Error>;

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

    /// Records how a connection stands.
    async fn set_connection_state(
        &self,
        connection: &ConnectionName,
        state: &ConnectionState,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// The figures of one connection's queue.
    async fn queue_figures(&self, connection: &ConnectionName, now: Timestamp)
    -> Result<QueueFigures, Error>;

    /// Records a new resync.
    async fn create_resync(&self, resync: &Resync) -> Result<(), Error>;

    /// Records the progress of a resync and, in the same transaction, marks records for it (manually asked for).
    async fn advance_resync(&self, resync: &Resync, marks: &[Mark], now: Timestamp) -> Result<(), Error>;

    /// One resync. Its `done` and `failed` count finished jobs.
    async fn resync(&self, id: Uuid) -> Result<Option<Resync>, Error>;

    /// Resyncs of a connection that still have records to mark or look at, oldest first.
    async fn open_resyncs(&self, connection: &ConnectionName) -> Result<Vec<Resync>, Error>;

    /// The calls made to a CRM in a window, after adding `n` to it. Windows are named by the caller, e.g. by day.
    async fn count_calls(&self, connection: &ConnectionName, window: &str, n: u32) -> Result<u64, Error>;

    /// Deletes what has been kept long enough. Returns how many rows went; call again while that is not 0.
    async fn retain(&self, retention: &Retention) -> Result<u64, Error>;

    /// Proves that something can be written and read back.
    async fn check(&self, now: Timestamp) -> Result<(), Error>;

    /// Closes the database after everything under way has finished.
    async fn close(&self);
}
