//! What explains that a record is deleted or belongs to another one, and which writes are races.

use hubforce::emulator::Author;

use crate::oracle::mappings::{LINKS, normal};
use crate::oracle::rows::{Holds, Kind};
use crate::oracle::{History, Key, Write};

pub(crate) fn counterpart_deleted(history: &History<'_>, write: &Write<'_>) -> Holds {
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

/// No other free record with the address is there to go on with, or none was when the contact was read.
pub(crate) fn nobody_else_with_the_address(history: &History<'_>, write: &Write<'_>) -> Holds {
    if write.key.object != "contacts" {
        return Ok(());
    }
    let address = normal("email", history.value(&write.key, "email"));
    let read = write.evidence.reads.last_read(write.entry.sequence, &write.key.id).unwrap_or(u64::MAX);
    let was_there = |key: &Key| history.held(key, "Email").is_some_and(|version| version.sequence <= read);
    for object in ["Lead", "Contact"] {
        let free = |key: &Key| {
            let holders = history.holders_of(key);
            holders.iter().all(|holder| *holder == write.key)
        };
        let with = history.records(object).find(|(key, past)| {
            let has_it = normal("email", history.value(key, "Email")) == address && was_there(key);
            past.successor.is_none() && has_it && free(key)
        });
        if let Some((key, _)) = with.filter(|_| !address.is_empty()) {
            return Err(format!("{key} has the address and is free"));
        }
    }
    Ok(())
}

pub(crate) fn counterpart_merged(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn is_successor(history: &History<'_>, write: &Write<'_>) -> Holds {
    let lost = write.before.iter().filter(|key| !write.after.contains(key));
    let follows = |key: &Key| history.chain(key).iter().skip(1).any(|next| write.after.contains(next));
    let stays: Vec<String> = lost.filter(|key| !follows(key)).map(ToString::to_string).collect();
    if stays.is_empty() { Ok(()) } else { Err(format!("{} did not become that", stays.join(", "))) }
}

pub(crate) fn former_is_gone(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn modified_later(history: &History<'_>, write: &Write<'_>) -> Holds {
    let address = |key: &Key, field: &str| normal("email", history.value(key, field));
    if write.key.object != "contacts" {
        return gives_way(history, write);
    }
    let own = address(&write.key, "email");
    for new in write.after.iter().filter(|key| !write.before.contains(key)) {
        let former = write
            .before
            .iter()
            .map(|key| history.edited_at(write.evidence.reads, key))
            .max()
            .unwrap_or_default();
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
pub(crate) fn gives_way(history: &History<'_>, write: &Write<'_>) -> Holds {
    let is_person = matches!(write.key.object, "Lead" | "Contact");
    let Some(contact) = write.before.first().filter(|_| is_person && write.after.is_empty()) else {
        return Err(String::new());
    };
    let address = normal("email", history.value(contact, "email"));
    let edited = history.edited_at(write.evidence.reads, &write.key).div_euclid(1_000);
    let competes = |key: &Key| {
        let mut held = history.versions(key, "Email").iter();
        *key != write.key
            && history.modified_at(key).div_euclid(1_000) >= edited
            && held.any(|version| normal("email", &version.value) == address)
    };
    let mut others = ["Lead", "Contact"].into_iter().flat_map(|object| history.records(object));
    if others.any(|(key, _)| competes(key)) { Ok(()) } else { Err("no other record competes".to_owned()) }
}

pub(crate) fn was_asked_for(_: &History<'_>, write: &Write<'_>) -> Holds {
    let ids = || [&write.key].into_iter().chain(&write.after).map(|key| &key.id);
    let asked = |(noted, id): &(u64, String)| *noted < write.entry.sequence && ids().any(|of| of == id);
    if write.evidence.asked.iter().any(asked) { Ok(()) } else { Err(String::new()) }
}

pub(crate) fn nobody_else_has_it(history: &History<'_>, write: &Write<'_>) -> Holds {
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

pub(crate) fn race(history: &History<'_>, write: &Write<'_>) -> Holds {
    let read = |id: &str| write.evidence.reads.last_read(write.entry.sequence, id);
    let Some(own) = read(&write.key.id) else { return Err(String::new()) };
    // What was given within the same millisecond is a race, whatever another part of the service read in between.
    let at = write.entry.at.as_millis();
    let given_since = history
        .held(&write.key, &write.entry.field)
        .is_some_and(|held| held.author != Author::Integration && (held.sequence > own || held.since == at));
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
