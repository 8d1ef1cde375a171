//! What can keep the worker from working, named for who acts next.

use crate::crm;
use crate::domain::System;
use crate::store;

/// Why a round, an explanation or an inspection came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database: see its error.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// A CRM: see its error.
    #[error("{system} failed")]
    Crm {
        /// Which one.
        system: System,
        /// The cause.
        #[source]
        source: crm::Error,
    },
    /// The settings cannot be worked with: a person must act.
    #[error("the connection's settings do not fit the CRMs: {0}")]
    Settings(String),
    /// HubSpot has no such list of contacts.
    #[error("there is no list of contacts with that id")]
    UnknownList,
    /// There is no such connection.
    #[error("there is no connection of that name")]
    UnknownConnection,
}
