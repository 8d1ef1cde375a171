//! What explains that a value is cleared or written over, and that a stage moves.

use hubforce::emulator::Author;

use crate::oracle::mappings::{STAGES, normal};
use crate::oracle::rows::{Holds, mapped, same};
use crate::oracle::{History, Key, Write};

/// When the value that a record gets was given on the other side by somebody other than the service.
pub(crate) fn origin_of(history: &History<'_>, key: &Key, property: &str, value: &str) -> Option<i64> {
    let mapped = mapped(history, key, property);
    let versions = mapped.iter().flat_map(|(other, field)| history.versions(other, field).iter().rev());
    let mut fitting = versions.filter(|version| same(history, property, key, (value, &version.value)));
    fitting.find(|version| version.has_origin).map(|version| version.since)
}

/// When the value that is written over was given; Salesforce tells full seconds.
pub(crate) fn given_at(history: &History<'_>, write: &Write<'_>) -> i64 {
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
pub(crate) fn given_before(history: &History<'_>, write: &Write<'_>) -> Option<i64> {
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

pub(crate) fn cleared_by_somebody(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn is_not_older(history: &History<'_>, write: &Write<'_>) -> Holds {
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
pub(crate) fn paired_since(history: &History<'_>, write: &Write<'_>, other: &Key) -> Option<u64> {
    let formers = history.with_predecessors(&write.key);
    let has_field = |former: &&Key| history.settings.field_of(former.object, write.property).is_some();
    formers.iter().filter(has_field).filter_map(|former| history.linked_since(former, other)).min()
}

pub(crate) fn first_agreement(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn cannot_be_told(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn unknown_owner(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.property != "hubspot_owner_id" || !write.key.is_hubspot() {
        return Err(String::new());
    }
    let known = history.settings.knows_owner(&write.entry.old);
    if known { Err("Salesforce knows the owner".to_owned()) } else { Ok(()) }
}

pub(crate) fn stage_moves_forward(history: &History<'_>, write: &Write<'_>) -> Holds {
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
    let gives = |company: &str| {
        let was_in = |key: &Key| {
            history.versions(key, "associatedcompanyid").iter().any(|version| version.value == company)
        };
        let from_contact = history.contacts().any(|key| was_in(key) && had(key));
        !company.is_empty() && (from_contact || had(&Key::new("companies", company)))
    };
    let from_company = if write.key.object == "companies" {
        gives(&write.key.id)
    } else {
        // The contact may have moved since it was read, by the service as well.
        let read = write.evidence.reads.last_read(write.entry.sequence, &write.key.id).unwrap_or(u64::MAX);
        let versions = history.versions(&write.key, "associatedcompanyid");
        let then = versions.iter().rfind(|version| version.sequence <= read);
        [then, versions.last()].into_iter().flatten().any(|version| gives(&version.value))
    };
    if from_company || opportunity_gives(history, write) {
        return Ok(());
    }
    Err(format!("no contact, company or opportunity gives {:?}", write.entry.new))
}

/// Whether an opportunity on which somebody has a role gives the stage.
pub(crate) fn opportunity_gives(history: &History<'_>, write: &Write<'_>) -> bool {
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

pub(crate) fn opportunity_decides(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.key.object != "deals" || write.entry.new.is_empty() {
        return Err(String::new());
    }
    let has_it = |(other, field): &(Key, &'static str)| {
        same(history, write.property, &write.key, (&write.entry.new, history.value(other, field)))
    };
    let decides = mapped(history, &write.key, write.property).iter().any(has_it);
    if decides { Ok(()) } else { Err("its opportunity has another account".to_owned()) }
}
