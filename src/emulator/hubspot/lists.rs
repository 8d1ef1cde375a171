//! Lists and who is in them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The most records whose memberships one call tells.
const INPUTS_MAX: usize = 100;

/// Members by list.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<String, BTreeSet<u64>>);

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
    pub(super) fn set(&mut self, list: &str, members: BTreeSet<u64>) {
        self.0.insert(list.to_owned(), members);
    }

    /// The definition of a list; `None` where there is none.
    pub(super) fn shown(&self, list: &str) -> Option<Json> {
        let members = self.0.get(list)?;
        Some(json!({ "list": {
            "listId": list, "listVersion": 1, "name": format!("List {list}"), "objectTypeId": "0-1",
            "processingType": "DYNAMIC", "processingStatus": "COMPLETE", "size": members.len(),
        } }))
    }

    /// The memberships of each record asked about.
    pub(super) fn memberships(&self, body: &[u8]) -> Result<Json, String> {
        let batch: Batch = serde_json::from_slice(body).map_err(|problem| problem.to_string())?;
        if batch.inputs.len() > INPUTS_MAX || batch.inputs.iter().any(|input| input.object_type_id != "0-1") {
            return Err("at most 100 inputs, and contacts only in this emulator".to_owned());
        }
        let told = |input: &Input| {
            let id = input.record_id.parse::<u64>().ok();
            let holding = self.0.iter().filter(|(_, members)| id.is_some_and(|id| members.contains(&id)));
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
