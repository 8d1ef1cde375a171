//! A write as a whole: what it may touch, what it refers to, what follows from it.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use crate::emulator::salesforce::records::{RowError, Table};
use crate::emulator::salesforce::values::wrong_id;
use crate::emulator::salesforce::{Act, DuplicateRule, INTEGRATION_USER, State};

/// What the integration's user does not see.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub(super) objects: HashSet<String>,
    pub(super) fields: HashSet<(String, String)>,
    /// Objects that it sees and may not write.
    pub(super) read_only: HashSet<String>,
}

impl Hidden {
    /// Whether a user does not see an object.
    pub(super) fn object(&self, user: &str, object: &str) -> bool {
        user == INTEGRATION_USER && self.objects.contains(object)
    }

    /// Whether a user may write an object's records.
    pub(super) fn may_write(&self, user: &str, object: &str) -> bool {
        user != INTEGRATION_USER || !self.read_only.contains(object)
    }

    /// Whether a user does not see a field.
    pub(super) fn field(&self, user: &str, object: &str, field: &str) -> bool {
        user == INTEGRATION_USER && self.fields.contains(&(object.to_owned(), field.to_owned()))
    }
}

impl State {
    /// An object's rows, where a user sees them.
    pub(super) fn seen(&self, user: &str, object: &str) -> Option<&Table> {
        self.tables.get(object).filter(|_| !self.hidden.object(user, object))
    }

    /// Whether a user sees a field.
    pub(super) fn sees(&self, user: &str, object: &str, field: &str) -> bool {
        let known = self.seen(user, object).is_some_and(|table| table.schema.fields.contains_key(field));
        known && !self.hidden.field(user, object, field)
    }

    /// Creates or updates a record and, where its user may, tells of it.
    pub(super) fn write(
        &mut self,
        object: &str,
        id: Option<&str>,
        row: &Map<String, Json>,
        act: Act,
    ) -> Result<String, RowError> {
        self.begin(act);
        self.check_allowed(object, row, act)?;
        let table = self.seen(act.user, object).ok_or_else(|| RowError::unknown_object(object))?;
        if !table.schema.is_written() {
            let message = format!("entity type cannot be inserted or updated: {object}");
            return Err(RowError::new("INVALID_TYPE_FOR_OPERATION", message));
        }
        self.check_not_hidden_contact(object, id)?;
        let (id, mut values) = match id {
            Some(id) => table.check_update(id, row).map(|(id, values)| (Some(id), values))?,
            None => (None, table.check_create(row)?),
        };
        self.check_references(object, id.as_deref(), &values, act)?;
        if id.is_none() {
            self.check_duplicates(object, &values, act)?;
        }
        // With line items the amount is their sum: another one is accepted and not stored.
        let sums_up =
            |id: &String| table.get(id).is_some_and(|record| record.fields["HasOpportunityLineItem"] == true);
        if object == "Opportunity" && id.as_ref().is_some_and(sums_up) {
            values.remove("Amount");
        }
        if let Some((_, owner)) = self.assignment.as_ref().filter(|_| object == "Lead" && act.assigns) {
            values.insert("OwnerId".to_owned(), json!(owner));
        }
        if let Some((_, field, value)) = self.flow.as_ref().filter(|(of, ..)| of == object) {
            values.insert(field.clone(), json!(value));
            self.journal.sets_by_flow(field);
        }
        self.check_places(object, id.as_deref(), &values)?;
        self.follow_stage(object, id.as_deref(), &mut values);
        let contact = self.check_person(object, id.as_deref(), &mut values)?;
        let id = self.store(object, id, values, act);
        if let Some(contact) = contact {
            self.keep_in_step(&id, contact, act);
        }
        self.follow_formulas();
        if act.tells {
            self.outbound.changed(object, &id, act.now);
        }
        Ok(id)
    }

    fn store(&mut self, object: &str, id: Option<String>, values: Map<String, Json>, act: Act) -> String {
        let primary = object == "OpportunityContactRole" && values.get("IsPrimary") == Some(&json!(true));
        let Some(table) = self.tables.get_mut(object) else { return String::new() };
        let id = match id {
            None => table.insert(values, act.user, act.now),
            Some(id) => {
                table.set(&id, values);
                table.stamp(&id, act.user, act.now);
                id
            }
        };
        if primary {
            // An opportunity has one primary contact.
            let opportunity =
                table.get(&id).map(|role| role.text("OpportunityId").to_owned()).unwrap_or_default();
            for other in table.naming("OpportunityId", &opportunity).iter().filter(|other| **other != id) {
                table.set(other, Map::from_iter([("IsPrimary".to_owned(), json!(false))]));
            }
        }
        id
    }

    /// Validation rules, and what the user may not write or does not see.
    fn check_allowed(&self, object: &str, row: &Map<String, Json>, act: Act) -> Result<(), RowError> {
        if let Some((field, text)) = &self.validation
            && row.get(field).and_then(Json::as_str).is_some_and(|value| value.contains(text.as_str()))
        {
            let message = format!("{field} must not hold that");
            let error = RowError::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", message);
            return Err(RowError { fields: vec![field.clone()], ..error });
        }
        if !self.hidden.may_write(act.user, object) {
            let message = "insufficient access rights on object id".to_owned();
            return Err(RowError::new("INSUFFICIENT_ACCESS_OR_READONLY", message));
        }
        let hidden = row.keys().find(|name| self.hidden.field(act.user, object, name));
        match (hidden, self.tables.get(object)) {
            (Some(name), Some(table)) => Err(table.unknown_field(name)),
            _ => Ok(()),
        }
    }

    fn check_references(
        &self,
        object: &str,
        id: Option<&str>,
        values: &Map<String, Json>,
        act: Act,
    ) -> Result<(), RowError> {
        let Some(table) = self.tables.get(object) else { return Ok(()) };
        let before = id.and_then(|id| table.get(id));
        for (name, value) in values {
            let targets = table.schema.fields.get(name).map(|field| field.references).unwrap_or_default();
            let unchanged = before.is_some_and(|record| record.fields.get(name) == Some(value));
            if let Some(value) = value.as_str().filter(|_| !targets.is_empty() && !unchanged) {
                let checked = self.check_reference(object, (name, value), targets, act);
                checked.map_err(|error| RowError { fields: vec![name.clone()], ..error })?;
            }
        }
        Ok(())
    }

    fn check_reference(
        &self,
        object: &str,
        (name, id): (&str, &str),
        targets: &[&str],
        act: Act,
    ) -> Result<(), RowError> {
        let unknown =
            || RowError::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".to_owned());
        let target = targets.iter().filter_map(|target| self.tables.get(*target));
        let target =
            target.into_iter().find(|table| id.starts_with(table.schema.prefix)).ok_or_else(|| {
                let (code, message) = wrong_id(name, id);
                RowError::new(code, message)
            })?;
        if name != "OwnerId" && self.hidden.object(act.user, target.schema.object) {
            let message = format!("insufficient access rights on cross-reference id: {id}");
            return Err(RowError::new("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message));
        }
        let record = target.any(id).ok_or_else(unknown)?;
        if record.deleted {
            return Err(RowError::deleted());
        }
        match target.schema.object {
            "User" if !record.says("IsActive") => {
                let message = format!("operation performed with inactive user [{id}] as owner of {object}");
                Err(RowError::new("INACTIVE_OWNER_OR_USER", message))
            }
            "Group" if record.text("Type") != "Queue" => Err(unknown()),
            "Account" if object == "Contact" && record.says("IsPersonAccount") => {
                let message = "a person account has no other contacts".to_owned();
                Err(RowError::new("INVALID_PERSON_ACCOUNT_OPERATION", message))
            }
            _ => Ok(()),
        }
    }

    /// The duplicate rule, where there is one.
    fn check_duplicates(&self, object: &str, values: &Map<String, Json>, act: Act) -> Result<(), RowError> {
        let of_object =
            |rule: &&DuplicateRule| rule.object == object && (rule.blocks || !act.saves_duplicates);
        let Some(DuplicateRule { field, blocks, .. }) = self.duplicates.as_ref().filter(of_object) else {
            return Ok(());
        };
        let Some(value) = values.get(field).and_then(Json::as_str) else { return Ok(()) };
        let same = |held: &str| held.to_lowercase() == value.to_lowercase();
        let mut rows = self.tables.get(object).into_iter().flat_map(Table::rows);
        match rows.find(|record| !record.deleted && same(record.text(field))) {
            None => Ok(()),
            Some(record) => {
                let message =
                    "You're creating a duplicate record. We recommend you use an existing record instead.";
                let duplicate = Some((object.to_owned(), record.text("Id").to_owned(), *blocks));
                Err(RowError { duplicate, ..RowError::new("DUPLICATES_DETECTED", message.to_owned()) })
            }
        }
    }

    /// An opportunity's stage says whether it is closed and won, and, where nobody says otherwise, how probable it is.
    fn follow_stage(&self, object: &str, id: Option<&str>, values: &mut Map<String, Json>) {
        let Some(name) = values.get("StageName").and_then(Json::as_str).filter(|_| object == "Opportunity")
        else {
            return;
        };
        let before =
            id.and_then(|id| self.tables.get(object)?.get(id)).map(|record| record.text("StageName"));
        if before == Some(name) {
            return;
        }
        let stage = self.tables["OpportunityStage"].rows().find(|stage| stage.text("ApiName") == name);
        let (closed, won) =
            stage.map(|stage| (stage.says("IsClosed"), stage.says("IsWon"))).unwrap_or_default();
        let probability = stage.map(|stage| stage.fields["DefaultProbability"].clone());
        values.insert("IsClosed".to_owned(), json!(closed));
        values.insert("IsWon".to_owned(), json!(won));
        if let Some(probability) = probability {
            values.entry("Probability").or_insert(probability);
        }
    }
}
