//! Writes whose end nobody recorded: the process ended, or its lease was lost, between the call and its record.
//!
//! What such a write carried out is our own work and no edit of anybody's. Taken for an edit, it would win over the person who gave the
//! former value back on the other side (I9). A value that is neither the one before nor ours was given since, and is an edit. That is so only
//! as long as no later write of the field is recorded: what is agreed since counts.

use crate::domain::{Record, RecordKey, System, Timestamp, Value};
use crate::plan::defaults::{ADDRESS, OPT_OUT};
use crate::plan::mapping::Mapping;
use crate::plan::rules::LIFECYCLE_PROPERTY;
use crate::plan::values::Words;
use crate::plan::{Agreed, Pair, Rules, Side, View, competing, landed};

/// A write that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// When.
    pub at: Timestamp,
    /// The record that was to be written.
    pub key: RecordKey,
    /// Its property or field.
    pub field: String,
    /// What it held.
    pub old: Value,
    /// What it was to hold.
    pub new: Value,
}

/// Takes what begun writes carried out into what both sides of a pair agree on, as their end would have. Where one of them wrote to the
/// Salesforce record, somebody may have edited that shortly before, so that it counts as edited just then.
pub fn take_in(view: &mut View, begun: &[Begun], rules: &Rules) {
    let View { pair: Some(pair), hubspot, salesforce, around } = view else { return };
    let words = Words { rules, links: &around.links };
    let sides = [&*hubspot, &*salesforce].into_iter().filter_map(|side| match side {
        Side::Present(record) => Some(record),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => None,
    });
    // What a lead became may have been written before anybody recorded that it took its place.
    let candidates = around.candidates.iter().map(|candidate| &candidate.record);
    // What was begun before the two were linked was meant for the former counterpart of one of them.
    let linked_at = competing::linked_at(&pair.base);
    let meant = || begun.iter().filter(|write| linked_at.is_none_or(|linked_at| write.at > linked_at));
    let mut address_moved = false;
    for record in sides.chain(candidates) {
        for write in meant().filter(|write| write.key == record.key) {
            if let Some((property, agreed)) = agreed_by(write, record, pair, words) {
                address_moved |= property == ADDRESS && record.key.system() == System::Hubspot;
                pair.base.insert(&property, agreed);
            }
        }
    }
    // Nothing is agreed about a new address, which is in: it is to be opted out as the former one was.
    if address_moved {
        pair.base.insert(OPT_OUT, Agreed::pending());
    }
    if let Side::Present(record) = salesforce
        && meant().any(|write| write.key == record.key)
    {
        competing::count_as_edited(&mut pair.base, record);
    }
}

/// What a begun write makes both sides agree on, and for which property; `None` where it was not carried out, as far as can be seen.
fn agreed_by(write: &Begun, record: &Record, pair: &Pair, words: Words<'_>) -> Option<(String, Agreed)> {
    let (system, kind, rules) = (record.key.system(), pair.salesforce.kind(), words.rules);
    let held = record.fields.get(&write.field)?;
    let holds = |value: &Value| landed(&write.field, record.key.kind(), value, held, rules);
    let is_written = holds(&write.new);
    // A stage goes back by being cleared and then set: a blank is the first half.
    let is_half = write.field == LIFECYCLE_PROPERTY && held.is_blank();
    if !is_written && (holds(&write.old) || is_half) {
        return None;
    }
    let is_its = |mapping: &&Mapping| match system {
        System::Hubspot => mapping.property == write.field,
        System::Salesforce => {
            mapping.target(record.key.kind()).is_some_and(|target| target.field == write.field)
        }
    };
    let mapping = rules.mappings(kind.family()).iter().find(is_its)?;
    let own = mapping.target(record.key.kind()).or_else(|| mapping.target(kind));
    let target = own.or_else(|| mapping.targets.values().next())?;
    let value = if is_written {
        mapping.value_of(record, target, words)
    } else {
        let was = mapping.normal_of(&write.old, system, target, words);
        let is = mapping.value_of(record, target, words);
        if let (Some(agreed), Ok(was), Ok(is)) = (pair.base.get(&mapping.property), was, is)
            && agreed.has_moved_on(system, &was, &is)
        {
            return None;
        }
        mapping.normal_of(&write.new, system, target, words)
    };
    Some((mapping.property.clone(), Agreed::new(value.ok()?)))
}
