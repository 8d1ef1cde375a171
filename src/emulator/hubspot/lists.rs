//! Lists and who is in them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The most records whose memberships one call tells.
const INPUTS_MAX: usize = 100;

/// Lists of contacts.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<String, List>);

/// A list: its members, and whether people keep them by hand.
#[derive(Debug)]
struct List {
    members: BTreeSet<u64>,
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
    /// Lets a list hold these contacts and no others.
    pub(super) fn set(&mut self, list: &str, members: BTreeSet<u64>, manual: bool) {
        self.0.insert(list.to_owned(), List { members, manual });
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
        let page: Vec<u64> = rest.by_ref().take(limit).copied().collect();
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
            let holding = self.0.iter().filter(|(_, held)| id.is_some_and(|id| held.members.contains(&id)));
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
