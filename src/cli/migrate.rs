//! `hubforce migrate`: applies migrations, or says which are missing.

use anyhow::Context;

use crate::cli::{ConfigArgument, DONE, FAILED, say};
use crate::store;

/// What `migrate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only says which are missing; exits 1 if any is.
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.load()?;
    if !arguments.check {
        let options = store::Options { url: config.database.url.clone(), migrate: true };
        store::open(&options).await.context("the migrations could not be applied")?.close().await;
    }
    let mut missing = 0;
    for status in store::migrations(&config.database.url).await.context("the database cannot be asked")? {
        say(format!(
            "{:04} {:<12} {}",
            status.version,
            status.name,
            if status.applied { "applied" } else { "missing" }
        ));
        missing += usize::from(!status.applied);
    }
    Ok(if missing == 0 { DONE } else { FAILED })
}
