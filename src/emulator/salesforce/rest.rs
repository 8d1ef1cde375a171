//! The REST calls, for any API version.

use base64::Engine;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::emulator::salesforce::records::RowError;
use crate::emulator::salesforce::soql;
use crate::emulator::salesforce::{Act, INTEGRATION_USER, PERSON_USER, SalesforceEmulator, State};
use crate::emulator::{Asked, Caller, Reply, decode_pair};

/// The most rows in one collection call.
const ROWS_MAX: usize = 200;

/// The most ids in one read.
const IDS_MAX: usize = 2_000;

/// The most rows in one page of a query.
const PAGE_MAX: usize = 2_000;

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

fn error(endpoint: &'static str, status: u16, code: &str, message: &str) -> Reply {
    Reply::json(endpoint, status, &json!([{ "message": message, "errorCode": code }]))
}

fn unknown(asked: &Asked<'_>) -> Reply {
    error("(unknown)", 404, "NOT_FOUND", &format!("the emulator knows no {} {}", asked.method, asked.path))
}

/// The user of a live session.
fn session(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Result<&'static str, Reply> {
    let now = emulator.now();
    let held = asked.bearer().and_then(|token| emulator.state().sessions.get(token).copied());
    match held {
        Some((caller, until)) if until > now => {
            Ok(if caller == Caller::Person { PERSON_USER } else { INTEGRATION_USER })
        }
        _ => Err(error("(unauthenticated)", 401, "INVALID_SESSION_ID", "Session expired or invalid")),
    }
}

fn open_session(emulator: &SalesforceEmulator, caller: Caller) -> String {
    let until = emulator.now().plus_millis(emulator.options.session_ms);
    let mut state = emulator.state();
    state.last_session += 1;
    let token = format!("{}!emulated.{}", &emulator.options.organization[..15], state.last_session);
    state.sessions.insert(token.clone(), (caller, until));
    token
}

fn token(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Reply {
    let body = String::from_utf8_lossy(asked.body);
    let fields: Vec<(String, String)> = body.split('&').map(decode_pair).collect();
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let basic = asked.header("authorization").and_then(|value| value.strip_prefix("Basic ")).map(|text| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
        let text = String::from_utf8_lossy(&decoded).into_owned();
        text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())).unwrap_or_default()
    });
    let client = basic.unwrap_or_else(|| (field("client_id"), field("client_secret")));
    let own = &emulator.options;
    let refuse = |error: &str, description: &str| {
        Reply::json("oauth2/token", 400, &json!({ "error": error, "error_description": description }))
    };
    if client != (own.client.0.clone(), own.client.1.expose().to_owned()) {
        return refuse("invalid_client", "invalid client credentials");
    }
    let caller = match field("grant_type").as_str() {
        "client_credentials" => Caller::Integration,
        "password"
            if (field("username"), field("password"))
                == (own.person.0.clone(), own.person.1.expose().to_owned()) =>
        {
            Caller::Person
        }
        "password" => return refuse("invalid_grant", "authentication failure"),
        _ => return refuse("unsupported_grant_type", "grant type not supported"),
    };
    let user = if caller == Caller::Person { PERSON_USER } else { INTEGRATION_USER };
    let body = json!({
        "access_token": open_session(emulator, caller), "instance_url": own.instance_url, "token_type": "Bearer", "scope": "api id",
        "id": format!("https://login.salesforce.com/id/{}/{user}", own.organization),
        "issued_at": emulator.now().as_millis().to_string(), "signature": "emulated",
    });
    Reply::json("oauth2/token", 200, &body)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// The sign-in of clients that know a user name and a password.
fn soap_login(emulator: &SalesforceEmulator, asked: &Asked<'_>) -> Reply {
    let body = String::from_utf8_lossy(asked.body);
    let part = |name: &str| {
        let raw = between(&body, &format!("{name}>"), "</").unwrap_or_default();
        quick_xml::escape::unescape(raw).unwrap_or_default().into_owned()
    };
    let own = &emulator.options;
    let envelope = |inner: &str| {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"#
        )
    };
    if (part("username"), part("password")) != (own.person.0.clone(), own.person.1.expose().to_owned()) {
        let fault = "<soapenv:Fault><faultcode>INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: Invalid username, password, security token; or user locked out.</faultstring></soapenv:Fault>";
        return Reply {
            endpoint: "Soap/login",
            status: 500,
            headers: Vec::new(),
            body: envelope(fault).into_bytes(),
        };
    }
    let token = open_session(emulator, Caller::Person);
    let url = format!("{}/services/Soap/u/62.0/{}", own.instance_url, &own.organization[..15]);
    let result = format!(
        "<loginResponse><result><metadataServerUrl>{url}</metadataServerUrl><passwordExpired>false</passwordExpired><sandbox>false</sandbox><serverUrl>{url}</serverUrl><sessionId>{token}</sessionId><userId>{PERSON_USER}</userId><userInfo><organizationId>{}</organizationId><userId>{PERSON_USER}</userId><userName>{}</userName><sessionSecondsValid>7200</sessionSecondsValid></userInfo></result></loginResponse>",
        own.organization, own.person.0
    );
    Reply { endpoint: "Soap/login", status: 200, headers: Vec::new(), body: envelope(&result).into_bytes() }
}

fn userinfo(emulator: &SalesforceEmulator, user: &str) -> Reply {
    let own = &emulator.options;
    let body = json!({
        "sub": format!("https://login.salesforce.com/id/{}/{user}", own.organization), "user_id": user,
        "organization_id": own.organization, "preferred_username": if user == PERSON_USER { own.person.0.as_str() } else { "integration@example.com" },
    });
    Reply::json("oauth2/userinfo", 200, &body)
}

struct Call<'a> {
    emulator: &'a SalesforceEmulator,
    asked: &'a Asked<'a>,
    user: &'static str,
    caller: Caller,
    version: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Collection {
    #[serde(default)]
    all_or_none: bool,
    records: Vec<Map<String, Json>>,
}

#[derive(Deserialize)]
struct Retrieve {
    ids: Vec<String>,
    fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    composite_request: Vec<Subrequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subrequest {
    method: String,
    url: String,
    reference_id: String,
}

impl Call<'_> {
    fn answer(&self, rest: &[&str]) -> Reply {
        match (self.asked.method, rest) {
            ("GET", ["limits"]) => self.limits(),
            ("GET", ["query" | "queryAll"]) => self.query(rest[0] == "queryAll"),
            ("GET", ["query", locator]) => self.more(locator),
            ("GET", ["sobjects", object, "describe"]) => self.describe(object),
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
            ("POST", ["composite", "sobjects", object]) => self.retrieve(object),
            ("PATCH", ["composite", "sobjects", object, field]) => self
                .collection("composite/sobjects/upsert", |call, state, row| {
                    call.upsert_row(state, object, field, row)
                }),
            _ => unknown(self.asked),
        }
    }

    /// What this caller saves is told by outbound messages, unless its user lacks the permission.
    fn act(&self) -> Act {
        let tells = self.caller == Caller::Person || self.emulator.options.integration_sends_messages;
        Act { user: self.user, now: self.emulator.now(), tells }
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
        match self.emulator.state().tables.get(object) {
            Some(table) => Reply::json("describe", 200, &table.schema.described()),
            None => error("describe", 404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    fn query(&self, with_deleted: bool) -> Reply {
        let endpoint = if with_deleted { "queryAll" } else { "query" };
        let Some(text) = self.asked.query_value("q") else {
            return error(endpoint, 400, "MALFORMED_QUERY", "there is no q");
        };
        match self.run_query(text, with_deleted) {
            Ok(rows) => Reply::json(endpoint, 200, &self.page(text, with_deleted, &rows, 0)),
            Err(problem) => error(endpoint, 400, problem.code, &problem.message),
        }
    }

    /// Runs a query; the rows come as the API writes them.
    fn run_query(&self, text: &str, with_deleted: bool) -> Result<Vec<Json>, RowError> {
        let query = soql::parse(text).map_err(|message| RowError::new("MALFORMED_QUERY", message))?;
        if query.object == "Organization" {
            let own = &self.emulator.options;
            return Ok(vec![json!({
                "attributes": { "type": "Organization" }, "Id": own.organization, "OrganizationType": own.edition,
                "Name": "Emulated", "IsSandbox": false,
            })]);
        }
        let state = self.emulator.state();
        let Some(table) = state.tables.get(query.object.as_str()) else {
            return Err(RowError::new(
                "INVALID_TYPE",
                format!("sObject type '{}' is not supported.", query.object),
            ));
        };
        if let Some(name) =
            query.named_fields().into_iter().find(|name| !table.schema.fields.contains_key(*name))
        {
            return Err(RowError::new(
                "INVALID_FIELD",
                format!("No such column '{name}' on entity '{}'.", query.object),
            ));
        }
        let rows = query.run(table, with_deleted);
        if query.count {
            return Ok(vec![Json::Null; rows.len()]);
        }
        Ok(rows
            .into_iter()
            .map(|record| shown(&query.object, self.version, &record.fields, &query.fields))
            .collect())
    }

    /// A page of rows. The locator is opaque to callers; here it holds the query and where it goes on.
    fn page(&self, text: &str, with_deleted: bool, rows: &[Json], from: usize) -> Json {
        let asked =
            self.asked.header("sforce-query-options").and_then(|value| value.strip_prefix("batchSize="));
        let size = asked
            .and_then(|size| size.parse::<usize>().ok())
            .map_or(PAGE_MAX, |size| size.clamp(200, PAGE_MAX));
        let page: Vec<&Json> = rows.iter().skip(from).take(size).filter(|row| !row.is_null()).collect();
        let next = from + size;
        let mut body = json!({ "totalSize": rows.len(), "done": next >= rows.len(), "records": page });
        if next < rows.len() {
            let locator = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .encode(format!("{next}:{with_deleted}:{text}"));
            body["nextRecordsUrl"] = json!(format!("/services/data/{}/query/{locator}", self.version));
        }
        body
    }

    fn more(&self, locator: &str) -> Reply {
        let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(locator)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let parts = decoded.as_deref().and_then(|text| {
            let (from, rest) = text.split_once(':')?;
            let (with_deleted, text) = rest.split_once(':')?;
            Some((from.parse::<usize>().ok()?, with_deleted == "true", text))
        });
        let Some((from, with_deleted, text)) = parts else {
            return error("query/more", 400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        };
        match self.run_query(text, with_deleted) {
            Ok(rows) => Reply::json("query/more", 200, &self.page(text, with_deleted, &rows, from)),
            Err(problem) => error("query/more", 400, problem.code, &problem.message),
        }
    }

    fn composite(&self) -> Reply {
        let Ok(composite) = serde_json::from_slice::<Composite>(self.asked.body) else {
            return error("composite", 400, "JSON_PARSER_ERROR", "the body is no composite request");
        };
        let prefix = format!("/services/data/{}/query?q=", self.version);
        let mut responses = Vec::new();
        for request in composite.composite_request {
            let text = request.url.strip_prefix(&prefix).filter(|_| request.method == "GET");
            let Some(text) = text else {
                return error(
                    "composite",
                    400,
                    "INVALID_INPUT",
                    "this emulator takes queries in composite requests",
                );
            };
            let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let (status, body) = match self.run_query(&text, false) {
                Ok(rows) => (200, self.page(&text, false, &rows, 0)),
                Err(problem) => (400, json!([{ "errorCode": problem.code, "message": problem.message }])),
            };
            responses.push(json!({ "body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": request.reference_id }));
        }
        if responses.len() > 5 {
            return error("composite", 400, "LIMIT_EXCEEDED", "at most 5 queries in one composite request");
        }
        Reply::json("composite", 200, &json!({ "compositeResponse": responses }))
    }

    fn retrieve(&self, object: &str) -> Reply {
        let endpoint = "composite/sobjects/read";
        let Ok(body) = serde_json::from_slice::<Retrieve>(self.asked.body) else {
            return error(endpoint, 400, "JSON_PARSER_ERROR", "the body names no ids and fields");
        };
        let state = self.emulator.state();
        let Some(table) = state.tables.get(object).filter(|_| body.ids.len() <= IDS_MAX) else {
            return error(endpoint, 400, "INVALID_TYPE", "no such object, or more than 2,000 ids");
        };
        if let Some(name) = body.fields.iter().find(|name| !table.schema.fields.contains_key(*name)) {
            return error(
                endpoint,
                400,
                "INVALID_FIELD",
                &format!("No such column '{name}' on entity '{object}'."),
            );
        }
        let row = |id: &String| {
            table
                .get(id)
                .map_or(Json::Null, |record| shown(object, self.version, &record.fields, &body.fields))
        };
        Reply::json(endpoint, 200, &body.ids.iter().map(row).collect())
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
        let table = state.tables.get(object).ok_or_else(missing)?;
        let holders = table.indexed(field, &value).ok_or_else(missing)?;
        let live: Vec<String> = holders
            .iter()
            .filter(|record| !record.deleted)
            .filter_map(|record| record.fields["Id"].as_str().map(str::to_owned))
            .collect();
        match live.as_slice() {
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
        let found = state.tables.get(object).and_then(|table| {
            let live = table.indexed(field, &value)?.into_iter().find(|record| !record.deleted)?;
            let names: Vec<String> = match self.asked.query_value("fields") {
                Some(names) => names.split(',').map(str::to_owned).collect(),
                None => table.schema.fields.keys().cloned().collect(),
            };
            Some(shown(object, self.version, &live.fields, &names))
        });
        found.map_or_else(
            || error(endpoint, 404, "NOT_FOUND", "The requested resource does not exist"),
            |body| Reply::json(endpoint, 200, &body),
        )
    }

    fn update(&self, object: &str, id: &str) -> Reply {
        let row = match self.body_row() {
            Ok(row) => row,
            Err(reply) => return reply,
        };
        let written = self.emulator.state().write(object, Some(id), &row, self.act());
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
        let now = self.emulator.now();
        let outcome =
            self.emulator.state().tables.get_mut(object).map(|table| table.delete(id, self.user, now));
        match outcome {
            Some(Ok(())) => Reply::empty("sobjects/delete", 204),
            Some(Err(problem)) => Reply { status: 404, ..row_error("sobjects/delete", &problem) },
            None => error("sobjects/delete", 404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }
}

fn row_error(endpoint: &'static str, problem: &RowError) -> Reply {
    let status = if problem.code == "INVALID_TYPE" || problem.code == "NOT_FOUND" { 404 } else { 400 };
    Reply::json(
        endpoint,
        status,
        &json!([{ "message": problem.message, "errorCode": problem.code, "fields": problem.fields }]),
    )
}

fn object_of(row: &Map<String, Json>) -> Result<String, RowError> {
    let object = row.get("attributes").and_then(|attributes| attributes.get("type")).and_then(Json::as_str);
    object
        .map(str::to_owned)
        .ok_or_else(|| RowError::new("INVALID_TYPE", "a record names no type".to_owned()))
}

/// A row as the API writes it.
fn shown(object: &str, version: &str, held: &Map<String, Json>, names: &[String]) -> Json {
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
