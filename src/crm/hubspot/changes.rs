//! What changed of late in HubSpot: searches by the time of the last change, deleted records, and members that joined a list.
//!
//! A search sorts by one property only and shows the first 10,000 records, while its index moves on under whoever pages by offset. So
//! no page is ever asked for by offset. A page holds what changed at an instant or later, in the order of time; the next one begins
//! with the last instant on it, whose records are left to that one. Where a page holds one instant only, those who share it are asked
//! for by id, in the order of their ids, until there are no more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

use crate::crm::hubspot::client::{BATCH_MAX, HubspotClient};
use crate::crm::hubspot::wire::{ListAnswer, NextPage, Object, Paging};
use crate::crm::transport::side_by_side;
use crate::crm::{Asked, Deed, Error, FieldsByKind, Place, Stream, Trace, Traces};
use crate::domain::{Fields, Kind, Record, RecordKey, Timestamp, Value};
use crate::plan::rules::MERGED_IDS_PROPERTY;

/// The most records on one page of a search.
const SEARCH_PAGE_MAX: usize = 200;

/// The longest body of a search.
const SEARCH_CHARACTERS_MAX: usize = 3_000;

/// The searches we make in a second: HubSpot admits five (older texts say four), for all apps of an account together.
const SEARCHES_PER_SECOND: usize = 4;

/// The most members on one page of a list.
const MEMBERS_PAGE_MAX: usize = 250;

/// Holds a record's own id.
const ID: &str = "hs_object_id";

/// When a record was created.
const CREATED: &str = "createdate";

/// Keeps searches apart: they have an allowance of their own, about which HubSpot says nothing until it is used up.
#[derive(Default)]
pub(super) struct Pace(Mutex<VecDeque<Timestamp>>);

impl Pace {
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Error> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|at| now.millis_since(*at) >= 1_000) {
            recent.pop_front();
        }
        if let (true, Some(oldest)) = (recent.len() >= SEARCHES_PER_SECOND, recent.front()) {
            let until = Some(oldest.plus_millis(1_000));
            return Err(Error::Quota { policy: "SECONDLY".to_owned(), until });
        }
        recent.push_back(now);
        Ok(())
    }
}

/// `POST .../search`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search<'a> {
    pub(super) filter_groups: Vec<Group<'a>>,
    pub(super) sorts: [Sort<'a>; 1],
    pub(super) properties: Vec<&'a str>,
    pub(super) limit: usize,
}

#[derive(Serialize)]
pub(super) struct Group<'a> {
    pub(super) filters: Vec<Filter<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter<'a> {
    pub(super) property_name: &'a str,
    pub(super) operator: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sort<'a> {
    pub(super) property_name: &'a str,
    pub(super) direction: &'static str,
}

#[derive(Deserialize)]
struct Members {
    results: Vec<Member>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    record_id: String,
    #[serde(default)]
    membership_timestamp: Option<String>,
}

/// The property that holds when a record of a kind last changed.
pub(super) const fn modified_property(kind: Kind) -> &'static str {
    match kind {
        Kind::HubspotContact => "lastmodifieddate",
        _ => "hs_lastmodifieddate",
    }
}

impl HubspotClient {
    pub(super) async fn changes_of(
        &self,
        asked: &[Asked],
        fields: &FieldsByKind,
    ) -> Vec<Result<Traces, Error>> {
        let calls: Vec<BoxFuture<'_, Result<Traces, Error>>> =
            asked.iter().map(|asked| self.page_of(asked, fields).boxed()).collect();
        side_by_side(calls, self.calls_in_flight()).await
    }

    async fn page_of(&self, asked: &Asked, fields: &FieldsByKind) -> Result<Traces, Error> {
        let place = &asked.place;
        match &asked.stream {
            Stream::Changed(kind) => {
                let wanted = fields.get(kind).map(Vec::as_slice).unwrap_or_default();
                match &place.after {
                    None => self.changed_since(*kind, place.since, wanted).await,
                    Some(id) => self.changed_at(*kind, (place.since, id), wanted).await,
                }
            }
            Stream::Deleted(kind) => self.deleted(*kind, place).await,
            Stream::Joined(list) => self.joined(list, place).await,
            Stream::Roles => Ok(Traces::nothing()),
        }
    }

    /// What changed at an instant or later.
    async fn changed_since(&self, kind: Kind, since: Timestamp, wanted: &[String]) -> Result<Traces, Error> {
        let modified = modified_property(kind);
        let filters = vec![filter(modified, "GTE", since.as_millis())];
        let (mut traces, full) = self.search(kind, (filters, modified), wanted).await?;
        let last = traces.iter().map(|trace| trace.record.modified_at).max().filter(|_| full);
        let next = last.map(|last| {
            traces.retain(|trace| trace.record.modified_at < last);
            let after = traces.is_empty().then(|| "0".to_owned());
            Place { since: last, after }
        });
        Ok(Traces { traces, next })
    }

    /// What changed at one instant, beyond an id.
    async fn changed_at(
        &self,
        kind: Kind,
        (at, after): (Timestamp, &str),
        wanted: &[String],
    ) -> Result<Traces, Error> {
        let (modified, at_ms) = (modified_property(kind), at.as_millis());
        let beyond = Filter { property_name: ID, operator: "GT", value: after.to_owned() };
        let filters = vec![filter(modified, "GTE", at_ms), filter(modified, "LTE", at_ms), beyond];
        let (traces, full) = self.search(kind, (filters, ID), wanted).await?;
        let last = traces.iter().map(|trace| trace.record.key).max().filter(|_| full);
        let next = match last {
            Some(key) => Place { since: at, after: Some(key.id().to_string()) },
            None => Place::since(at.plus_millis(1)),
        };
        Ok(Traces { traces, next: Some(next) })
    }

    /// One page of a search, and whether there is more.
    async fn search(
        &self,
        kind: Kind,
        (filters, order): (Vec<Filter<'_>>, &str),
        wanted: &[String],
    ) -> Result<(Vec<Trace>, bool), Error> {
        self.pace().take(self.now())?;
        let modified = modified_property(kind);
        let wanted = wanted.iter().map(String::as_str);
        let mut search = Search {
            filter_groups: vec![Group { filters }],
            sorts: [Sort { property_name: order, direction: "ASCENDING" }],
            properties: wanted.chain([modified, CREATED]).collect(),
            limit: SEARCH_PAGE_MAX,
        };
        let length = serde_json::to_string(&search).map_or(0, |body| body.chars().count());
        if length > SEARCH_CHARACTERS_MAX {
            // Without its fields a paired record cannot be told from one that moved, and is read like one. One without a pair
            // would not be, so that what it was merged of is asked for as ever.
            search.properties.retain(|name| [MERGED_IDS_PROPERTY, modified, CREATED].contains(name));
        }
        let answer: ListAnswer = self.post("search", self.objects(kind, "/search"), &search).await?;
        let full = answer.results.len() >= SEARCH_PAGE_MAX
            || answer.paging.is_some_and(|paging| paging.next.is_some());
        let trace = |object: Object| {
            let mut record = object.into_record(kind)?;
            let told = |name: &str| record.fields.get(name).and_then(Value::as_text);
            let modified_at = told(modified).as_deref().and_then(Timestamp::parse);
            let edited_at = told(CREATED).as_deref().and_then(Timestamp::parse);
            record.modified_at = modified_at.unwrap_or(record.modified_at);
            Some(Trace { record, deed: Deed::Changed, edited_at })
        };
        Ok((answer.results.into_iter().filter_map(trace).collect(), full))
    }

    /// A page of deleted records, in the order of their ids.
    async fn deleted(&self, kind: Kind, place: &Place) -> Result<Traces, Error> {
        let after = parameter(place);
        let rest = format!("?limit={BATCH_MAX}&archived=true&properties={ID}{after}");
        let answer: ListAnswer = self.get("list/archived", self.objects(kind, &rest)).await?;
        let next = next_place(answer.paging, place.since);
        let trace = |object: Object| {
            Some(Trace { record: object.into_record(kind)?, deed: Deed::Gone, edited_at: None })
        };
        Ok(Traces { traces: answer.results.into_iter().filter_map(trace).collect(), next })
    }

    /// A page of a list's members, in the order in which they joined.
    async fn joined(&self, list: &str, place: &Place) -> Result<Traces, Error> {
        let after = parameter(place);
        let rest = format!("/{list}/memberships/join-order?limit={MEMBERS_PAGE_MAX}{after}");
        let answer: Members = self.get("lists/join-order", self.path("lists", &rest)).await?;
        let next = next_place(answer.paging, place.since);
        let trace = |member: Member| {
            let key = RecordKey::parse(Kind::HubspotContact, &member.record_id).ok()?;
            let joined_at = member.membership_timestamp.as_deref().and_then(Timestamp::parse);
            // A member of whom it is not told when they joined may have joined just now.
            let modified_at = joined_at.unwrap_or(place.since);
            let record = Record { key, fields: Fields::new(), modified_at, modified_by: None };
            Some(Trace { record, deed: Deed::Related, edited_at: None })
        };
        Ok(Traces { traces: answer.results.into_iter().filter_map(trace).collect(), next })
    }
}

fn filter<'a>(property_name: &'a str, operator: &'static str, millis: i64) -> Filter<'a> {
    Filter { property_name, operator, value: millis.to_string() }
}

fn parameter(place: &Place) -> String {
    let after = place.after.clone().map(|after| NextPage { after }.parameter());
    after.unwrap_or_default()
}

fn next_place(paging: Option<Paging>, since: Timestamp) -> Option<Place> {
    let next = paging.and_then(|paging| paging.next)?;
    Some(Place { since, after: Some(next.after) })
}
