//! What the spine carries, measured in one run on one machine: `cargo bench`, or one part with `cargo bench -- ingest`.
//!
//! The service under test is the real binary in a process of its own, on a SQLite file in a temporary directory or a private PostgreSQL server. This process holds
//! the other ends: senders of signed webhooks, or both emulated CRMs. All of it shares the machine's cores, so figures are for
//! comparison within a run.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a program that prints figures, and has nobody to hand an error to"
)]

mod agreement;
mod crms;
mod ingest;
mod instances;
mod load;
mod queue;
mod raw;
mod service;

use std::process::ExitCode;

/// Says that this process is the handler that only verifies and answers, which the service is compared with.
const VERIFY_ONLY: &str = "--verify-only";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    if arguments.iter().any(|argument| argument == VERIFY_ONLY) {
        runtime.block_on(ingest::only_verify());
        return ExitCode::SUCCESS;
    }
    // Cargo adds `--bench`.
    let parts: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| *argument != "--bench").collect();
    if let Some(unknown) =
        parts.iter().find(|part| !["ingest", "queue", "agreement", "instances"].contains(*part))
    {
        eprintln!("there is no part {unknown}; the parts are ingest, queue, agreement and instances");
        return ExitCode::from(2);
    }
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if wanted("ingest") {
        ingest::run();
    }
    if wanted("queue") {
        runtime.block_on(queue::run());
    }
    if wanted("agreement") {
        runtime.block_on(agreement::run());
    }
    if wanted("instances") {
        runtime.block_on(instances::run());
    }
    ExitCode::SUCCESS
}
