//! What HubSpot's history of a property tells: who gave it its value, and when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

use crate::crm::hubspot::client::HubspotClient;
use crate::crm::hubspot::wire::Id;
use crate::crm::transport::side_by_side;
use crate::crm::{Error, FieldsByKind, ValueTime, ValueTimes};
use crate::domain::{Kind, RecordKey, Timestamp, Value};

/// The most records in a batch that asks for the history of properties.
pub(super) const HISTORY_BATCH_MAX: usize = 50;

/// What HubSpot calls the source of a value that an app wrote; the source's id is the app's.
const APP_SOURCE: &str = "INTEGRATION";

/// `POST .../batch/read`, with history.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryRead<'a> {
    properties: &'a [String],
    properties_with_history: &'a [String],
    inputs: Vec<Id>,
}

#[derive(Deserialize)]
struct Histories {
    #[serde(default)]
    results: Vec<WithHistory>,
}

#[derive(Deserialize)]
struct WithHistory {
    id: String,
    /// What it holds now. After a merge that need not be the newest version.
    #[serde(default)]
    properties: BTreeMap<String, Option<String>>,
    /// Every version of each property, the newest first.
    #[serde(default, rename = "propertiesWithHistory")]
    versions: BTreeMap<String, Vec<Version>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Version {
    value: Option<String>,
    timestamp: String,
    source_type: String,
    source_id: Option<String>,
}

impl Version {
    fn is_of_app(&self, app_id: u64) -> bool {
        let id = self.source_id.as_deref().and_then(|id| id.trim().parse().ok());
        self.source_type == APP_SOURCE && id == Some(app_id)
    }
}

/// Some records, and the histories of their properties.
type OfChunk<'a> = (&'a [RecordKey], Result<Histories, Error>);

/// A record, and whether somebody edited it.
type Edited = (RecordKey, Result<bool, Error>);

impl HubspotClient {
    /// What properties hold now, and when somebody else than our app gave it to them.
    pub(super) async fn times_of(&self, asked: &[(RecordKey, &[String])]) -> Vec<Result<ValueTimes, Error>> {
        let mut by_kind: BTreeMap<Kind, (Vec<RecordKey>, BTreeSet<String>)> = BTreeMap::new();
        for (key, names) in asked {
            let (keys, wanted) = by_kind.entry(key.kind()).or_default();
            keys.push(*key);
            wanted.extend(names.iter().cloned());
        }
        let by_kind: Vec<(Kind, Vec<RecordKey>, Vec<String>)> = by_kind
            .into_iter()
            .map(|(kind, (keys, names))| (kind, keys, names.into_iter().collect()))
            .collect();
        let chunks = by_kind.iter().flat_map(|(kind, keys, names)| {
            keys.chunks(HISTORY_BATCH_MAX).map(move |keys| (*kind, keys, names))
        });
        let calls: Vec<BoxFuture<'_, OfChunk<'_>>> = chunks
            .map(|(kind, keys, names)| async move { (keys, self.histories(kind, keys, names).await) }.boxed())
            .collect();
        let mut told: HashMap<RecordKey, Result<ValueTimes, Error>> = HashMap::new();
        for (keys, answer) in side_by_side(calls, self.calls_in_flight()).await {
            let answer = answer.map(|answer| self.held_now(answer));
            for key in keys {
                let times = |times: &HashMap<String, ValueTimes>| times.get(&key.id().to_string()).cloned();
                told.insert(
                    *key,
                    answer.as_ref().map(|all| times(all).unwrap_or_default()).map_err(Clone::clone),
                );
            }
        }
        asked.iter().map(|(key, _)| told.get(key).cloned().unwrap_or_else(|| Ok(ValueTimes::new()))).collect()
    }

    /// What each record holds now, with the times of the versions that our app did not write.
    fn held_now(&self, answer: Histories) -> HashMap<String, ValueTimes> {
        let of_record = |record: WithHistory| {
            let held = |(name, versions): (String, Vec<Version>)| {
                let value = record.properties.get(&name)?.clone().unwrap_or_default();
                let is_it = |version: &&Version| version.value.as_deref().unwrap_or_default() == value;
                let version = versions.iter().find(is_it).filter(|version| !version.is_of_app(self.app_id()));
                let given_at = version.and_then(|version| Timestamp::parse(&version.timestamp));
                Some((name, ValueTime { value: Value::text(value), given_at }))
            };
            (record.id, record.versions.into_iter().filter_map(held).collect())
        };
        answer.results.into_iter().map(of_record).collect()
    }

    /// Whether any of a kind's fields was given a value since then.
    pub(super) async fn edited_since(
        &self,
        keys: &[RecordKey],
        fields: &FieldsByKind,
        since: Timestamp,
    ) -> Vec<Result<bool, Error>> {
        let mut by_kind: BTreeMap<Kind, Vec<RecordKey>> = BTreeMap::new();
        for key in keys {
            by_kind.entry(key.kind()).or_default().push(*key);
        }
        let chunks = by_kind.iter().flat_map(|(kind, keys)| {
            let wanted = fields.get(kind).map(Vec::as_slice).unwrap_or_default();
            keys.chunks(HISTORY_BATCH_MAX).map(move |chunk| (*kind, chunk, wanted))
        });
        let calls: Vec<BoxFuture<'_, Vec<Edited>>> = chunks
            .map(|(kind, chunk, wanted)| self.edited_of(kind, chunk, (wanted, since)).boxed())
            .collect();
        let told = side_by_side(calls, self.calls_in_flight()).await;
        let mut told: HashMap<RecordKey, Result<bool, Error>> = told.into_iter().flatten().collect();
        keys.iter().map(|key| told.remove(key).unwrap_or(Ok(false))).collect()
    }

    /// When a source last wrote one of these properties of the records.
    pub(super) async fn last_written_by(
        &self,
        source: &str,
        kind: Kind,
        (keys, names): (&[RecordKey], &[String]),
    ) -> Result<Option<Timestamp>, Error> {
        let answer = self.histories(kind, keys, names).await?;
        let versions = answer.results.iter().flat_map(|record| record.versions.values().flatten());
        let by_source = versions.filter(|version| version.source_type == source);
        Ok(by_source.filter_map(|version| Timestamp::parse(&version.timestamp)).max())
    }

    async fn edited_of(
        &self,
        kind: Kind,
        keys: &[RecordKey],
        (wanted, since): (&[String], Timestamp),
    ) -> Vec<Edited> {
        let answer = match self.histories(kind, keys, wanted).await {
            Ok(answer) => answer,
            Err(error) => return keys.iter().map(|key| (*key, Err(error.clone()))).collect(),
        };
        let recent = |version: &Version| Timestamp::parse(&version.timestamp).is_none_or(|at| at >= since);
        let edited =
            |record: &&WithHistory| record.versions.values().any(|versions| versions.iter().any(recent));
        let edited: Vec<&str> =
            answer.results.iter().filter(edited).map(|record| record.id.as_str()).collect();
        keys.iter().map(|key| (*key, Ok(edited.contains(&key.id().to_string().as_str())))).collect()
    }

    async fn histories(&self, kind: Kind, keys: &[RecordKey], wanted: &[String]) -> Result<Histories, Error> {
        let inputs = keys.iter().map(|key| Id { id: key.id().to_string() }).collect();
        let body = HistoryRead { properties: wanted, properties_with_history: wanted, inputs };
        self.post("batch/read/history", self.objects(kind, "/batch/read"), &body).await
    }
}
