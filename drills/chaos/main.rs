//! Real processes under a real load, and what goes wrong with databases and machines.
//!
//! `cargo run --release --bin chaos` plays every cell: a producer sends signed events to `hubforce serve`, something breaks, and when
//! it is mended every event that was acknowledged must have been worked, once. `--cell NAME` plays one of them. The events that were
//! not acknowledged are not sent again, so that nothing covers up for what was lost.
//!
//! PostgreSQL runs as a private server (`hubforce::store::testing`); where there is none its cells are passed over, and say so.

mod cells;
mod load;
mod service;
mod town;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use comfy_table::Table;

use cells::{Cell, Outcome};

#[derive(Parser)]
#[command(name = "chaos", about = "Breaks things around `hubforce serve` and counts what was lost")]
struct Arguments {
    /// Plays this cell alone; may be given several times.
    #[arg(long = "cell")]
    cells: Vec<String>,
    /// How long each cell is under load.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    // The same program is the service, so that one build is under test.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return Ok(hubforce::cli::main());
    }
    let arguments = Arguments::parse();
    if let Some(unknown) =
        arguments.cells.iter().find(|name| Cell::ALL.iter().all(|cell| cell.name() != *name))
    {
        let names: Vec<&str> = Cell::ALL.iter().map(|cell| cell.name()).collect();
        anyhow::bail!("there is no cell {unknown}; there are {}", names.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::new();
    table.set_header([
        "cell",
        "events acknowledged",
        "refused",
        "contacts worked",
        "lost",
        "twins doubled",
        "answers again after",
        "caught up after",
    ]);
    let mut bad = false;
    let wanted =
        |cell: &&Cell| arguments.cells.is_empty() || arguments.cells.iter().any(|name| cell.name() == name);
    for cell in Cell::ALL.iter().filter(wanted) {
        say(&format!("{}: {}", cell.name(), cell.story()))?;
        match runtime.block_on(cell.play(arguments.seconds)) {
            Ok(Some(outcome)) => {
                bad |= !outcome.is_good();
                for one in &outcome.lost {
                    let held = one
                        .held
                        .map_or("is not there".to_owned(), |held| format!("holds that of turn {held}"));
                    say(&format!(
                        "lost: contact {} was told the value of turn {}; its lead {held}",
                        one.contact, one.told
                    ))?;
                }
                table.add_row(row(*cell, &outcome));
            }
            Ok(None) => {}
            Err(error) => {
                bad = true;
                table.add_row([cell.name().to_owned(), format!("failed: {error:#}")]);
            }
        }
    }
    say(&table.to_string())?;
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn row(cell: Cell, outcome: &Outcome) -> [String; 8] {
    let seconds = |millis: Option<u128>| {
        millis.map_or("never".to_owned(), |millis| format!("{:.1} s", to_seconds(millis)))
    };
    [
        cell.name().to_owned(),
        outcome.acknowledged.to_string(),
        outcome.refused.to_string(),
        outcome.worked.to_string(),
        outcome.lost.len().to_string(),
        outcome.doubled.to_string(),
        seconds(outcome.answers_after_ms),
        seconds(outcome.caught_up_after_ms),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a few minutes in milliseconds")]
fn to_seconds(millis: u128) -> f64 {
    millis as f64 / 1_000.0
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
