//! Queries, alone and several together, and reads by id.

use base64::Engine;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::Reply;
use crate::emulator::salesforce::answers::shown;
use crate::emulator::salesforce::records::{Record, RowError};
use crate::emulator::salesforce::rest::{Call, error};
use crate::emulator::salesforce::soql;

/// The most ids in one read.
const IDS_MAX: usize = 2_000;

/// The most rows in one page of a query.
const PAGE_MAX: usize = 2_000;

#[derive(Deserialize)]
struct Retrieve {
    ids: Vec<String>,
    fields: Vec<String>,
}

impl Call<'_> {
    pub(super) fn query(&self, with_deleted: bool) -> Reply {
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
        let state = self.emulator.state();
        let Some(table) = state.seen(self.user, &query.object) else {
            return Err(RowError::unknown_object(&query.object));
        };
        if let Some(name) =
            query.named_fields().into_iter().find(|name| !state.sees(self.user, &query.object, name))
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

    pub(super) fn more(&self, locator: &str) -> Reply {
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

    pub(super) fn retrieve(&self, object: &str) -> Reply {
        let endpoint = "composite/sobjects/read";
        let Ok(body) = serde_json::from_slice::<Retrieve>(self.asked.body) else {
            return error(endpoint, 400, "JSON_PARSER_ERROR", "the body names no ids and fields");
        };
        let state = self.emulator.state();
        let Some(table) = state.seen(self.user, object).filter(|_| body.ids.len() <= IDS_MAX) else {
            return error(endpoint, 400, "INVALID_TYPE", "no such object, or more than 2,000 ids");
        };
        if let Some(name) = body.fields.iter().find(|name| !state.sees(self.user, object, name)) {
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

    /// What was updated or deleted in a window of whole minutes.
    pub(super) fn replicated(&self, object: &str, deleted: bool) -> Reply {
        let endpoint = if deleted { "sobjects/deleted" } else { "sobjects/updated" };
        let minute = |name: &str| {
            let at = Timestamp::parse(&self.asked.query_value(name)?.replace(' ', "+"))?;
            Some(at.as_millis().div_euclid(60_000) * 60_000)
        };
        let (Some(start), Some(end)) = (minute("start"), minute("end")) else {
            return error(endpoint, 400, "INVALID_REPLICATION_DATE", "start and end must be instants");
        };
        if start >= end {
            return error(endpoint, 400, "INVALID_REPLICATION_DATE", "start must lie before end");
        }
        let state = self.emulator.state();
        let Some(table) = state.seen(self.user, object) else {
            return error(endpoint, 404, "NOT_FOUND", "The requested resource does not exist");
        };
        let stamp = |record: &&Record| {
            record.fields["SystemModstamp"]
                .as_str()
                .and_then(Timestamp::parse)
                .map_or(0, Timestamp::as_millis)
        };
        let rows =
            table.rows().filter(|record| record.deleted == deleted && (start..end).contains(&stamp(record)));
        let covered = Timestamp::from_millis(end).to_string().replace('Z', "+0000");
        let body = if deleted {
            let rows: Vec<Json> = rows.map(|record| json!({ "id": record.fields["Id"], "deletedDate": record.fields["SystemModstamp"] })).collect();
            json!({ "deletedRecords": rows, "earliestDateAvailable": "2020-01-01T00:00:00.000+0000", "latestDateCovered": covered })
        } else {
            json!({ "ids": rows.map(|record| record.fields["Id"].clone()).collect::<Vec<_>>(), "latestDateCovered": covered })
        };
        Reply::json(endpoint, 200, &body)
    }
}
