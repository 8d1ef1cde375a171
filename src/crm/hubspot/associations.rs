//! Associations between HubSpot's records, and the opting out of addresses: what is written by calls of its own.
//!
//! A writing of associations carries out what it can. Its answer names what was made, and seldom what was not: what it does not tell
//! of is written again in halves, which does no harm, until every culprit stands alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::crm::hubspot::client::{HubspotClient, type_of};
use crate::crm::hubspot::wire::{AssociationType, Id, NewAssociation};
use crate::crm::hubspot::write::{CULPRIT_CALLS_MAX, in_smaller_company};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, Refusal, Write, Written};
use crate::domain::{Fields, Kind, RecordKey};
use crate::plan::Category;

/// The most records in one reading of associations.
const READ_MAX: usize = 1_000;

/// The most pairs in one writing of associations.
const WRITE_MAX: usize = 2_000;

/// What HubSpot calls it when a record has no association of the kind asked for.
const NO_ASSOCIATIONS: &str = "crm.associations.NO_ASSOCIATIONS_FOUND";

/// The association type from one kind to another: the primary one where there is such.
pub(super) const fn type_between(from: Kind, to: Kind) -> Option<u32> {
    match (from, to) {
        (Kind::HubspotContact, Kind::Company) => Some(1),
        (Kind::Deal, Kind::Company) => Some(5),
        (Kind::Deal, Kind::HubspotContact) => Some(3),
        _ => None,
    }
}

/// The types by which a record's primary company is told.
const PRIMARY: [u32; 2] = [1, 5];

/// An association as it is written.
pub(super) fn written_type(from: Kind, to: Kind) -> Option<AssociationType> {
    let id = type_between(from, to)?;
    Some(AssociationType { association_category: "HUBSPOT_DEFINED", association_type_id: id })
}

/// The associations that a new record of a kind begins with.
pub(super) fn of_new_record(kind: Kind, related: &[RecordKey]) -> Vec<NewAssociation> {
    let association = |key: &RecordKey| {
        let types = vec![written_type(kind, key.kind())?];
        Some(NewAssociation { to: Id { id: key.id().to_string() }, types })
    };
    related.iter().filter_map(association).collect()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Associated>,
    #[serde(default)]
    errors: Vec<AssociationError>,
}

#[derive(Deserialize)]
struct Associated {
    from: FromId,
    to: Vec<To>,
}

#[derive(Deserialize)]
struct FromId {
    id: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    to_object_id: Json,
    #[serde(default)]
    association_types: Vec<ReadType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadType {
    type_id: u32,
}

/// The answer to a writing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    results: Vec<Made>,
    errors: Vec<AssociationError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    from_object_id: Json,
    to_object_id: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct AssociationError {
    sub_category: Json,
    message: String,
    context: Json,
}

impl AssociationError {
    /// Whether it says that it is about this pair.
    fn concerns(&self, pair: &Pair) -> bool {
        let names = |field: &str, key: RecordKey| {
            let named = self.context.get(field)?.as_array()?;
            Some(named.iter().any(|id| id_text(id) == key.id().to_string()))
        };
        let told = (names("fromObjectId", pair.from), names("toObjectId", pair.to));
        matches!(told, (Some(true), Some(true) | None) | (None, Some(true)))
    }
}

/// Ids come as numbers or as text.
fn id_text(id: &Json) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

#[derive(Serialize)]
struct Batch {
    inputs: Vec<Json>,
}

type Outcome = (usize, Result<Written, Error>);

/// The associated records, by the id of the one asked about.
type Found = HashMap<String, Vec<RecordKey>>;

/// What is written together: from which kind to which.
type Lane = (Kind, Kind);

/// One association to write.
#[derive(Clone, Copy)]
struct Pair {
    place: usize,
    from: RecordKey,
    to: RecordKey,
}

impl HubspotClient {
    /// The path of the associations between two kinds; the legacy style has them under its fourth version.
    fn associations(&self, from: Kind, to: Kind, rest: &str) -> String {
        let path = self.path("associations", &format!("/{}/{}{rest}", type_of(from), type_of(to)));
        path.replace("/crm/v3/associations", "/crm/v4/associations")
    }

    pub(super) async fn associated_with(
        &self,
        kind: Kind,
        keys: &[RecordKey],
    ) -> Vec<Result<Vec<RecordKey>, Error>> {
        let Some(from) = keys.first().map(RecordKey::kind) else { return Vec::new() };
        let mut calls: Vec<BoxFuture<'_, Result<Found, Error>>> = Vec::new();
        for chunk in keys.chunks(READ_MAX) {
            calls.push(self.read_associations((from, kind), chunk).boxed());
        }
        let answers = side_by_side(calls, self.calls_in_flight()).await;
        let chunks = keys.chunks(READ_MAX).zip(answers);
        let of_chunk = |(chunk, answer): (&[RecordKey], Result<Found, Error>)| {
            let of = |key: &RecordKey| {
                answer.as_ref().map(|found| found.get(&key.id().to_string()).cloned().unwrap_or_default())
            };
            chunk.iter().map(|key| of(key).map_err(Clone::clone)).collect::<Vec<_>>()
        };
        chunks.flat_map(of_chunk).collect()
    }

    async fn read_associations(&self, (from, to): (Kind, Kind), keys: &[RecordKey]) -> Result<Found, Error> {
        let inputs = keys.iter().map(|key| json!({ "id": key.id().to_string() })).collect();
        let url = self.associations(from, to, "/batch/read");
        let answer: Answer = self.post("associations/read", url, &Batch { inputs }).await?;
        if let Some(error) =
            answer.errors.iter().find(|error| id_text(&error.sub_category) != NO_ASSOCIATIONS)
        {
            return Err(Error::Unexpected { text: format!("associations: {}", error.message) });
        }
        let told = |associated: Associated| {
            let mut records: Vec<(bool, RecordKey)> =
                associated.to.iter().filter_map(|one| read(one, to)).collect();
            // The primary company comes first.
            records.sort_by_key(|(primary, _)| !primary);
            (id_text(&associated.from.id), records.into_iter().map(|(_, key)| key).collect())
        };
        Ok(answer.results.into_iter().map(told).collect())
    }

    /// Makes associations, and opts addresses out; what else is among the writes is left alone.
    pub(super) async fn write_relations(&self, writes: &[Write]) -> Vec<Outcome> {
        let mut lanes: BTreeMap<Lane, Vec<Pair>> = BTreeMap::new();
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            match write {
                Write::Relate { from, to } => {
                    let lane = lanes.entry((from.kind(), to.kind())).or_default();
                    lane.push(Pair { place, from: *from, to: *to });
                }
                Write::OptOut { key, address } => calls.push(self.opt_out(place, *key, address).boxed()),
                Write::Create { .. } | Write::Update { .. } | Write::Delete { .. } => {}
            }
        }
        for (lane, pairs) in lanes {
            for chunk in pairs.chunks(WRITE_MAX) {
                calls.push(self.write_pairs(lane, chunk.to_vec(), Arc::default()).boxed());
            }
        }
        side_by_side(calls, self.calls_in_flight()).await.into_iter().flatten().collect()
    }

    fn write_pairs(
        &self,
        lane: Lane,
        pairs: Vec<Pair>,
        calls: Arc<AtomicUsize>,
    ) -> BoxFuture<'_, Vec<Outcome>> {
        async move {
            if pairs.is_empty() {
                return Vec::new();
            }
            if calls.fetch_add(1, Ordering::Relaxed) >= CULPRIT_CALLS_MAX {
                return all_failed(&pairs, &in_smaller_company());
            }
            let (mut outcomes, unclear) = match self.call_associations(lane, &pairs).await {
                Ok(answer) => sort_out(&pairs, &answer),
                Err(Error::Refused(_)) if pairs.len() > 1 => (Vec::new(), pairs),
                Err(error) => return all_failed(&pairs, &error),
            };
            let (first, second) = unclear.split_at(unclear.len() / 2);
            for half in [first, second] {
                outcomes.extend(self.write_pairs(lane, half.to_vec(), Arc::clone(&calls)).await);
            }
            outcomes
        }
        .boxed()
    }

    async fn call_associations(&self, (from, to): Lane, pairs: &[Pair]) -> Result<Answered, Error> {
        let types = written_type(from, to);
        let id = |key: RecordKey| json!({ "id": key.id().to_string() });
        let types = types.map_or_else(Vec::new, |one| vec![one]);
        let input = |pair: &Pair| json!({ "from": id(pair.from), "to": id(pair.to), "types": types });
        let batch = Batch { inputs: pairs.iter().map(input).collect() };
        let url = self.associations(from, to, "/batch/create");
        self.post("associations/create", url, &batch).await
    }

    async fn opt_out(&self, place: usize, key: RecordKey, address: &str) -> Vec<Outcome> {
        let subscriber = utf8_percent_encode(address, NON_ALPHANUMERIC);
        let rest = format!("/statuses/{subscriber}/unsubscribe-all?channel=EMAIL");
        let told =
            self.tell("unsubscribe-all", self.path("communication-preferences", &rest), &json!({})).await;
        vec![(place, told.map(|()| Written { id: key.id(), created: false, stored: Fields::new() }))]
    }
}

fn read(one: &To, kind: Kind) -> Option<(bool, RecordKey)> {
    let key = RecordKey::parse(kind, &id_text(&one.to_object_id)).ok()?;
    Some((one.association_types.iter().any(|known| PRIMARY.contains(&known.type_id)), key))
}

/// What became of each pair, and the pairs of which the answer tells nothing.
fn sort_out(pairs: &[Pair], answer: &Answered) -> (Vec<Outcome>, Vec<Pair>) {
    if answer.errors.is_empty() {
        return (pairs.iter().map(written).collect(), Vec::new());
    }
    let made: HashSet<(String, String)> = answer
        .results
        .iter()
        .map(|made| (id_text(&made.from_object_id), id_text(&made.to_object_id)))
        .collect();
    let (mut outcomes, mut unclear) = (Vec::new(), Vec::new());
    for pair in pairs {
        let error = || answer.errors.iter().find(|error| error.concerns(pair));
        if made.contains(&(pair.from.id().to_string(), pair.to.id().to_string())) {
            outcomes.push(written(pair));
        } else if let Some(error) = error() {
            outcomes.push((pair.place, Err(refusal_of(error).into())));
        } else {
            unclear.push(*pair);
        }
    }
    let nameless = answer.errors.iter().find(|error| !pairs.iter().any(|pair| error.concerns(pair)));
    if let (Some(error), [pair]) = (nameless, unclear.as_slice()) {
        outcomes.push((pair.place, Err(refusal_of(error).into())));
        unclear.clear();
    }
    (outcomes, unclear)
}

fn written(pair: &Pair) -> Outcome {
    (pair.place, Ok(Written { id: pair.from.id(), created: false, stored: Fields::new() }))
}

fn all_failed(pairs: &[Pair], error: &Error) -> Vec<Outcome> {
    pairs.iter().map(|pair| (pair.place, Err(error.clone()))).collect()
}

fn refusal_of(error: &AssociationError) -> Refusal {
    Refusal {
        category: Category::RecordUnavailable,
        code: "INVALID_ASSOCIATION".to_owned(),
        message: error.message.clone(),
        fields: Vec::new(),
        existing: None,
    }
}
