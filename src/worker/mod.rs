//! The loop: claim, gather, plan, apply, finish. It alone holds a store and a CRM.
//!
//! Work is done in *rounds*. A round claims as many dirty pairs of one connection and family as its calls in flight can carry,
//! reads both sides of all of them in batches, asks the planner about each, writes in batches, and commits the outcomes in one
//! transaction. A crash after any line is covered: before the writes nothing happened; during them every step repeats
//! harmlessly; after them the next view is equal on both sides and plans nothing.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crm::Crm;
use crate::domain::{Clock, ConnectionName};
use crate::plan::rules::PeopleOptions;
use crate::store::Store;

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

/// Whether a connection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It reads, plans and writes.
    Live,
    /// It reads and plans, and writes nothing to either CRM.
    Shadow,
}

/// A connection, as far as the worker is concerned.
#[derive(Clone)]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// Whether it writes.
    pub mode: Mode,
    /// Its HubSpot portal.
    pub hubspot: Arc<dyn Crm>,
    /// Its Salesforce organization.
    pub salesforce: Arc<dyn Crm>,
    /// The settings for people.
    pub people: PeopleOptions,
    /// The Salesforce field that is to hold the HubSpot id; `None` where the organization may not add fields.
    pub external_id_field: Option<String>,
}
