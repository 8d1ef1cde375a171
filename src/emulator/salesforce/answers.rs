//! How rows and errors are written.

use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::Reply;
use crate::emulator::salesforce::records::{Record, RowError};

/// Why a record was not written.
pub(super) fn row_error(endpoint: &'static str, problem: &RowError) -> Reply {
    let status = if problem.code == "INVALID_TYPE" || problem.code == "NOT_FOUND" { 404 } else { 400 };
    let mut body = json!({ "message": problem.message, "errorCode": problem.code, "fields": problem.fields });
    if let Some(result) = duplicate_result(problem) {
        body["duplicateResut"] = result;
    }
    Reply::json(endpoint, status, &json!([body]))
}

/// What a duplicate rule found; the key's spelling is the vendor's.
fn duplicate_result(problem: &RowError) -> Option<Json> {
    let (object, id, blocks) = problem.duplicate.as_ref()?;
    let attributes = json!({ "type": object, "url": format!("/services/data/v62.0/sobjects/{object}/{id}") });
    let record = json!({
        "additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
        "record": { "attributes": attributes, "Id": id },
    });
    Some(json!({
        "allowSave": !blocks, "duplicateRule": format!("{object}s_DR"), "duplicateRuleEntityType": object,
        "errorMessage": problem.message,
        "matchResults": [{
            "entityType": object, "errors": [], "matchEngine": "ExactMatchEngine", "rule": format!("{object}_MR"), "size": 1,
            "success": true, "matchRecords": [record],
        }],
    }))
}

/// When a record was changed, as a header says it.
pub(super) fn last_modified(record: &Record) -> Option<String> {
    let at = Timestamp::parse(record.text("LastModifiedDate"))?;
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

/// An instant in a header.
pub(super) fn http_instant(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    Some(Timestamp::from_millis(parser.parse_timestamp(text).ok()?.as_millisecond()))
}

/// A row as the API writes it.
pub(super) fn shown(object: &str, version: &str, held: &Map<String, Json>, names: &[String]) -> Json {
    let id = held["Id"].as_str().unwrap_or_default();
    let mut row = Map::new();
    row.insert(
        "attributes".to_owned(),
        json!({ "type": object, "url": format!("/services/data/{version}/sobjects/{object}/{id}") }),
    );
    for name in names {
        row.insert(name.clone(), held.get(name).cloned().unwrap_or(Json::Null));
    }
    Json::Object(row)
}
