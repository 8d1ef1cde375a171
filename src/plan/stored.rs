//! What a CRM stored of what it was sent.
//!
//! | stored | what follows |
//! |---|---|
//! | what was sent | it is agreed on |
//! | something else: shortened, replaced by a flow | it is agreed on that both sides differ; this is no edit of anybody's, and the audit has what is stored |
//! | what was there before | likewise, and the field is set aside; it is sent again when somebody changes it on the other side |
//! | a field that was not written holds something new | the record is looked at again at once: a formula follows, or somebody edited it meanwhile |

use std::collections::BTreeMap;

use crate::domain::{Fields, Record, RecordKey, System, Timestamp, Value};
use crate::plan::mapping::{Mapping, Target};
use crate::plan::normal::Unfit;
use crate::plan::values::Words;
use crate::plan::{Agreed, Change, Rules, SetAside, Side, View, landed};

/// A record that was written, and what the CRM says it holds now.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The record.
    pub key: RecordKey,
    /// What was sent.
    pub changes: &'a [Change],
    /// What is stored; a field that is missing was not told.
    pub stored: &'a Fields,
}

/// What follows from what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// What is agreed on where that is not what was sent, by mapping.
    pub agreed: Vec<(String, Agreed)>,
    /// What fields hold instead of what they were sent.
    pub instead: BTreeMap<String, Value>,
    /// Whether fields that nobody sent anything to hold something that is to travel.
    pub brings: bool,
}

/// Compares what is stored with what was sent.
pub fn as_stored(view: &View, answered: &Answered<'_>, rules: &Rules) -> Stored {
    let kind = answered.key.kind();
    let before = [&view.hubspot, &view.salesforce].into_iter().find_map(|side| match side {
        Side::Present(record) if record.key == answered.key => Some(record),
        _ => None,
    });
    let mut stored = Stored::default();
    for change in answered.changes {
        let Some(held) = answered.stored.get(&change.field) else { continue };
        if landed(&change.field, kind, &change.new, held, rules) {
            continue;
        }
        stored.instead.insert(change.field.clone(), held.clone());
        let Some((property, agreed)) = &change.agrees else { continue };
        let mapping = rules.mappings(kind.family()).iter().find(|mapping| mapping.property == *property);
        let Some((mapping, target)) =
            mapping.and_then(|mapping| Some((mapping, target_of(mapping, view, answered)?)))
        else {
            continue;
        };
        let ignored = landed(&change.field, kind, &change.old, held, rules);
        let known = view.pair.as_ref().and_then(|pair| pair.base.get(property)?.aside.as_deref());
        let aside =
            ignored.then(|| SetAside::of(target, (&Unfit::NotStored, kind.system()), known, view.around.now));
        let held = normal_in(&after(answered, before), mapping, target, (view, rules));
        let agreed = apart(agreed.clone(), held, kind.system());
        stored.agreed.push((property.clone(), Agreed { aside: aside.map(Box::new), ..agreed }));
    }
    stored.brings = brings(view, answered, before, rules);
    stored
}

/// Whether a field that nobody sent anything to holds something new that passes to the other side.
fn brings(view: &View, answered: &Answered<'_>, before: Option<&Record>, rules: &Rules) -> bool {
    let (kind, after) = (answered.key.kind(), after(answered, before));
    let words = Words { rules, links: &view.around.links };
    let (other, towards) = match kind.system() {
        System::Hubspot => (&view.salesforce, System::Salesforce),
        System::Salesforce => (&view.hubspot, System::Hubspot),
    };
    rules.mappings(kind.family()).iter().any(|mapping| {
        let Some(target) = target_of(mapping, view, answered) else { return false };
        let field = if kind.system() == System::Hubspot { &mapping.property } else { &target.field };
        let rule = mapping.effective_rule(target);
        let passes =
            if towards == System::Hubspot { rule.writes_hubspot() } else { rule.writes_salesforce() };
        let is_told = answered.stored.contains_key(field);
        if !passes || !is_told || answered.changes.iter().any(|change| change.field == *field) {
            return false;
        }
        let held = normal_in(&after, mapping, target, (view, rules));
        let held_before = before.map(|before| normal_in(before, mapping, target, (view, rules)));
        let other = match other {
            Side::Present(other) => Some(normal_in(other, mapping, target, (view, rules))),
            _ => None,
        };
        let moved =
            held_before.map_or(!held.is_blank() && held != Value::Flag(false), |before| before != held);
        moved && other.as_ref() != Some(&held) && mapping.write_form(&held, target, towards, words).is_ok()
    })
}

/// The Salesforce field of a mapping, of the kind that the record or its counterpart is.
fn target_of<'a>(mapping: &'a Mapping, view: &View, answered: &Answered<'_>) -> Option<&'a Target> {
    let of_side = || match &view.salesforce {
        Side::Present(record) => mapping.target(record.key.kind()),
        _ => None,
    };
    match answered.key.system() {
        System::Salesforce => mapping.target(answered.key.kind()),
        System::Hubspot => of_side(),
    }
}

/// The record as it is now.
fn after(answered: &Answered<'_>, before: Option<&Record>) -> Record {
    let nothing = || Record {
        key: answered.key,
        fields: Fields::new(),
        modified_at: Timestamp::default(),
        modified_by: None,
    };
    let mut after = before.cloned().unwrap_or_else(nothing);
    after.fields.extend(answered.changes.iter().map(|change| (change.field.clone(), change.new.clone())));
    after.fields.extend(answered.stored.iter().map(|(field, value)| (field.clone(), value.clone())));
    after
}

fn normal_in(record: &Record, mapping: &Mapping, target: &Target, (view, rules): (&View, &Rules)) -> Value {
    mapping.read(record, target, Words { rules, links: &view.around.links }).0
}

/// What is agreed on where one side stored something else than what the other holds.
fn apart(agreed: Agreed, held: Value, stored_in: System) -> Agreed {
    let (hubspot, salesforce) = match stored_in {
        System::Salesforce => (agreed.value.clone(), held),
        System::Hubspot => (held, agreed.value.clone()),
    };
    let apart = (hubspot != salesforce).then_some(salesforce);
    Agreed { value: hubspot, apart, ..agreed }
}
