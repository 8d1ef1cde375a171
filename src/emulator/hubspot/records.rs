//! Records of one object: what they hold, and what a write does to them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::hubspot::history::History;
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::properties::PropertySet;
use crate::emulator::hubspot::writer::Act;
use crate::emulator::journal::{Change as Noted, Journal};

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) history: History,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) archived_at: Option<Timestamp>,
}

/// Where a contact's addresses stand that are not its first, separated by semicolons.
const FURTHER_ADDRESSES: &str = "hs_additional_emails";

/// What a write did.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) object: Object,
    pub(super) id: u64,
    pub(super) created: bool,
    /// The properties that hold something else now.
    pub(super) moved: Vec<(String, String)>,
}

/// Why a write did nothing: status, category, words, and the values at fault.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) category: &'static str,
    pub(super) message: String,
    pub(super) errors: Vec<Json>,
    pub(super) existing: Option<u64>,
}

/// The records of one object.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) object: Object,
    pub(super) set: PropertySet,
    by_id: BTreeMap<u64, Record>,
    by_value: HashMap<(String, String), u64>,
    /// What became of records that were merged: the survivor of each.
    merged: HashMap<u64, u64>,
    last_id: u64,
    pub(super) journal: Journal,
}

impl Table {
    pub(super) fn new(object: Object, set: PropertySet, journal: Journal) -> Self {
        let (by_id, by_value, merged) = Default::default();
        Self { object, set, by_id, by_value, merged, last_id: 0, journal }
    }

    pub(super) fn clear(&mut self) {
        let fresh = Self::new(self.object, self.set.clone(), self.journal.clone());
        *self = Self { last_id: self.last_id, ..fresh };
    }

    /// A record; by the id of one that was merged, its survivor.
    pub(super) fn get(&self, id: u64) -> Option<&Record> {
        self.by_id.get(&self.survivor_of(id)).filter(|contact| contact.archived_at.is_none())
    }

    fn survivor_of(&self, mut id: u64) -> u64 {
        while let Some(survivor) = self.merged.get(&id) {
            id = *survivor;
        }
        id
    }

    pub(super) fn archived(&self, id: u64) -> Option<&Record> {
        self.gone(id).filter(|_| !self.merged.contains_key(&id))
    }

    /// A deleted record; also one that was merged.
    pub(super) fn gone(&self, id: u64) -> Option<&Record> {
        self.by_id.get(&id).filter(|contact| contact.archived_at.is_some())
    }

    pub(super) fn live_ids(&self) -> Vec<u64> {
        self.live().map(|contact| contact.id).collect()
    }

    pub(super) fn page(&self, after: u64, limit: usize) -> Vec<&Record> {
        let live = |contact: &&Record| contact.archived_at.is_none();
        self.by_id.range(after + 1..).map(|(_, contact)| contact).filter(live).take(limit).collect()
    }

    /// A page of deleted records, in the order of their ids.
    pub(super) fn archived_page(&self, after: u64, limit: usize) -> Vec<&Record> {
        let ids = self.by_id.range(after + 1..).map(|(id, _)| *id);
        ids.filter_map(|id| self.archived(id)).take(limit).collect()
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Record> {
        self.by_id.values().filter(|contact| contact.archived_at.is_none())
    }

    /// Finds a contact by a unique property.
    pub(super) fn find(&self, property: &str, value: &str) -> Option<&Record> {
        let id = self.by_value.get(&unique(property, value))?;
        self.get(*id)
    }

    /// Creates (`id` is `None`) or updates a contact. Nothing happens unless everything fits.
    pub(super) fn write(
        &mut self,
        id: Option<u64>,
        values: &BTreeMap<String, String>,
        act: Act<'_>,
    ) -> Result<Change, Refused> {
        let values = fitted(values, &self.set)?;
        if let Some(id) = id
            && self.get(id).is_none()
        {
            return Err(not_found());
        }
        self.check_unique(id, &values)?;
        let required = self.object.required();
        if id.is_none()
            && !required.iter().any(|name| values.get(*name).is_some_and(|value| !value.is_empty()))
        {
            let message = format!("A record needs one of {}", required.join(", "));
            return Err(invalid(vec![], message));
        }
        let created = id.is_none();
        let id = id.unwrap_or_else(|| self.new_record(act));
        let Some(contact) = self.by_id.get_mut(&id) else { return Err(not_found()) };
        let mut moved = Vec::new();
        for (name, value) in values {
            if name == LIFECYCLE
                && !created
                && goes_back(contact.properties.get(LIFECYCLE), &value, &self.set)
            {
                continue;
            }
            let before = contact.properties.get(&name).cloned().unwrap_or_default();
            if before != value {
                if self.set.get(&name).is_some_and(|property| property.unique) {
                    self.by_value.remove(&unique(&name, &before));
                    if !value.is_empty() {
                        self.by_value.insert(unique(&name, &value), id);
                    }
                }
                if name == "email" {
                    contact.put_first(&value, act);
                }
                self.journal.note_value((self.object.plural(), &id.to_string()), (&name, &before, &value));
                contact.put(&name, &value, act);
                moved.push((name, value));
            }
        }
        if !moved.is_empty() || created {
            contact.modify(self.object, act);
        }
        Ok(Change { object: self.object, id, created, moved })
    }

    pub(super) fn check_unique(
        &self,
        id: Option<u64>,
        values: &BTreeMap<String, String>,
    ) -> Result<(), Refused> {
        for name in self.set.unique_names() {
            let Some(value) = values.get(name).filter(|value| !value.is_empty()) else { continue };
            let holder = self.by_value.get(&unique(name, value)).copied();
            let Some(holder) = holder.filter(|holder| Some(*holder) != id && self.get(*holder).is_some())
            else {
                continue;
            };
            if name == "email" && id.is_none() {
                return Err(Refused {
                    status: 409,
                    category: "CONFLICT",
                    message: format!("Contact already exists. Existing ID: {holder}"),
                    errors: Vec::new(),
                    existing: Some(holder),
                });
            }
            let own = id.unwrap_or(self.last_id + 1);
            let message = format!(
                "Cannot set PropertyValueCoordinates{{portalId=1, objectTypeId=ObjectTypeId{{legacyObjectType={}}}, propertyName={name}, value={value}}} on {own}. {holder} already has that value.",
                self.object.name().to_uppercase()
            );
            return Err(Refused { existing: Some(holder), ..invalid(Vec::new(), message) });
        }
        Ok(())
    }

    fn new_record(&mut self, act: Act<'_>) -> u64 {
        let Act { writer, now } = act;
        self.last_id = self.last_id.max(self.object.first_id()) + 1;
        let id = self.last_id;
        let (source, source_id) = writer.source(("COMPANIES", "FetchAssociatedCompanyIdStep"));
        let born_with = match self.object {
            Object::Contact | Object::Company => (LIFECYCLE, "lead"),
            Object::Deal => ("pipeline", "default"),
        };
        let properties = [
            ("createdate", now.to_string()),
            ("hs_object_id", id.to_string()),
            ("hs_object_source", source.to_owned()),
            ("hs_object_source_id", source_id),
            (born_with.0, born_with.1.to_owned()),
        ];
        let mut record = Record {
            id,
            properties: BTreeMap::new(),
            history: History::default(),
            created_at: now,
            updated_at: now,
            archived_at: None,
        };
        for (name, value) in properties {
            record.put(name, &value, act);
        }
        self.by_id.insert(id, record);
        self.note(id, Noted::Created, "");
        self.journal.note_value((self.object.plural(), &id.to_string()), (born_with.0, "", born_with.1));
        id
    }

    pub(super) fn archive(&mut self, id: u64, now: Timestamp) -> bool {
        let Some(contact) = self.by_id.get_mut(&id).filter(|contact| contact.archived_at.is_none()) else {
            return false;
        };
        contact.archived_at = Some(now);
        for place in contact.answers_to(&self.set) {
            if self.by_value.get(&place) == Some(&id) {
                self.by_value.remove(&place);
            }
        }
        self.note(id, Noted::Deleted, "");
        true
    }

    /// Merges two contacts into a new one, which has the values of the first and answers to all their ids and addresses.
    pub(super) fn merge(&mut self, (primary, other): (u64, u64), act: Act<'_>) -> Result<u64, Refused> {
        let now = act.now;
        let is_live = |id: u64| self.get(id).is_some_and(|contact| contact.id == id);
        if primary == other || !is_live(primary) || !is_live(other) {
            return Err(not_found());
        }
        let held = |id: u64, name: &str| self.by_id[&id].properties.get(name).cloned().unwrap_or_default();
        let further =
            [held(primary, FURTHER_ADDRESSES), held(other, "email"), held(other, FURTHER_ADDRESSES)];
        let further: Vec<String> =
            further.join(";").split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        let properties = self.by_id[&primary].properties.clone();
        let history = self.by_id[&primary].history.merged_with(&self.by_id[&other].history);
        for id in [primary, other] {
            self.archive(id, now);
        }
        let id = self.new_record(act);
        for loser in [primary, other] {
            self.note(loser, Noted::Merged, &id.to_string());
        }
        if let Some(contact) = self.by_id.get_mut(&id) {
            for (name, value) in &properties {
                let before = contact.properties.get(name).map_or("", String::as_str);
                self.journal.note_value((self.object.plural(), &id.to_string()), (name, before, value));
            }
            contact.properties = properties;
            contact.history = history;
            for (name, value) in [
                ("hs_object_id", id.to_string()),
                ("hs_merged_object_ids", format!("{primary};{other}")),
                (FURTHER_ADDRESSES, further.join(";")),
                (self.object.modified_property(), now.to_string()),
            ] {
                contact.put(name, &value, act);
            }
            self.by_value.extend(contact.answers_to(&self.set).into_iter().map(|place| (place, id)));
        }
        self.merged.extend([(primary, id), (other, id)]);
        Ok(id)
    }

    /// Brings a contact back, unless another has taken one of its unique values meanwhile.
    pub(super) fn restore(&mut self, id: u64, now: Timestamp) -> Result<(), String> {
        let contact = self.archived(id).ok_or_else(|| format!("contact {id} is not deleted"))?;
        let unique = contact.answers_to(&self.set);
        if let Some(((name, _), holder)) = unique
            .iter()
            .find_map(|place| self.by_value.get_key_value(place))
            .map(|(place, holder)| (place.clone(), holder))
        {
            return Err(format!("contact {holder} has the {name} of contact {id} now"));
        }
        self.by_value.extend(unique.into_iter().map(|place| (place, id)));
        if let Some(contact) = self.by_id.get_mut(&id) {
            contact.archived_at = None;
            contact.updated_at = now;
        }
        self.note(id, Noted::Restored, "");
        Ok(())
    }

    /// Takes a contact away for good, with those that were merged into it; returns the addresses it had.
    pub(super) fn erase(&mut self, id: u64) -> Option<Vec<String>> {
        let contact = self.get(id).filter(|contact| contact.id == id)?;
        let places = contact.answers_to(&self.set);
        let into_it = |old: &u64| self.survivor_of(*old) == id;
        let merged: Vec<u64> = self.merged.keys().copied().filter(into_it).collect();
        for gone in merged.iter().chain([&id]) {
            self.by_id.remove(gone);
            self.merged.remove(gone);
        }
        self.by_value.retain(|place, _| !places.contains(place));
        Some(places.into_iter().filter(|(name, _)| name == "email").map(|(_, value)| value).collect())
    }

    pub(super) fn shown(&self) -> Json {
        self.by_id.values().map(|record| record.shown(&[], true)).collect()
    }

    /// Sets what only the portal itself sets: mirrors of other things. Returns whether it was anything else.
    pub(super) fn mirror(&mut self, id: u64, (name, value): (&str, &str), act: Act<'_>) -> bool {
        let Some(record) = self.by_id.get_mut(&id) else { return false };
        let before = record.properties.get(name).cloned().unwrap_or_default();
        let moved = before != value;
        if moved {
            record.put(name, value, act);
            record.modify(self.object, act);
            self.journal.note_value((self.object.plural(), &id.to_string()), (name, &before, value));
        }
        moved
    }
}

/// A unique value as it is compared: an address folded, any other as it is written.
fn unique(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), if name == "email" { value.to_lowercase() } else { value.to_owned() })
}

/// The stages that people and companies go through.
const LIFECYCLE: &str = "lifecyclestage";

/// Whether a stage would go back, which the portal silently does not do. Clearing is allowed.
fn goes_back(held: Option<&String>, wanted: &str, set: &PropertySet) -> bool {
    let place = |stage: &str| set.get(LIFECYCLE)?.options.iter().position(|option| option == stage);
    match (held.and_then(|held| place(held)), place(wanted)) {
        (Some(held), Some(wanted)) => wanted < held,
        _ => false,
    }
}

fn fitted(values: &BTreeMap<String, String>, set: &PropertySet) -> Result<BTreeMap<String, String>, Refused> {
    let (mut fit, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, value) in values {
        match set.fit(name, value) {
            Ok(value) => drop(fit.insert(name.clone(), value)),
            Err(unfit) => errors.push(json!({
                "message": unfit.message, "code": unfit.code, "context": { "propertyName": [name] }
            })),
        }
    }
    if errors.is_empty() {
        return Ok(fit);
    }
    let inner: Vec<Json> = errors
        .iter()
        .map(|error| json!({ "isValid": false, "message": error["message"], "error": error["code"], "name": error["context"]["propertyName"][0] }))
        .collect();
    Err(invalid(errors, format!("Property values were not valid: {}", Json::from(inner))))
}

pub(super) fn invalid(errors: Vec<Json>, message: String) -> Refused {
    Refused { status: 400, category: "VALIDATION_ERROR", message, errors, existing: None }
}

/// A record that is not there.
pub(super) fn not_found() -> Refused {
    Refused {
        status: 404,
        category: "OBJECT_NOT_FOUND",
        message: "resource not found".to_owned(),
        errors: Vec::new(),
        existing: None,
    }
}

impl Record {
    /// The unique values by which it is found: those it holds, and a contact's further addresses.
    fn answers_to(&self, set: &PropertySet) -> Vec<(String, String)> {
        let held = |name: &String| Some(unique(name, self.properties.get(name)?));
        let further = self.further_addresses().map(|address| unique("email", address));
        set.unique_names().filter_map(held).chain(further).filter(|(_, value)| !value.is_empty()).collect()
    }

    fn further_addresses(&self) -> impl Iterator<Item = &str> {
        let all = self.properties.get(FURTHER_ADDRESSES).map_or("", String::as_str);
        all.split(';').filter(|address| !address.is_empty())
    }

    /// Gives a property a value, and its history a version.
    fn put(&mut self, name: &str, value: &str, act: Act<'_>) {
        self.properties.insert(name.to_owned(), value.to_owned());
        self.history.add(name, value, act);
    }

    /// An address that comes first stands among the further ones no longer.
    fn put_first(&mut self, address: &str, act: Act<'_>) {
        let others: Vec<&str> =
            self.further_addresses().filter(|one| !one.eq_ignore_ascii_case(address)).collect();
        if others.len() < self.further_addresses().count() {
            self.put(FURTHER_ADDRESSES, &others.join(";"), act);
        }
    }

    /// Says that something of it changed.
    fn modify(&mut self, object: Object, act: Act<'_>) {
        self.updated_at = act.now;
        self.put(object.modified_property(), &act.now.to_string(), act);
    }

    /// The record with the properties asked for; with `all`, with every one it has.
    pub(super) fn shown(&self, asked: &[String], all: bool) -> Json {
        let mut properties = serde_json::Map::new();
        let always = ["createdate", "hs_object_id"];
        let names: Vec<&str> = if all {
            self.properties.keys().map(String::as_str).collect()
        } else {
            asked.iter().map(String::as_str).chain(always).collect()
        };
        for name in names {
            let value = self.properties.get(name).filter(|value| !value.is_empty());
            properties.insert(name.to_owned(), value.map_or(Json::Null, |value| json!(value)));
        }
        let mut shown = json!({
            "id": self.id.to_string(), "properties": properties, "createdAt": self.created_at.to_string(),
            "updatedAt": self.updated_at.to_string(), "archived": self.archived_at.is_some(),
        });
        if let Some(at) = self.archived_at {
            shown["archivedAt"] = json!(at.to_string());
        }
        shown
    }
}
