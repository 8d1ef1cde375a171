//! What HubSpot sends: its signature and its events. Pure: no async, no I/O.
//!
//! The signature is version 3 (<https://developers.hubspot.com/docs/api/webhooks/validating-requests>): base64 of HMAC-SHA256 over
//! method, URI, raw body and timestamp, keyed with the app's client secret. The URI is the public one that HubSpot was given,
//! whatever a proxy made of it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::domain::{Family, HubspotId, RecordKey, Secret, Timestamp};
use crate::plan::Changed;

/// How far a request's timestamp may lie from now, either way; HubSpot's own helpers use the same five minutes.
pub const TIMESTAMP_TOLERANCE_MS: i64 = 5 * 60 * 1_000;

/// The most events in one request. HubSpot documents 100; beyond this a request is no batch of events.
pub const EVENTS_MAX: usize = 10_000;

/// A request as far as its signature goes.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The public URL with its query, as HubSpot called it.
    pub url: &'a str,
    /// The raw body.
    pub body: &'a [u8],
    /// `X-HubSpot-Signature-v3`.
    pub signature: Option<&'a str>,
    /// `X-HubSpot-Request-Timestamp`, in milliseconds.
    pub timestamp: Option<&'a str>,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is missing.
    #[error("the signature or its timestamp is missing")]
    MissingHeader,
    /// The timestamp is no number, or the signature no base64.
    #[error("the signature or its timestamp cannot be read")]
    Unreadable,
    /// The request is older, or newer, than [`TIMESTAMP_TOLERANCE_MS`].
    #[error("the request is not from now")]
    Stale,
    /// No configured secret gives this signature.
    #[error("no configured secret gives this signature")]
    NoSecretFits,
}

/// Says which secret signed a request. Every secret is tried, each in constant time.
pub fn verify<'s>(
    request: &SignedRequest<'_>,
    secrets: impl Iterator<Item = &'s Secret>,
    now: Timestamp,
) -> Result<usize, VerifyError> {
    let (Some(signature), Some(timestamp)) = (request.signature, request.timestamp) else {
        return Err(VerifyError::MissingHeader);
    };
    let sent_at = timestamp.parse::<i64>().map_err(|_| VerifyError::Unreadable)?;
    let signature = BASE64.decode(signature).map_err(|_| VerifyError::Unreadable)?;
    if now.millis_since(Timestamp::from_millis(sent_at)).saturating_abs() > TIMESTAMP_TOLERANCE_MS {
        return Err(VerifyError::Stale);
    }
    let uri = decode_uri(request.url);
    let mut fitting = None;
    for (place, secret) in secrets.enumerate() {
        let fits =
            keyed(request, &uri, timestamp, secret).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
        if fits && fitting.is_none() {
            fitting = Some(place);
        }
    }
    fitting.ok_or(VerifyError::NoSecretFits)
}

fn keyed(request: &SignedRequest<'_>, uri: &str, timestamp: &str, secret: &Secret) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    for part in [request.method.as_bytes(), uri.as_bytes(), request.body, timestamp.as_bytes()] {
        mac.update(part);
    }
    Some(mac)
}

/// The escapes that HubSpot undoes before it signs; all others stay.
const DECODED: [(&str, char); 12] = [
    ("3A", ':'),
    ("2F", '/'),
    ("3F", '?'),
    ("40", '@'),
    ("21", '!'),
    ("24", '$'),
    ("27", '\''),
    ("28", '('),
    ("29", ')'),
    ("2A", '*'),
    ("2C", ','),
    ("3B", ';'),
];

fn decode_uri(url: &str) -> Cow<'_, str> {
    if !url.contains('%') {
        return Cow::Borrowed(url);
    }
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(place) = rest.find('%') {
        decoded.push_str(&rest[..place]);
        let escape = rest.get(place + 1..place + 3).unwrap_or_default();
        if let Some((_, character)) = DECODED.iter().find(|(code, _)| code.eq_ignore_ascii_case(escape)) {
            decoded.push(*character);
            rest = &rest[place + 3..];
        } else {
            decoded.push('%');
            rest = &rest[place + 1..];
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// An event that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The account it happened in.
    pub portal_id: u64,
    /// The app it is told to.
    pub app_id: Option<u64>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The records it makes dirty; empty for what we do not work.
    pub records: Vec<RecordKey>,
    /// What it says of the change.
    pub changed: Changed,
    /// Whether a contact was erased for privacy.
    pub erases: bool,
    /// Who or what made the change: `CRM_UI`, `INTEGRATION`, ...
    pub change_source: Option<String>,
    /// The user, or for `INTEGRATION` the app.
    pub source_id: Option<String>,
    /// Whether it says that a record came, changed or was associated, as opposed to gone, back or merged.
    pub is_plain_change: bool,
}

impl Event {
    /// Whether this tells of a write of our own app and of nothing else. A merge, deletion or restore is worth a look whoever did it.
    pub fn is_own_echo(&self, app_id: u64) -> bool {
        self.is_plain_change
            && self.change_source.as_deref() == Some("INTEGRATION")
            && self.source_id.as_deref().and_then(|id| id.parse().ok()) == Some(app_id)
    }
}

/// An event that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEvent {
    /// Its position in the request, from 0.
    pub position: u32,
    /// Why, without values.
    pub reason: String,
}

/// A body that is no JSON array of at most [`EVENTS_MAX`] elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON array of events")]
pub struct NotEvents;

/// How deep values may stand in each other; an event needs three.
pub const DEPTH_MAX: usize = 16;

/// Takes a request's body apart. One bad event does not spoil the others.
pub fn parse(body: &[u8]) -> Result<Vec<Result<Event, BadEvent>>, NotEvents> {
    if is_deeper_than(DEPTH_MAX, body) {
        return Err(NotEvents);
    }
    let raw: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body).map_err(|_| NotEvents)?;
    if raw.len() > EVENTS_MAX {
        return Err(NotEvents);
    }
    Ok(raw.iter().zip(0..).map(|(raw, position)| read(raw.get(), position)).collect())
}

/// Whether brackets stand deeper in each other than `max`, looking at bytes alone.
fn is_deeper_than(max: usize, body: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max {
            return true;
        }
    }
    false
}

fn read(raw: &str, position: u32) -> Result<Event, BadEvent> {
    let bad = |reason: &str| BadEvent { position, reason: reason.to_owned() };
    let wire: WireEvent<'_> =
        serde_json::from_str(raw).map_err(|error| bad(&format!("not an event ({})", kind_of(&error))))?;
    let subscription = wire
        .subscription_type
        .as_deref()
        .or(wire.event_type.as_deref())
        .ok_or_else(|| bad("it has no subscriptionType"))?;
    let portal_id = wire.portal_id.ok_or_else(|| bad("it has no portalId"))?.0;
    let occurred_at = wire.occurred_at.ok_or_else(|| bad("it has no occurredAt"))?;
    let (object, change) = subscription.split_once('.').unwrap_or((subscription, ""));
    let mut records = if let Some(family) = family_of(object, &wire) {
        let ids = named_ids(&wire, change);
        if ids.is_empty() {
            return Err(bad("it names no record"));
        }
        let key = |id: &Id| (id.0 > 0).then(|| RecordKey::hubspot(family, HubspotId::new(id.0)));
        let valid: Option<Vec<RecordKey>> = ids.iter().map(key).collect();
        valid.ok_or_else(|| bad("it names a record 0"))?
    } else {
        Vec::new()
    };
    if change == "associationChange" {
        records.extend(far_side(&wire).filter(|key| !records.contains(key)));
    }
    let occurred_at = Timestamp::from_millis(i64::try_from(occurred_at.0).unwrap_or(i64::MAX));
    Ok(Event {
        portal_id,
        app_id: wire.app_id.map(|id| id.0),
        occurred_at,
        records,
        changed: changed_by(change, &wire, occurred_at),
        erases: (object, change) == ("contact", "privacyDeletion"),
        change_source: wire.change_source.map(Cow::into_owned),
        source_id: wire.source_id.map(Cow::into_owned),
        is_plain_change: matches!(change, "creation" | "propertyChange" | "associationChange"),
    })
}

/// What kind of record an event is about, by its own name or, for a generic event, by HubSpot's object type.
fn family_of(object: &str, wire: &WireEvent<'_>) -> Option<Family> {
    let object_type = wire.object_type_id.as_deref().or(wire.from_object_type_id.as_deref());
    match (object, object_type) {
        ("contact", _) | ("object", Some("0-1")) => Some(Family::People),
        ("company", _) | ("object", Some("0-2")) => Some(Family::Companies),
        ("deal", _) | ("object", Some("0-3")) => Some(Family::Deals),
        _ => None,
    }
}

/// The ids an event names: the losers of a merge besides its survivor, and the near side of an association.
fn named_ids(wire: &WireEvent<'_>, change: &str) -> Vec<Id> {
    let mut ids: Vec<Id> = match change {
        "merge" => {
            let survivor = wire.new_object_id.or(wire.primary_object_id).or(wire.object_id);
            let others = wire.primary_object_id.into_iter().chain(wire.merged_object_ids.iter().copied());
            survivor.into_iter().chain(others).collect()
        }
        "associationChange" => wire.from_object_id.or(wire.object_id).into_iter().collect(),
        _ => wire.object_id.into_iter().collect(),
    };
    ids.dedup();
    ids
}

/// The far side of an association, if the change may matter to it: a contact is what its own properties say, a company or deal is
/// also what its contacts are.
fn far_side(wire: &WireEvent<'_>) -> Option<RecordKey> {
    let id = wire.to_object_id.filter(|id| id.0 > 0)?;
    let by_name = || wire.association_type.as_deref()?.split_once("_TO_").map(|(_, far)| far);
    let family = match wire.to_object_type_id.as_deref().or_else(by_name)? {
        "0-2" | "COMPANY" => Family::Companies,
        "0-3" | "DEAL" => Family::Deals,
        _ => return None,
    };
    Some(RecordKey::hubspot(family, HubspotId::new(id.0)))
}

/// The longest name of a property that is kept with a job. HubSpot takes 100 characters.
const PROPERTY_LENGTH_MAX: usize = 200;

/// What an event says of the change. A name that no property can have says nothing.
fn changed_by(change: &str, wire: &WireEvent<'_>, at: Timestamp) -> Changed {
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.');
    match (change, wire.property_name.as_deref()) {
        ("associationChange", _) => Changed::association(at),
        ("propertyChange", Some(name))
            if (1..=PROPERTY_LENGTH_MAX).contains(&name.len()) && name.bytes().all(fits) =>
        {
            Changed::property(name, at)
        }
        _ => Changed::Anything,
    }
}

/// What went wrong, without the text that serde quotes.
fn kind_of(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "a field has an unexpected type",
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => "broken JSON",
    }
}

/// The fields of an event on the wire; all may be missing, and both spellings of the type occur.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEvent<'a> {
    #[serde(borrow)]
    subscription_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_type: Option<Cow<'a, str>>,
    portal_id: Option<Id>,
    app_id: Option<Id>,
    occurred_at: Option<Id>,
    object_id: Option<Id>,
    #[serde(borrow)]
    object_type_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    change_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_id: Option<Cow<'a, str>>,
    primary_object_id: Option<Id>,
    new_object_id: Option<Id>,
    #[serde(default)]
    merged_object_ids: Vec<Id>,
    from_object_id: Option<Id>,
    #[serde(borrow)]
    from_object_type_id: Option<Cow<'a, str>>,
    to_object_id: Option<Id>,
    #[serde(borrow)]
    to_object_type_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    association_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    property_name: Option<Cow<'a, str>>,
}

/// A whole number that comes as one or as text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id(u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Id;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map(Id).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests;
