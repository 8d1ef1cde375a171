//! HubSpot.

pub mod webhook;
