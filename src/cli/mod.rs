//! The operator's door: one verb a file, no logic worth testing.

mod assemble;
mod check;
mod demo;
mod emulate;
mod health;
mod migrate;
mod retention;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Error, source};
use crate::domain::Chain;
use crate::telemetry::{LogFormat, log_to_stderr};

pub use assemble::{Assembled, Outside, assemble, assemble_on};
pub use demo::play;

/// Keeps HubSpot and Salesforce in agreement, in both directions, within seconds.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// How log lines look; RUST_LOG says which there are.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Plays a live scenario against both emulated CRMs, all in this process; no account is needed.
    Demo(demo::Arguments),
    /// Receives what the CRMs send and works.
    Serve(serve::Arguments),
    /// Both CRMs as emulators.
    Emulate(emulate::Arguments),
    /// Checks the configuration, the database and, unless --offline, both CRMs.
    Check(check::Arguments),
    /// Applies database migrations, or with --check only says which are missing.
    Migrate(migrate::Arguments),
    /// Asks a running service whether it lives; for container health checks.
    Health(health::Arguments),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration; otherwise hubforce.toml, or where there is none, what HUBFORCE_CONFIG names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Done.
const DONE: u8 = 0;

/// Failed, or found errors.
const FAILED: u8 = 1;

/// Wrong usage or configuration.
const WRONG_USE: u8 = 2;

impl ConfigArgument {
    fn path(&self) -> PathBuf {
        let here = PathBuf::from("hubforce.toml");
        let named = || source::variable("HUBFORCE_CONFIG").map(PathBuf::from);
        self.config
            .clone()
            .or_else(|| Some(here.clone()).filter(|here| here.exists()))
            .or_else(named)
            .unwrap_or(here)
    }

    fn load(&self) -> Result<Config, Misuse> {
        let path = self.path();
        Config::load(&path).map_err(|error| match &error {
            Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Misuse(format!(
                "{}: copy config.default.toml to hubforce.toml, or name your file with --config or HUBFORCE_CONFIG",
                Chain(&error)
            )),
            Error::File { .. } => {
                Misuse(format!("{}: let this process read it, or name another with --config", Chain(&error)))
            }
            _ => Misuse(format!("{}: {}", path.display(), Chain(&error))),
        })
    }
}

/// Something in usage or configuration that the caller must change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

impl From<Error> for Misuse {
    fn from(error: Error) -> Self {
        Self(Chain(&error).to_string())
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format, if matches!(cli.verb, Verb::Demo(_)) { "warn" } else { "info" });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime could not be started")),
    };
    let outcome = runtime.block_on(async {
        match cli.verb {
            Verb::Demo(arguments) => demo::run(arguments).await,
            Verb::Serve(arguments) => serve::run(arguments).await,
            Verb::Emulate(arguments) => emulate::run(arguments).await,
            Verb::Check(arguments) => check::run(arguments).await,
            Verb::Migrate(arguments) => migrate::run(arguments).await,
            Verb::Health(arguments) => health::run(arguments).await,
        }
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word to the person at the terminal")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(if error.is::<Misuse>() { WRONG_USE } else { FAILED })
}

#[expect(clippy::print_stdout, reason = "what a person asked for")]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}
