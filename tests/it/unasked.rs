//! What the tests of effects that nobody asked for share: questions to the API, and records by their places.

use std::fmt::Debug;

use serde_json::Value as Json;

use crate::harness::TestApp;

/// A HubSpot contact in the API's paths.
pub(crate) fn contact_place(id: u64) -> String {
    format!("hubspot/contact/{id}")
}

/// How the API shows a record, by its place: `hubspot/contact/1`.
pub(crate) async fn record(app: &TestApp, place: &str) -> Json {
    app.ask("GET", &format!("/v1/connections/acme/records/{place}"), "").await.1
}

/// How the API explains a record.
pub(crate) async fn explained(app: &TestApp, place: &str) -> Json {
    app.ask("GET", &format!("/v1/connections/acme/records/{place}/explain"), "").await.1
}

/// The association differences of a record; the test fails where the answer has no such list.
pub(crate) async fn differences(app: &TestApp, place: &str) -> Vec<Json> {
    let record = record(app, place).await;
    let listed = record["association_differences"].as_array().cloned();
    listed.unwrap_or_else(|| panic!("{place} has no list of association differences: {record}"))
}

/// A record has one association difference, of this property and field.
pub(crate) async fn differs_in(app: &TestApp, place: &str, property: &str, field: &str) {
    let found = differences(app, place).await;
    assert_eq!(found.len(), 1, "{place}: {found:?}");
    assert_eq!((&found[0]["property"], &found[0]["field"]), (&property.into(), &field.into()));
    assert!(found[0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{found:?}");
}

/// Asks for a resync and lets it be done.
pub(crate) async fn resync(app: &TestApp, body: &str) {
    let (status, answer) = app.ask("POST", "/v1/connections/acme/resync", body).await;
    assert_eq!(status, 202, "{answer}");
    app.settle_after(1_000).await;
}

/// The explanation of a record names this id.
pub(crate) async fn names(app: &TestApp, place: &str, id: &str) {
    let explained = explained(app, place).await;
    let reasons = explained["reasons"].as_array().cloned().unwrap_or_default();
    let named = reasons.iter().any(|reason| reason["text"].as_str().is_some_and(|text| text.contains(id)));
    assert!(named, "no reason of {place} names {id}: {explained:#}");
}

/// The only one.
pub(crate) fn only<T: Clone + Debug>(ids: &[T]) -> T {
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].clone()
}

/// A record's field in Salesforce.
pub(crate) fn held(app: &TestApp, object: &str, id: &str, field: &str) -> Option<String> {
    app.salesforce.field(object, id, field)
}
