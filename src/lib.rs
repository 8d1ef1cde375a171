//! hubforce keeps HubSpot and Salesforce in agreement.
//!
//! A webhook is a *hint that a record is dirty*. Ingress verifies it, stores it, marks the record dirty and answers. A worker
//! claims dirty records, gathers what both CRMs say about each into a [`plan::View`], asks the pure function [`plan::plan`] what
//! should happen, carries it out in batches and remembers what both sides now agree on.
//!
//! The modules, in reading order; each names only those above it (`tests/it/layering.rs` holds this):
//!
//! | floor | module | what it is |
//! |---|---|---|
//! | 0 | [`domain`] | what things are: ids, kinds, values, time, secrets |
//! | 1 | [`plan`] | what should happen: pure decisions |
//! | 2 | [`store`], [`crm`] | memory, and the two correspondents; neither names the other |
//! | 3 | [`worker`] | the loop that alone holds a store and a CRM |
//! | 4 | [`http`], [`emulator`] | the doors |
//! | 5 | [`config`], [`telemetry`], [`shutdown`] | assembly |
//! | 6 | [`cli`] | the operator |

pub mod cli;
pub mod config;
pub mod crm;
pub mod domain;
pub mod emulator;
pub mod http;
pub mod plan;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod worker;
