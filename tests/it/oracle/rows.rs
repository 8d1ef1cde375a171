//! The oracle's table of reasons: why the service may clear, overwrite, delete or relink something.

use hubforce::emulator::Author;

use crate::oracle::mappings::{LINKS, STAGES, normal};
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

type Holds = Result<(), String>;

/// The counterparts that have a mapped field, with that field's name.
fn mapped(history: &History<'_>, key: &Key, property: &str) -> Vec<(Key, &'static str)> {
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

fn same(history: &History<'_>, property: &str, key: &Key, (own, other): (&str, &str)) -> bool {
    let values = if key.is_hubspot() { (own, other) } else { (other, own) };
    history.same(property, values)
}

/// When the value that a record gets was given on the other side by somebody other than the service.
pub(crate) fn origin_of(history: &History<'_>, key: &Key, property: &str, value: &str) -> Option<i64> {
    let mapped = mapped(history, key, property);
    let versions = mapped.iter().flat_map(|(other, field)| history.versions(other, field).iter().rev());
    let mut fitting = versions.filter(|version| same(history, property, key, (value, &version.value)));
    fitting.find(|version| version.has_origin).map(|version| version.since)
}

/// When the value that is written over was given; Salesforce tells full seconds.
fn given_at(history: &History<'_>, write: &Write<'_>) -> i64 {
    let Some(held) = history.held(&write.key, &write.entry.field).filter(|held| held.has_origin) else {
        // Nobody but the service gave it: a default, or what it filled in.
        return i64::MIN;
    };
    let mut since = given_before(history, write).unwrap_or(held.since).min(held.since);
    // What came of a conversion or a merge has values that were given before.
    for former in history.with_predecessors(&write.key) {
        let field = if former.is_hubspot() {
            Some(write.property)
        } else {
            history.settings.field_of(former.object, write.property)
        };
        let carried = field.and_then(|field| history.held(&former, field));
        let Some(carried) = carried.filter(|carried| carried.value == held.value) else { continue };
        since = if carried.has_origin { carried.since.min(since) } else { i64::MIN };
    }
    if since == i64::MIN {
        return since;
    }
    if write.key.is_hubspot() { since } else { since.div_euclid(1_000) * 1_000 }
}

/// When a value was given that somebody changed and gave back: where nobody passed on what was between, nothing moved.
fn given_before(history: &History<'_>, write: &Write<'_>) -> Option<i64> {
    let versions = history.versions(&write.key, &write.entry.field);
    let held = versions.last()?;
    let passed_on = mapped(history, &write.key, write.property)
        .iter()
        .flat_map(|(other, field)| history.versions(other, field))
        .filter(|version| version.author == Author::Integration)
        .map(|version| version.sequence)
        .max()
        .unwrap_or_default();
    let earlier = versions.iter().rev().skip(1).take_while(|version| version.sequence > passed_on);
    let before = versions.iter().rev().find(|version| version.sequence <= passed_on);
    let same = earlier.chain(before).filter(|version| version.value == held.value);
    same.last().map(|version| version.since)
}

fn cleared_by_somebody(history: &History<'_>, write: &Write<'_>) -> Holds {
    let (mapped, given_at) = (mapped(history, &write.key, write.property), given_at(history, write));
    if mapped.is_empty() {
        return Err(format!("{} has no counterpart with that field", write.key));
    }
    for (other, field) in &mapped {
        let versions = history.versions(other, field);
        let linked_since = history.linked_since(&write.key, other);
        for (place, cleared) in versions.iter().enumerate().skip(1) {
            let is_clear = normal(write.property, &cleared.value).is_empty()
                && !normal(write.property, &versions[place - 1].value).is_empty();
            let somebody = match write.property {
                "hs_email_optout" => cleared.author == Author::Person,
                _ => cleared.author != Author::Integration,
            };
            let held_it = versions[..place]
                .iter()
                .any(|version| same(history, write.property, &write.key, (&write.entry.old, &version.value)));
            // What was cleared while the service wrote it down was known to both.
            let copied = history.versions(&write.key, &write.entry.field).iter().any(|version| {
                let before = (version.value.as_str(), versions[place - 1].value.as_str());
                version.author == Author::Integration && same(history, write.property, &write.key, before)
            });
            let together = held_it || copied || linked_since.is_some_and(|since| since <= cleared.sequence);
            let later = history.known_until(other, versions, place) >= given_at;
            if is_clear && somebody && together && later {
                return Ok(());
            }
        }
    }
    let said: Vec<String> = mapped
        .iter()
        .map(|(other, field)| {
            format!("nobody cleared {field} of {other} later, it holds {:?}", history.value(other, field))
        })
        .collect();
    Err(said.join("; "))
}

fn is_not_older(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.entry.new.is_empty() {
        return Err("a removal on one side writes nothing on the other".to_owned());
    }
    let (mapped, given_at) = (mapped(history, &write.key, write.property), given_at(history, write));
    // At the first agreement Salesforce decides who owns a record and which account it belongs to.
    let is_salesforces_first = given_at > i64::MIN
        && !write.key.is_hubspot()
        && matches!(write.property, "hubspot_owner_id" | "associatedcompanyid");
    let mut lacks = format!("no counterpart of {} ever held {:?}", write.key, write.entry.new);
    for (other, field) in &mapped {
        let versions = history.versions(other, field);
        for (place, version) in versions.iter().enumerate().rev() {
            if !same(history, write.property, &write.key, (&write.entry.new, &version.value)) {
                continue;
            }
            if is_salesforces_first
                && paired_since(history, write, other).is_none_or(|since| version.sequence < since)
            {
                lacks = format!("{other} had it before both belonged together, and then Salesforce decides");
                continue;
            }
            let until = history.known_until(other, versions, place);
            if version.has_origin && until >= given_at {
                return Ok(());
            }
            lacks = format!(
                "{other} got it {} ms earlier than {} got {:?}{}",
                given_at.saturating_sub(until),
                write.key,
                write.entry.old,
                if version.has_origin { "" } else { ", and from the service" }
            );
        }
    }
    Err(lacks)
}

/// Since when an owner or a company was agreed on by the two: a contact goes on with its lead's owner, and a lead has no account.
fn paired_since(history: &History<'_>, write: &Write<'_>, other: &Key) -> Option<u64> {
    let formers = history.with_predecessors(&write.key);
    let has_field = |former: &&Key| history.settings.field_of(former.object, write.property).is_some();
    formers.iter().filter(has_field).filter_map(|former| history.linked_since(former, other)).min()
}

fn first_agreement(history: &History<'_>, write: &Write<'_>) -> Holds {
    let decides = matches!(write.property, "hubspot_owner_id" | "associatedcompanyid");
    if !decides || !write.key.is_hubspot() || write.entry.new.is_empty() {
        return Err(String::new());
    }
    for (other, field) in mapped(history, &write.key, write.property) {
        let is_its =
            same(history, write.property, &write.key, (&write.entry.new, history.value(&other, field)));
        let since = history.linked_again(&write.key, &other).unwrap_or(write.entry.sequence);
        let ours = |key: &Key, field: &str| {
            let written = history.versions(key, field).iter();
            written
                .filter(|version| version.author == Author::Integration && version.sequence > since)
                .count()
        };
        if is_its && ours(&write.key, &write.entry.field) + ours(&other, field) == 0 {
            return Ok(());
        }
    }
    Err("it is not the first since both belong together".to_owned())
}

fn cannot_be_told(history: &History<'_>, write: &Write<'_>) -> Holds {
    let held = history.held(&write.key, &write.entry.field);
    let Some(held) = held.filter(|_| write.key.is_hubspot() && !write.entry.new.is_empty()) else {
        return Err(String::new());
    };
    let hubspot_tells = held.author != Author::Integration;
    for (other, field) in mapped(history, &write.key, write.property) {
        let is_its =
            same(history, write.property, &write.key, (&write.entry.new, history.value(&other, field)));
        let met = history.linked_again(&write.key, &other).unwrap_or(write.entry.sequence);
        let salesforce_tells = !history.is_ours(&other);
        if is_its && met > held.sequence && !(hubspot_tells && salesforce_tells) {
            return Ok(());
        }
    }
    Err("both belonged together, or both times can be told".to_owned())
}

fn unknown_owner(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.property != "hubspot_owner_id" || !write.key.is_hubspot() {
        return Err(String::new());
    }
    let known = history.settings.knows_owner(&write.entry.old);
    if known { Err("Salesforce knows the owner".to_owned()) } else { Ok(()) }
}

fn stage_moves_forward(history: &History<'_>, write: &Write<'_>) -> Holds {
    let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
    let (Some(old), Some(new)) = (place(&write.entry.old), place(&write.entry.new)) else {
        return Err(format!("{:?} is no stage", write.entry.new));
    };
    if new <= old {
        return Err("it goes back".to_owned());
    }
    let had = |key: &Key| {
        history.versions(key, "lifecyclestage").iter().any(|version| version.value == write.entry.new)
    };
    let company = if write.key.object == "companies" {
        write.key.id.clone()
    } else {
        history.value(&write.key, "associatedcompanyid").to_owned()
    };
    let was_in = |key: &Key| {
        !company.is_empty()
            && history.versions(key, "associatedcompanyid").iter().any(|version| version.value == company)
    };
    let from_contact = history.records("contacts").any(|(key, _)| was_in(key) && had(key));
    let from_company = !company.is_empty() && had(&Key::new("companies", &company));
    if from_contact || from_company || opportunity_gives(history, write) {
        return Ok(());
    }
    Err(format!("no contact, company or opportunity gives {:?}", write.entry.new))
}

/// Whether an opportunity on which somebody has a role gives the stage.
fn opportunity_gives(history: &History<'_>, write: &Write<'_>) -> bool {
    let wanted = |opportunity: &Key| {
        let mut stages = history.versions(opportunity, "StageName").iter();
        match write.entry.new.as_str() {
            "customer" => stages.any(|version| version.value == "Closed Won"),
            "opportunity" => stages.any(|version| !version.value.starts_with("Closed")),
            _ => false,
        }
    };
    let of = |key: &Key| {
        let contact = history.value(key, "ContactId");
        let person = history.resolved(&Key::new("Contact", contact));
        // The record may have been linked to another one since the opportunity was looked at.
        let belonged = history.linked_since(&write.key, &person).is_some();
        let has_it =
            belonged || history.counterparts(&person).contains(&write.key) || write.key.object == "companies";
        !contact.is_empty() && has_it && wanted(&Key::new("Opportunity", history.value(key, "OpportunityId")))
    };
    history.roles().any(of)
}

fn opportunity_decides(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.key.object != "deals" || write.entry.new.is_empty() {
        return Err(String::new());
    }
    let has_it = |(other, field): &(Key, &'static str)| {
        same(history, write.property, &write.key, (&write.entry.new, history.value(other, field)))
    };
    let decides = mapped(history, &write.key, write.property).iter().any(has_it);
    if decides { Ok(()) } else { Err("its opportunity has another account".to_owned()) }
}

fn counterpart_deleted(history: &History<'_>, write: &Write<'_>) -> Holds {
    let settings = history.settings;
    let is_on = match write.key.object {
        "contacts" => settings.delete_in_hubspot,
        "deals" => settings.delete_deals,
        "Lead" | "Contact" => settings.delete_in_salesforce,
        _ => false,
    };
    if !is_on {
        return Err("the setting is off".to_owned());
    }
    let gone = |key: &Key| {
        let past = history.past(key)?;
        let (_, author, restored) = past.deletions.last()?;
        (*author != Author::Integration && restored.is_none() && past.successor.is_none()).then_some(())
    };
    if !history.counterparts(&write.key).iter().any(|key| gone(key).is_some()) {
        return Err("nobody deleted the counterpart".to_owned());
    }
    nobody_else_with_the_address(history, write)
}

/// No other free record with the address is there to go on with.
fn nobody_else_with_the_address(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.key.object != "contacts" {
        return Ok(());
    }
    let address = normal("email", history.value(&write.key, "email"));
    for object in ["Lead", "Contact"] {
        let free = |key: &Key| {
            let holders = history.holders_of(key);
            holders.iter().all(|holder| *holder == write.key)
        };
        let with = history.records(object).find(|(key, past)| {
            past.successor.is_none() && normal("email", history.value(key, "Email")) == address && free(key)
        });
        if let Some((key, _)) = with.filter(|_| !address.is_empty()) {
            return Err(format!("{key} has the address and is free"));
        }
    }
    Ok(())
}

fn counterpart_merged(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.key.object != "contacts" || !history.settings.delete_in_hubspot {
        return Err(String::new());
    }
    for former in history.named_by(&write.key).into_iter().chain(history.made_for(&write.key)) {
        let survivor = history.resolved(&former);
        let next = history.past(&former).and_then(|past| past.successor.as_ref());
        let merged = next.is_some_and(|next| next.object == former.object);
        let holders = history.counterparts(&survivor);
        let other = |holder: &Key| history.is_live(holder) && *holder != write.key;
        if merged && holders.iter().any(other) {
            return Ok(());
        }
    }
    Err("it was not merged into a record that another contact has".to_owned())
}

fn is_successor(history: &History<'_>, write: &Write<'_>) -> Holds {
    let lost = write.before.iter().filter(|key| !write.after.contains(key));
    let follows = |key: &Key| history.chain(key).iter().skip(1).any(|next| write.after.contains(next));
    let stays: Vec<String> = lost.filter(|key| !follows(key)).map(ToString::to_string).collect();
    if stays.is_empty() { Ok(()) } else { Err(format!("{} did not become that", stays.join(", "))) }
}

fn former_is_gone(history: &History<'_>, write: &Write<'_>) -> Holds {
    let mut lost = write.before.iter().filter(|key| !write.after.contains(key));
    let released = |key: &Key| {
        let gone = !history.is_live(key) || history.past(key).is_some_and(|past| past.successor.is_some());
        // Seen from Salesforce, a HubSpot record that names another one has let go of this one.
        let names_another = |key: &Key| {
            let next = history.named_next(key).is_some_and(|next| *next != write.key);
            next || !history.named_by(key).contains(&write.key)
        };
        gone || (key.is_hubspot() && names_another(key))
    };
    match lost.find(|key| !released(key)) {
        None => Ok(()),
        Some(key) => Err(format!("{key} is there and was its own")),
    }
}

fn modified_later(history: &History<'_>, write: &Write<'_>) -> Holds {
    let address = |key: &Key, field: &str| normal("email", history.value(key, field));
    if write.key.object != "contacts" {
        return gives_way(history, write);
    }
    let own = address(&write.key, "email");
    for new in write.after.iter().filter(|key| !write.before.contains(key)) {
        let former = write.before.iter().map(|key| history.edited_at(key)).max().unwrap_or_default();
        let later = history.modified_at(new).div_euclid(1_000) >= former.div_euclid(1_000);
        let ever =
            history.versions(new, "Email").iter().any(|version| normal("email", &version.value) == own);
        if ever && later {
            return Ok(());
        }
        if ever {
            return Err(format!("{new} was modified earlier than the former counterpart"));
        }
    }
    Err("the new counterpart does not have the address".to_owned())
}

/// The first half of a takeover: the record that is let go loses the id, because another one with the contact's address was modified later.
/// Where the work is interrupted there, no second half follows.
fn gives_way(history: &History<'_>, write: &Write<'_>) -> Holds {
    let is_person = matches!(write.key.object, "Lead" | "Contact");
    let Some(contact) = write.before.first().filter(|_| is_person && write.after.is_empty()) else {
        return Err(String::new());
    };
    let address = normal("email", history.value(contact, "email"));
    let edited = history.edited_at(&write.key).div_euclid(1_000);
    let competes = |key: &Key| {
        let mut held = history.versions(key, "Email").iter();
        *key != write.key
            && history.modified_at(key).div_euclid(1_000) >= edited
            && held.any(|version| normal("email", &version.value) == address)
    };
    let mut others = ["Lead", "Contact"].into_iter().flat_map(|object| history.records(object));
    if others.any(|(key, _)| competes(key)) { Ok(()) } else { Err("no other record competes".to_owned()) }
}

fn was_asked_for(_: &History<'_>, write: &Write<'_>) -> Holds {
    let ids = || [&write.key].into_iter().chain(&write.after).map(|key| &key.id);
    let asked = |(noted, id): &(u64, String)| *noted < write.entry.sequence && ids().any(|of| of == id);
    if write.evidence.asked.iter().any(asked) { Ok(()) } else { Err(String::new()) }
}

fn nobody_else_has_it(history: &History<'_>, write: &Write<'_>) -> Holds {
    for key in write.after.iter().filter(|key| !write.before.contains(key)) {
        let (hubspot, salesforce) =
            if write.key.is_hubspot() { (&write.key, key) } else { (key, &write.key) };
        let own = history.with_predecessors(hubspot);
        let successor = history.resolved(hubspot);
        for holder in history.holders_of(salesforce) {
            if !own.contains(&holder) && holder != successor {
                return Err(format!("{holder} has {salesforce}"));
            }
        }
    }
    Ok(())
}

fn race(history: &History<'_>, write: &Write<'_>) -> Holds {
    let read = |id: &str| write.evidence.reads.last_read(write.entry.sequence, id);
    let Some(own) = read(&write.key.id) else { return Err(String::new()) };
    let given_since = history
        .held(&write.key, &write.entry.field)
        .is_some_and(|held| held.author != Author::Integration && held.sequence > own);
    let changed_since = |key: &Key| {
        let (Some(past), Some(read)) = (history.past(key), read(&key.id)) else { return false };
        past.deletions.iter().any(|(_, _, restored)| restored.is_some_and(|restored| restored > read))
            || LINKS
                .iter()
                .any(|(_, field, _)| history.held(key, field).is_some_and(|held| held.sequence > read))
    };
    let counterparts = history.counterparts(&write.key);
    let edited_since = |key: &Key| {
        let (Some(past), Some(read)) = (history.past(key), read(&key.id)) else { return false };
        past.modified.iter().any(|(sequence, _)| *sequence > read)
    };
    if given_since
        || (write.kind == Kind::Delete && counterparts.iter().any(changed_since))
        || (write.kind == Kind::Relink && write.before.iter().any(edited_since))
    {
        return Ok(());
    }
    Err(String::new())
}
