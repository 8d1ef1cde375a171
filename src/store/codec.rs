//! Between rows and types: the forms in which values stand in the database.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::domain::{ConnectionName, Kind, RecordKey, Timestamp};
use crate::plan::{Category, Changed, Pair, State};
use crate::store::Error;
use crate::store::types::{AllOf, Cause, DeliveryOutcome};

/// Where a value stood that could not be read.
pub(crate) type Place = (&'static str, &'static str);

/// Something in a column that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("not a {0}")]
struct NotA(&'static str);

pub(crate) fn corrupt(place: Place, what: &'static str) -> Error {
    Error::Corrupt { table: place.0, column: place.1, source: Box::new(NotA(what)) }
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, place: Place) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Corrupt {
        table: place.0,
        column: place.1,
        source: Box::new(source),
    })
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    let corrupt =
        |source| Error::Corrupt { table: "(statement)", column: "(json)", source: Box::new(source) };
    serde_json::to_string(value).map_err(corrupt)
}

pub(crate) fn key(kind: &str, id: &str, place: Place) -> Result<RecordKey, Error> {
    let kind = Kind::parse(kind).ok_or_else(|| corrupt(place, "kind of record"))?;
    RecordKey::parse(kind, id).map_err(|source| Error::Corrupt {
        table: place.0,
        column: place.1,
        source: Box::new(source),
    })
}

pub(crate) fn connection(name: &str, place: Place) -> Result<ConnectionName, Error> {
    ConnectionName::parse(name).ok_or_else(|| corrupt(place, "connection's name"))
}

pub(crate) fn state(text: &str) -> Result<State, Error> {
    State::parse(text).ok_or_else(|| corrupt(("records", "state"), "state"))
}

pub(crate) fn error(
    category: Option<String>,
    message: Option<String>,
    place: Place,
) -> Result<Option<(Category, String)>, Error> {
    let Some(category) = category else { return Ok(None) };
    let category = Category::parse(&category).ok_or_else(|| corrupt(place, "category"))?;
    Ok(Some((category, message.unwrap_or_default())))
}

pub(crate) fn cause(kind: &str, id: &[u8], place: Place) -> Result<Cause, Error> {
    let id = uuid(id, place)?;
    match kind {
        "delivery" => Ok(Cause::Delivery(id)),
        "resync" => Ok(Cause::Resync(id)),
        "follow" => Ok(Cause::Follow(id)),
        "sweep" => Ok(Cause::Sweep(id)),
        _ => Err(corrupt(place, "cause")),
    }
}

/// The cause of a job, which knows besides whether a resync asks for its record alone.
pub(crate) fn job_cause(kind: &str, id: &[u8], asked_alone: bool) -> Result<Cause, Error> {
    Ok(match cause(kind, id, ("jobs", "cause"))? {
        Cause::Resync(id) if asked_alone => Cause::ResyncOne(id),
        cause => cause,
    })
}

/// What stands for associations among the properties told; no property has such a name.
const ASSOCIATIONS: &str = "@associations";

/// What a message said of a change, as JSON of names and times that both databases merge; nothing where anything may have changed.
pub(crate) fn changed_json(changed: &Changed) -> Result<Option<String>, Error> {
    let Changed::Only { properties, associated } = changed else { return Ok(None) };
    let associated = associated.iter().map(|at| (ASSOCIATIONS, at.as_millis()));
    let told: BTreeMap<&str, i64> =
        properties.iter().map(|(name, at)| (name.as_str(), at.as_millis())).chain(associated).collect();
    if told.is_empty() { Ok(None) } else { to_json(&told).map(Some) }
}

/// Reads what [`changed_json`] writes.
pub(crate) fn changed(text: Option<&str>) -> Result<Changed, Error> {
    let Some(text) = text else { return Ok(Changed::Anything) };
    let mut told: BTreeMap<String, i64> = from_json(text, ("jobs", "changed"))?;
    let associated = told.remove(ASSOCIATIONS).map(at);
    let properties = told.into_iter().map(|(name, millis)| (name, at(millis))).collect();
    Ok(Changed::Only { properties, associated })
}

/// What a list's id stands behind, where kinds stand otherwise.
const LIST: &str = "list:";

pub(crate) fn all_of_text(all_of: &AllOf) -> String {
    match all_of {
        AllOf::Kind(kind) => kind.as_str().to_owned(),
        AllOf::List(list) => format!("{LIST}{list}"),
    }
}

pub(crate) fn all_of(text: &str, place: Place) -> Result<AllOf, Error> {
    match text.strip_prefix(LIST) {
        Some(list) => Ok(AllOf::List(list.to_owned())),
        None => Ok(AllOf::Kind(Kind::parse(text).ok_or_else(|| corrupt(place, "kind"))?)),
    }
}

pub(crate) fn uuid(bytes: &[u8], place: Place) -> Result<Uuid, Error> {
    Uuid::from_slice(bytes).map_err(|source| Error::Corrupt {
        table: place.0,
        column: place.1,
        source: Box::new(source),
    })
}

pub(crate) const fn cause_parts(cause: &Cause) -> (&'static str, &Uuid) {
    match cause {
        Cause::Delivery(id) => ("delivery", id),
        Cause::Resync(id) | Cause::ResyncOne(id) => ("resync", id),
        Cause::Follow(id) => ("follow", id),
        Cause::Sweep(id) => ("sweep", id),
    }
}

/// A count that is small, whatever the column could hold.
pub(crate) fn count(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The delivery and the position that name an unreadable part.
pub(crate) fn part(text: &str) -> Result<(Uuid, u32), Error> {
    let parsed =
        text.split_once('#').and_then(|(id, position)| Some((id.parse().ok()?, position.parse().ok()?)));
    parsed.ok_or_else(|| corrupt(("jobs", "record_id"), "part of a delivery"))
}

/// The word for what became of a delivery.
pub(crate) const fn outcome_text(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Accepted => "accepted",
        DeliveryOutcome::Unknown => "unknown",
        DeliveryOutcome::Refused => "refused",
    }
}

/// A UUID as both databases read it within JSON.
pub(crate) fn hex(id: &Uuid) -> String {
    id.simple().to_string()
}

pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn key_json(key: &RecordKey) -> Json {
    json!([key.kind().as_str(), key.id().to_string()])
}

pub(crate) fn pair_json(pair: &Pair) -> Result<Json, Error> {
    Ok(json!({
        "hubspot_kind": pair.hubspot.kind().as_str(),
        "hubspot_id": pair.hubspot.id().to_string(),
        "salesforce_kind": pair.salesforce.kind().as_str(),
        "salesforce_id": pair.salesforce.id().to_string(),
        "stopped": pair.stopped,
        "base": to_json(&pair.base)?,
        "set_aside": pair.base.set_aside().count(),
    }))
}
