//! `docs/metrics.md` and what the code counts, held to each other both ways: names, types and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::rules::read_all;

/// Type and labels of each metric.
type Metrics = BTreeMap<String, BTreeSet<(String, BTreeSet<String>)>>;

/// What stands between pairs of a mark.
fn between(mark: char, text: &str) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

/// Every place where something is counted.
fn counted(code: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for kind in ["counter", "gauge", "histogram"] {
        for place in code.split(&format!("metrics::{kind}!(")).skip(1) {
            // Handing a value over ends the macro.
            let arguments = [".increment(", ".set(", ".record("]
                .into_iter()
                .fold(place, |text, end| text.split(end).next().unwrap_or_default());
            let name = between('"', arguments).next().unwrap().to_owned();
            let labels = arguments.split("\" =>").collect::<Vec<_>>();
            let (_, labelled) = labels.split_last().unwrap();
            let labels = labelled.iter().filter_map(|text| text.rsplit('"').next()).map(str::to_owned);
            metrics.entry(name).or_default().insert((kind.to_owned(), labels.collect()));
        }
    }
    metrics
}

/// Every row of the table: name, type, labels.
fn described(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for row in text.lines().filter(|line| line.starts_with("| `hubforce_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let labels = between('`', cells[3]).map(str::to_owned).collect();
        metrics.entry(name).or_default().insert((cells[2].to_owned(), labels));
    }
    metrics
}

#[test]
fn every_metric_is_described_and_every_one_described_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    read_all(&root.join("src"), &mut code);
    let counted = counted(&code);
    assert!(counted.len() > 10, "{counted:?}");
    assert_eq!(described(&std::fs::read_to_string(root.join("docs/metrics.md")).unwrap()), counted);
}
