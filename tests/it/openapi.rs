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
