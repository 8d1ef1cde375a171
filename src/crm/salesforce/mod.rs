//! Salesforce: leads and contacts, two thousand a read, two hundred a write.
//!
//! | what | call | why |
//! |---|---|---|
//! | read | `POST /composite/sobjects/{Type}`; what is missing once more by `queryAll` | answers in the order asked; tells deleted from never seen |
//! | find | SOQL by address and by our external id, several queries in one `/composite` | one call for a whole round |
//! | what changed of late | SOQL by `SystemModstamp` with deleted rows, all objects in one `/composite` | one call where nothing happened |
//! | update | `PATCH /composite/sobjects` and a read of the rows in one `/composite` | each row with its own outcome, and what is stored |
//! | create | upsert by the external id, likewise: `PATCH /composite/sobjects/{Type}/{Field}` | a repetition updates instead |
//!
//! Three headers are set on purpose. `Sforce-Auto-Assign: FALSE`, except where a lead is created without an owner: the
//! absence of the header would let assignment rules take records over. `Sforce-Duplicate-Rule-Header: allowSave=true`: rules that
//! alert are meant for people before a screen, while rules that block go on blocking. `Sforce-Call-Options: client=hubforce`:
//! our changes carry our name.

mod answers;
mod auth;
mod changes;
mod client;
mod people;
mod persons;
mod queries;
mod soql;
pub mod webhook;
mod wire;
mod write;

pub use auth::ClientCredentials;
pub use client::{Options, SalesforceClient};
