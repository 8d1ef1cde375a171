//! The REST calls, for any API version.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::salesforce::access::{session, soap_login, token, userinfo};
use crate::emulator::salesforce::answers::{http_instant, last_modified, row_error, shown};
use crate::emulator::salesforce::records::RowError;
use crate::emulator::salesforce::{Act, SalesforceEmulator, State};
use crate::emulator::{Asked, Caller, Reply, UNKNOWN};

/// The most rows in one collection call.
const ROWS_MAX: usize = 200;

/// The longest URI.
const URI_BYTES_MAX: usize = 16_384;

/// Answers a call.
pub(super) fn answer(emulator: &SalesforceEmulator, asked: &Asked<'_>, caller: Caller) -> Reply {
    let segments = asked.segments();
    if segments.as_slice() == ["services", "oauth2", "token"] {
        return token(emulator, asked);
    }
    if let ["services", "Soap", "u", _version] = segments.as_slice() {
        return soap_login(emulator, asked);
    }
    if segments.as_slice() == ["services", "data"] {
        return Reply::json(
            "versions",
            200,
            &json!([{ "label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0" }]),
        );
    }
    if asked.path.len() + asked.query.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        > URI_BYTES_MAX
    {
        return Reply::empty("(too long)", 414);
    }
    let mut reply = match session(emulator, asked) {
        Err(reply) => reply,
        Ok(_) if !emulator.options.has_api() => error(
            "(no API)",
            403,
            "API_DISABLED_FOR_ORG",
            "The REST API is not enabled for this Organization.",
        ),
        Ok(user) => match segments.as_slice() {
            ["services", "oauth2", "userinfo"] => userinfo(emulator, user),
            ["services", "data", version, rest @ ..] if version.starts_with('v') => {
                Call { emulator, asked, user, caller, version }.answer(rest)
            }
            _ => unknown(asked),
        },
    };
    let mut state = emulator.state();
    state.calls += 1;
    reply
        .headers
        .push(("sforce-limit-info", format!("api-usage={}/{}", state.calls, emulator.options.calls_max)));
    if state.calls > emulator.options.calls_max && caller == Caller::Integration {
        return error("(limit)", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    }
    reply
}

pub(super) fn error(endpoint: &'static str, status: u16, code: &str, message: &str) -> Reply {
    Reply::json(endpoint, status, &json!([{ "message": message, "errorCode": code }]))
}

fn unknown(asked: &Asked<'_>) -> Reply {
    error(UNKNOWN, 404, "NOT_FOUND", &format!("the emulator knows no {} {}", asked.method, asked.path))
}

/// A call of somebody who is signed in.
pub(super) struct Call<'a> {
    pub(super) emulator: &'a SalesforceEmulator,
    pub(super) asked: &'a Asked<'a>,
    pub(super) user: &'static str,
    pub(super) caller: Caller,
    pub(super) version: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Collection {
    #[serde(default)]
    all_or_none: bool,
    records: Vec<Map<String, Json>>,
}

impl Call<'_> {
    /// Another call of the same caller.
    pub(super) fn of<'b>(&'b self, asked: &'b Asked<'b>) -> Call<'b> {
        Call { asked, ..*self }
    }

    pub(super) fn answer(&self, rest: &[&str]) -> Reply {
        if let Some(reply) = self.wrong_rule() {
            return reply;
        }
        match (self.asked.method, rest) {
            ("GET", ["limits"]) => self.limits(),
            ("GET", ["query" | "queryAll"]) => self.query(rest[0] == "queryAll"),
            ("GET", ["query", locator]) => self.more(locator),
            ("GET", ["sobjects", object, "describe"]) => self.describe(object),
            ("GET", ["sobjects", object, "updated"]) => self.replicated(object, false),
            ("GET", ["sobjects", object, "deleted"]) => self.replicated(object, true),
            ("POST", ["sobjects", object]) => self.create(object),
            ("GET", ["sobjects", object, id]) => self.read("sobjects/read", object, "Id", id),
            ("GET", ["sobjects", object, field, value]) => {
                self.read("sobjects/read by external id", object, field, value)
            }
            ("PATCH", ["sobjects", object, id]) => self.update(object, id),
            ("PATCH", ["sobjects", object, field, value]) => self.upsert(object, field, value),
            ("DELETE", ["sobjects", object, id]) => self.delete(object, id),
            ("POST", ["composite"]) => self.composite(),
            ("POST", ["composite", "sobjects"]) => {
                self.collection("composite/sobjects/insert", Self::insert_row)
            }
            ("PATCH", ["composite", "sobjects"]) => {
                self.collection("composite/sobjects/update", Self::update_row)
            }
            ("DELETE", ["composite", "sobjects"]) => self.delete_rows(),
            ("POST", ["composite", "sobjects", object]) => self.retrieve(object),
            ("PATCH", ["composite", "sobjects", object, field]) => self
                .collection("composite/sobjects/upsert", |call, state, row| {
                    call.upsert_row(state, object, field, row)
                }),
            _ => unknown(self.asked),
        }
    }

    /// What this caller saves is told by outbound messages, unless its user lacks the permission. The assignment rule runs unless a
    /// header says no.
    fn act(&self) -> Act {
        let tells = self.caller == Caller::Person || self.emulator.options.integration_sends_messages;
        let header = |name: &str| self.asked.header(name).unwrap_or_default().to_ascii_lowercase();
        let allowed = header("sforce-duplicate-rule-header").replace(' ', "");
        Act {
            user: self.user,
            now: self.emulator.now(),
            tells,
            assigns: header("sforce-auto-assign") != "false",
            saves_duplicates: allowed.split(';').any(|part| part == "allowsave=true"),
        }
    }

    /// Refuses an assignment header that names no rule.
    fn wrong_rule(&self) -> Option<Reply> {
        let named = self.asked.header("sforce-auto-assign")?;
        if named.eq_ignore_ascii_case("TRUE") || named.eq_ignore_ascii_case("FALSE") {
            return None;
        }
        let rules = self.emulator.state().tables.get("AssignmentRule")?.get(named).is_some();
        (!rules).then(|| {
            error(
                "(header)",
                400,
                "INVALID_CROSS_REFERENCE_KEY",
                "Sforce-Auto-Assign names no assignment rule",
            )
        })
    }

    fn limits(&self) -> Reply {
        let (used, max) = (self.emulator.state().calls, self.emulator.options.calls_max);
        Reply::json(
            "limits",
            200,
            &json!({ "DailyApiRequests": { "Max": max, "Remaining": max.saturating_sub(used) } }),
        )
    }

    fn describe(&self, object: &str) -> Reply {
        let state = self.emulator.state();
        match state.seen(self.user, object) {
            Some(table) => {
                let sees = |name: &str| state.sees(self.user, object, name);
                let described = table.schema.described(sees, state.hidden.may_write(self.user, object));
                Reply::json("describe", 200, &described)
            }
            None => error("describe", 404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    fn collection(
        &self,
        endpoint: &'static str,
        write: impl Fn(&Self, &mut State, &Map<String, Json>) -> Result<(String, bool), RowError>,
    ) -> Reply {
        let Ok(collection) = serde_json::from_slice::<Collection>(self.asked.body) else {
            return error(endpoint, 400, "JSON_PARSER_ERROR", "the body is no collection");
        };
        if collection.records.is_empty() || collection.records.len() > ROWS_MAX || collection.all_or_none {
            return error(
                endpoint,
                400,
                "REQUIRED_FIELD_MISSING",
                "from 1 to 200 records, and no allOrNone in this emulator",
            );
        }
        let mut state = self.emulator.state();
        let row = |record: &Map<String, Json>| match write(self, &mut state, record) {
            Ok((id, created)) if endpoint.ends_with("upsert") => {
                json!({ "id": id, "success": true, "errors": [], "created": created })
            }
            Ok((id, _)) => json!({ "id": id, "success": true, "errors": [] }),
            Err(problem) => json!({
                "success": false,
                "errors": [{ "statusCode": problem.code, "message": problem.message, "fields": problem.fields }],
            }),
        };
        let rows: Json = collection.records.iter().map(row).collect();
        Reply::json(endpoint, 200, &rows)
    }

    /// Deletes up to 200 rows, each with its own outcome; the ids' prefixes tell their objects.
    fn delete_rows(&self) -> Reply {
        let endpoint = "composite/sobjects/delete";
        let ids: Vec<&str> = self
            .asked
            .query_value("ids")
            .unwrap_or_default()
            .split(',')
            .filter(|id| !id.is_empty())
            .collect();
        let all_or_none = self.asked.query_value("allOrNone").is_some_and(|value| value != "false");
        if ids.is_empty() || ids.len() > ROWS_MAX || all_or_none {
            let message = "from 1 to 200 ids, and no allOrNone in this emulator";
            return error(endpoint, 400, "REQUIRED_FIELD_MISSING", message);
        }
        let mut state = self.emulator.state();
        let row = |id: &&str| {
            let object = state.tables.iter().find(|(_, table)| id.starts_with(table.schema.prefix));
            let object = object.map(|(object, _)| *object).unwrap_or_default();
            match state.delete(object, id, self.act()) {
                Ok(()) => json!({ "id": id, "success": true, "errors": [] }),
                Err(problem) => json!({
                    "id": id, "success": false,
                    "errors": [{ "statusCode": problem.code, "message": problem.message, "fields": [] }],
                }),
            }
        };
        let rows: Json = ids.iter().map(row).collect();
        Reply::json(endpoint, 200, &rows)
    }

    fn insert_row(&self, state: &mut State, row: &Map<String, Json>) -> Result<(String, bool), RowError> {
        let object = object_of(row)?;
        Ok((state.write(&object, None, row, self.act())?, true))
    }

    fn update_row(&self, state: &mut State, row: &Map<String, Json>) -> Result<(String, bool), RowError> {
        let object = object_of(row)?;
        let id = row.get("id").or_else(|| row.get("Id")).and_then(Json::as_str);
        let id = id.ok_or_else(|| {
            RowError::new("MISSING_ARGUMENT", "Id not specified in an update call".to_owned())
        })?;
        Ok((state.write(&object, Some(id), row, self.act())?, false))
    }

    fn upsert_row(
        &self,
        state: &mut State,
        object: &str,
        field: &str,
        row: &Map<String, Json>,
    ) -> Result<(String, bool), RowError> {
        let value = row.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        let missing = || {
            RowError::new(
                "NOT_FOUND",
                format!("Provided external ID field does not exist or is not accessible: {field}"),
            )
        };
        let table = state.seen(self.user, object).filter(|_| state.sees(self.user, object, field));
        let table = table.filter(|table| table.schema.is_lookup(field)).ok_or_else(missing)?;
        let holders = table.indexed(field, &value).ok_or_else(missing)?;
        let live: Vec<String> = holders
            .iter()
            .filter(|record| !record.deleted)
            .filter_map(|record| record.fields["Id"].as_str().map(str::to_owned))
            .collect();
        match live.as_slice() {
            [] if field == "Id" => Ok((state.write(object, Some(&value), row, self.act())?, false)),
            [] => Ok((state.write(object, None, row, self.act())?, true)),
            [id] => Ok((state.write(object, Some(id), row, self.act())?, false)),
            _ => {
                Err(RowError::new("DUPLICATE_EXTERNAL_ID", "several records hold the external id".to_owned()))
            }
        }
    }

    fn body_row(&self) -> Result<Map<String, Json>, Reply> {
        serde_json::from_slice(self.asked.body)
            .map_err(|_| error("sobjects", 400, "JSON_PARSER_ERROR", "the body is no JSON object"))
    }

    fn create(&self, object: &str) -> Reply {
        let row = match self.body_row() {
            Ok(row) => row,
            Err(reply) => return reply,
        };
        let written = self.emulator.state().write(object, None, &row, self.act());
        match written {
            Ok(id) => {
                Reply::json("sobjects/create", 201, &json!({ "id": id, "success": true, "errors": [] }))
            }
            Err(problem) => row_error("sobjects/create", &problem),
        }
    }

    fn read(&self, endpoint: &'static str, object: &str, field: &str, value: &str) -> Reply {
        let state = self.emulator.state();
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        let found = state.seen(self.user, object).and_then(|table| {
            let lookup = table.schema.is_lookup(field) && state.sees(self.user, object, field);
            let holders = table.indexed(field, &value).filter(|_| lookup)?;
            Some((table, holders.into_iter().find(|record| !record.deleted)?))
        });
        let Some((table, live)) = found else {
            return error(endpoint, 404, "NOT_FOUND", "The requested resource does not exist");
        };
        let sees = |name: &String| state.sees(self.user, object, name);
        let names: Vec<String> = match self.asked.query_value("fields") {
            Some(names) => names.split(',').map(str::to_owned).collect(),
            None => table.schema.fields.keys().filter(|name| sees(name)).cloned().collect(),
        };
        if let Some(name) = names.iter().find(|name| !sees(name)) {
            let message = format!("No such column '{name}' on entity '{object}'.");
            return error(endpoint, 400, "INVALID_FIELD", &message);
        }
        let mut reply = Reply::json(endpoint, 200, &shown(object, self.version, &live.fields, &names));
        reply.headers.extend(last_modified(live).map(|at| ("last-modified", at)));
        reply
    }

    fn update(&self, object: &str, id: &str) -> Reply {
        let row = match self.body_row() {
            Ok(row) => row,
            Err(reply) => return reply,
        };
        let mut state = self.emulator.state();
        if let Some(unless) = self.asked.header("if-unmodified-since") {
            let Some(since) = http_instant(unless) else {
                return error(
                    "sobjects/update",
                    400,
                    "INVALID_HEADER",
                    "If-Unmodified-Since is no HTTP date",
                );
            };
            let record = state.seen(self.user, object).and_then(|table| table.get(id));
            let modified = record.and_then(|record| Timestamp::parse(record.text("LastModifiedDate")));
            if modified.is_some_and(|modified| modified.as_millis() > since.as_millis()) {
                return Reply::empty("sobjects/update", 412);
            }
        }
        let written = state.write(object, Some(id), &row, self.act());
        match written {
            Ok(_) => Reply::empty("sobjects/update", 204),
            Err(problem) => row_error("sobjects/update", &problem),
        }
    }

    fn upsert(&self, object: &str, field: &str, value: &str) -> Reply {
        let mut row = match self.body_row() {
            Ok(row) => row,
            Err(reply) => return reply,
        };
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        row.insert(field.to_owned(), json!(value));
        let written = self.upsert_row(&mut self.emulator.state(), object, field, &row);
        match written {
            Ok((id, created)) => {
                let status = if created { 201 } else { 200 };
                Reply::json(
                    "sobjects/upsert",
                    status,
                    &json!({ "id": id, "success": true, "errors": [], "created": created }),
                )
            }
            Err(problem) if problem.code == "DUPLICATE_EXTERNAL_ID" => {
                Reply::json("sobjects/upsert", 300, &json!([]))
            }
            Err(problem) => row_error("sobjects/upsert", &problem),
        }
    }

    fn delete(&self, object: &str, id: &str) -> Reply {
        let outcome = self.emulator.state().delete(object, id, self.act());
        match outcome {
            Ok(()) => Reply::empty("sobjects/delete", 204),
            Err(problem) if problem.code == "INVALID_TYPE" => {
                error("sobjects/delete", 404, "NOT_FOUND", "The requested resource does not exist")
            }
            Err(problem) if problem.code == "ENTITY_IS_DELETED" => {
                Reply { status: 404, ..row_error("sobjects/delete", &problem) }
            }
            Err(problem) => row_error("sobjects/delete", &problem),
        }
    }
}

fn object_of(row: &Map<String, Json>) -> Result<String, RowError> {
    let object = row.get("attributes").and_then(|attributes| attributes.get("type")).and_then(Json::as_str);
    object
        .map(str::to_owned)
        .ok_or_else(|| RowError::new("INVALID_TYPE", "a record names no type".to_owned()))
}
