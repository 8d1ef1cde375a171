//! Creating, updating and deleting, two hundred rows a call, each with its own outcome.
//!
//! An answer to a write holds no values, and Salesforce stores others than it was sent: flows and triggers replace them, amounts are rounded,
//! formulas follow. So each write is one composite call that reads the written rows as well. It counts as one call. Rows that were inserted
//! without our external id field are not read: nothing names them before the answer.

use std::collections::{BTreeMap, HashMap};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::crm::salesforce::answers::classify;
use crate::crm::salesforce::client::{Request, SalesforceClient, names_to_read, read_body, to_body};
use crate::crm::salesforce::persons;
use crate::crm::salesforce::soql::is_in;
use crate::crm::salesforce::wire::{
    ApiError, Collection, Composite, CompositeAnswer, QueryAnswer, Retrieve, Row, RowAnswer, Subrequest,
    Subresponse, from_value, into_fields,
};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, FieldsByKind, Write, Written};
use crate::domain::{Fields, Kind, RecordId, SalesforceId};

/// The most rows in one call.
const ROWS_MAX: usize = 200;

/// What goes to one URL with one set of headers, and what is read back of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Updates of records of this kind, or `through` the person accounts behind them.
    Update { kind: Kind, through: bool },
    /// Creates that are repeatable by an external id field; `assign` lets assignment rules run.
    Upsert { kind: Kind, field: String, assign: bool },
    /// Creates without such a field.
    Insert { kind: Kind, assign: bool },
    /// Deletions of any kind.
    Delete,
}

/// A row on its way.
#[derive(Clone)]
struct Placed {
    /// Its place among the writes.
    place: usize,
    row: Row,
    /// By what it is known when it is read back: the record's id, or our external id.
    name: String,
}

type Outcome = (usize, Result<Written, Error>);

impl SalesforceClient {
    pub(super) async fn write_all(
        &self,
        writes: &[Write],
        fields: &FieldsByKind,
    ) -> Vec<Result<Written, Error>> {
        let mut lanes: BTreeMap<Lane, Vec<Placed>> = BTreeMap::new();
        for (place, write) in writes.iter().enumerate() {
            if let Some((lane, row, name)) = lane_of(write) {
                lanes.entry(lane).or_default().push(Placed { place, row, name });
            }
        }
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for (lane, rows) in lanes {
            for chunk in rows.chunks(ROWS_MAX) {
                calls.push(self.write_chunk(lane.clone(), chunk.to_vec(), fields).boxed());
            }
        }
        let outcomes = side_by_side(calls, self.calls_in_flight()).await;
        let mut by_place: HashMap<usize, Result<Written, Error>> = outcomes.into_iter().flatten().collect();
        let missing = || Err(Error::Unexpected { text: "a write was not answered".to_owned() });
        let outcome = |(place, write): (usize, &Write)| {
            let outcome = by_place.remove(&place).unwrap_or_else(missing);
            match write {
                Write::Update { key, through: Some(_), .. } => persons::of_contact(outcome, *key),
                _ => outcome,
            }
        };
        writes.iter().enumerate().map(outcome).collect()
    }

    async fn write_chunk(&self, lane: Lane, rows: Vec<Placed>, fields: &FieldsByKind) -> Vec<Outcome> {
        let (answers, mut stored) = match self.call_lane(&lane, &rows, fields).await {
            Ok(answered) => answered,
            Err(error) => return rows.into_iter().map(|row| (row.place, Err(error.clone()))).collect(),
        };
        let creates = matches!(lane, Lane::Upsert { .. } | Lane::Insert { .. });
        let missing = || Err(Error::Unexpected { text: "a collection answer lacks a row".to_owned() });
        let mut answers = answers.into_iter();
        let outcome = |row: Placed| {
            let stored = stored.remove(&row.name).unwrap_or_default();
            (row.place, answers.next().map_or_else(missing, |answer| self.row(answer, creates, stored)))
        };
        rows.into_iter().map(outcome).collect()
    }

    /// The answer of each row, and what is stored of them by their names, as far as that is told.
    async fn call_lane(
        &self,
        lane: &Lane,
        rows: &[Placed],
        fields: &FieldsByKind,
    ) -> Result<(Vec<RowAnswer>, HashMap<String, Fields>), Error> {
        let records = rows.iter().map(|row| row.row.clone()).collect();
        match lane {
            Lane::Update { kind, .. } => {
                let names = names_to_read(*kind, fields);
                let body = Retrieve {
                    ids: rows.iter().map(|row| row.name.clone()).collect(),
                    fields: names.iter().map(String::as_str).collect(),
                };
                let read = Subrequest {
                    method: "POST",
                    body: serde_json::to_value(body).ok(),
                    ..Subrequest::get(self.versioned(&format!("/composite/sobjects/{kind}")), "stored")
                };
                let (answers, stored) = self
                    .written_and_read("composite/sobjects/update", String::new(), (records, false), read)
                    .await?;
                let stored: Vec<Option<Row>> = stored.unwrap_or_default();
                let of_row =
                    |(placed, row): (&Placed, Option<Row>)| Some((placed.name.clone(), into_fields(row?)));
                Ok((answers, rows.iter().zip(stored).filter_map(of_row).collect()))
            }
            Lane::Upsert { kind, field, assign } => {
                let mut names = names_to_read(*kind, fields);
                names.extend((!names.contains(field)).then(|| field.clone()));
                let ids: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
                let soql = format!("SELECT {} FROM {kind} WHERE {}", names.join(", "), is_in(field, &ids));
                let query =
                    self.versioned(&format!("/query?q={}", utf8_percent_encode(&soql, NON_ALPHANUMERIC)));
                let read = Subrequest::get(query, "stored");
                let path = format!("/{kind}/{field}");
                let (answers, stored) = self
                    .written_and_read("composite/sobjects/upsert", path, (records, *assign), read)
                    .await?;
                let stored: Vec<Row> = stored.map(|page: QueryAnswer| page.records).unwrap_or_default();
                let of_row = |row: Row| Some((row.get(field)?.as_str()?.to_owned(), into_fields(row)));
                Ok((answers, stored.into_iter().filter_map(of_row).collect()))
            }
            Lane::Insert { assign, .. } => {
                let body = Some(to_body(&Collection { all_or_none: false, records })?);
                let (method, path) = (Method::POST, "/composite/sobjects".to_owned());
                let headers =
                    headers_of_write(*assign).map(|(name, value)| (name, value.to_owned())).to_vec();
                let endpoint = "composite/sobjects/insert";
                let answers =
                    read_body(&self.call(&Request { endpoint, method, path, headers, body }).await?)?;
                Ok((answers, HashMap::new()))
            }
            Lane::Delete => Ok((self.delete_rows(rows).await?, HashMap::new())),
        }
    }

    /// Writes rows and reads them in one composite call. What cannot be read back is not told; the write is answered all the same.
    async fn written_and_read<Read: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        path: String,
        (records, assign): (Vec<Row>, bool),
        read: Subrequest,
    ) -> Result<(Vec<RowAnswer>, Option<Read>), Error> {
        let write = Subrequest {
            method: "PATCH",
            http_headers: headers_of_write(assign).into_iter().collect(),
            body: serde_json::to_value(Collection { all_or_none: false, records }).ok(),
            ..Subrequest::get(self.versioned(&format!("/composite/sobjects{path}")), "written")
        };
        let body = Some(to_body(&Composite::one_by_one(vec![write, read]))?);
        let (method, path, headers) = (Method::POST, "/composite".to_owned(), Vec::new());
        let answer: CompositeAnswer =
            read_body(&self.call(&Request { endpoint, method, path, headers, body }).await?)?;
        let mut parts = answer.composite_response.into_iter();
        let lacking = || Error::Unexpected { text: "a composite answer lacks the written rows".to_owned() };
        let written = self.part(parts.next().ok_or_else(lacking)?)?;
        Ok((written, parts.next().and_then(|read| self.part(read).ok())))
    }

    /// The answer to one part of a composite call.
    fn part<T: DeserializeOwned>(&self, part: Subresponse) -> Result<T, Error> {
        if part.http_status_code == 200 {
            let shape =
                |_| Error::Unexpected { text: "a part of a composite answer of unexpected shape".to_owned() };
            return serde_json::from_value(part.body).map_err(shape);
        }
        let errors: Vec<ApiError> = serde_json::from_value(part.body).unwrap_or_default();
        Err(classify(errors.into_iter().next().unwrap_or_default(), part.http_status_code, self.now()))
    }

    /// Moves rows to the recycle bin. One that is there already is fine.
    async fn delete_rows(&self, rows: &[Placed]) -> Result<Vec<RowAnswer>, Error> {
        let ids: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let path = format!("/composite/sobjects?ids={}&allOrNone=false", ids.join(","));
        let endpoint = "composite/sobjects/delete";
        let request = Request { endpoint, method: Method::DELETE, path, headers: Vec::new(), body: None };
        let mut answers: Vec<RowAnswer> = read_body(&self.call(&request).await?)?;
        for (answer, id) in answers.iter_mut().zip(ids) {
            if answer.errors.iter().any(|error| error.status_code == "ENTITY_IS_DELETED") {
                answer.success = true;
                answer.id = Some(id.to_owned());
            }
        }
        Ok(answers)
    }

    fn row(&self, answer: RowAnswer, is_create: bool, stored: Fields) -> Result<Written, Error> {
        let id = answer.id.as_deref().map(SalesforceId::parse);
        match (answer.success, id) {
            (true, Some(Ok(id))) => {
                let created = answer.created.unwrap_or(is_create);
                Ok(Written { id: RecordId::Salesforce(id), created, stored })
            }
            (true, _) => Err(Error::Unexpected { text: "a row without an id".to_owned() }),
            (false, _) => {
                let error: ApiError = answer.errors.into_iter().next().unwrap_or_default();
                Err(classify(error, 200, self.now()))
            }
        }
    }
}

/// Where a write goes, its row and what that is known by; HubSpot's own writes go nowhere here.
fn lane_of(write: &Write) -> Option<(Lane, Row, String)> {
    let with_id = |mut row: Row, id: String| {
        row.insert("id".to_owned(), Json::String(id));
        row
    };
    match write {
        Write::Update { key, through: Some(account), fields, .. } => {
            let row = with_id(row_of(Kind::Account, &persons::on_account(fields)), account.id().to_string());
            Some((Lane::Update { kind: key.kind(), through: true }, row, key.id().to_string()))
        }
        Write::Update { key, through: None, fields, .. } => {
            let row = with_id(row_of(key.kind(), fields), key.id().to_string());
            Some((Lane::Update { kind: key.kind(), through: false }, row, key.id().to_string()))
        }
        Write::Create { kind, fields, unique, .. } => {
            // A lead without an owner of its own gets one by the organization's assignment rules.
            let assign = *kind == Kind::Lead && !fields.contains_key("OwnerId");
            let own =
                |field: &String| fields.get(field).and_then(|value| Some(value.as_text()?.into_owned()));
            let name = unique.as_ref().and_then(own).unwrap_or_default();
            let lane = match unique {
                Some(field) => Lane::Upsert { kind: *kind, field: field.clone(), assign },
                None => Lane::Insert { kind: *kind, assign },
            };
            Some((lane, row_of(*kind, fields), name))
        }
        Write::Delete { key } => Some((Lane::Delete, Row::new(), key.id().to_string())),
        Write::Relate { .. } | Write::OptOut { .. } => None,
    }
}

/// Whether assignment rules run, and that a duplicate rule which only warns stops nothing.
const fn headers_of_write(assign: bool) -> [(&'static str, &'static str); 2] {
    let assign = if assign { "TRUE" } else { "FALSE" };
    [("sforce-auto-assign", assign), ("sforce-duplicate-rule-header", "allowSave=true")]
}

fn row_of(kind: Kind, fields: &Fields) -> Row {
    let mut row: Row = fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect();
    row.insert("attributes".to_owned(), json!({ "type": kind.as_str() }));
    row
}
