//! What each property of a record held before, and who changed it when.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::hubspot::writer::Act;

/// Every value of each property, the newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(BTreeMap<String, Vec<Version>>);

#[derive(Clone, Debug)]
struct Version {
    value: String,
    at: Timestamp,
    source: (&'static str, String),
}

impl History {
    /// A property gets a value.
    pub(super) fn add(&mut self, name: &str, value: &str, act: Act<'_>) {
        let source = act.writer.source(("COMPANIES", ""));
        let version = Version { value: value.to_owned(), at: act.now, source };
        self.0.entry(name.to_owned()).or_default().insert(0, version);
    }

    /// The history of a record that two others were merged into.
    pub(super) fn merged_with(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        for (name, versions) in &other.0 {
            let all = merged.0.entry(name.clone()).or_default();
            all.extend(versions.iter().cloned());
            all.sort_by_key(|version| std::cmp::Reverse(version.at));
        }
        merged
    }

    /// The properties asked for, as far as they ever held anything.
    pub(super) fn shown(&self, names: &[String]) -> Json {
        let version = |version: &Version| {
            json!({
                "value": version.value, "timestamp": version.at.to_string(), "sourceType": version.source.0,
                "sourceId": version.source.1,
            })
        };
        let of = |name: &String| {
            let versions = self.0.get(name)?;
            Some((name.clone(), versions.iter().map(version).collect::<Json>()))
        };
        Json::Object(names.iter().filter_map(of).collect())
    }
}
