//! Memberships of lists, a hundred records a call.

use std::collections::HashSet;

use futures::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

use crate::crm::Error;
use crate::crm::hubspot::client::{BATCH_MAX, HubspotClient};
use crate::crm::transport::side_by_side;
use crate::domain::RecordKey;

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

impl HubspotClient {
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
