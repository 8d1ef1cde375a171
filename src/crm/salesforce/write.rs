//! Creating, updating and deleting, two hundred rows a call, each with its own outcome.

use std::collections::{BTreeMap, HashMap};

use futures::future::{BoxFuture, FutureExt};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::crm::salesforce::answers::classify;
use crate::crm::salesforce::client::{Request, SalesforceClient, read_body, to_body};
use crate::crm::salesforce::persons;
use crate::crm::salesforce::wire::{ApiError, Collection, Row, RowAnswer, from_value};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, Write, Written};
use crate::domain::{Fields, Kind, RecordId, SalesforceId};

/// The most rows in one call.
const ROWS_MAX: usize = 200;

/// What goes to one URL with one set of headers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Update(Kind),
    Upsert { kind: Kind, field: String, assign: bool },
    Insert { kind: Kind, assign: bool },
    Delete,
}

type Placed = (usize, Row);
type Outcome = (usize, Result<Written, Error>);

impl SalesforceClient {
    pub(super) async fn write_all(&self, writes: &[Write]) -> Vec<Result<Written, Error>> {
        let mut lanes: BTreeMap<Lane, Vec<Placed>> = BTreeMap::new();
        for (place, write) in writes.iter().enumerate() {
            if let Some((lane, row)) = lane_of(write) {
                lanes.entry(lane).or_default().push((place, row));
            }
        }
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for (lane, rows) in lanes {
            for chunk in rows.chunks(ROWS_MAX) {
                calls.push(self.write_chunk(lane.clone(), chunk.to_vec()).boxed());
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

    async fn write_chunk(&self, lane: Lane, rows: Vec<Placed>) -> Vec<Outcome> {
        let (places, records): (Vec<usize>, Vec<Row>) = rows.into_iter().unzip();
        match self.call_lane(&lane, records).await {
            Ok(answers) => {
                let creates = !matches!(lane, Lane::Update(_) | Lane::Delete);
                let missing =
                    || Err(Error::Unexpected { text: "a collection answer lacks a row".to_owned() });
                let mut answers = answers.into_iter();
                let outcome =
                    |place| (place, answers.next().map_or_else(missing, |answer| self.row(answer, creates)));
                places.into_iter().map(outcome).collect()
            }
            Err(error) => places.into_iter().map(|place| (place, Err(error.clone()))).collect(),
        }
    }

    async fn call_lane(&self, lane: &Lane, records: Vec<Row>) -> Result<Vec<RowAnswer>, Error> {
        let (endpoint, method, path, assign) = match lane {
            Lane::Update(_) => {
                ("composite/sobjects/update", Method::PATCH, "/composite/sobjects".to_owned(), false)
            }
            Lane::Upsert { kind, field, assign } => (
                "composite/sobjects/upsert",
                Method::PATCH,
                format!("/composite/sobjects/{kind}/{field}"),
                *assign,
            ),
            Lane::Insert { assign, .. } => {
                ("composite/sobjects/insert", Method::POST, "/composite/sobjects".to_owned(), *assign)
            }
            Lane::Delete => return self.delete_rows(&records).await,
        };
        let body = Some(to_body(&Collection { all_or_none: false, records })?);
        let headers = vec![
            ("sforce-auto-assign", if assign { "TRUE" } else { "FALSE" }.to_owned()),
            ("sforce-duplicate-rule-header", "allowSave=true".to_owned()),
        ];
        read_body(&self.call(&Request { endpoint, method, path, headers, body }).await?)
    }

    /// Moves rows to the recycle bin. One that is there already is fine.
    async fn delete_rows(&self, rows: &[Row]) -> Result<Vec<RowAnswer>, Error> {
        let ids: Vec<&str> = rows.iter().filter_map(|row| row.get("id").and_then(Json::as_str)).collect();
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

    fn row(&self, answer: RowAnswer, is_create: bool) -> Result<Written, Error> {
        let id = answer.id.as_deref().map(SalesforceId::parse);
        match (answer.success, id) {
            (true, Some(Ok(id))) => {
                let created = answer.created.unwrap_or(is_create);
                Ok(Written { id: RecordId::Salesforce(id), created, stored: Fields::new() })
            }
            (true, _) => Err(Error::Unexpected { text: "a row without an id".to_owned() }),
            (false, _) => {
                let error: ApiError = answer.errors.into_iter().next().unwrap_or_default();
                Err(classify(error, 200, self.now()))
            }
        }
    }
}

/// Where a write goes; HubSpot's own writes go nowhere here.
fn lane_of(write: &Write) -> Option<(Lane, Row)> {
    match write {
        Write::Update { through: Some(account), fields, .. } => {
            let mut row = row_of(Kind::Account, &persons::on_account(fields));
            row.insert("id".to_owned(), Json::String(account.id().to_string()));
            Some((Lane::Update(Kind::Account), row))
        }
        Write::Update { key, through: None, fields, .. } => {
            let mut row = row_of(key.kind(), fields);
            row.insert("id".to_owned(), Json::String(key.id().to_string()));
            Some((Lane::Update(key.kind()), row))
        }
        Write::Create { kind, fields, unique, .. } => {
            // A lead without an owner of its own gets one by the organization's assignment rules.
            let assign = *kind == Kind::Lead && !fields.contains_key("OwnerId");
            let lane = match unique {
                Some(field) => Lane::Upsert { kind: *kind, field: field.clone(), assign },
                None => Lane::Insert { kind: *kind, assign },
            };
            Some((lane, row_of(*kind, fields)))
        }
        Write::Delete { key } => {
            let id = ("id".to_owned(), Json::String(key.id().to_string()));
            Some((Lane::Delete, Row::from_iter([id])))
        }
        Write::Relate { .. } | Write::OptOut { .. } => None,
    }
}

fn row_of(kind: Kind, fields: &Fields) -> Row {
    let mut row: Row = fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect();
    row.insert("attributes".to_owned(), json!({ "type": kind.as_str() }));
    row
}
