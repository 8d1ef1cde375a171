//! HubSpot: contacts, companies and deals in batches of a hundred.
//!
//! | what | call | why |
//! |---|---|---|
//! | read | `batch/read`; ids that are missing once more with `archived=true` | tells deleted from never seen |
//! | find | `batch/read` by `email` or our own unique property | strongly consistent, unlike search, which lags behind writes |
//! | update | `batch/update` | one invalid value fails a whole batch: it is halved until the culprit stands alone |
//! | create | `batch/create`, a trace id each | answers record by record; an address that is taken names its owner |
//! | what changed of late | `search` by the time of the last change; lists of deleted records and of members | whoever was told of nothing finds it; what search shows late is looked for again |
//! | relate | `associations/.../batch/*` | a contact's company is a mirror of its primary association |
//! | opt out | `statuses/{address}/unsubscribe-all` | the opt-out belongs to the address; the contact's property mirrors it |
//!
//! `null` is never sent: a blank clears as `""`. What the search API shows is a hint and decides nothing: it lags behind writes.

mod answers;
mod associations;
mod changes;
mod client;
mod history;
mod lists;
mod native;
mod people;
pub mod webhook;
mod wire;
mod write;

pub use client::{HubspotClient, Options};
