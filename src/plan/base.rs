//! What both sides last agreed on, field by field.
//!
//! The base is what makes the merge three-way and keeps "never had a value" apart from "had a value, now cleared" (R-195).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{System, Timestamp, Value};
use crate::plan::aside::SetAside;

/// The agreed values of one pair, by HubSpot property. A property that is absent was never agreed on.
///
/// Copies share their values until one of them learns something new: most of a base outlives most looks at its pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base(Arc<BTreeMap<String, Agreed>>);

impl Base {
    /// What was agreed on for a property.
    pub fn get(&self, property: &str) -> Option<&Agreed> {
        self.0.get(property)
    }

    /// Whether nothing was ever agreed on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is remembered, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Agreed)> {
        self.0.iter()
    }

    /// The values that were set aside, by property.
    pub fn set_aside(&self) -> impl Iterator<Item = (&String, &SetAside)> {
        self.0.iter().filter_map(|(property, agreed)| Some((property, agreed.aside.as_deref()?)))
    }

    /// Remembers a value that was set aside, or that it no longer is.
    pub(super) fn put_aside(&mut self, property: &str, aside: Option<SetAside>) {
        if let Some(agreed) = self.get(property) {
            let agreed = Agreed { aside: aside.map(Box::new), ..agreed.clone() };
            self.insert(property, agreed);
        }
    }

    /// Remembers what is agreed on for a property.
    pub fn insert(&mut self, property: &str, agreed: Agreed) {
        if self.get(property) != Some(&agreed) {
            Arc::make_mut(&mut self.0).insert(property.to_owned(), agreed);
        }
    }
}

impl Extend<(String, Agreed)> for Base {
    fn extend<T: IntoIterator<Item = (String, Agreed)>>(&mut self, news: T) {
        for (property, agreed) in news {
            self.insert(&property, agreed);
        }
    }
}

impl FromIterator<(String, Agreed)> for Base {
    fn from_iter<T: IntoIterator<Item = (String, Agreed)>>(agreed: T) -> Self {
        Self(Arc::new(agreed.into_iter().collect()))
    }
}

/// What both sides held when they last agreed on one mapping, in the normal form of its type.
///
/// Usually that is one value. It is two where the sides were left apart on purpose: a value that was filled in because the other
/// CRM requires one, or a mapping that is newer than the pair (R-196). What matters is whether a side moved since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreed {
    /// HubSpot's value, and Salesforce's too unless `apart` says otherwise.
    #[serde(rename = "v")]
    pub value: Value,
    /// Salesforce's value where it was left apart.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Value>,
    /// The value agreed on before this one; what the loop breaker compares with.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
    /// The CRM that it was written to last.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub towards: Option<System>,
    /// How often the value returned to the one before, in a row, each time to the other CRM.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub flips: u8,
    /// Whether a value was to pass and nothing was ever agreed on: the next look treats the mapping like a first link. Without this
    /// a value that was refused once would be taken for one of a mapping newer than the pair (R-196).
    #[serde(rename = "q", default, skip_serializing_if = "is_false")]
    pub pending: bool,
    /// When it last did.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub flipped_at: Option<Timestamp>,
    /// The CRM in which an association was removed while the other kept it: a person decides.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub removed_in: Option<System>,
    /// A value of Salesforce that is not agreed on yet, and the record's time when it was first seen. Salesforce keeps no time for a field;
    /// without this, any later edit of the record would make an old value look new.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Box<Seen>>,
    /// The value that does not pass, if one does not.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Box<SetAside>>,
}

/// A value, and when it was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The value, in the normal form of its type.
    #[serde(rename = "v")]
    pub value: Value,
    /// The record's `SystemModstamp` at that time.
    #[serde(rename = "t")]
    pub at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(flips: &u8) -> bool {
    *flips == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// How often in a row a value may return to the one before by turns: in one CRM, then in the other. Two automations that undo each other do
/// that for ever. Somebody who changes a value to and fro in one CRM does not.
pub const LOOP_FLIPS_MAX: u8 = 4;

/// How close together such returns must be to count as a loop: automations answer within minutes.
pub const LOOP_WINDOW_MS: i64 = 10 * 60 * 1_000;

impl Agreed {
    /// A value that both sides hold.
    pub const fn new(value: Value) -> Self {
        Self {
            value,
            apart: None,
            previous: None,
            towards: None,
            flips: 0,
            pending: false,
            flipped_at: None,
            removed_in: None,
            seen: None,
            aside: None,
        }
    }

    /// Nothing yet, but something was to pass.
    pub fn pending() -> Self {
        Self { pending: true, ..Self::new(Value::Blank) }
    }

    /// Two values that are left apart.
    pub fn left_apart(hubspot: Value, salesforce: Value) -> Self {
        let apart = (hubspot != salesforce).then_some(salesforce);
        Self { apart, ..Self::new(hubspot) }
    }

    /// What HubSpot held.
    pub const fn hubspot(&self) -> &Value {
        &self.value
    }

    /// What Salesforce held.
    pub fn salesforce(&self) -> &Value {
        self.apart.as_ref().unwrap_or(&self.value)
    }

    /// What one of the two held.
    pub(super) fn held_in(&self, system: System) -> &Value {
        match system {
            System::Hubspot => self.hubspot(),
            System::Salesforce => self.salesforce(),
        }
    }

    /// Whether the sides agreed on something else since `system` held `was`: on what it holds now, or by a write in place of `was`.
    pub(super) fn has_moved_on(&self, system: System, was: &Value, is: &Value) -> bool {
        let agreed = self.held_in(system);
        !self.pending && (agreed == is || (agreed != was && self.previous.as_ref() == Some(was)))
    }

    /// What is agreed on once `value` is written to one of the sides, at `now`.
    #[must_use]
    pub fn followed_by(&self, value: Value, towards: System, now: Timestamp) -> Self {
        let recent = self.flipped_at.is_none_or(|at| now.millis_since(at) <= LOOP_WINDOW_MS);
        let returns = self.previous.as_ref() == Some(&value) && self.towards != Some(towards);
        let (flips, flipped_at) = match (returns, recent) {
            (true, true) => (self.flips.saturating_add(1), Some(now)),
            (true, false) => (1, Some(now)),
            (false, _) => (0, None),
        };
        let previous = Some(self.value.clone());
        Self { previous, towards: Some(towards), flips, flipped_at, ..Self::new(value) }
    }

    /// Whether this is one return too many.
    pub const fn loops(&self) -> bool {
        self.flips > LOOP_FLIPS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_192_what_is_agreed_has_moved_on_once_it_is_held_or_was_written_since() {
        let value = |text: &str| Value::text(text);
        let agreed = || Agreed::new(value("a"));
        let followed = || agreed().followed_by(value("b"), System::Salesforce, Timestamp::from_millis(0));
        // What is agreed, what Salesforce held before the write and holds now, and whether something was agreed in between.
        for (agreed, was, is, expected) in [
            (agreed(), "a", "c", false),
            (agreed(), "b", "c", false),
            (agreed(), "b", "a", true),
            (followed(), "a", "b", true),
            (followed(), "a", "c", true),
            (followed(), "b", "c", false),
            (Agreed::left_apart(value("a"), value("b")), "c", "b", true),
            (Agreed::pending(), "a", "", false),
        ] {
            let moved = agreed.has_moved_on(System::Salesforce, &value(was), &value(is));
            assert_eq!(moved, expected, "{agreed:?} {was} {is}");
        }
    }
}
