//! Creating, updating and deleting records, a hundred a call, each with its own outcome.
//!
//! HubSpot refuses a whole batch for one invalid value and names the property, not the record. Records without that property are
//! written in one call of their own; the others are halved until every culprit stands alone.
//!
//! A lifecycle stage moves forward only, and a step back is answered with success and not made: it is cleared first, then set.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{BoxFuture, FutureExt};

use crate::crm::hubspot::answers::owner_of_value;
use crate::crm::hubspot::associations::of_new_record;
use crate::crm::hubspot::client::{BATCH_MAX, HubspotClient};
use crate::crm::hubspot::wire::{
    BatchAnswer, BatchError, BatchWrite, Object, WriteInput, into_fields, into_properties,
};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, Refusal, Write, Written};
use crate::domain::{Fields, HubspotId, Kind, RecordId, RecordKey, Value};
use crate::plan::Category;
use crate::plan::rules::{LIFECYCLE_PROPERTY, id_property};

/// The most calls spent on finding the culprits of one batch. What is not found by then is tried again later, in smaller company.
pub(super) const CULPRIT_CALLS_MAX: usize = 64;

/// One write with its place among all.
#[derive(Clone, Copy)]
struct Row<'a> {
    place: usize,
    kind: Kind,
    target: Option<RecordId>,
    fields: &'a Fields,
    related: &'a [RecordKey],
    stage_back: bool,
}

type Outcome = (usize, Result<Written, Error>);

impl HubspotClient {
    pub(super) async fn write_all(&self, writes: &[Write]) -> Vec<Result<Written, Error>> {
        let rows = writes.iter().enumerate().filter_map(|(place, write)| match write {
            Write::Create { kind, fields, related, .. } => {
                Some(Row { place, kind: *kind, target: None, fields, related, stage_back: true })
            }
            Write::Update { key, fields, stage_back, .. } => {
                let (target, stage_back) = (Some(key.id()), *stage_back);
                Some(Row { place, kind: key.kind(), target, fields, related: &[], stage_back })
            }
            Write::Delete { .. } | Write::Relate { .. } | Write::OptOut { .. } => None,
        });
        let mut lanes: BTreeMap<(Kind, bool), Vec<Row<'_>>> = BTreeMap::new();
        for row in rows {
            lanes.entry((row.kind, row.target.is_none())).or_default().push(row);
        }
        let chunks: Vec<Vec<Row<'_>>> = lanes.into_values().flat_map(chunks_of_distinct).collect();
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for chunk in chunks {
            calls.push(self.write_batch(chunk).boxed());
        }
        let mut deletes: BTreeMap<Kind, Vec<(usize, RecordId)>> = BTreeMap::new();
        for (place, write) in writes.iter().enumerate() {
            if let Write::Delete { key } = write {
                deletes.entry(key.kind()).or_default().push((place, key.id()));
            }
        }
        for (kind, rows) in deletes {
            for chunk in rows.chunks(BATCH_MAX) {
                calls.push(self.delete_batch(kind, chunk.to_vec()).boxed());
            }
        }
        calls.push(self.write_relations(writes).boxed());
        let outcomes = side_by_side(calls, self.calls_in_flight()).await;
        let mut by_place: HashMap<usize, Result<Written, Error>> = outcomes.into_iter().flatten().collect();
        let missing = || Err(Error::Unexpected { text: "a write was not answered".to_owned() });
        (0..writes.len()).map(|place| by_place.remove(&place).unwrap_or_else(missing)).collect()
    }

    async fn delete_batch(&self, kind: Kind, rows: Vec<(usize, RecordId)>) -> Vec<Outcome> {
        let deleted = self.archive(kind, rows.iter().map(|(_, id)| id.to_string()).collect()).await;
        let outcome = |(place, id)| {
            (place, deleted.clone().map(|()| Written { id, created: false, stored: Fields::new() }))
        };
        rows.into_iter().map(outcome).collect()
    }

    async fn write_batch(&self, rows: Vec<Row<'_>>) -> Vec<Outcome> {
        let mut outcomes = self.write_chunk(&rows, &AtomicUsize::new(0)).await;
        let back: Vec<(Row<'_>, Fields)> = rows.iter().filter_map(|row| step_back(row, &outcomes)).collect();
        if back.is_empty() {
            return outcomes;
        }
        // The rows are distinct, so neither call can name a record twice.
        for stage in [false, true] {
            let fields: Vec<Fields> = back.iter().map(|(_, fields)| stage_of(fields, stage)).collect();
            let again: Vec<Row<'_>> =
                back.iter().zip(&fields).map(|((row, _), fields)| Row { fields, ..*row }).collect();
            for (place, outcome) in self.write_chunk(&again, &AtomicUsize::new(0)).await {
                let known = outcomes.iter_mut().find(|(known, _)| *known == place);
                match (outcome, known) {
                    (Ok(again), Some((_, Ok(written)))) => written.stored.extend(again.stored),
                    (Err(error), Some((_, known))) => *known = Err(error),
                    (_, _) => {}
                }
            }
        }
        outcomes
    }

    fn write_chunk<'a>(&'a self, rows: &'a [Row<'a>], calls: &'a AtomicUsize) -> BoxFuture<'a, Vec<Outcome>> {
        async move {
            if rows.is_empty() {
                return Vec::new();
            }
            if calls.fetch_add(1, Ordering::Relaxed) >= CULPRIT_CALLS_MAX {
                return all_failed(rows, &in_smaller_company());
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
            associations: of_new_record(row.kind, row.related),
        });
        let body = BatchWrite { inputs: inputs.collect() };
        let creates = rows.first().is_some_and(|row| row.target.is_none());
        let kind = rows.first().map_or(Kind::HubspotContact, |row| row.kind);
        let (endpoint, path) =
            if creates { ("batch/create", "/batch/create") } else { ("batch/update", "/batch/update") };
        self.post(endpoint, self.objects(kind, path), &body).await
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

/// What becomes of those among whom the culprits were not found.
pub(super) fn in_smaller_company() -> Error {
    Error::Unavailable { status: "batch refused".to_owned(), retry_after_ms: None, source: None }
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

/// Whether a result is a row's: an update keeps its id, a created contact its address, any other record our key.
fn answers(object: &Object, row: &Row<'_>) -> bool {
    if let Some(id) = row.target {
        return object.id == id.to_string();
    }
    let holds = |property: &str| {
        let wanted = row.fields.get(property).and_then(Value::as_text);
        let held = object.properties.get(property).and_then(Option::as_deref);
        wanted.is_some_and(|wanted| held.is_some_and(|held| held.eq_ignore_ascii_case(&wanted)))
    };
    if row.kind == Kind::HubspotContact {
        return holds("email");
    }
    let twins = row.kind.family().in_salesforce();
    let keyed =
        twins.iter().map(|kind| id_property(*kind)).find(|property| row.fields.contains_key(*property));
    // Without a key of ours the record is known by all that it was given.
    keyed.map_or_else(|| row.fields.keys().all(|property| holds(property)), holds)
}

fn written(object: Object, row: &Row<'_>) -> Result<Written, Error> {
    let id = HubspotId::parse(&object.id)
        .map_err(|_| Error::Unexpected { text: "a result without an id".to_owned() })?;
    let id = RecordId::Hubspot(id);
    Ok(Written { id, created: row.target.is_none(), stored: into_fields(object.properties) })
}

/// A row whose lifecycle stage HubSpot left as it was although it may go back, with the stage that it is to have.
fn step_back<'a>(row: &Row<'a>, outcomes: &[Outcome]) -> Option<(Row<'a>, Fields)> {
    let wanted = row.fields.get(LIFECYCLE_PROPERTY).filter(|stage| row.stage_back && !stage.is_blank())?;
    let (_, outcome) = outcomes.iter().find(|(place, _)| *place == row.place)?;
    let stored = outcome.as_ref().ok()?;
    let held = stored.stored.get(LIFECYCLE_PROPERTY)?;
    let fields = Fields::from([(LIFECYCLE_PROPERTY.to_owned(), wanted.clone())]);
    (held.as_text() != wanted.as_text())
        .then_some((Row { target: Some(stored.id), related: &[], ..*row }, fields))
}

/// The lifecycle stage alone: cleared, or as it is to be.
fn stage_of(fields: &Fields, as_wanted: bool) -> Fields {
    let value = |value: &Value| if as_wanted { value.clone() } else { Value::Blank };
    fields.iter().map(|(name, held)| (name.clone(), value(held))).collect()
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
        existing: owner.map(RecordId::Hubspot),
    }
}
