//! What is spent of an allowance, written where all instances see it, and read from there.

use std::sync::Arc;

use async_trait::async_trait;

use crate::crm::Error;
use crate::crm::limiter::day_slot;
use crate::crm::limiter::{Purse, Taken, Wanted};
use crate::domain::{ConnectionName, System};
use crate::store::Store;
use crate::store::types::Reserve;
use crate::worker::{self, Worker};

/// What a connection uses of a CRM's daily calls. The day is UTC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiUse {
    /// The CRM.
    pub system: System,
    /// Calls taken today by all instances. Each takes up to 20 ahead.
    pub used_today: u64,
    /// Calls that are ours in a day, by the settings.
    pub per_day: u32,
}

impl Worker {
    /// What a connection uses of both CRMs' calls.
    pub async fn api_use(&self, connection: &ConnectionName) -> Result<[ApiUse; 2], worker::Error> {
        let live = self.live(connection)?;
        let of = |system: System| async move {
            let slot = day_slot(system, self.clock.now());
            let used_today = self.store.calls_taken(connection, slot).await?;
            Ok::<_, worker::Error>(ApiUse { system, used_today, per_day: live.crm(system).calls_per_day() })
        };
        Ok([of(System::Hubspot).await?, of(System::Salesforce).await?])
    }
}

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
