//! HubSpot: contacts in batches of a hundred.
//!
//! | what | call | why |
//! |---|---|---|
//! | read | `batch/read`; ids that are missing once more with `archived=true` | tells deleted from never seen |
//! | find | `batch/read` by `email` | strongly consistent, unlike search, which lags behind writes |
//! | update | `batch/update` | one invalid value fails a whole batch: it is halved until the culprit stands alone |
//! | create | `batch/create`, a trace id each | answers record by record; an address that is taken names its owner |
//!
//! `null` is never sent: a blank clears as `""`. Nothing of the search API is used.

mod answers;
mod client;
mod lists;
pub mod webhook;
mod wire;
mod write;

pub use client::{HubspotClient, Options};
