//! Records of one address that compete for a HubSpot contact: the one that people modified most recently is the twin.
//!
//! What we wrote counts for neither side, so each pair remembers when somebody else last modified its Salesforce record. A record that lost
//! is remembered by what it held: it competes again only when a mapped field of it holds something else. Otherwise two portals on one
//! organization, each of which takes its own id from a record that it lets go, could hand one record back and forth for ever.

use sha2::{Digest, Sha256};

use crate::domain::{Record, RecordKey, Timestamp, Value};
use crate::plan::links::Links;
use crate::plan::mapping::Mapping;
use crate::plan::values::Words;
use crate::plan::{Agreed, Base, Pair, Rules};

/// The name under which the base remembers when somebody else than us last modified the Salesforce record.
const EDITED_AT: &str = "edited at";

/// The name under which the base remembers when a record took another counterpart.
const LINKED_AT: &str = "linked at";

/// What the names begin with under which the base remembers what a record held that was let go.
const RELEASED: &str = "released";

/// The record that takes the place of the linked one, if one of those with the address was modified more recently.
pub(super) fn contender<'a>(
    records: impl Iterator<Item = &'a Record>,
    (linked, pair): (&Record, &Pair),
    rules: &Rules,
) -> Option<&'a Record> {
    let linked_at = edited_at(linked, &pair.base, rules);
    let competes = |record: &&Record| {
        let known = pair.base.get(&name_of(record.key)).and_then(|agreed| agreed.value.as_text());
        let unchanged = known.is_some_and(|known| known == fingerprint(record, rules));
        !is_ours(record, rules) && record.modified_at > linked_at && !unchanged
    };
    records.filter(competes).max_by_key(|record| record.modified_at)
}

/// Which of several records of one kind and address becomes the counterpart of the contact that has it: the one that somebody else than us
/// modified last; of several the first.
pub fn latest<'a>(records: impl IntoIterator<Item = &'a Record>, rules: &Rules) -> Option<RecordKey> {
    let rank = |record: &Record| (!is_ours(record, rules), record.modified_at);
    let later =
        |latest: &'a Record, record: &'a Record| if rank(record) > rank(latest) { record } else { latest };
    records.into_iter().reduce(later).map(|record| record.key)
}

/// Whether nobody else wrote to a Salesforce record since we did.
pub(super) fn is_ours(record: &Record, rules: &Rules) -> bool {
    record.modified_by.is_some() && record.modified_by == rules.salesforce_author
}

/// When somebody else than us last modified the linked record, as far as we saw it.
fn edited_at(linked: &Record, base: &Base, rules: &Rules) -> Timestamp {
    last_edit(base).filter(|_| is_ours_alone(linked, base, rules)).unwrap_or(linked.modified_at)
}

/// Whether nobody else wrote to the linked record since we last looked at it. Somebody who did so before our own last write left no name on
/// the record, but a value that was neither agreed on nor seen before. They count with the time of that write: any earlier one is unknown.
fn is_ours_alone(linked: &Record, base: &Base, rules: &Rules) -> bool {
    let (kind, links) = (linked.key.kind(), Links::default());
    let words = Words { rules, links: &links };
    let is_new = |mapping: &Mapping| {
        let target =
            mapping.target(kind).filter(|target| target.schema.updateable && !target.schema.calculated)?;
        let agreed = base.get(&mapping.property).filter(|agreed| !agreed.pending)?;
        let (held, _) = mapping.read(linked, target, words);
        let seen = agreed.seen.as_ref().is_some_and(|seen| seen.value == held);
        Some(held != *agreed.salesforce() && !seen)
    };
    is_ours(linked, rules)
        && !rules.mappings(kind.family()).iter().any(|mapping| is_new(mapping) == Some(true))
}

/// When somebody else than us last modified the Salesforce record of a pair, as the pair remembers it.
fn last_edit(base: &Base) -> Option<Timestamp> {
    time_in(base, EDITED_AT)
}

/// When the two were linked, where one of them had another counterpart before: what was written to it earlier was meant for that one.
pub(super) fn linked_at(base: &Base) -> Option<Timestamp> {
    time_in(base, LINKED_AT)
}

/// Remembers that a record takes another counterpart now.
pub(super) fn count_as_linked(base: &mut Base, now: Timestamp) {
    base.insert(LINKED_AT, Agreed::new(millis(now)));
}

fn time_in(base: &Base, name: &str) -> Option<Timestamp> {
    let known = base.get(name).and_then(|agreed| agreed.value.as_text());
    known.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis)
}

fn millis(at: Timestamp) -> Value {
    Value::number(at.as_millis().to_string())
}

/// Remembers when somebody else than us last modified the linked record, `known` being what was agreed on before this look. Where we were the
/// last when it was linked, that is not known: it was before then.
pub(super) fn remember_edit(base: &mut Base, linked: &Record, known: &Base, rules: &Rules) {
    if !is_ours_alone(linked, known, rules) || last_edit(base).is_none() {
        count_as_edited(base, linked);
    }
}

/// Remembers the linked record's last change as somebody else's.
pub(super) fn count_as_edited(base: &mut Base, linked: &Record) {
    base.insert(EDITED_AT, Agreed::new(millis(linked.modified_at)));
}

/// What a fresh base keeps of the old one: which records were let go, and what they held.
pub(super) fn carried_over(old: &Base, linked: RecordKey, released: Option<&Record>, rules: &Rules) -> Base {
    let known = old.iter().filter(|(name, _)| name.starts_with(RELEASED) && **name != name_of(linked));
    let known = known.map(|(name, agreed)| (name.clone(), agreed.clone()));
    let released =
        released.map(|record| (name_of(record.key), Agreed::new(Value::text(fingerprint(record, rules)))));
    known.chain(released).collect()
}

fn name_of(record: RecordKey) -> String {
    format!("{RELEASED} {}", record.id())
}

/// The mapped values of a record, in a few bytes.
fn fingerprint(record: &Record, rules: &Rules) -> String {
    let mappings = rules.mappings(record.key.kind().family()).iter();
    let field = |mapping: &Mapping| mapping.target(record.key.kind()).map(|target| target.field.clone());
    let mut digest = Sha256::new();
    for field in mappings.filter_map(field) {
        let value = record.fields.get(&field).and_then(Value::as_text).unwrap_or_default();
        digest.update(format!("{field}={value};"));
    }
    digest.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
