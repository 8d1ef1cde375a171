//! Rows: what they hold, and what a write does to one of them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::journal::{Change, Journal};
use crate::emulator::salesforce::schema::Schema;
use crate::emulator::salesforce::values::instant;
use crate::emulator::salesforce::{fields, ids};

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) fields: Map<String, Json>,
    pub(super) deleted: bool,
    /// The record whose deletion took this one with it.
    pub(super) deleted_with: Option<String>,
}

impl Record {
    /// A field's text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    /// Whether a yes-or-no field says yes.
    pub(super) fn says(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Json::as_bool).unwrap_or_default()
    }
}

/// Why a row was not written.
#[derive(Clone, Debug)]
pub(super) struct RowError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
    /// The record of which this one is a duplicate: its object and id, and whether the rule that says so blocks.
    pub(super) duplicate: Option<(String, String, bool)>,
}

impl RowError {
    pub(super) const fn new(code: &'static str, message: String) -> Self {
        Self { code, message, fields: Vec::new(), duplicate: None }
    }

    pub(super) fn deleted() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted".to_owned())
    }

    pub(super) fn missing(fields: Vec<String>) -> Self {
        let message = format!("Required fields are missing: [{}]", fields.join(", "));
        Self { fields, ..Self::new("REQUIRED_FIELD_MISSING", message) }
    }

    pub(super) fn unwritable(fields: &[&str]) -> Self {
        let message = format!(
            "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
            fields.join(", ")
        );
        let fields = fields.iter().map(|name| (*name).to_owned()).collect();
        Self { fields, ..Self::new("INVALID_FIELD_FOR_INSERT_UPDATE", message) }
    }

    pub(super) fn unknown_object(object: &str) -> Self {
        Self::new("INVALID_TYPE", format!("sObject type '{object}' is not supported."))
    }
}

/// The rows of one object, with the indices that lookups need.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) schema: Schema,
    rows: BTreeMap<String, Record>,
    /// Ids by indexed field and folded value: addresses, external ids and references.
    index: HashMap<(String, String), Vec<String>>,
    last: u64,
    journal: Journal,
}

impl Table {
    pub(super) fn new(schema: Schema, journal: Journal) -> Self {
        Self { schema, rows: BTreeMap::new(), index: HashMap::new(), last: 0, journal }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Record> {
        self.any(id).filter(|record| !record.deleted)
    }

    /// A row, deleted or not.
    pub(super) fn any(&self, id: &str) -> Option<&Record> {
        self.rows.get(&ids::normal(id)?)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Record> {
        self.rows.values()
    }

    /// The rows that hold a value in an indexed field; `None` where the field has no index.
    pub(super) fn indexed(&self, field: &str, value: &str) -> Option<Vec<&Record>> {
        if field == "Id" {
            return Some(ids::normal(value).and_then(|id| self.rows.get(&id)).into_iter().collect());
        }
        if !self.is_indexed(field) {
            return None;
        }
        let reference = self.schema.fields.get(field).is_some_and(|field| field.kind == "reference");
        let value = if reference { ids::normal(value).unwrap_or_default() } else { value.to_owned() };
        let found =
            self.index.get(&(field.to_owned(), value.to_lowercase())).map(Vec::as_slice).unwrap_or_default();
        Some(found.iter().filter_map(|id| self.rows.get(id)).collect())
    }

    /// The ids of the rows that name a record in a reference and are not deleted.
    pub(super) fn naming(&self, field: &str, id: &str) -> Vec<String> {
        let found = self.indexed(field, id).unwrap_or_default();
        found.iter().filter(|record| !record.deleted).map(|record| record.text("Id").to_owned()).collect()
    }

    fn is_indexed(&self, name: &str) -> bool {
        let refers = |kind: &str| kind == "reference" && !name.ends_with("ById") && name != "OwnerId";
        self.schema
            .fields
            .get(name)
            .is_some_and(|field| field.external_id || field.kind == "email" || refers(field.kind))
    }

    pub(super) fn live_ids(&self) -> Vec<String> {
        self.rows.iter().filter(|(_, record)| !record.deleted).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.index.clear();
    }

    pub(super) fn shown(&self) -> Json {
        self.rows.values().map(|record| Json::Object(record.fields.clone())).collect()
    }

    /// The values of a new row, where they make one.
    pub(super) fn check_create(&self, row: &Map<String, Json>) -> Result<Map<String, Json>, RowError> {
        let mut values = self.fitted(row, true)?;
        // Left blank, these get their default.
        values.retain(|name, value| {
            let defaulted =
                self.schema.fields.get(name).is_some_and(|field| field.is_filled() && !field.is_required());
            !(value.is_null() && defaulted)
        });
        let blank = |name: &str| values.get(name).is_none_or(Json::is_null);
        // An account with a last name is a person, and its name follows from that.
        let excused = |name: &str| name == "Name" && !blank("LastName");
        let fields = self.schema.fields.iter();
        let missing: Vec<String> = fields
            .filter(|(name, field)| field.is_required() && blank(name) && !excused(name))
            .map(|(name, _)| name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(RowError::missing(missing));
        }
        self.check_unique(None, &values)?;
        Ok(values)
    }

    /// The id and the new values of a row, where it takes them.
    pub(super) fn check_update(
        &self,
        id: &str,
        row: &Map<String, Json>,
    ) -> Result<(String, Map<String, Json>), RowError> {
        let id = ids::normal(id).ok_or_else(|| {
            RowError::new(
                "MALFORMED_ID",
                format!("{} ID: id value of incorrect type: {id}", self.schema.object),
            )
        })?;
        match self.rows.get(&id) {
            None => {
                return Err(RowError::new(
                    "INVALID_CROSS_REFERENCE_KEY",
                    "invalid cross reference id".to_owned(),
                ));
            }
            Some(record) if record.says("IsConverted") => {
                let message = "cannot reference converted lead".to_owned();
                return Err(RowError::new("CANNOT_UPDATE_CONVERTED_LEAD", message));
            }
            Some(record) if record.deleted => return Err(RowError::deleted()),
            Some(_) => {}
        }
        let values = self.fitted(row, false)?;
        for name in values.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name) {
            if name == "OwnerId" {
                let message = "Owner ID: owner cannot be blank".to_owned();
                let fields = vec![name.clone()];
                return Err(RowError { fields, ..RowError::new("INVALID_CROSS_REFERENCE_KEY", message) });
            }
            if self.schema.fields.get(name).is_some_and(super::schema::Field::is_filled) {
                return Err(RowError::missing(vec![name.clone()]));
            }
        }
        self.check_unique(Some(&id), &values)?;
        Ok((id, values))
    }

    /// Adds a row with these values and the defaults, without any check; returns its id.
    pub(super) fn insert(&mut self, values: Map<String, Json>, user: &str, now: Timestamp) -> String {
        self.last += 1;
        let id = ids::make(self.schema.prefix, self.last);
        self.insert_as(&id, values, user, now);
        id
    }

    /// The same under an id of its own.
    pub(super) fn insert_as(&mut self, id: &str, values: Map<String, Json>, user: &str, now: Timestamp) {
        let blank = |(name, field): (&String, &super::schema::Field)| {
            let value = match field.kind {
                "boolean" => json!(false),
                _ => fields::default(self.schema.object, name).map_or(Json::Null, |text| json!(text)),
            };
            (name.clone(), value)
        };
        let mut fields: Map<String, Json> = self.schema.fields.iter().map(blank).collect();
        for (name, value) in [
            ("Id", json!(id)),
            ("CreatedDate", instant(now)),
            ("CreatedById", json!(user)),
            ("OwnerId", json!(user)),
        ] {
            if let Some(field) = fields.get_mut(name) {
                *field = value;
            }
        }
        self.note(id, Change::Created, "");
        if fields.contains_key("OwnerId") && !values.contains_key("OwnerId") {
            self.note_value(id, ("OwnerId", &Json::Null, &json!(user)));
        }
        self.rows.insert(id.to_owned(), Record { fields, deleted: false, deleted_with: None });
        self.set(id, values);
        self.stamp(id, user, now);
    }

    /// Puts values into a row without a check or a stamp, and keeps the indices and its name.
    pub(super) fn set(&mut self, id: &str, values: Map<String, Json>) {
        let lower = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or_default().to_lowercase();
        let Some(record) = self.rows.get(id) else { return };
        let moved: Vec<(String, String, String)> = values
            .iter()
            .filter(|(name, _)| self.is_indexed(name))
            .map(|(name, value)| (name.clone(), lower(record.fields.get(name)), lower(Some(value))))
            .filter(|(_, before, after)| before != after)
            .collect();
        for (name, before, after) in moved {
            if let Some(holders) = self.index.get_mut(&(name.clone(), before)) {
                holders.retain(|holder| holder != id);
            }
            if !after.is_empty() {
                self.index.entry((name, after)).or_default().push(id.to_owned());
            }
        }
        let Some(record) = self.rows.get(id) else { return };
        for (name, value) in &values {
            self.note_value(id, (name, record.fields.get(name).unwrap_or(&Json::Null), value));
        }
        let Some(record) = self.rows.get_mut(id) else { return };
        record.fields.extend(values);
        let person = self.schema.object != "Account" || record.says("IsPersonAccount");
        if person && record.fields.contains_key("LastName") {
            let name = format!("{} {}", record.text("FirstName"), record.text("LastName"));
            record.fields.insert("Name".to_owned(), json!(name.trim()));
        }
    }

    /// Says that a user changed a row, even where every value stays the same.
    pub(super) fn stamp(&mut self, id: &str, user: &str, now: Timestamp) {
        let Some(record) = self.rows.get_mut(id) else { return };
        record.fields.insert("LastModifiedDate".to_owned(), instant(now));
        record.fields.insert("LastModifiedById".to_owned(), json!(user));
        self.touch(id, now);
    }

    /// Says that something other than a user's edit changed a row.
    pub(super) fn touch(&mut self, id: &str, now: Timestamp) {
        if let Some(record) = self.rows.get_mut(id) {
            record.fields.insert("SystemModstamp".to_owned(), instant(now));
            self.note(id, Change::Touched, "");
        }
    }

    /// Notes what happened to a row that callers may write.
    fn note(&self, id: &str, change: Change, new: &str) {
        if self.schema.is_written() {
            self.journal.note((self.schema.object, id), change, new);
        }
    }

    fn note_value(&self, id: &str, (name, old, new): (&str, &Json, &Json)) {
        if !self.schema.is_written() || old == new {
            return;
        }
        let [old, new] = [old, new].map(text);
        match name {
            "MasterRecordId" if !new.is_empty() => self.note(id, Change::Merged, &new),
            "ConvertedContactId" if !new.is_empty() => self.note(id, Change::Converted, &new),
            _ => self.journal.note_value((self.schema.object, id), (name, &old, &new)),
        }
    }

    /// Moves a row to the recycle bin; `with` is the record whose deletion takes it along.
    pub(super) fn delete(
        &mut self,
        id: &str,
        with: Option<&str>,
        (user, now): (&str, Timestamp),
    ) -> Result<(), RowError> {
        let id = ids::normal(id).unwrap_or_default();
        let record = self.rows.get_mut(&id).filter(|record| !record.deleted).ok_or_else(RowError::deleted)?;
        record.deleted = true;
        record.deleted_with = with.map(str::to_owned);
        for (field, value) in [("IsDeleted", json!(true)), ("LastModifiedById", json!(user))] {
            record.fields.insert(field.to_owned(), value);
        }
        self.touch(&id, now);
        self.note(&id, Change::Deleted, "");
        Ok(())
    }

    /// Takes a row out of the recycle bin.
    pub(super) fn undelete(&mut self, id: &str, user: &str, now: Timestamp) {
        let Some(record) = self.rows.get_mut(id) else { return };
        record.deleted = false;
        record.deleted_with = None;
        record.fields.insert("IsDeleted".to_owned(), json!(false));
        self.stamp(id, user, now);
        self.note(id, Change::Restored, "");
    }

    /// Whether no other row holds one of these external ids.
    pub(super) fn check_unique(&self, id: Option<&str>, values: &Map<String, Json>) -> Result<(), RowError> {
        let unique = values
            .iter()
            .filter(|(name, _)| self.schema.fields.get(*name).is_some_and(|field| field.external_id));
        for (name, value) in unique {
            let Some(value) = value.as_str() else { continue };
            let holder = self.naming(name, value).into_iter().find(|holder| Some(holder.as_str()) != id);
            if let Some(holder) = holder {
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {holder}");
                // The field is named in the message only.
                return Err(RowError::new("DUPLICATE_VALUE", message));
            }
        }
        Ok(())
    }

    fn fitted(&self, row: &Map<String, Json>, creating: bool) -> Result<Map<String, Json>, RowError> {
        let mut values = Map::new();
        for (name, value) in
            row.iter().filter(|(name, _)| !matches!(name.as_str(), "attributes" | "id" | "Id"))
        {
            let field = self.schema.fields.get(name).ok_or_else(|| self.unknown_field(name))?;
            values.insert(name.clone(), field.fit(name, value, creating)?);
        }
        Ok(values)
    }

    /// What is said of a field that is not there, or not for this caller.
    pub(super) fn unknown_field(&self, name: &str) -> RowError {
        let message = format!("No such column '{name}' on sobject of type {}", self.schema.object);
        RowError { fields: vec![name.to_owned()], ..RowError::new("INVALID_FIELD", message) }
    }
}

/// A value as the journal has it.
fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
