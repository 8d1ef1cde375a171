//! The plan of the house, held: who may name whom, what must never stand where, how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most lines of code in a file.
const CODE_LINES_MAX: usize = 400;

/// Module, modules it may name besides itself, and texts that must not stand in it.
const TABLE: [(&str, &[&str], &[&str]); 11] = [
    ("domain", &[], &["async fn", "sqlx", "axum", "reqwest", "tokio"]),
    (
        "plan",
        &["domain"],
        &["async fn", "sqlx", "axum", "reqwest", "tokio", "tracing", "fastrand", "SystemTime"],
    ),
    ("store", &["domain", "plan"], &["axum", "reqwest"]),
    ("crm", &["domain", "plan"], &["sqlx", "axum"]),
    ("worker", &["domain", "plan", "store", "crm"], &["sqlx", "axum", "reqwest"]),
    (
        "http",
        &["domain", "plan", "store", "crm", "worker"],
        &["sqlx", "reqwest", "crm::Crm", "crm::hubspot::Hubspot", "crm::transport"],
    ),
    ("emulator", &["domain"], &["sqlx"]),
    (
        "config",
        &["domain", "plan", "store", "crm", "worker", "http", "emulator"],
        &["sqlx", "reqwest", "async fn"],
    ),
    ("telemetry", &["domain", "plan", "store", "crm", "worker", "http", "emulator"], &["sqlx", "reqwest"]),
    ("shutdown", &["domain"], &["sqlx", "reqwest"]),
    (
        "cli",
        &["domain", "plan", "store", "crm", "worker", "http", "emulator", "config", "telemetry", "shutdown"],
        &["sqlx", "reqwest"],
    ),
];

/// Where a text that is banned may stand after all.
const EXCEPTIONS: [(&str, &str); 2] = [("crm/transport.rs", "reqwest"), ("emulator/courier.rs", "reqwest")];

fn sources(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> Vec<&str> {
    let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    production.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

/// What a file breaks.
fn breaches(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if !text.starts_with("//!") {
        breaches.push(format!("{name} does not open with //!"));
    }
    let lines = code(text);
    let is_test = name.ends_with("tests.rs");
    if lines.len() > CODE_LINES_MAX && !is_test {
        breaches.push(format!("{name} has {} lines of code", lines.len()));
    }
    let module = name.split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed, banned)) = TABLE.iter().find(|(known, ..)| *known == module) else {
        return breaches;
    };
    for line in lines {
        for named in line.split("crate::").skip(1) {
            let named: String = named
                .chars()
                .take_while(|character| character.is_ascii_lowercase() || *character == '_')
                .collect();
            if TABLE.iter().any(|(known, ..)| *known == named)
                && named != module
                && !allowed.contains(&named.as_str())
            {
                breaches.push(format!("{name}: {module} names {named}"));
            }
        }
        for text in banned.iter().filter(|text| line.contains(**text) && !is_test) {
            // The clients' error type comes with the transport; naming its headers in a test is no call.
            let excepted = EXCEPTIONS.contains(&(name, text)) || (module == "crm");
            if !excepted {
                breaches.push(format!("{name}: {module} must not hold {text}: {line}"));
            }
        }
    }
    breaches
}

#[test]
fn the_house_stands_as_planned() {
    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    let breaches: Vec<String> = sources.iter().flat_map(|(name, text)| breaches(name, text)).collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    for (module, ..) in TABLE {
        assert!(sources.keys().any(|name| name.starts_with(module)), "{module} is in the table only");
    }
}

#[test]
fn planted_breaches_are_found() {
    for (name, text) in [
        ("store/mod.rs", "//! x\nuse crate::http::AppState;"),
        ("store/mod.rs", "//! x\nfn f() { crate::worker::x() }"),
        ("emulator/x.rs", "//! x\nuse crate::crm::Error;"),
        ("plan/x.rs", "//! x\nasync fn f() {}"),
        ("worker/x.rs", "//! x\nuse sqlx::Row;"),
        ("domain/x.rs", "fn no_docs() {}"),
    ] {
        assert_eq!(breaches(name, text).len(), 1, "{name}: {text}");
    }
    assert!(
        breaches("store/mod.rs", "//! x\n// use crate::http::AppState;\nuse crate::plan::Plan;").is_empty()
    );
    let long = format!("//! x\n{}", "f();\n".repeat(CODE_LINES_MAX + 1));
    assert_eq!(breaches("store/x.rs", &long).len(), 1);
}
