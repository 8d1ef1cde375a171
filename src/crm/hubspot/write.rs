//! Creating, updating and deleting contacts, a hundred a call, each with its own outcome.
//!
//! HubSpot refuses a whole batch for one invalid value and names the property, not the record. Records without that property are
//! written in one call of their own; the others are halved until every culprit stands alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{BoxFuture, FutureExt};

use crate::crm::hubspot::answers::owner_of_value;
use crate::crm::hubspot::client::{BATCH_MAX, HubspotClient, contact_id};
use crate::crm::hubspot::wire::{
    BatchAnswer, BatchError, BatchWrite, Object, WriteInput, into_fields, into_properties,
};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, Refusal, Write, Written};
use crate::domain::{Fields, HubspotId, RecordId, Value};
use crate::plan::Category;

/// The most calls spent on finding the culprits of one batch. What is not found by then is tried again later, in smaller company.
const CULPRIT_CALLS_MAX: usize = 64;

/// One write with its place among all.
#[derive(Clone, Copy)]
struct Row<'a> {
    place: usize,
    target: Option<RecordId>,
    fields: &'a Fields,
}

type Outcome = (usize, Result<Written, Error>);

impl HubspotClient {
    pub(super) async fn write_all(&self, writes: &[Write]) -> Vec<Result<Written, Error>> {
        let rows = writes.iter().enumerate().filter_map(|(place, write)| match write {
            Write::Create { fields, .. } => Some(Row { place, target: None, fields }),
            Write::Update { key, fields } => Some(Row { place, target: Some(key.id()), fields }),
            Write::Delete { .. } => None,
        });
        let (creates, updates): (Vec<Row<'_>>, Vec<Row<'_>>) = rows.partition(|row| row.target.is_none());
        let chunks: Vec<Vec<Row<'_>>> =
            chunks_of_distinct(updates).into_iter().chain(chunks_of_distinct(creates)).collect();
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for chunk in chunks {
            calls.push(self.write_batch(chunk).boxed());
        }
        let deletes = writes.iter().enumerate().filter_map(|(place, write)| match write {
            Write::Delete { key } => Some((place, key.id())),
            Write::Create { .. } | Write::Update { .. } => None,
        });
        for chunk in deletes.collect::<Vec<_>>().chunks(BATCH_MAX) {
            calls.push(self.delete_batch(chunk.to_vec()).boxed());
        }
        let outcomes = side_by_side(calls, self.calls_in_flight()).await;
        let mut by_place: HashMap<usize, Result<Written, Error>> = outcomes.into_iter().flatten().collect();
        let missing = || Err(Error::Unexpected { text: "a write was not answered".to_owned() });
        (0..writes.len()).map(|place| by_place.remove(&place).unwrap_or_else(missing)).collect()
    }

    async fn delete_batch(&self, rows: Vec<(usize, RecordId)>) -> Vec<Outcome> {
        let deleted = self.archive(rows.iter().map(|(_, id)| id.to_string()).collect()).await;
        let outcome = |(place, id)| {
            (place, deleted.clone().map(|()| Written { id, created: false, stored: Fields::new() }))
        };
        rows.into_iter().map(outcome).collect()
    }

    async fn write_batch(&self, rows: Vec<Row<'_>>) -> Vec<Outcome> {
        self.write_chunk(&rows, &AtomicUsize::new(0)).await
    }

    fn write_chunk<'a>(&'a self, rows: &'a [Row<'a>], calls: &'a AtomicUsize) -> BoxFuture<'a, Vec<Outcome>> {
        async move {
            if rows.is_empty() {
                return Vec::new();
            }
            if calls.fetch_add(1, Ordering::Relaxed) >= CULPRIT_CALLS_MAX {
                let later = Error::Unavailable {
                    status: "batch refused".to_owned(),
                    retry_after_ms: None,
                    source: None,
                };
                return all_failed(rows, &later);
            }
            match self.call_batch(rows).await {
                Ok(answer) => outcomes_of(rows, answer),
                Err(Error::Refused(refusal)) if rows.len() > 1 => {
                    let (suspects, others) = split(rows, &refusal);
                    let mut outcomes = self.write_chunk(&others, calls).await;
                    outcomes.extend(self.write_chunk(&suspects, calls).await);
                    outcomes
                }
                Err(error) => all_failed(rows, &error),
            }
        }
        .boxed()
    }

    async fn call_batch(&self, rows: &[Row<'_>]) -> Result<BatchAnswer, Error> {
        let inputs = rows.iter().map(|row| WriteInput {
            id: row.target.map(|id| id.to_string()),
            properties: into_properties(row.fields),
            object_write_trace_id: row.place.to_string(),
        });
        let body = BatchWrite { inputs: inputs.collect() };
        let creates = rows.first().is_some_and(|row| row.target.is_none());
        let (endpoint, path) =
            if creates { ("batch/create", "/batch/create") } else { ("batch/update", "/batch/update") };
        self.post(endpoint, self.contacts(path), &body).await
    }
}

/// Chunks in which no id stands twice, because HubSpot refuses that.
fn chunks_of_distinct(rows: Vec<Row<'_>>) -> Vec<Vec<Row<'_>>> {
    let mut chunks: Vec<(HashSet<RecordId>, Vec<Row<'_>>)> = Vec::new();
    for row in rows {
        let fits = |(ids, rows): &(HashSet<RecordId>, Vec<Row<'_>>)| {
            rows.len() < BATCH_MAX && row.target.is_none_or(|id| !ids.contains(&id))
        };
        // Only the last two chunks can have room for an ordinary row; looking further would cost more than a call now and then.
        let start = chunks.len().saturating_sub(2);
        let place = (start..chunks.len()).find(|place| fits(&chunks[*place])).unwrap_or_else(|| {
            chunks.push(Default::default());
            chunks.len() - 1
        });
        chunks[place].0.extend(row.target);
        chunks[place].1.push(row);
    }
    chunks.into_iter().map(|(_, rows)| rows).collect()
}

fn all_failed(rows: &[Row<'_>], error: &Error) -> Vec<Outcome> {
    rows.iter().map(|row| (row.place, Err(error.clone()))).collect()
}

/// The rows that can be at fault, and the others; half and half where that tells nothing.
fn split<'a>(rows: &[Row<'a>], refusal: &Refusal) -> (Vec<Row<'a>>, Vec<Row<'a>>) {
    let has_field = |row: &Row<'a>| refusal.fields.iter().any(|field| row.fields.contains_key(field));
    let (suspects, others): (Vec<Row<'a>>, Vec<Row<'a>>) = rows.iter().copied().partition(has_field);
    if suspects.is_empty() || others.is_empty() {
        let (first, second) = rows.split_at(rows.len() / 2);
        return (first.to_vec(), second.to_vec());
    }
    (suspects, others)
}

fn outcomes_of(rows: &[Row<'_>], answer: BatchAnswer) -> Vec<Outcome> {
    let mut results = answer.results;
    let outcome = |row: &Row<'_>| {
        let error = answer.errors.iter().find(|error| concerns(error, row));
        let result = match (error, results.iter().position(|object| answers(object, row))) {
            (Some(error), _) => Err(refusal_of(error).into()),
            (None, Some(position)) => written(results.swap_remove(position), row),
            (None, None) => Err(Error::Unexpected { text: "a batch answer lacks a record".to_owned() }),
        };
        (row.place, result)
    };
    rows.iter().map(outcome).collect()
}

fn concerns(error: &BatchError, row: &Row<'_>) -> bool {
    let by_trace = error.context.object_write_trace_id.contains(&row.place.to_string());
    by_trace || row.target.is_some_and(|id| error.context.ids.contains(&id.to_string()))
}

/// Whether a result is a row's: an update keeps its id, a created contact its address.
fn answers(object: &Object, row: &Row<'_>) -> bool {
    if let Some(id) = row.target {
        return object.id == id.to_string();
    }
    let address = row.fields.get("email").and_then(Value::as_text);
    let held = object.properties.get("email").and_then(Option::as_deref);
    address.is_some_and(|address| held.is_some_and(|held| held.eq_ignore_ascii_case(&address)))
}

fn written(object: Object, row: &Row<'_>) -> Result<Written, Error> {
    let id = HubspotId::parse(&object.id)
        .map_err(|_| Error::Unexpected { text: "a result without an id".to_owned() })?;
    Ok(Written { id: contact_id(id), created: row.target.is_none(), stored: into_fields(object.properties) })
}

fn refusal_of(error: &BatchError) -> Refusal {
    let owner = error
        .context
        .existing_id
        .first()
        .and_then(|id| HubspotId::parse(id).ok())
        .or_else(|| owner_of_value(&error.message));
    let category = match (owner, error.category.as_str()) {
        (Some(_), _) | (None, "CONFLICT") => Category::Duplicate,
        (None, "OBJECT_NOT_FOUND") => Category::RecordUnavailable,
        (None, _) => Category::InvalidValue,
    };
    Refusal {
        category,
        code: if error.category.is_empty() { "ERROR".to_owned() } else { error.category.clone() },
        message: error.message.clone(),
        fields: Vec::new(),
        existing: owner.map(contact_id),
    }
}
