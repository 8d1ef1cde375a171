//! Lists and who is in them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::Reply;
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::properties::PropertySet;
use crate::emulator::hubspot::records::{Table, not_found};
use crate::emulator::hubspot::rest::{Call, error, refused};

/// The most records whose memberships one call tells.
const INPUTS_MAX: usize = 100;

/// The largest page of members.
const PAGE_MAX: usize = 250;

/// Lists of contacts.
#[derive(Debug, Default)]
pub(super) struct Lists {
    by_id: BTreeMap<String, List>,
    /// How long after a contact changed the active lists are evaluated for it.
    pub(super) lag_ms: i64,
    /// The contacts to be evaluated, and when.
    due: Vec<(Timestamp, u64)>,
}

/// A list: its members, when each of them joined, and who decides about them.
#[derive(Debug)]
struct List {
    members: BTreeMap<u64, Timestamp>,
    rule: Rule,
}

/// Who is in a list.
#[derive(Debug)]
enum Rule {
    /// Whom people put there.
    Manual,
    /// All contacts that hold these values. A blank value stands for a property that holds none.
    Active(Filters),
}

/// The values that members of an active list hold.
pub(super) type Filters = BTreeMap<String, String>;

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
    /// Lets a list that people keep by hand hold these contacts and no others; those that are new to it join now.
    pub(super) fn set_manual(&mut self, list: &str, members: &BTreeSet<u64>, now: Timestamp) {
        let held = self.put(list, Rule::Manual);
        held.members.retain(|id, _| members.contains(id));
        for id in members {
            held.members.entry(*id).or_insert(now);
        }
    }

    /// Lets a list hold the contacts with these values: now, and whenever one of them changes.
    pub(super) fn set_active(&mut self, list: &str, filters: Filters, contacts: &Table, now: Timestamp) {
        let held = self.put(list, Rule::Active(filters));
        let gone: Vec<u64> = held
            .members
            .keys()
            .copied()
            .filter(|id| contacts.get(*id).is_none_or(|held| held.id != *id))
            .collect();
        for id in contacts.live_ids().into_iter().chain(gone) {
            held.evaluate(id, contacts, now);
        }
    }

    fn put(&mut self, list: &str, rule: Rule) -> &mut List {
        let held = self.by_id.entry(list.to_owned());
        let held = held.or_insert_with(|| List { members: BTreeMap::new(), rule: Rule::Manual });
        held.rule = rule;
        held
    }

    /// A record changed, came or went.
    pub(super) fn changed(&mut self, object: Object, id: u64, now: Timestamp) {
        if object == Object::Contact && !self.by_id.is_empty() {
            self.due.push((now.plus_millis(self.lag_ms), id));
        }
    }

    /// Evaluates what is due. It must be called before a contact changes, so that a membership is decided by the values that the
    /// contact held when it was due.
    pub(super) fn settle(&mut self, now: Timestamp, contacts: &Table) {
        let (due, later) = std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        let due: Vec<(Timestamp, u64)> = due;
        for (at, id) in due {
            self.by_id.values_mut().for_each(|list| list.evaluate(id, contacts, at));
        }
    }

    /// The definition of a list, with its filters where they are asked for; `None` where there is none.
    pub(super) fn shown(&self, list: &str, contacts: &PropertySet, with_filters: bool) -> Option<Json> {
        let List { members, rule } = self.by_id.get(list)?;
        let (processing_type, filters) = match rule {
            Rule::Manual => ("MANUAL", None),
            Rule::Active(filters) => ("DYNAMIC", Some(filters)),
        };
        let mut shown = json!({
            "listId": list, "listVersion": 1, "name": format!("List {list}"), "objectTypeId": "0-1",
            "processingType": processing_type, "processingStatus": "COMPLETE", "size": members.len(),
        });
        if let Some(filters) = filters.filter(|_| with_filters) {
            let filters: Vec<Json> = filters.iter().map(|filter| filter_shown(filter, contacts)).collect();
            shown["filterBranch"] = json!({
                "filterBranchType": "OR", "filterBranchOperator": "OR", "filters": [],
                "filterBranches": [{
                    "filterBranchType": "AND", "filterBranchOperator": "AND", "filterBranches": [], "filters": filters,
                }],
            });
        }
        Some(json!({ "list": shown }))
    }

    /// A page of a list's members, in the order of their ids; `None` where there is no such list.
    pub(super) fn members(&self, list: &str, limit: usize, after: u64) -> Option<Json> {
        let members = &self.by_id.get(list)?.members;
        let mut rest = members.range(after + 1..);
        let page: Vec<(u64, Timestamp)> = rest.by_ref().take(limit).map(|(id, at)| (*id, *at)).collect();
        let results: Vec<Json> = page.iter().map(|(id, at)| member(*id, *at)).collect();
        let mut body = json!({ "results": results, "total": members.len() });
        if let (Some((last, _)), true) = (page.last(), rest.next().is_some()) {
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
            let holding = self.by_id.iter().filter_map(|(list, held)| Some((list, held.members.get(&id?)?)));
            let memberships: Vec<Json> = holding
                .map(|(list, at)| {
                    json!({
                        "listId": list, "listVersion": 1, "isPublicList": true,
                        "firstAddedTimestamp": at.to_string(), "lastAddedTimestamp": at.to_string(),
                    })
                })
                .collect();
            json!({
                "objectTypeId": input.object_type_id, "recordId": input.record_id,
                "recordListMemberships": memberships,
            })
        };
        Ok(json!({ "status": "COMPLETE", "results": batch.inputs.iter().map(told).collect::<Vec<_>>() }))
    }
}

impl List {
    /// Lets a contact join or leave, as the list's rule has it. Nobody who is gone stays.
    fn evaluate(&mut self, id: u64, contacts: &Table, at: Timestamp) {
        let contact = contacts.get(id).filter(|contact| contact.id == id);
        let belongs = match (&self.rule, contact) {
            (_, None) => false,
            (Rule::Manual, Some(_)) => return,
            (Rule::Active(filters), Some(contact)) => filters
                .iter()
                .all(|(name, value)| contact.properties.get(name).map_or("", String::as_str) == value),
        };
        if belongs {
            self.members.entry(id).or_insert(at);
        } else {
            self.members.remove(&id);
        }
    }
}

fn member(id: u64, at: Timestamp) -> Json {
    json!({ "recordId": id.to_string(), "membershipTimestamp": at.to_string() })
}

/// A filter as a definition has it; the operation goes by the type of its property.
fn filter_shown((name, value): (&String, &String), contacts: &PropertySet) -> Json {
    let value_type = contacts.get(name).map_or("string", |property| property.value_type);
    let mut operation = match value_type {
        _ if value.is_empty() => json!({ "operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN" }),
        "enumeration" => {
            json!({ "operationType": "ENUMERATION", "operator": "IS_ANY_OF", "values": [value] })
        }
        "number" => {
            let value = value.parse::<f64>().ok();
            json!({ "operationType": "NUMBER", "operator": "IS_EQUAL_TO", "value": value })
        }
        "bool" => json!({ "operationType": "BOOL", "operator": "IS_EQUAL_TO", "value": value == "true" }),
        _ => json!({ "operationType": "MULTISTRING", "operator": "IS_EQUAL_TO", "values": [value] }),
    };
    operation["includeObjectsWithNoValueSet"] = json!(value.is_empty());
    json!({ "filterType": "PROPERTY", "property": name, "operation": operation })
}

impl Call<'_> {
    pub(super) fn list_definition(&self, list: &str) -> Reply {
        let (now, state) = (self.emulator.now(), &mut *self.emulator.state());
        state.settle_lists(now);
        let with_filters = self.asked.query_value("includeFilters") == Some("true");
        match state.lists.shown(list, &state.table(Object::Contact).set, with_filters) {
            Some(shown) => Reply::json("lists", 200, &shown),
            None => refused("lists", &not_found()),
        }
    }

    /// The members of a list in the order in which they joined. What `after` holds is opaque to callers; here it is the last member
    /// of the page before.
    pub(super) fn join_order(&self, list: &str) -> Reply {
        let endpoint = "lists/join-order";
        let (now, mut state) = (self.emulator.now(), self.emulator.state());
        let Some(List { members, .. }) = state.lists_at(now).by_id.get(list) else {
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
        let results: Vec<Json> = page.iter().map(|(at, id)| member(*id, *at)).collect();
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
