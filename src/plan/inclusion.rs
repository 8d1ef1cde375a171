//! When to believe HubSpot about who is in the inclusion list.
//!
//! HubSpot recomputes an active list after a record changed, not with the change. A change of a property that the list's filter looks at is
//! therefore planned only when HubSpot had time to recompute. Whether it is such a property is told by comparing the filter's properties with
//! what they held when membership was last believed:
//!
//! | the filter | the record changed | membership |
//! |---|---|---|
//! | none: people keep the list by hand | whenever | is believed at once |
//! | looks at properties, and none of them changed | whenever | is believed at once |
//! | looks at properties, and one of them changed | within [`SETTLE_MS`] | is asked again when that is over |
//! | looks at something else, too | within [`SETTLE_MS`] | likewise |
//! | any | longer ago | is believed |

use std::collections::BTreeSet;

use crate::domain::{Family, Record, Timestamp, Value};
use crate::plan::{Agreed, Base, Rules, Side, View};

/// How long HubSpot gets to recompute a list after a contact changed. It says nothing of how long it takes; most lists take seconds.
pub const SETTLE_MS: i64 = 15_000;

/// What the names begin with under which the base remembers the properties of the filter.
const FILTERED: &str = "list";

/// What decides whether a contact is in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListFilter {
    /// People keep its members by hand.
    #[default]
    Manual,
    /// The values of these properties.
    Properties(BTreeSet<String>),
    /// Something else, or that as well: other lists, forms, mails.
    Other,
}

impl ListFilter {
    /// The properties it looks at, as far as they are known.
    pub fn properties(&self) -> impl Iterator<Item = &String> {
        let properties = match self {
            Self::Properties(properties) => Some(properties),
            Self::Manual | Self::Other => None,
        };
        properties.into_iter().flatten()
    }
}

/// When membership is to be asked again before anything is decided; `None` where it can be believed now.
pub(super) fn asks_again_at(view: &View, rules: &Rules) -> Option<Timestamp> {
    view.around.included?;
    let contact = contact_of(view)?;
    let concerned = match &rules.people.list_filter {
        ListFilter::Manual => false,
        ListFilter::Properties(properties) => {
            let base = view.pair.as_ref().map(|pair| &pair.base);
            properties.iter().any(|property| !is_as_remembered(base, contact, property))
        }
        ListFilter::Other => true,
    };
    let now = view.around.now;
    // A record whose time lies ahead of our clock counts as changed just now.
    let settled_at = contact.modified_at.min(now).plus_millis(SETTLE_MS);
    (concerned && settled_at > now).then_some(settled_at)
}

/// Remembers what the properties of the filter hold while membership is believed.
pub(super) fn remember(base: &mut Base, view: &View, rules: &Rules) {
    let Some(contact) = contact_of(view).filter(|_| view.around.included.is_some()) else { return };
    for property in rules.people.list_filter.properties() {
        base.insert(&name_of(property), Agreed::new(held(contact, property)));
    }
}

/// The HubSpot contact that membership was asked of.
fn contact_of(view: &View) -> Option<&Record> {
    match &view.hubspot {
        Side::Present(record) if record.key.kind().family() == Family::People => Some(record),
        _ => None,
    }
}

fn is_as_remembered(base: Option<&Base>, contact: &Record, property: &str) -> bool {
    let known = base.and_then(|base| base.get(&name_of(property)));
    known.is_some_and(|agreed| agreed.value == held(contact, property))
}

fn held(contact: &Record, property: &str) -> Value {
    contact.fields.get(property).cloned().unwrap_or(Value::Blank)
}

fn name_of(property: &str) -> String {
    format!("{FILTERED} {property}")
}
