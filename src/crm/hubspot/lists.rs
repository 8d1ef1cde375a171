//! Lists and their memberships.

use std::collections::{BTreeSet, HashSet};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::crm::hubspot::client::{BATCH_MAX, HubspotClient};
use crate::crm::hubspot::wire::{NextPage, Paging};
use crate::crm::transport::side_by_side;
use crate::crm::{Error, Page};
use crate::domain::{Kind, RecordKey};
use crate::plan::Category;
use crate::plan::inclusion::ListFilter;
use crate::plan::resolve::ListKind;

/// The most members in one page.
const MEMBERS_MAX: usize = 250;

/// The type of contacts in the lists API.
const CONTACTS: &str = "0-1";

#[derive(Serialize)]
struct Batch {
    inputs: Vec<Input>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    object_type_id: &'static str,
    record_id: String,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Memberships>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memberships {
    record_id: String,
    #[serde(default)]
    record_list_memberships: Vec<Membership>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    list_id: String,
}

#[derive(Deserialize)]
struct Definition {
    list: List,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    object_type_id: String,
    processing_type: String,
    #[serde(default)]
    filter_branch: Option<FilterBranch>,
}

/// What decides who is in an active list: filters, and branches of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct FilterBranch {
    #[serde(rename = "filterBranchType")]
    joined_by: String,
    #[serde(rename = "filterBranches")]
    branches: Vec<FilterBranch>,
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    filter_type: String,
    #[serde(default)]
    property: Option<String>,
}

impl FilterBranch {
    /// Adds the properties it looks at. Returns whether it looks at nothing else.
    fn looks_only_at(&self, properties: &mut BTreeSet<String>) -> bool {
        let mut only = matches!(self.joined_by.as_str(), "OR" | "AND");
        for filter in &self.filters {
            match &filter.property {
                Some(property) if filter.filter_type == "PROPERTY" => {
                    properties.insert(property.clone());
                }
                _ => only = false,
            }
        }
        self.branches.iter().fold(only, |only, branch| branch.looks_only_at(properties) && only)
    }
}

impl List {
    fn filter(&self) -> ListFilter {
        let mut properties = BTreeSet::new();
        match &self.filter_branch {
            _ if self.processing_type != "DYNAMIC" => ListFilter::Manual,
            Some(branch) if branch.looks_only_at(&mut properties) => ListFilter::Properties(properties),
            _ => ListFilter::Other,
        }
    }
}

#[derive(Deserialize)]
struct Members {
    results: Vec<Member>,
    #[serde(default)]
    paging: Option<Paging>,
    #[serde(default)]
    total: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    record_id: String,
}

impl HubspotClient {
    pub(super) async fn kind_of_list(&self, list: &str) -> Result<Option<ListKind>, Error> {
        let url = self.path("lists", &format!("/{}?includeFilters=true", segment(list)));
        match self.get::<Definition>("lists", url).await {
            Ok(Definition { list }) => Ok(Some(ListKind {
                of_contacts: list.object_type_id == CONTACTS,
                is_active: list.processing_type == "DYNAMIC",
                filter: list.filter(),
            })),
            Err(Error::Refused(refusal)) if refusal.category == Category::RecordUnavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn page_of_list(&self, list: &str, after: Option<&str>) -> Result<Page, Error> {
        let after = after.map(|after| NextPage { after: after.to_owned() }.parameter()).unwrap_or_default();
        let rest = format!("/{}/memberships?limit={MEMBERS_MAX}{after}", segment(list));
        let answer: Members = self.get("lists/members", self.path("lists", &rest)).await?;
        let key = |member: &Member| RecordKey::parse(Kind::HubspotContact, &member.record_id).ok();
        Ok(Page {
            keys: answer.results.iter().filter_map(key).collect(),
            next: answer.paging.and_then(|paging| paging.next).map(|next| next.after),
            total: answer.total,
        })
    }

    /// Whether each contact is a member of the list.
    pub(super) async fn members_of(&self, list: &str, keys: &[RecordKey]) -> Vec<Result<bool, Error>> {
        let mut calls: Vec<BoxFuture<'_, Vec<Result<bool, Error>>>> = Vec::new();
        for chunk in keys.chunks(BATCH_MAX) {
            calls.push(self.members_of_chunk(list, chunk).boxed());
        }
        side_by_side(calls, self.calls_in_flight()).await.into_iter().flatten().collect()
    }

    async fn members_of_chunk(&self, list: &str, keys: &[RecordKey]) -> Vec<Result<bool, Error>> {
        let input = |key: &RecordKey| Input { object_type_id: CONTACTS, record_id: key.id().to_string() };
        let body = Batch { inputs: keys.iter().map(input).collect() };
        let url = self.path("lists", "/records/memberships/batch/read");
        let answer: Answer = match self.post("lists/memberships", url, &body).await {
            Ok(answer) => answer,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let is_member = |record: &Memberships| {
            record.record_list_memberships.iter().any(|membership| membership.list_id == list)
        };
        let members: HashSet<String> =
            answer.results.into_iter().filter(is_member).map(|record| record.record_id).collect();
        keys.iter().map(|key| Ok(members.contains(&key.id().to_string()))).collect()
    }
}

/// A list's id as a part of a path: it comes from people.
fn segment(list: &str) -> PercentEncode<'_> {
    utf8_percent_encode(list, NON_ALPHANUMERIC)
}
