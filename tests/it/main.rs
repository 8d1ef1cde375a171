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
mod erased;
mod exact;
mod fates;
mod fields;
mod first_load;
mod harness;
mod held;
mod inclusion;
mod ingress;
mod layering;
mod leftovers;
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
mod resyncs;
mod rules;
mod set_aside;
mod simulation;
mod stored;
mod stores;
mod sweep;
mod sweep_pages;
mod sweep_steps;
mod triggers;
mod unasked;
mod unasked_associations;
mod unasked_companies;
mod unasked_deletions;
mod unasked_lists;
mod unasked_races;
mod unasked_resyncs;
mod unasked_takeovers;
mod unasked_times;
mod unasked_values;

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many stories they want")]
fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
