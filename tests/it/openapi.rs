//! `openapi.yaml` and the router, held to each other both ways.

use std::collections::BTreeSet;

use serde_norway::Value;

const CONTRACT: &str = include_str!("../../openapi.yaml");

fn operations(contract: &Value) -> BTreeSet<(String, String)> {
    let paths = contract["paths"].as_mapping().unwrap();
    let mut operations = BTreeSet::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_mapping().unwrap() {
            let method = method.as_str().unwrap();
            if method != "parameters" {
                assert!(
                    operation["summary"].is_string() && operation["responses"].is_mapping(),
                    "{method} {path:?}"
                );
                operations.insert((method.to_uppercase(), path.as_str().unwrap().to_owned()));
            }
        }
    }
    operations
}

fn routes() -> BTreeSet<(String, String)> {
    hubforce::http::routes().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect()
}

#[test]
fn every_route_is_in_the_contract_and_the_other_way_round() {
    assert_eq!(operations(&serde_norway::from_str(CONTRACT).unwrap()), routes());
}

/// What is wrong with the answers that an operation promises.
fn undeclared(contract: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for (path, methods) in contract["paths"].as_mapping().unwrap() {
        let path = path.as_str().unwrap();
        for (method, operation) in methods.as_mapping().unwrap() {
            let method = method.as_str().unwrap();
            let mut needed = Vec::new();
            if !operation["security"].is_null() {
                needed.push("401");
                needed.extend((method != "get").then_some("403"));
            }
            needed.extend(path.starts_with("/v1/jobs/").then_some("400"));
            needed.extend((!operation["requestBody"].is_null()).then_some("413"));
            needed.extend(path.ends_with("/resync").then_some("502"));
            let lacks = |status: &&str| operation["responses"][*status].is_null();
            if method != "parameters" {
                missing.extend(
                    needed.into_iter().filter(lacks).map(|status| format!("{method} {path}: {status}")),
                );
            }
        }
    }
    missing
}

#[test]
fn every_refusal_is_in_the_contract() {
    assert_eq!(undeclared(&serde_norway::from_str(CONTRACT).unwrap()), Vec::<String>::new());
}

#[test]
fn a_route_missing_from_the_contract_is_found() {
    let planted = CONTRACT.replace("  /healthz:\n", "  /health:\n");
    assert_ne!(planted, CONTRACT);
    assert_ne!(operations(&serde_norway::from_str(&planted).unwrap()), routes());
}

/// Every `$ref` points at something that is there.
#[test]
fn references_lead_somewhere() {
    let contract: Value = serde_norway::from_str(CONTRACT).unwrap();
    for reference in CONTRACT.split("$ref: \"#/").skip(1) {
        let path = reference.split('"').next().unwrap();
        let target = path.split('/').fold(&contract, |value, part| &value[part]);
        assert!(!target.is_null(), "{path}");
    }
}
