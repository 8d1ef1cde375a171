//! Which messages of HubSpot lead to a look at a record.
//!
//! | what was told since the last look | a record with a pair | a contact or deal without | a company without |
//! |---|---|---|---|
//! | a creation, restore, merge or deletion, or anything may have changed | look | look | look |
//! | a mapped property | look | look | look |
//! | only properties that are not mapped | no look | no look | no look |
//! | an association | look | no look | look: it may qualify for an account now (R-100, R-103, R-104) |
//!
//! *Mapped* are the properties that the rules read: the mapped ones, the ids we keep, and what else decides; the lifecycle stage always, as
//! lists of those who take part go by it. The property that names a
//! contact's company says nothing but that an association changed.

use std::collections::BTreeMap;

use crate::domain::{Kind, Timestamp};
use crate::plan::Rules;
use crate::plan::rules::{COMPANY_PROPERTY, LIFECYCLE_PROPERTY};

/// What the messages about a record said of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Changed {
    /// Anything may have changed.
    #[default]
    Anything,
    /// Nothing but this.
    Only {
        /// The HubSpot properties told, each with when it changed last.
        properties: BTreeMap<String, Timestamp>,
        /// When an association changed last, if one was told.
        associated: Option<Timestamp>,
    },
}

impl Changed {
    /// One property changed.
    pub fn property(name: impl Into<String>, at: Timestamp) -> Self {
        Self::Only { properties: BTreeMap::from([(name.into(), at)]), associated: None }
    }

    /// An association changed.
    pub const fn association(at: Timestamp) -> Self {
        Self::Only { properties: BTreeMap::new(), associated: Some(at) }
    }

    /// Takes in what another message said. Messages come in any order: of each property the newest change counts.
    pub fn merge(&mut self, other: &Self) {
        let Self::Only { properties, associated } = self else { return };
        let Self::Only { properties: others, associated: other_associated } = other else {
            *self = Self::Anything;
            return;
        };
        for (name, at) in others {
            let known = properties.entry(name.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
        *associated = (*associated).max(*other_associated);
    }
}

/// Whether what was told of a record is worth a look at it.
pub fn is_worth_a_look(kind: Kind, has_pair: bool, changed: &Changed, rules: &Rules) -> bool {
    let Changed::Only { properties, associated } = changed else { return true };
    let mapped = rules.fields_to_read(kind);
    let names_company = |name: &str| kind == Kind::HubspotContact && name == COMPANY_PROPERTY;
    let is_mapped = |name: &String| mapped.contains(name) || name == LIFECYCLE_PROPERTY;
    let counts = |name: &String| is_mapped(name) && (has_pair || !names_company(name));
    properties.keys().any(counts) || (associated.is_some() && (has_pair || kind == Kind::Company))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::options::SyncOptions;
    use crate::plan::resolve::{Survey, resolve};
    use crate::plan::{FieldSchema, FieldType, Schema};

    fn text_field() -> FieldSchema {
        FieldSchema {
            field_type: FieldType::Text,
            createable: true,
            updateable: true,
            required: false,
            length: None,
            scale: None,
            options: None,
            restricted: false,
            calculated: false,
        }
    }

    fn rules() -> Rules {
        let mut sync = SyncOptions::default();
        sync.companies.enabled = true;
        sync.deals.enabled = true;
        let names = |names: &[&str]| -> Schema {
            names.iter().map(|name| ((*name).to_owned(), text_field())).collect()
        };
        let schemas = [
            (Kind::HubspotContact, names(&["email", "lastname", COMPANY_PROPERTY])),
            (Kind::Company, names(&["name", "domain"])),
            (Kind::Deal, names(&["dealname", "pipeline"])),
            (Kind::Lead, names(&["Email", "LastName", "Company"])),
            (Kind::Contact, names(&["Email", "LastName", "AccountId"])),
            (Kind::Account, names(&["Name", "Website"])),
            (Kind::Opportunity, names(&["Name", "AccountId"])),
        ];
        let survey = Survey { schemas: schemas.into(), ..Survey::default() };
        resolve(&sync, None, &survey).rules
    }

    #[test]
    fn r_197_and_r_011_what_leads_to_a_look() {
        let rules = rules();
        let at = Timestamp::from_millis(1);
        let both = |name: &str| {
            let mut changed = Changed::association(at);
            changed.merge(&Changed::property(name, at));
            changed
        };
        let (contact, company, deal) = (Kind::HubspotContact, Kind::Company, Kind::Deal);
        for (kind, changed, with_pair, without) in [
            (contact, Changed::Anything, true, true),
            (contact, Changed::property("lastname", at), true, true),
            (contact, Changed::property("shoe_size", at), false, false),
            (contact, Changed::property(LIFECYCLE_PROPERTY, at), true, true),
            (contact, Changed::property(COMPANY_PROPERTY, at), true, false),
            (contact, Changed::association(at), true, false),
            (contact, both("shoe_size"), true, false),
            (contact, both("email"), true, true),
            (company, Changed::Anything, true, true),
            (company, Changed::property("name", at), true, true),
            (company, Changed::property("num_notes", at), false, false),
            (company, Changed::association(at), true, true),
            (deal, Changed::property("dealname", at), true, true),
            (deal, Changed::property("num_notes", at), false, false),
            (deal, Changed::association(at), true, false),
            (Kind::Lead, Changed::Anything, true, true),
        ] {
            assert_eq!(
                is_worth_a_look(kind, true, &changed, &rules),
                with_pair,
                "{kind} {changed:?}, paired"
            );
            assert_eq!(is_worth_a_look(kind, false, &changed, &rules), without, "{kind} {changed:?}");
        }
    }

    #[test]
    fn messages_in_any_order_come_to_the_newest_of_each_property() {
        let at = Timestamp::from_millis;
        let messages =
            [Changed::property("city", at(3)), Changed::property("city", at(1)), Changed::association(at(2))];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut changed = messages[order[0]].clone();
            changed.merge(&messages[order[1]]);
            changed.merge(&messages[order[2]]);
            let properties = BTreeMap::from([("city".to_owned(), at(3))]);
            assert_eq!(changed, Changed::Only { properties, associated: Some(at(2)) }, "{order:?}");
            let mut with_all = Changed::Anything;
            with_all.merge(&changed);
            changed.merge(&Changed::Anything);
            assert_eq!((changed, with_all), (Changed::Anything, Changed::Anything));
        }
    }
}
