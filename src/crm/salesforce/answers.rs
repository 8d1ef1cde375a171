//! What Salesforce's error codes mean. The code decides, not the status: 403 stands for the allowance and for permissions alike.

use crate::crm::salesforce::wire::ApiError;
use crate::crm::transport::Answer;
use crate::crm::{Error, Refusal};
use crate::domain::{RecordId, SalesforceId, Timestamp};
use crate::plan::Category;

/// How long to wait after the organization's daily allowance is used up: it is a rolling window, so some comes back every hour.
const DAILY_MS: i64 = 60 * 60 * 1_000;

/// How long to wait after too many long calls at once.
const CONCURRENCY_MS: i64 = 5_000;

/// How long to wait for a locked row.
const LOCK_MS: i64 = 2_000;

/// Turns an answer that is no success into an error.
pub(super) fn error_of(answer: &Answer, now: Timestamp) -> Error {
    let errors: Vec<ApiError> = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (errors.into_iter().next(), answer.status) {
        (Some(error), status) => classify(error, status, now),
        (None, 401) => Error::Unauthorized { reason: "Salesforce refuses the session".to_owned() },
        (None, status @ (420 | 429 | 500..=599)) => {
            Error::Unavailable { status: status.to_string(), retry_after_ms: None, source: None }
        }
        (None, 300) => Error::Refused(Refusal {
            category: Category::Duplicate,
            code: "MULTIPLE_CHOICES".to_owned(),
            message: "several records hold the external id".to_owned(),
            fields: Vec::new(),
            existing: None,
        }),
        (None, status) => Error::Unexpected { text: format!("status {status}") },
    }
}

/// What an error of a row or a call means.
pub(super) fn classify(error: ApiError, status: u16, now: Timestamp) -> Error {
    let later = |wait_ms| Error::Unavailable {
        status: error.status_code.clone(),
        retry_after_ms: wait_ms,
        source: None,
    };
    match error.status_code.as_str() {
        "INVALID_SESSION_ID"
        | "INVALID_AUTH_HEADER"
        | "API_DISABLED_FOR_ORG"
        | "ORG_LOCKED"
        | "TRIAL_EXPIRED"
        | "LOGIN_DURING_RESTRICTED_DOMAIN"
        | "LOGIN_DURING_RESTRICTED_TIME"
        | "PASSWORD_LOCKOUT" => Error::Unauthorized { reason: error.status_code.clone() },
        "REQUEST_LIMIT_EXCEEDED" if error.message.contains("Concurrent") => later(Some(CONCURRENCY_MS)),
        "REQUEST_LIMIT_EXCEEDED" | "LIMIT_EXCEEDED" => {
            Error::Quota { policy: error.status_code.clone(), until: Some(now.plus_millis(DAILY_MS)) }
        }
        "UNABLE_TO_LOCK_ROW" => later(Some(LOCK_MS)),
        // A trigger or flow passes on what stopped it at the end of its message.
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" if error.message.contains("UNABLE_TO_LOCK_ROW") => {
            later(Some(LOCK_MS))
        }
        "SERVER_UNAVAILABLE"
        | "API_CURRENTLY_DISABLED"
        | "TOO_MANY_APEX_REQUESTS"
        | "QUERY_TIMEOUT"
        | "REQUEST_RUNNING_TOO_LONG"
        | "UNKNOWN_EXCEPTION"
        | "INTERNAL_ERROR"
        | "TXN_SECURITY_METERING_ERROR"
        | "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
        | "ENTITY_IS_LOCKED"
        | "RECORD_IN_USE_BY_WORKFLOW"
        | "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        | "PROCESSING_HALTED" => later(None),
        "" => Error::Unexpected { text: format!("status {status} without a code") },
        code => Error::Refused(refusal(category_of(code), error)),
    }
}

fn category_of(code: &str) -> Category {
    match code {
        "REQUIRED_FIELD_MISSING" => Category::MissingField,
        "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        | "FIELD_FILTER_VALIDATION_EXCEPTION"
        | "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
        | "CANNOT_EXECUTE_FLOW_TRIGGER" => Category::Validation,
        "DUPLICATES_DETECTED" | "DUPLICATE_VALUE" | "DUPLICATE_EXTERNAL_ID" => Category::Duplicate,
        "INVALID_FIELD"
        | "INVALID_FIELD_FOR_INSERT_UPDATE"
        | "INVALID_TYPE"
        | "INSUFFICIENT_ACCESS"
        | "INSUFFICIENT_ACCESS_OR_READONLY"
        | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
        | "TXN_SECURITY_NO_ACCESS" => Category::FieldPermission,
        "NOT_FOUND"
        | "ENTITY_IS_DELETED"
        | "INVALID_CROSS_REFERENCE_KEY"
        | "CANNOT_UPDATE_CONVERTED_LEAD" => Category::RecordUnavailable,
        "STORAGE_LIMIT_EXCEEDED" | "EXCEEDED_QUOTA" => Category::Quota,
        _ => Category::InvalidValue,
    }
}

fn refusal(category: Category, error: ApiError) -> Refusal {
    let mut fields = error.fields;
    if fields.is_empty() {
        fields.extend(missing_column(&error.message));
    }
    let rule = error.duplicate_result.map(|result| result.duplicate_rule).filter(|rule| !rule.is_empty());
    let message = match rule {
        Some(rule) => format!("{} (duplicate rule {rule})", error.message),
        None => error.message,
    };
    let existing = (error.status_code == "DUPLICATE_VALUE").then(|| holder_of_value(&message)).flatten();
    Refusal { category, code: error.status_code, message, fields, existing }
}

/// The field in "No such column 'X' on sobject of type Contact": it does not exist, or is hidden from our user.
fn missing_column(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("No such column '")?;
    Some(rest.split('\'').next()?.to_owned())
}

/// The record in "duplicate value found: F__c duplicates value on record with id: 001...".
fn holder_of_value(message: &str) -> Option<RecordId> {
    let (_, rest) = message.split_once("record with id: ")?;
    let end = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
    SalesforceId::parse(&rest[..end]).ok().map(RecordId::Salesforce)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Error {
        let answer = Answer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
        error_of(&answer, Timestamp::from_millis(0))
    }

    fn code(code: &str, message: &str) -> Error {
        answer(400, &format!(r#"[{{"errorCode":"{code}","message":"{message}","fields":[]}}]"#))
    }

    fn refused(error: Error) -> Refusal {
        match error {
            Error::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_code_decides_not_the_status() {
        let daily = r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]"#;
        assert!(matches!(answer(403, daily), Error::Quota { .. }));
        let at_once = daily.replace("TotalRequests", "ConcurrentPerOrgLongTxn");
        assert!(matches!(answer(403, &at_once), Error::Unavailable { .. }));
        assert!(matches!(
            answer(403, r#"[{"errorCode":"API_DISABLED_FOR_ORG","message":""}]"#),
            Error::Unauthorized { .. }
        ));
        assert!(matches!(answer(503, "<html>"), Error::Unavailable { .. }));
        assert!(matches!(answer(418, ""), Error::Unexpected { .. }));
    }

    #[test]
    fn locks_are_waited_for_even_when_a_trigger_tells_of_them() {
        let message = "unable to obtain exclusive access to this record or 25 records: 0012S";
        assert!(matches!(code("UNABLE_TO_LOCK_ROW", message), Error::Unavailable { .. }));
        let wrapped = code(
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "Trigger: System.DmlException: UNABLE_TO_LOCK_ROW, x",
        );
        assert!(matches!(wrapped, Error::Unavailable { .. }));
        assert_eq!(
            refused(code("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Trigger: no")).category,
            Category::Validation
        );
    }

    #[test]
    fn r_292_to_r_295_refusals_stand_under_their_headings() {
        for (name, category) in [
            ("REQUIRED_FIELD_MISSING", Category::MissingField),
            ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Category::Validation),
            ("DUPLICATES_DETECTED", Category::Duplicate),
            ("INSUFFICIENT_ACCESS_OR_READONLY", Category::FieldPermission),
            ("STRING_TOO_LONG", Category::InvalidValue),
            ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Category::InvalidValue),
            ("CANNOT_UPDATE_CONVERTED_LEAD", Category::RecordUnavailable),
            ("ENTITY_IS_DELETED", Category::RecordUnavailable),
        ] {
            assert_eq!(refused(code(name, "x")).category, category, "{name}");
        }
    }

    #[test]
    fn messages_name_fields_and_holders() {
        let hidden = refused(code("INVALID_FIELD", "No such column 'Foo__c' on sobject of type Contact"));
        assert_eq!(hidden.fields, ["Foo__c"]);
        let taken = "duplicate value found: F__c duplicates value on record with id: 00Q4S000002sSac";
        let holder = SalesforceId::parse("00Q4S000002sSacUAE").unwrap();
        assert_eq!(refused(code("DUPLICATE_VALUE", taken)).existing, Some(RecordId::Salesforce(holder)));
    }

    #[test]
    fn both_spellings_of_the_duplicate_result_are_read() {
        for key in ["duplicateResut", "duplicateResult"] {
            let body = format!(
                r#"[{{"{key}":{{"allowSave":false,"duplicateRule":"Contacts_DR"}},"errorCode":"DUPLICATES_DETECTED","message":"no"}}]"#
            );
            assert!(refused(answer(400, &body)).message.contains("Contacts_DR"), "{key}");
        }
    }
}
