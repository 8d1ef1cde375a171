//! Stories through the doors: a signed webhook in, the emulators' state and call count out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod access;
mod agreement;
mod associations;
mod cli;
mod clock;
mod companies;
mod convergence;
mod costs;
mod crash;
mod deals;
mod editions;
mod fates;
mod fields;
mod first_load;
mod harness;
mod held;
mod inclusion;
mod ingress;
mod layering;
mod lifecycle;
mod metrics;
mod openapi;
mod optout;
mod oracle;
mod owners;
mod people;
mod people_at_work;
mod persons;
mod portals;
mod refusals;
mod rules;
mod simulation;
mod stores;
mod sweep;
mod sweep_pages;
mod sweep_steps;

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many stories they want")]
fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
