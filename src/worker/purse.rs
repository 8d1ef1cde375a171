//! What is spent of an allowance, written where all instances see it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::crm::Error;
use crate::crm::limiter::{Purse, Taken, Wanted};
use crate::domain::ConnectionName;
use crate::store::Store;
use crate::store::types::Reserve;

/// The purse of one connection, in memory that outlives the process.
pub struct SharedPurse {
    store: Arc<dyn Store>,
    connection: ConnectionName,
}

impl SharedPurse {
    /// The purse of a connection.
    pub fn new(store: Arc<dyn Store>, connection: ConnectionName) -> Self {
        Self { store, connection }
    }
}

#[async_trait]
impl Purse for SharedPurse {
    async fn take(&self, wanted: &Wanted) -> Result<Taken, Error> {
        let reserve = Reserve {
            connection: &self.connection,
            allowance: wanted.allowance,
            slot: wanted.slot,
            oldest_slot: wanted.oldest_slot,
            newest_slot: wanted.newest_slot,
            limit: wanted.limit,
            wanted: wanted.calls,
        };
        // Without knowing what is spent, nothing may be: the call is put off as if its CRM were not there.
        let reserved = self.store.reserve_calls(&reserve).await.map_err(|source| Error::Unavailable {
            status: "allowance".to_owned(),
            retry_after_ms: None,
            source: Some(Arc::new(source)),
        })?;
        Ok(Taken { calls: reserved.calls, left: reserved.left })
    }
}
