//! Memory whose every transaction is an effect.

use std::sync::Arc;

use async_trait::async_trait;
use hubforce::domain::{ConnectionName, RecordKey, System, Timestamp};
use hubforce::plan::Pair;
use hubforce::store::room::Room;
use hubforce::store::types::{
    AuditQuery, AuditRow, Cause, Claim, Claimed, Conflict, ConnectionState, Finished, Horizon, Intent, Job,
    JobId, JobQuery, Mark, NewDelivery, QueueFigures, RecordStatus, Reserve, Reserved, Resync, Retention,
    SaidBy, SetAsideQuery, Task, TaskClaim, TaskProgress,
};
use hubforce::store::{Error, Store};
use uuid::Uuid;

use crate::simulation::town::Between;
use crate::simulation::world::Instance;

/// The memory of one instance.
pub(crate) struct Memory {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) instance: Instance,
    pub(crate) between: Between,
}

impl Memory {
    async fn effect<T>(&self, name: &str, what: impl Future<Output = T> + Send) -> T {
        self.between.world().effect(self.instance, name, self.between.happens(), what).await
    }
}

/// Each method is its namesake of the store, as an effect.
macro_rules! effects {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Memory {
            async fn intend(&self, connection: &ConnectionName, intents: &[Intent]) -> Result<(), Error> {
                self.effect("intend", self.inner.intend(connection, intents)).await?;
                for intent in intents {
                    let value = intent.new.as_text().unwrap_or_default().into_owned();
                    self.between.world().intend(intent.key.id().to_string(), intent.field.clone(), value);
                }
                Ok(())
            }

            async fn accept(&self, deliveries: Arc<[NewDelivery]>) -> Result<(), Error> {
                for mark in deliveries.iter().flat_map(|delivery| &delivery.marks) {
                    self.between.world().note(format!("  mark of {}", mark.key));
                }
                self.effect("accept", self.inner.accept(deliveries)).await
            }

            async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error> {
                let claimed = self.effect("claim", self.inner.claim(claim)).await?;
                for job in claimed.iter().flat_map(|claimed| &claimed.jobs) {
                    self.between.world().note(format!("  claims {} at {}", job.key, job.dirty));
                }
                Ok(claimed)
            }

            async fn finish(
                &self,
                connection: &ConnectionName,
                worker: Uuid,
                finished: &[Finished],
                now: Timestamp,
            ) -> Result<(), Error> {
                for one in finished {
                    let pair = one.pair.as_ref().map(|pair| format!("{} and {}", pair.hubspot, pair.salesforce));
                    self.between.world().note(format!("  {:?} of {:?}, {pair:?}", one.outcome, one.jobs));
                }
                self.effect("finish", self.inner.finish(connection, worker, finished, now)).await
            }

            async fn close(&self) {
                self.inner.close().await;
            }

            $(async fn $name(&self, $($argument: $of),*) -> Result<$answer, Error> {
                self.effect(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

effects! {
    mark(connection: &ConnectionName, marks: &[Mark], cause: Cause, now: Timestamp) -> ();
    next_due(connection: &ConnectionName) -> Option<Timestamp>;
    pairs_of(connection: &ConnectionName, keys: &[RecordKey]) -> Vec<Option<Pair>>;
    with_open_creates(connection: &ConnectionName, keys: &[RecordKey]) -> Vec<RecordKey>;
    advance_erasures(connection: &ConnectionName, now: Timestamp) -> bool;
    erased(connection: &ConnectionName, addresses: &[String]) -> Vec<bool>;
    newest_deliveries(connection: &ConnectionName, source: System) -> Vec<bytes::Bytes>;
    renew(worker: Uuid, jobs: &[JobId], lease_until: Timestamp) -> Vec<JobId>;
    release_all(worker: Uuid) -> ();
    record(connection: &ConnectionName, key: &RecordKey) -> Option<RecordStatus>;
    conflicts_of(connection: &ConnectionName, key: &RecordKey) -> Vec<Conflict>;
    set_aside(query: &SetAsideQuery<'_>) -> Vec<(i64, Pair)>;
    jobs(query: &JobQuery<'_>) -> Vec<Job>;
    job(id: JobId, now: Timestamp) -> Option<Job>;
    retry_job(id: JobId, now: Timestamp) -> bool;
    discard_job(id: JobId, now: Timestamp) -> bool;
    audit(query: &AuditQuery<'_>) -> Vec<AuditRow>;
    connection_state(connection: &ConnectionName) -> ConnectionState;
    set_connection_state(connection: &ConnectionName, state: &ConnectionState, said_by: SaidBy, now: Timestamp) -> ();
    queue_figures(connection: &ConnectionName, now: Timestamp) -> QueueFigures;
    bring_forward(connection: &ConnectionName, horizon: &Horizon) -> ();
    room(backlog_max: u64) -> Room;
    create_resync(resync: &Resync) -> ();
    advance_resync(resync: &Resync, from: Option<&str>, marks: &[Mark], now: Timestamp) -> bool;
    resync(id: Uuid) -> Option<Resync>;
    open_resyncs(connection: &ConnectionName) -> Vec<Resync>;
    reserve_calls(reserve: &Reserve<'_>) -> Reserved;
    claim_task(claim: &TaskClaim<'_>) -> Option<Task>;
    advance_task(progress: &TaskProgress<'_>) -> bool;
    calls_taken(connection: &ConnectionName, slot: (&str, i64)) -> u64;
    retain(retention: &Retention) -> u64;
    check(now: Timestamp) -> ();
}
