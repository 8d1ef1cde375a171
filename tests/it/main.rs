//! Stories through the doors: a signed webhook in, the emulators' state and call count out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod cli;
mod companies;
mod convergence;
mod costs;
mod crash;
mod deals;
mod editions;
mod fates;
mod first_load;
mod harness;
mod inclusion;
mod ingress;
mod layering;
mod lifecycle;
mod openapi;
mod optout;
mod owners;
mod people;
mod portals;
mod refusals;
mod rules;
mod stores;
