//! `hubforce check`: everything that can be known before the first webhook.

use std::sync::Arc;

use anyhow::Context;
use comfy_table::Table;

use crate::cli::{ConfigArgument, DONE, FAILED, Outside, assemble, say};
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
    let mut findings = check_database(&config).await;
    for connection in &config.connections {
        findings.extend(check_offline(&connection.sync));
    }
    if !arguments.offline {
        findings.extend(check_online(&config).await?);
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
    Finding { severity, subject: subject.to_owned(), text }
}

async fn check_database(config: &Config) -> Vec<Finding> {
    match store::migrations(&config.database.url).await {
        Err(error) => vec![finding(Severity::Error, "database", Chain(&error).to_string())],
        Ok(migrations) => {
            let missing = migrations.iter().filter(|status| !status.applied).count();
            match (missing, config.database.migrate) {
                (0, _) => Vec::new(),
                (n, true) => vec![finding(
                    Severity::Note,
                    "database",
                    format!("{n} migrations are missing; `serve` applies them"),
                )],
                (n, false) => vec![finding(
                    Severity::Error,
                    "database",
                    format!("{n} migrations are missing: run `hubforce migrate`"),
                )],
            }
        }
    }
}

async fn check_online(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let metrics = crate::telemetry::count().context("metrics cannot be counted")?;
    let outside = Outside { clock: Arc::new(SystemClock), metrics, shutdown: Shutdown::default() };
    let assembled = assemble(config, &outside).await?;
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
