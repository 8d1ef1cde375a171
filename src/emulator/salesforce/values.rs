//! Values: what a field takes, and how it keeps it.

use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::salesforce::ids;
use crate::emulator::salesforce::records::RowError;
use crate::emulator::salesforce::schema::{Field, Schema};

/// Instants have no more than seconds here, as in Salesforce.
pub(super) fn instant(now: Timestamp) -> Json {
    let seconds = now.as_millis().div_euclid(1_000) * 1_000;
    json!(Timestamp::from_millis(seconds).to_string().replace('Z', "+0000"))
}

/// A day as a date field keeps it.
pub(super) fn date(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// A row of texts with each in its field's type; an empty text is no value, or no for a yes-or-no field. What does not fit stays
/// text, for the write to refuse.
pub(super) fn typed(schema: Option<&Schema>, fields: &[(&str, &str)]) -> Map<String, Json> {
    let value = |name: &str, text: &str| {
        let kind = schema.and_then(|schema| schema.fields.get(name)).map_or("string", |field| field.kind);
        match (kind, text) {
            ("boolean", _) => text.parse().map_or_else(|_| json!(!text.is_empty()), Json::Bool),
            (_, "") => Json::Null,
            ("currency" | "double" | "percent" | "int", _) => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            _ => json!(text),
        }
    };
    fields.iter().map(|(name, text)| ((*name).to_owned(), value(name, text))).collect()
}

impl Field {
    /// The value as Salesforce keeps it.
    pub(super) fn fit(&self, name: &str, value: &Json, creating: bool) -> Result<Json, RowError> {
        let refuse = |code, message: String| {
            Err(RowError { fields: vec![name.to_owned()], ..RowError::new(code, message) })
        };
        if !self.is_writable(creating) {
            return Err(RowError::unwritable(&[name]));
        }
        match (self.kind, value) {
            ("boolean", Json::Null) => {
                refuse("INVALID_TYPE_ON_FIELD_IN_RECORD", format!("{name}: value not of required type: null"))
            }
            (_, Json::Null) => Ok(Json::Null),
            ("int", Json::Number(number)) if number.as_f64().is_some_and(|number| number.fract() != 0.0) => {
                refuse("JSON_PARSER_ERROR", format!("Cannot deserialize instance of int from {value}"))
            }
            ("currency" | "double" | "percent", Json::Number(number)) => Ok(rounded(number, self.scale)),
            ("int", Json::Number(_)) | ("boolean", Json::Bool(_)) => Ok(value.clone()),
            ("currency" | "int" | "double" | "percent" | "boolean", _)
            | (_, Json::Number(_) | Json::Bool(_) | Json::Array(_) | Json::Object(_)) => refuse(
                "JSON_PARSER_ERROR",
                format!("Cannot deserialize instance of {} from {value}", self.kind),
            ),
            (_, Json::String(text)) if text.trim().is_empty() => Ok(Json::Null),
            (_, Json::String(text)) => match self.fit_text(name, text.trim()) {
                Ok(text) => Ok(Json::String(text)),
                Err((code, message)) => refuse(code, message),
            },
        }
    }

    fn fit_text(&self, name: &str, text: &str) -> Result<String, (&'static str, String)> {
        let unread = || {
            (
                "JSON_PARSER_ERROR",
                format!("Cannot deserialize instance of {} from VALUE_STRING value {text}", self.kind),
            )
        };
        match self.kind {
            "reference" => ids::normal(text).ok_or_else(|| wrong_id(name, text)),
            "date" => Timestamp::parse(&format!("{text}T00:00:00Z")).map(date).ok_or_else(unread),
            "datetime" => {
                let at = Timestamp::parse(text).ok_or_else(unread)?;
                Ok(instant(at).as_str().unwrap_or_default().to_owned())
            }
            _ if self.length > 0 && text.chars().count() > self.length => Err((
                "STRING_TOO_LONG",
                format!("{name}: data value too large: {text} (max length={})", self.length),
            )),
            "email" if !is_address(text) => {
                Err(("INVALID_EMAIL_ADDRESS", format!("{name}: invalid email address: {text}")))
            }
            _ => Ok(text.to_owned()),
        }
    }
}

/// An amount with the decimals that its field keeps.
fn rounded(number: &serde_json::Number, scale: u32) -> Json {
    let rounded = Decimal::from_str(&number.to_string())
        .ok()
        .map(|exact| exact.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero));
    let told = rounded.filter(|rounded| rounded.to_string() != number.to_string());
    let told = told.and_then(|rounded| serde_json::from_str(&rounded.normalize().to_string()).ok());
    told.unwrap_or_else(|| Json::Number(number.clone()))
}

/// What is said of an id of the wrong form or of another object.
pub(super) fn wrong_id(name: &str, id: &str) -> (&'static str, String) {
    let label = name.strip_suffix("Id").unwrap_or(name);
    ("MALFORMED_ID", format!("{label} ID: id value of incorrect type: {id}"))
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}
