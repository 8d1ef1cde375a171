//! Writes whose end nobody recorded: the process ended, or its lease was lost, between the call and its record.
//!
//! What such a write carried out is our own work and no edit of anybody's. Taken for an edit, it would win over the person who gave the
//! former value back on the other side (I9).

use crate::domain::{RecordKey, System, Value};
use crate::plan::mapping::Mapping;
use crate::plan::values::Words;
use crate::plan::{Agreed, Rules, Side, View, competing, landed};

/// A write that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// The record that was to be written.
    pub key: RecordKey,
    /// Its property or field.
    pub field: String,
    /// What it was to hold.
    pub new: Value,
}

/// Takes what begun writes carried out into what both sides of a pair agree on, as their end would have. Where one of them wrote to the
/// Salesforce record, somebody may have edited that shortly before, so that it counts as edited just then.
pub fn take_in(view: &mut View, begun: &[Begun], rules: &Rules) {
    let View { pair: Some(pair), hubspot, salesforce, around } = view else { return };
    let kind = pair.salesforce.kind();
    let words = Words { rules, links: &around.links };
    for side in [&*hubspot, &*salesforce] {
        let Side::Present(record) = side else { continue };
        for write in begun.iter().filter(|write| write.key == record.key) {
            let held = record.fields.get(&write.field);
            if !held.is_some_and(|held| landed(&write.field, record.key.kind(), &write.new, held, rules)) {
                continue;
            }
            let of_field = |mapping: &&Mapping| match record.key.system() {
                System::Hubspot => mapping.property == write.field,
                System::Salesforce => mapping.target(kind).is_some_and(|target| target.field == write.field),
            };
            let mapping = rules.mappings(kind.family()).iter().find(of_field);
            if let Some((mapping, target)) =
                mapping.and_then(|mapping| Some((mapping, mapping.target(kind)?)))
                && let Ok(value) = mapping.value_of(record, target, words)
            {
                pair.base.insert(&mapping.property, Agreed::new(value));
            }
        }
    }
    if let Side::Present(record) = salesforce
        && begun.iter().any(|write| write.key == record.key)
    {
        competing::count_as_edited(&mut pair.base, record);
    }
}
