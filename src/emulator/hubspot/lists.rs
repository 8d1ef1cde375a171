//! Lists and who is in them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::Reply;
use crate::emulator::hubspot::records::not_found;
use crate::emulator::hubspot::rest::{Call, error, refused};

/// The most records whose memberships one call tells.
const INPUTS_MAX: usize = 100;

/// The largest page of members.
const PAGE_MAX: usize = 250;

/// Lists of contacts.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<String, List>);

/// A list: its members, when each of them joined, and whether people keep them by hand.
#[derive(Debug, Default)]
struct List {
    members: BTreeMap<u64, Timestamp>,
    manual: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    object_type_id: String,
    record_id: String,
}

impl Lists {
    /// Lets a list hold these contacts and no others; those that are new to it join now.
    pub(super) fn set(&mut self, list: &str, members: &BTreeSet<u64>, manual: bool, now: Timestamp) {
        let held = self.0.entry(list.to_owned()).or_default();
        held.manual = manual;
        held.members.retain(|id, _| members.contains(id));
        for id in members {
            held.members.entry(*id).or_insert(now);
        }
    }

    /// The definition of a list; `None` where there is none.
    pub(super) fn shown(&self, list: &str) -> Option<Json> {
        let List { members, manual } = self.0.get(list)?;
        Some(json!({ "list": {
            "listId": list, "listVersion": 1, "name": format!("List {list}"), "objectTypeId": "0-1",
            "processingType": if *manual { "MANUAL" } else { "DYNAMIC" }, "processingStatus": "COMPLETE", "size": members.len(),
        } }))
    }

    /// A page of a list's members, in the order of their ids; `None` where there is no such list.
    pub(super) fn members(&self, list: &str, limit: usize, after: u64) -> Option<Json> {
        let members = &self.0.get(list)?.members;
        let mut rest = members.range(after + 1..);
        let page: Vec<u64> = rest.by_ref().take(limit).map(|(id, _)| *id).collect();
        let results: Vec<Json> = page.iter().map(|id| json!({ "recordId": id.to_string() })).collect();
        let mut body = json!({ "results": results, "total": members.len() });
        if let (Some(last), true) = (page.last(), rest.next().is_some()) {
            body["paging"] = json!({ "next": { "after": last.to_string() } });
        }
        Some(body)
    }

    /// The memberships of each record asked about.
    pub(super) fn memberships(&self, body: &[u8]) -> Result<Json, String> {
        let batch: Batch = serde_json::from_slice(body).map_err(|problem| problem.to_string())?;
        if batch.inputs.len() > INPUTS_MAX || batch.inputs.iter().any(|input| input.object_type_id != "0-1") {
            return Err("at most 100 inputs, and contacts only in this emulator".to_owned());
        }
        let told = |input: &Input| {
            let id = input.record_id.parse::<u64>().ok();
            let holding =
                self.0.iter().filter(|(_, held)| id.is_some_and(|id| held.members.contains_key(&id)));
            let memberships: Vec<Json> = holding
                .map(|(list, _)| json!({ "listId": list, "listVersion": 1, "isPublicList": true }))
                .collect();
            json!({
                "objectTypeId": input.object_type_id, "recordId": input.record_id,
                "recordListMemberships": memberships,
            })
        };
        Ok(json!({ "status": "COMPLETE", "results": batch.inputs.iter().map(told).collect::<Vec<_>>() }))
    }
}

impl Call<'_> {
    /// The members of a list in the order in which they joined. What `after` holds is opaque to callers; here it is the last member
    /// of the page before.
    pub(super) fn join_order(&self, list: &str) -> Reply {
        let endpoint = "lists/join-order";
        let state = self.emulator.state();
        let Some(List { members, .. }) = state.lists.0.get(list) else {
            return refused(endpoint, &not_found());
        };
        let limit = self.asked.query_value("limit").map_or(Ok(100), str::parse);
        let after = self.asked.query_value("after").map(place).transpose();
        let (Ok(limit @ 1..=PAGE_MAX), Ok(after), None) = (limit, after, self.asked.query_value("before"))
        else {
            let message =
                "limit must be from 1 to 250, after a place, and there is no before in this emulator";
            return error(endpoint, 400, "VALIDATION_ERROR", message);
        };
        let mut joined: Vec<(Timestamp, u64)> = members.iter().map(|(id, at)| (*at, *id)).collect();
        joined.sort_unstable();
        let mut rest = joined.iter().filter(|member| after.is_none_or(|after| **member > after)).peekable();
        let page: Vec<&(Timestamp, u64)> = rest.by_ref().take(limit).collect();
        let results: Vec<Json> = page
            .iter()
            .map(|(at, id)| json!({ "recordId": id.to_string(), "membershipTimestamp": at.to_string() }))
            .collect();
        let mut body = json!({ "results": results, "total": members.len() });
        if let (Some((at, id)), Some(_)) = (page.last(), rest.peek()) {
            let after = URL_SAFE_NO_PAD.encode(format!("{}:{id}", at.as_millis()));
            body["paging"] = json!({ "next": { "after": after } });
        }
        Reply::json(endpoint, 200, &body)
    }
}

/// The member that a token names.
fn place(token: &str) -> Result<(Timestamp, u64), ()> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(drop)?;
    let text = String::from_utf8(bytes).map_err(drop)?;
    let (at, id) = text.split_once(':').ok_or(())?;
    Ok((Timestamp::from_millis(at.parse().map_err(drop)?), id.parse().map_err(drop)?))
}
