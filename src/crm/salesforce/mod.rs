//! Salesforce.

pub mod webhook;
