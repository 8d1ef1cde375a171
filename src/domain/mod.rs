//! What things are: ids, kinds, values, time, secrets. No async, no I/O.

pub mod chain;
pub mod ids;
pub mod record;
pub mod secret;
pub mod time;

pub use chain::Chain;
pub use ids::{HubspotId, InvalidId, SalesforceId};
pub use record::{ConnectionName, Decimal, Family, Fields, Kind, Record, RecordId, RecordKey, System, Value};
pub use secret::Secret;
pub use time::{Clock, SystemClock, TestClock, Timestamp};
