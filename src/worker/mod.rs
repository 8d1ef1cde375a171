//! The loop: claim, gather, plan, apply, finish. It alone holds a store and a CRM.
//!
//! Work is done in *rounds*. A round claims as many dirty pairs of one connection and family as its calls in flight can carry,
//! reads both sides of all of them in batches, asks the planner about each, writes in batches, and commits the outcomes in one
//! transaction. A crash after any line is covered: before the writes nothing happened; during them every step repeats
//! harmlessly; after them the next view is equal on both sides and plans nothing.
//!
//! Between two rounds a resync or a sweep takes a step: both mark records dirty and leave the rest to the rounds.
//!
//! One round of a connection runs at a time; its parallelism is in its calls. That bounds what is in memory and keeps two rounds
//! from planning records that turn out to belong together.

mod apply;
mod connection;
mod error;
mod explain;
mod finish;
mod gather;
mod leases;
mod purse;
mod resync;
mod round;
mod run;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

pub use connection::{Connection, Mode};
pub use error::Error;
pub use explain::{Explanation, Linked, Pending, Reason};
pub use purse::{ApiUse, SharedPurse};

use crate::domain::{Clock, ConnectionName};
use crate::plan::resolve::Finding;
use crate::store::Store;
use connection::Live;

/// How the worker works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Batches in flight at once, per connection.
    pub concurrency: usize,
    /// The most pairs in a batch.
    pub batch_size: usize,
    /// How long the worker waits before it looks again when nothing wakes it.
    pub poll_ms: u64,
    /// How long a claim is ours.
    pub lease_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { concurrency: 4, batch_size: 100, poll_ms: 1_000, lease_ms: 30_000 }
    }
}

/// Works the queue of every connection.
pub struct Worker {
    id: Uuid,
    store: Arc<dyn Store>,
    connections: BTreeMap<ConnectionName, Arc<Live>>,
    clock: Arc<dyn Clock>,
    options: Options,
    due: Arc<Notify>,
}

impl Worker {
    /// A worker for the given connections. Nothing happens before [`Worker::run`] or [`Worker::drain`].
    pub fn new(
        store: Arc<dyn Store>,
        connections: Vec<Connection>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Arc<Self> {
        let live = |connection: Connection| (connection.name.clone(), Arc::new(Live::new(connection)));
        Arc::new(Self {
            id: Uuid::now_v7(),
            store,
            connections: connections.into_iter().map(live).collect(),
            clock,
            options,
            due: Arc::new(Notify::new()),
        })
    }

    /// Says that something became due.
    pub fn wake(&self) {
        self.due.notify_waiters();
    }

    /// The names of its connections.
    pub fn connections(&self) -> impl Iterator<Item = &ConnectionName> {
        self.connections.keys()
    }

    /// The Salesforce user that our own changes of this connection carry, once it is known.
    pub fn salesforce_author(&self, connection: &ConnectionName) -> Option<String> {
        self.connections.get(connection)?.salesforce_author()
    }

    /// Compares a connection's settings with what both CRMs hold, and says who we are there. For `check` and the start.
    pub async fn inspect(&self, connection: &ConnectionName) -> Result<Vec<Finding>, Error> {
        Ok(self.live(connection)?.resolve(self.clock.now()).await?.findings.clone())
    }

    fn live(&self, connection: &ConnectionName) -> Result<&Arc<Live>, Error> {
        self.connections.get(connection).ok_or(Error::UnknownConnection)
    }

    /// The most pairs one round carries: as many batches as may be in flight.
    fn round_limit(&self) -> usize {
        self.options.concurrency * self.options.batch_size
    }
}
