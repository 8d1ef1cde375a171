//! Saying what is known of each field, and four questions that memory asks in terms of the mappings.

use serde::Serialize;

use crate::domain::{Fields, Kind, Record, System, Value};
use crate::plan::lifecycle::stage_moved_since;
use crate::plan::mapping::{Mapping, Meaning};
use crate::plan::values::Words;
use crate::plan::{Base, Decision, Links, Pair, Plan, Rules, Side, View};

/// One mapping, as the explanation shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedField {
    /// The HubSpot property.
    pub hubspot: String,
    /// The Salesforce field, where this kind of record has one.
    pub salesforce: Option<String>,
    /// What both sides last agreed on.
    pub base: Option<String>,
    /// What HubSpot holds.
    pub hubspot_value: Option<String>,
    /// What Salesforce holds.
    pub salesforce_value: Option<String>,
    /// The rule that decides.
    pub rule: &'static str,
    /// What it decides.
    pub decision: Decision,
}

/// Explains every mapping of a view.
pub fn explain(view: &View, rules: &Rules, plan: &Plan) -> Vec<ExplainedField> {
    let kind = salesforce_kind(view);
    let hubspot = present(&view.hubspot);
    let salesforce = present(&view.salesforce);
    let agreed = view.pair.as_ref().map(|pair| &pair.base);
    let held = |record: Option<&Record>, field: &str| {
        record.and_then(|record| record.fields.get(field)).and_then(Value::as_text).map(String::from)
    };
    let explained = |mapping: &crate::plan::Mapping| {
        let target = kind.and_then(|kind| mapping.target(kind));
        let why = plan.why.iter().find(|why| why.property.as_deref() == Some(&mapping.property));
        ExplainedField {
            hubspot: mapping.property.clone(),
            salesforce: target.map(|target| target.field.clone()),
            base: agreed
                .and_then(|base| base.get(&mapping.property))
                .and_then(|agreed| agreed.value.as_text())
                .map(String::from),
            hubspot_value: held(hubspot, &mapping.property),
            salesforce_value: target.and_then(|target| held(salesforce, &target.field)),
            rule: why.map_or(mapping.rule.number(), |why| why.rule),
            decision: why.map_or(Decision::Keep, |why| why.decision),
        }
    };
    rules.mappings(view.family()).iter().map(explained).collect()
}

fn salesforce_kind(view: &View) -> Option<Kind> {
    let of_pair = view.pair.as_ref().map(|pair| pair.salesforce.kind());
    of_pair.or_else(|| present(&view.salesforce).map(|record| record.key.kind()))
}

const fn present(side: &Side) -> Option<&Record> {
    match side {
        Side::Present(record) => Some(record),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => None,
    }
}

/// What a Salesforce message tells that names our own user as the last author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Echo {
    /// Every mapped field holds what was last agreed on: our own write came back.
    Own,
    /// Every field that the message carries does. It leaves out fields that are blank, and fields that nobody put into it: what these hold,
    /// only the record tells. Somebody may have edited it between our read and our write, under which our user is the last author.
    Unclear,
    /// Something else happened as well.
    More,
}

/// Whether a message that names our own user tells of our own write and of nothing else.
pub fn echo(told: &Fields, kind: Kind, base: &Base, rules: &Rules) -> Echo {
    let links = Links::default();
    let words = Words { rules, links: &links };
    let of_mapping = |mapping: &Mapping| {
        let (Some(target), Some(agreed)) = (mapping.target(kind), base.get(&mapping.property)) else {
            return Echo::Own;
        };
        let told = told.get(&target.field);
        let held = mapping.normal_of(told.unwrap_or(&Value::Blank), System::Salesforce, target, words);
        match (held.is_ok_and(|held| held == *agreed.salesforce()), told) {
            (true, Some(_)) => Echo::Own,
            (true, None) => Echo::Unclear,
            (false, _) => Echo::More,
        }
    };
    rules.mappings(kind.family()).iter().map(of_mapping).max().unwrap_or(Echo::Own)
}

/// Whether all that a record of a pair holds is what was last agreed on: nothing of it is to pass, and nothing follows from its stage.
pub fn holds_what_was_agreed(record: &Record, pair: &Pair, links: &Links, rules: &Rules) -> bool {
    let words = Words { rules, links };
    let family = record.key.kind().family();
    let agrees = |mapping: &Mapping| {
        let target = mapping.target(pair.salesforce.kind());
        let (Some(target), Some(agreed)) = (target, pair.base.get(&mapping.property)) else { return true };
        let agreed = agreed.held_in(record.key.system());
        mapping.value_of(record, target, words).is_ok_and(|held| held == *agreed)
    };
    rules.mappings(family).iter().all(agrees) && !stage_moved_since(pair, record)
}

/// Whether a field that was to hold `new` holds it now, in the normal form of its type.
pub fn landed(field: &str, kind: Kind, new: &Value, now_holds: &Value, rules: &Rules) -> bool {
    let of_field = |mapping: &&crate::plan::Mapping| match kind.system() {
        System::Hubspot => mapping.property == field,
        System::Salesforce => mapping.target(kind).is_some_and(|target| target.field == field),
    };
    let plain = |mapping: &&crate::plan::Mapping| mapping.meaning == Meaning::Value;
    let mapping = rules.mappings(kind.family()).iter().find(of_field).filter(plain);
    let Some((mapping, target)) =
        mapping.and_then(|mapping| Some((mapping, mapping.targets.values().next()?)))
    else {
        return new.as_text() == now_holds.as_text();
    };
    let links = Links::default();
    let words = Words { rules, links: &links };
    let form = |value: &Value| mapping.normal_of(value, kind.system(), target, words);
    match (form(new), form(now_holds)) {
        (Ok(new), Ok(held)) => new == held,
        _ => new.as_text() == now_holds.as_text(),
    }
}
