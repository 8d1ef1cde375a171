//! The oracle's table of reasons: why the service may clear, overwrite, delete or relink something.

use crate::oracle::links::{
    counterpart_deleted, counterpart_merged, former_is_gone, is_successor, modified_later,
    nobody_else_has_it, race, was_asked_for,
};
use crate::oracle::values::{
    cannot_be_told, cleared_by_somebody, first_agreement, is_not_older, opportunity_decides,
    stage_moves_forward, unknown_owner,
};
use crate::oracle::{History, Key, Write};

/// What a write does that must be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A value is cleared.
    Clear,
    /// A value takes the place of another.
    Overwrite,
    /// The company or account that a record belongs to changes or goes.
    Move,
    /// A contact is taken off a deal.
    Detach,
    /// A lifecycle stage changes.
    Stage,
    /// A record is deleted.
    Delete,
    /// A record no longer belongs to the one it belonged to.
    Relink,
    /// A record belongs to another one from now on.
    TakeOver,
}

/// A reason.
pub(crate) struct Row {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The rules that give it.
    pub(crate) rule: &'static str,
    /// What it can explain.
    pub(crate) kinds: &'static [Kind],
    /// When it does, in words.
    pub(crate) condition: &'static str,
    /// The same as a function: what is missing, or an empty text where it has nothing to do with the write.
    pub(crate) holds: fn(&History<'_>, &Write<'_>) -> Result<(), String>,
}

/// All reasons there are. A write that none of them explains is a violation of I9.
pub(crate) const TABLE: &[Row] = &[
    Row {
        name: "cleared on the other side",
        rule: "R-191, R-192, R-217",
        kinds: &[Kind::Clear],
        condition: "a person or a flow cleared the counterpart's mapped field after it last held that value, or later than the value was \
                    given while both belonged together; an opt-out only a person",
        holds: cleared_by_somebody,
    },
    Row {
        name: "the other side's value is not older",
        rule: "R-121, R-124, R-178, R-192",
        kinds: &[Kind::Overwrite, Kind::Move],
        condition: "a counterpart holds or held the new value, and whoever gave it there did so no earlier than the old value was given; in \
                    Salesforce a later edit of the same record counts, as it has one time for all fields",
        holds: is_not_older,
    },
    Row {
        name: "Salesforce decides at the first agreement",
        rule: "R-121, R-125, R-177, R-181",
        kinds: &[Kind::Overwrite, Kind::Move],
        condition: "an owner or a company is written in HubSpot that the counterpart has, and none was since both belong together",
        holds: first_agreement,
    },
    Row {
        name: "it cannot be told which is later",
        rule: "R-192",
        kinds: &[Kind::Overwrite, Kind::Move],
        condition: "the service itself wrote HubSpot's value before both belonged together, so that HubSpot tells no time of it, or \
                    wrote to the record of Salesforce last, so that this does not; and Salesforce holds the new value",
        holds: cannot_be_told,
    },
    Row {
        name: "an owner that Salesforce does not know is reset",
        rule: "R-174",
        kinds: &[Kind::Overwrite],
        condition: "HubSpot's owner has no active user in Salesforce, and the counterpart's owner is written",
        holds: unknown_owner,
    },
    Row {
        name: "a stage moves forward",
        rule: "R-129, R-160, R-163, R-167",
        kinds: &[Kind::Stage],
        condition: "the new stage is a later one, and a contact of the company, the company of the contact, or an opportunity gives it",
        holds: stage_moves_forward,
    },
    Row {
        name: "a deal follows its opportunity's account",
        rule: "R-149, R-151",
        kinds: &[Kind::Move],
        condition: "a deal gets the company of the account that its opportunity has now",
        holds: opportunity_decides,
    },
    Row {
        name: "the counterpart was deleted",
        rule: "R-048, R-051, R-052",
        kinds: &[Kind::Delete],
        condition: "the setting is on, somebody deleted the counterpart, and no other free record has the address",
        holds: counterpart_deleted,
    },
    Row {
        name: "the counterpart was merged away",
        rule: "R-050",
        kinds: &[Kind::Delete],
        condition: "the setting is on, and the counterpart was merged into a record that another HubSpot record has",
        holds: counterpart_merged,
    },
    Row {
        name: "it goes on with the successor",
        rule: "R-067, R-070, R-080, R-126",
        kinds: &[Kind::Relink],
        condition: "the former counterpart was merged or converted into the new one",
        holds: is_successor,
    },
    Row {
        name: "the former counterpart is gone",
        rule: "R-047, R-060, R-069",
        kinds: &[Kind::Relink],
        condition: "somebody deleted, merged or converted it, or it belongs to another record",
        holds: former_is_gone,
    },
    Row {
        name: "the most recently modified with the address",
        rule: "R-063, R-064",
        kinds: &[Kind::Relink],
        condition: "the new counterpart has the address, and somebody other than the service modified it later than the former one \
                    was edited; so does one for which the former one gives way",
        holds: modified_later,
    },
    Row {
        name: "a person asked for it",
        rule: "R-068",
        kinds: &[Kind::Relink],
        condition: "an operator asked for a resync of this record",
        holds: was_asked_for,
    },
    Row {
        name: "nobody else has it",
        rule: "R-072, R-073, R-075, R-123",
        kinds: &[Kind::TakeOver],
        condition: "no other live HubSpot record names the record of Salesforce",
        holds: nobody_else_has_it,
    },
    Row {
        name: "race",
        rule: "",
        kinds: &[
            Kind::Clear,
            Kind::Overwrite,
            Kind::Move,
            Kind::Stage,
            Kind::Delete,
            Kind::Detach,
            Kind::Relink,
        ],
        condition: "somebody gave the old value, brought a counterpart back, or edited the former one, after the service had read the \
                    record and before it wrote",
        holds: race,
    },
];

pub(crate) type Holds = Result<(), String>;

/// The counterparts that have a mapped field, with that field's name.
pub(crate) fn mapped(history: &History<'_>, key: &Key, property: &str) -> Vec<(Key, &'static str)> {
    let settings = history.settings;
    let with_field = |other: Key| {
        let field = if key.is_hubspot() {
            settings.field_of(other.object, property)
        } else {
            settings.property_of(other.object, property)
        };
        field.map(|field| (other, field))
    };
    history.counterparts(key).into_iter().filter_map(with_field).collect()
}

pub(crate) fn same(history: &History<'_>, property: &str, key: &Key, (own, other): (&str, &str)) -> bool {
    let values = if key.is_hubspot() { (own, other) } else { (other, own) };
    history.same(property, values)
}
