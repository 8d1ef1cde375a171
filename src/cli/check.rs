//! `hubforce check`: everything that can be known before the first webhook. It changes neither CRM and no database, but for the calls
//! that it takes from the shared allowance.

use std::sync::Arc;

use anyhow::Context;
use comfy_table::Table;

use crate::cli::serve::as_misuse;
use crate::cli::{ConfigArgument, DONE, FAILED, Misuse, Outside, assemble, say};
use crate::config::Config;
use crate::domain::{Chain, SystemClock};
use crate::plan::resolve::{Finding, Severity, check_offline};
use crate::shutdown::Shutdown;
use crate::store;

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Asks neither CRM.
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.load()?;
    let (mut findings, complete) = check_database(&config).await;
    for connection in &config.connections {
        findings.extend(check_offline(&connection.sync));
    }
    if !arguments.offline {
        findings.extend(check_online(&config, complete).await?);
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mut table = Table::new();
    table.set_header(["", "what", "finding"]);
    for finding in &findings {
        table.add_row([
            format!("{:?}", finding.severity).to_lowercase(),
            finding.subject.clone(),
            finding.text.clone(),
        ]);
    }
    if findings.is_empty() {
        say("nothing to report");
    } else {
        say(table);
    }
    say(format!("{errors} errors"));
    Ok(if errors == 0 { DONE } else { FAILED })
}

fn finding(severity: Severity, subject: &str, text: String) -> Finding {
    Finding::new(severity, subject, text)
}

/// What is to be said of the database, and whether it has all migrations.
async fn check_database(config: &Config) -> (Vec<Finding>, bool) {
    let say = |severity, text| vec![finding(severity, "database", text)];
    match store::migrations(&config.database.url).await {
        Err(error) => (say(Severity::Error, Chain(&error).to_string()), false),
        Ok(migrations) => {
            let missing = migrations.iter().filter(|status| !status.applied).count();
            match (missing, config.database.migrate) {
                (0, _) => (Vec::new(), true),
                (n, true) => {
                    (say(Severity::Note, format!("{n} migrations are missing; `serve` applies them")), false)
                }
                (n, false) => (
                    say(Severity::Error, format!("{n} migrations are missing: run `hubforce migrate`")),
                    false,
                ),
            }
        }
    }
}

/// Asks both CRMs. Only settings that must be changed first are an error; all else is a finding.
async fn check_online(config: &Config, complete: bool) -> anyhow::Result<Vec<Finding>> {
    match inspect_all(config, complete).await.map_err(as_misuse) {
        Err(error) if !error.is::<Misuse>() => {
            Ok(vec![finding(Severity::Error, "connections", format!("the CRMs were not asked: {error:#}"))])
        }
        outcome => outcome,
    }
}

async fn inspect_all(config: &Config, complete: bool) -> anyhow::Result<Vec<Finding>> {
    // A database that lacks something stays as it is; a file that is gone afterwards serves as memory.
    let passing = tempfile::tempdir().context("set TMPDIR to a directory that can be written to")?;
    let mut config = config.clone();
    config.database.migrate = !complete;
    if !complete {
        config.database.url = format!("sqlite://{}", passing.path().join("check.db").display());
    }
    let metrics = crate::telemetry::count().context("metrics cannot be counted")?;
    let outside = Outside { clock: Arc::new(SystemClock), metrics, shutdown: Shutdown::default() };
    let assembled = assemble(&config, &outside).await?;
    let mut findings = Vec::new();
    for name in assembled.worker.connections() {
        match assembled.worker.inspect(name).await {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(finding(Severity::Error, name.as_str(), Chain(&error).to_string())),
        }
    }
    assembled.store.close().await;
    Ok(findings)
}
