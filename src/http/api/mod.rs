//! Questions and orders of people and their programs, one noun a file.

pub(super) mod audit;
pub(super) mod connections;
pub(super) mod jobs;
pub(super) mod records;
pub(super) mod resyncs;

use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{ConnectionName, Kind, RecordKey, System};
use crate::http::{AppState, Problem};

/// Items in a list where the question does not say how many.
const LIMIT_DEFAULT: u32 = 100;

/// The most items in a list.
const LIMIT_MAX: u32 = 500;

/// The contract, as shipped.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], include_str!("../../../openapi.yaml"))
}

/// A list and where it goes on.
#[derive(Serialize)]
pub(in crate::http) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of at most `limit` items; a full one goes on after its last.
    fn page(items: Vec<T>, limit: u32, cursor_of: impl Fn(&T) -> String) -> Self {
        let full = items.len() >= limit as usize;
        let next_cursor = items.last().filter(|_| full).map(cursor_of);
        Self { items, next_cursor }
    }
}

fn limit_of(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::BadRequest(format!("limit must be from 1 to {LIMIT_MAX}")))
}

fn connection_of(state: &AppState, name: &str) -> Result<ConnectionName, Problem> {
    let known = state.connection(name).ok_or(Problem::NotFound("there is no connection of that name"))?;
    Ok(known.name.clone())
}

/// The kinds of record, as they are spelled.
const KINDS: &str = "contact, company, deal, Lead, Contact, Account, Opportunity";

fn kind_of(kind: &str) -> Result<Kind, Problem> {
    Kind::parse(kind).ok_or_else(|| Problem::BadRequest(format!("kind is none of {KINDS}")))
}

/// Reads a record's name: `system` may be left out, because kinds are spelled differently on both sides.
fn key_of(system: Option<&str>, kind: &str, id: &str) -> Result<RecordKey, Problem> {
    let bad = |text: &str| Problem::BadRequest(text.to_owned());
    let kind = kind_of(kind)?;
    if let Some(system) = system {
        let system = System::parse(system).ok_or_else(|| bad("system is neither hubspot nor salesforce"))?;
        if system != kind.system() {
            return Err(bad("this kind of record is not in that system: HubSpot's are lower case"));
        }
    }
    RecordKey::parse(kind, id).map_err(|error| Problem::BadRequest(error.to_string()))
}

/// Reads a query string, naming what is wrong with it.
fn query<T: DeserializeOwned>(uri: &axum::http::Uri) -> Result<T, Problem> {
    axum::extract::Query::<T>::try_from_uri(uri)
        .map(|axum::extract::Query(query)| query)
        .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
}

/// Reads a JSON body, naming what is wrong with it.
fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::BadRequest(error.to_string()))
}

/// A value for people and programs: numbers as their text.
fn shown(value: &crate::domain::Value) -> Option<String> {
    value.as_text().map(std::borrow::Cow::into_owned)
}
