//! The network between an instance and both CRMs: calls fail, are refused, or are carried out and never answered.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use hubforce::crm::Error;
use hubforce::crm::transport::{Answer, Carrier, Request};
use hubforce::domain::Timestamp;
use hubforce::emulator::{Vendor, router};
use serde_json::{Map, Value as Json};
use tower::ServiceExt;

use crate::simulation::town::{Between, HUBSPOT_PORT};
use crate::simulation::world::Instance;

/// HubSpot's own words.
const TOO_MANY: &str = r#"{"status":"error","errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING","message":"You have reached your ten_secondly_rolling limit."}"#;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Unreachable,
    Unanswered,
    Unavailable,
    TooMany,
}

const TROUBLES: [Trouble; 4] =
    [Trouble::Unreachable, Trouble::Unanswered, Trouble::Unavailable, Trouble::TooMany];

/// The network of one instance.
pub(crate) struct Network {
    pub(crate) instance: Instance,
    pub(crate) between: Between,
}

#[async_trait]
impl Carrier for Network {
    async fn carry(&self, request: Request) -> Result<Answer, Error> {
        let name = format!("{} {}", request.method, request.url.path());
        let world = self.between.world();
        let left_at = self.between.now();
        let between = self.between.happens();
        world.effect(self.instance, &name, between, self.carried(left_at, request)).await
    }
}

impl Network {
    async fn carried(&self, left_at: Timestamp, request: Request) -> Result<Answer, Error> {
        let world = self.between.world();
        let to_hubspot = request.url.port() == Some(HUBSPOT_PORT);
        self.between.count_call(left_at, to_hubspot, asked_by(&request).iter().any(is_write));
        self.i_7_every_write_was_recorded_first(&request);
        let trouble = world.happens(world.weather().calls).then(|| TROUBLES[world.below(TROUBLES.len())]);
        if let Some(trouble) = trouble {
            world.note(format!("  {trouble:?}"));
        }
        match trouble {
            None => Ok(self.answered(request, to_hubspot, true).await),
            Some(Trouble::Unreachable) => Err(silence()),
            Some(Trouble::Unanswered) => {
                self.answered(request, to_hubspot, false).await;
                Err(silence())
            }
            Some(Trouble::TooMany) if to_hubspot => Ok(answer(429, TOO_MANY)),
            Some(Trouble::TooMany | Trouble::Unavailable) => Ok(answer(503, "")),
        }
    }

    async fn answered(&self, request: Request, to_hubspot: bool, arrives: bool) -> Answer {
        let town = self.between.town();
        let before = town.clock.noted();
        let vendor: Arc<dyn Vendor> =
            if to_hubspot { Arc::clone(&town.hubspot) as _ } else { Arc::clone(&town.salesforce) as _ };
        let path = request.url.path().to_owned();
        let uri = request.url.query().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut asked = axum::http::Request::builder().method(request.method).uri(uri);
        if let Some(headers) = asked.headers_mut() {
            *headers = request.headers;
        }
        let asked = asked.body(Body::from(request.body)).unwrap();
        let response = router(vendor).oneshot(asked).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let heard: &[u8] = if arrives { &body } else { b"" };
        town.reads().note(self.instance, (before, town.clock.noted()), heard);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// I7: every field that is written stands in the audit before the call.
    fn i_7_every_write_was_recorded_first(&self, request: &Request) {
        for (record, field, value) in asked_by(request).iter().flat_map(written_by) {
            let recorded = self.between.world().is_intended(&record, &field, &value);
            assert!(recorded, "I7: {field} of {record} is written without an audit row");
            self.between.world().note(format!("  {field} of {record}: {value}"));
        }
    }
}

fn silence() -> Error {
    Error::Unavailable { status: "connection".to_owned(), retry_after_ms: None, source: None }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: axum::http::HeaderMap::new(), body: body.as_bytes().to_vec() }
}

/// A call, or a part of a call that is several in one.
struct Asked {
    method: String,
    path: String,
    body: Json,
}

/// What a request asks.
fn asked_by(request: &Request) -> Vec<Asked> {
    let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.url.path().to_owned();
    if !path.ends_with("/composite") {
        return vec![Asked { method: request.method.to_string(), path, body }];
    }
    let text = |part: &Json, name: &str| part[name].as_str().unwrap_or_default().to_owned();
    let part = |part: &Json| Asked {
        method: text(part, "method"),
        path: text(part, "url").split('?').next().unwrap_or_default().to_owned(),
        body: part["body"].clone(),
    };
    body["compositeRequest"].as_array().into_iter().flatten().map(part).collect()
}

/// Whether a call changes something.
fn is_write(asked: &Asked) -> bool {
    let reads = ["/batch/read", "/search", "/oauth2/token"];
    let read = reads.iter().any(|end| asked.path.ends_with(end)) || is_retrieve(asked);
    asked.method != "GET" && !read
}

/// Salesforce's retrieval of rows is a POST, too.
fn is_retrieve(asked: &Asked) -> bool {
    let below = asked.path.split_once("/composite/sobjects/");
    asked.method == "POST" && below.is_some_and(|(_, rest)| !rest.contains('/'))
}

/// The record, field and value of everything a call writes; a new record stands under the id of the one it was made for.
fn written_by(asked: &Asked) -> Vec<(String, String, String)> {
    let Asked { path, body, .. } = asked;
    let mut written = Vec::new();
    if path.ends_with("/batch/update") || path.ends_with("/batch/create") {
        for input in body["inputs"].as_array().into_iter().flatten() {
            let fields = input["properties"].as_object().cloned().unwrap_or_default();
            let made_for = || named(&fields, |name| name.starts_with("hubforce_salesforce_"));
            let record = input["id"].as_str().map(str::to_owned).or_else(made_for).unwrap_or_default();
            written.extend(places(&record, &fields));
        }
    } else if path.contains("/composite/sobjects") && is_write(asked) {
        for row in body["records"].as_array().into_iter().flatten() {
            let mut fields = row.as_object().cloned().unwrap_or_default();
            let made_for = || named(&fields, |name| name == "Hubforce_HubSpot_Id__c");
            let record = fields.get("id").and_then(Json::as_str).map(str::to_owned).or_else(made_for);
            fields.retain(|name, _| name != "id" && name != "attributes");
            written.extend(places(&record.unwrap_or_default(), &fields));
        }
    }
    written
}

fn named(fields: &Map<String, Json>, is_key: impl Fn(&str) -> bool) -> Option<String> {
    let key =
        fields.iter().find(|(name, value)| is_key(name) && value.as_str().is_some_and(|id| !id.is_empty()));
    key.and_then(|(_, value)| value.as_str()).map(str::to_owned)
}

fn places(record: &str, fields: &Map<String, Json>) -> Vec<(String, String, String)> {
    let place = |(name, value): (&String, &Json)| {
        let value = match value {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        // A stage goes back by being cleared first; the audit speaks of what it is to be.
        let cleared_first = name == "lifecyclestage" && value.is_empty();
        (!cleared_first).then(|| (record.to_owned(), name.clone(), value))
    };
    fields.iter().filter_map(place).collect()
}
