//! What HubSpot's statuses and error bodies mean.
//!
//! | answer | meaning |
//! |---|---|
//! | 401, 403 | our credentials or scopes: a person must act |
//! | 429 | the allowance; `policyName` says which |
//! | 423, 477, 5xx | busy, locked or moving: later |
//! | 409, or 400 "already has that value" | a unique value is taken; the message names its owner |
//! | 400 | the values; `errors[]` names the properties |

use crate::crm::hubspot::wire::ErrorAnswer;
use crate::crm::transport::Answer;
use crate::crm::{Error, Refusal};
use crate::domain::{HubspotId, RecordId, Timestamp};
use crate::plan::Category;

/// How long HubSpot's locks last (its error page says two seconds).
const LOCK_MS: i64 = 2_000;

/// How long to wait after a refused burst, which is a rolling window of ten seconds.
const BURST_MS: i64 = 10_000;

/// How long to wait after the day's allowance is used up. It comes back at the account's midnight, which is looked for hourly.
const DAILY_MS: i64 = 60 * 60 * 1_000;

/// Turns an answer that is no success into an error.
pub(super) fn error_of(answer: &Answer, now: Timestamp) -> Error {
    let body: ErrorAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status {
        401 | 403 => Error::Unauthorized { reason: reason_of(&body) },
        429 => quota(&body, answer, now),
        423 => unavailable(answer, Some(LOCK_MS)),
        477 | 500..=599 => unavailable(answer, None),
        400 | 409 => Error::Refused(refusal_of(&body)),
        404 => Error::Refused(refusal("NOT_FOUND", Category::RecordUnavailable, body.message)),
        status => Error::Unexpected { text: format!("status {status}") },
    }
}

/// HubSpot's words about credentials name scopes and apps, no secrets.
fn reason_of(body: &ErrorAnswer) -> String {
    let category = if body.category.is_empty() { "no category" } else { &body.category };
    format!("{category}; check the token and its scopes")
}

fn quota(body: &ErrorAnswer, answer: &Answer, now: Timestamp) -> Error {
    let policy = if body.policy_name.is_empty() { &body.error_type } else { &body.policy_name };
    let asked =
        answer.header("retry-after").and_then(|text| text.parse::<i64>().ok()).map(|seconds| seconds * 1_000);
    let wait = asked.unwrap_or(match policy.as_str() {
        "DAILY" => DAILY_MS,
        "SECONDLY" => 1_000,
        _ => BURST_MS,
    });
    Error::Quota { policy: policy.clone(), until: Some(now.plus_millis(wait)) }
}

fn unavailable(answer: &Answer, least_ms: Option<i64>) -> Error {
    let asked =
        answer.header("retry-after").and_then(|text| text.parse::<i64>().ok()).map(|seconds| seconds * 1_000);
    Error::Unavailable { status: answer.status.to_string(), retry_after_ms: asked.or(least_ms), source: None }
}

fn refusal(code: &str, category: Category, message: String) -> Refusal {
    Refusal { category, code: code.to_owned(), message, fields: Vec::new(), existing: None }
}

/// The refusal that an error body tells.
pub(super) fn refusal_of(body: &ErrorAnswer) -> Refusal {
    if let Some(owner) = owner_of_value(&body.message) {
        return Refusal {
            existing: Some(RecordId::Hubspot(owner)),
            ..refusal("UNIQUE_VALUE_TAKEN", Category::Duplicate, body.message.clone())
        };
    }
    if body.category == "CONFLICT" || body.category == "OBJECT_ALREADY_EXISTS" {
        return refusal("CONFLICT", Category::Duplicate, body.message.clone());
    }
    let code = body.errors.first().map_or("VALIDATION_ERROR", |detail| detail.code.as_str());
    let category = match code {
        "PROPERTY_DOESNT_EXIST" | "READ_ONLY_VALUE" => Category::FieldPermission,
        "MISSING_REQUIRED_PROPERTY" | "MISSING_CONDITIONAL_REQUIRED_PROPERTY" => Category::MissingField,
        _ => Category::InvalidValue,
    };
    let mut fields: Vec<String> =
        body.errors.iter().flat_map(|detail| detail.context.property_name.iter().cloned()).collect();
    fields.dedup();
    let message = body.errors.first().map_or(&body.message, |detail| &detail.message).clone();
    Refusal { fields, ..refusal(code, category, message) }
}

/// The record that already holds a unique value: "Existing ID: 123", or "on 1. 2 already has that value", where the second is the
/// owner and the first may be a half-made record that must not be remembered.
pub(super) fn owner_of_value(message: &str) -> Option<HubspotId> {
    if let Some((_, rest)) = message.split_once("Existing ID: ") {
        return leading_id(rest);
    }
    let (before, _) = message.split_once(" already has that value")?;
    HubspotId::parse(before.rsplit(' ').next()?).ok()
}

fn leading_id(text: &str) -> Option<HubspotId> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    HubspotId::parse(&text[..end]).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Error {
        let answer = Answer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
        error_of(&answer, Timestamp::from_millis(0))
    }

    fn refused(status: u16, body: &str) -> Refusal {
        match answer(status, body) {
            Error::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn r_293_a_taken_address_names_its_owner() {
        let conflict = r#"{"status":"error","message":"Contact already exists. Existing ID: 171591000198","correlationId":"x","category":"CONFLICT"}"#;
        assert_eq!(refused(409, conflict).existing, Some(RecordId::Hubspot(HubspotId::new(171_591_000_198))));
        let secondary = r#"{"status":"error","message":"Cannot set PropertyValueCoordinates{portalId=44956899, objectTypeId=ObjectTypeId{legacyObjectType=CONTACT}, propertyName=email, value=x@y} on 552148386511. 552239500007 already has that value.","category":"VALIDATION_ERROR"}"#;
        let refusal = refused(400, secondary);
        assert_eq!(refusal.existing, Some(RecordId::Hubspot(HubspotId::new(552_239_500_007))));
        assert_eq!(refusal.category, Category::Duplicate);
    }

    #[test]
    fn invalid_values_name_their_properties() {
        let body = r#"{"status":"error","message":"Property values were not valid: [...]","errors":[{"message":"Property \"testproperty\" does not exist","code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["testproperty"]}}],"category":"VALIDATION_ERROR"}"#;
        let refusal = refused(400, body);
        assert_eq!(
            (refusal.category, refusal.fields),
            (Category::FieldPermission, vec!["testproperty".to_owned()])
        );
        assert_eq!(refused(400, "{}").category, Category::InvalidValue);
    }

    #[test]
    fn allowances_wait_for_their_window() {
        for (policy, wait) in [("TEN_SECONDLY_ROLLING", 10_000), ("SECONDLY", 1_000), ("DAILY", 3_600_000)] {
            let body = format!(r#"{{"errorType":"RATE_LIMIT","policyName":"{policy}"}}"#);
            assert!(
                matches!(answer(429, &body), Error::Quota { until: Some(until), .. } if until.as_millis() == wait),
                "{policy}"
            );
        }
    }

    #[test]
    fn trouble_of_the_crms_own_is_tried_again() {
        for status in [423, 477, 500, 502, 503, 504, 521, 524] {
            assert!(matches!(answer(status, "<html>"), Error::Unavailable { .. }), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(answer(status, "{}"), Error::Unauthorized { .. }), "{status}");
        }
        assert!(matches!(answer(302, ""), Error::Unexpected { .. }));
    }
}
