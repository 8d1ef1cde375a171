//! Rows: what they hold, and what a write does to them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::salesforce::ids;
use crate::emulator::salesforce::schema::{Field, Schema};

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) fields: Map<String, Json>,
    pub(super) deleted: bool,
}

/// Why a row was not written.
#[derive(Clone, Debug)]
pub(super) struct RowError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
}

impl RowError {
    pub(super) const fn new(code: &'static str, message: String) -> Self {
        Self { code, message, fields: Vec::new() }
    }
}

/// The rows of one object, with the indices that lookups need.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) schema: Schema,
    rows: BTreeMap<String, Record>,
    /// Ids by indexed field and folded value: addresses and external ids.
    index: HashMap<(String, String), Vec<String>>,
    last: u64,
}

/// Instants have no more than seconds here, as in Salesforce.
fn instant(now: Timestamp) -> Json {
    let seconds = now.as_millis().div_euclid(1_000) * 1_000;
    json!(Timestamp::from_millis(seconds).to_string().replace('Z', "+0000"))
}

impl Table {
    pub(super) fn new(schema: Schema) -> Self {
        Self { schema, rows: BTreeMap::new(), index: HashMap::new(), last: 0 }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Record> {
        self.rows.get(&ids::normal(id)?).filter(|record| !record.deleted)
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
        let found =
            self.index.get(&(field.to_owned(), value.to_lowercase())).map(Vec::as_slice).unwrap_or_default();
        Some(found.iter().filter_map(|id| self.rows.get(id)).collect())
    }

    fn is_indexed(&self, field: &str) -> bool {
        field == "Email" || self.schema.fields.get(field).is_some_and(|field| field.external_id)
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

    pub(super) fn create(
        &mut self,
        row: &Map<String, Json>,
        user: &str,
        now: Timestamp,
    ) -> Result<String, RowError> {
        let values = self.fitted(row)?;
        let missing: Vec<String> = self
            .schema
            .fields
            .iter()
            .filter(|(name, field)| field.required && values.get(*name).is_none_or(Json::is_null))
            .map(|(name, _)| name.clone())
            .collect();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            return Err(RowError { code: "REQUIRED_FIELD_MISSING", message, fields: missing });
        }
        self.check_unique(None, &values)?;
        self.last += 1;
        let id = ids::make(self.schema.prefix, self.last);
        let mut fields: Map<String, Json> =
            self.schema.fields.keys().map(|name| (name.clone(), Json::Null)).collect();
        for (name, value) in [
            ("Id", json!(id)),
            ("CreatedDate", instant(now)),
            ("CreatedById", json!(user)),
            ("OwnerId", json!(user)),
        ] {
            fields.insert(name.to_owned(), value);
        }
        fields.insert("IsDeleted".to_owned(), json!(false));
        if self.schema.object == "Lead" {
            fields.insert("IsConverted".to_owned(), json!(false));
            fields.insert("Status".to_owned(), json!("Open - Not Contacted"));
        }
        self.rows.insert(id.clone(), Record { fields, deleted: false });
        self.store(&id, values, user, now);
        Ok(id)
    }

    pub(super) fn update(
        &mut self,
        id: &str,
        row: &Map<String, Json>,
        user: &str,
        now: Timestamp,
    ) -> Result<(), RowError> {
        let id = ids::normal(id).ok_or_else(|| {
            RowError::new("MALFORMED_ID", format!("{} ID: id value of incorrect type", self.schema.object))
        })?;
        match self.rows.get(&id) {
            None => {
                return Err(RowError::new(
                    "INVALID_CROSS_REFERENCE_KEY",
                    "invalid cross reference id".to_owned(),
                ));
            }
            Some(record) if record.fields.get("IsConverted") == Some(&json!(true)) => {
                let message = "cannot reference converted lead".to_owned();
                return Err(RowError::new("CANNOT_UPDATE_CONVERTED_LEAD", message));
            }
            Some(record) if record.deleted => {
                return Err(RowError::new("ENTITY_IS_DELETED", "entity is deleted".to_owned()));
            }
            Some(_) => {}
        }
        let values = self.fitted(row)?;
        for (name, value) in &values {
            if value.is_null() && self.schema.fields.get(name).is_some_and(|field| field.required) {
                let message = format!("Required fields are missing: [{name}]");
                return Err(RowError { code: "REQUIRED_FIELD_MISSING", message, fields: vec![name.clone()] });
            }
        }
        self.check_unique(Some(&id), &values)?;
        self.store(&id, values, user, now);
        Ok(())
    }

    /// An update stamps the row even where every value stays the same.
    fn store(&mut self, id: &str, values: Map<String, Json>, user: &str, now: Timestamp) {
        let indexed: Vec<(String, String, String)> = values
            .iter()
            .filter(|(name, _)| self.is_indexed(name))
            .map(|(name, value)| {
                let before =
                    self.rows.get(id).and_then(|record| record.fields.get(name)).and_then(Json::as_str);
                (
                    name.clone(),
                    before.unwrap_or_default().to_lowercase(),
                    value.as_str().unwrap_or_default().to_lowercase(),
                )
            })
            .collect();
        for (name, before, after) in indexed {
            if before != after {
                if let Some(holders) = self.index.get_mut(&(name.clone(), before)) {
                    holders.retain(|holder| holder != id);
                }
                if !after.is_empty() {
                    self.index.entry((name, after)).or_default().push(id.to_owned());
                }
            }
        }
        let Some(record) = self.rows.get_mut(id) else { return };
        record.fields.extend(values);
        let part = |name: &str| record.fields.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let name = format!("{} {}", part("FirstName"), part("LastName"));
        for (field, value) in [
            ("Name", json!(name.trim())),
            ("LastModifiedDate", instant(now)),
            ("SystemModstamp", instant(now)),
            ("LastModifiedById", json!(user)),
        ] {
            record.fields.insert(field.to_owned(), value);
        }
    }

    /// Deletes a row that was merged into another.
    pub(super) fn merge_away(
        &mut self,
        id: &str,
        master: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<(), RowError> {
        self.delete(id, user, now)?;
        if let Some(record) = ids::normal(id).and_then(|id| self.rows.get_mut(&id)) {
            record.fields.insert("MasterRecordId".to_owned(), json!(master));
        }
        Ok(())
    }

    /// Marks a lead as converted to a contact.
    pub(super) fn convert(&mut self, id: &str, contact: &str, user: &str, now: Timestamp) {
        self.store(id, Map::new(), user, now);
        let Some(record) = self.rows.get_mut(id) else { return };
        let date = now.to_string().chars().take(10).collect::<String>();
        for (field, value) in [
            ("IsConverted", json!(true)),
            ("Status", json!("Closed - Converted")),
            ("ConvertedContactId", json!(contact)),
            ("ConvertedDate", json!(date)),
        ] {
            record.fields.insert(field.to_owned(), value);
        }
    }

    pub(super) fn delete(&mut self, id: &str, user: &str, now: Timestamp) -> Result<(), RowError> {
        let id = ids::normal(id).unwrap_or_default();
        let record = self.rows.get_mut(&id).filter(|record| !record.deleted);
        let record =
            record.ok_or_else(|| RowError::new("ENTITY_IS_DELETED", "entity is deleted".to_owned()))?;
        record.deleted = true;
        for (field, value) in
            [("IsDeleted", json!(true)), ("SystemModstamp", instant(now)), ("LastModifiedById", json!(user))]
        {
            record.fields.insert(field.to_owned(), value);
        }
        Ok(())
    }

    fn check_unique(&self, id: Option<&str>, values: &Map<String, Json>) -> Result<(), RowError> {
        let unique = values
            .iter()
            .filter(|(name, _)| self.schema.fields.get(*name).is_some_and(|field| field.external_id));
        for (name, value) in unique {
            let Some(value) = value.as_str() else { continue };
            let holders = self.indexed(name, value).unwrap_or_default();
            let holder = holders
                .iter()
                .filter(|record| !record.deleted)
                .filter_map(|record| record.fields["Id"].as_str())
                .find(|holder| Some(*holder) != id);
            if let Some(holder) = holder {
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {holder}");
                return Err(RowError { code: "DUPLICATE_VALUE", message, fields: vec![name.clone()] });
            }
        }
        Ok(())
    }

    fn fitted(&self, row: &Map<String, Json>) -> Result<Map<String, Json>, RowError> {
        let mut values = Map::new();
        for (name, value) in
            row.iter().filter(|(name, _)| !matches!(name.as_str(), "attributes" | "id" | "Id"))
        {
            let Some(field) = self.schema.fields.get(name) else {
                let message = format!("No such column '{name}' on sobject of type {}", self.schema.object);
                return Err(RowError { code: "INVALID_FIELD", message, fields: vec![name.clone()] });
            };
            values.insert(name.clone(), field.fit(name, value)?);
        }
        Ok(values)
    }
}

impl Field {
    /// The value as Salesforce keeps it.
    fn fit(&self, name: &str, value: &Json) -> Result<Json, RowError> {
        let refuse = |code, message| Err(RowError { code, message, fields: vec![name.to_owned()] });
        if !self.writable {
            let message = format!(
                "Unable to create/update fields: {name}. Please check the security settings of this field and verify that it is read/write for your profile or permission set."
            );
            return refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message);
        }
        match (self.kind, value) {
            (_, Json::Null) => Ok(Json::Null),
            ("currency" | "int" | "double", Json::Number(_)) | ("boolean", Json::Bool(_)) => {
                Ok(value.clone())
            }
            ("currency" | "int" | "double" | "boolean", _)
            | (_, Json::Number(_) | Json::Bool(_) | Json::Array(_) | Json::Object(_)) => refuse(
                "JSON_PARSER_ERROR",
                format!("Cannot deserialize instance of {} from {value}", self.kind),
            ),
            (_, Json::String(text)) => {
                let trimmed = text.trim();
                if trimmed.is_empty() {
                    return Ok(Json::Null);
                }
                if self.length > 0 && trimmed.chars().count() > self.length {
                    return refuse(
                        "STRING_TOO_LONG",
                        format!("{name}: data value too large: {trimmed} (max length={})", self.length),
                    );
                }
                if self.kind == "email"
                    && !trimmed
                        .split_once('@')
                        .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
                {
                    return refuse(
                        "INVALID_EMAIL_ADDRESS",
                        format!("{name}: invalid email address: {trimmed}"),
                    );
                }
                Ok(json!(trimmed))
            }
        }
    }
}
