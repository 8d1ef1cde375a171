//! Accounts that are persons: an account row and a contact row nobody writes by itself.

use serde_json::{Map, Value as Json, json};

use crate::emulator::salesforce::records::{Record, RowError};
use crate::emulator::salesforce::schema::of_person;
use crate::emulator::salesforce::{Act, State};

/// What the account holds for its contact, and what the contact calls it.
const CARRIED: [(&str, &str); 17] = [
    ("FirstName", "FirstName"),
    ("LastName", "LastName"),
    ("Salutation", "Salutation"),
    ("Phone", "Phone"),
    ("Fax", "Fax"),
    ("OwnerId", "OwnerId"),
    ("PersonEmail", "Email"),
    ("PersonMobilePhone", "MobilePhone"),
    ("PersonTitle", "Title"),
    ("PersonDepartment", "Department"),
    ("PersonBirthdate", "Birthdate"),
    ("PersonLeadSource", "LeadSource"),
    ("PersonMailingStreet", "MailingStreet"),
    ("PersonMailingCity", "MailingCity"),
    ("PersonMailingState", "MailingState"),
    ("PersonMailingPostalCode", "MailingPostalCode"),
    ("PersonMailingCountry", "MailingCountry"),
];

/// Whether a field is there for persons alone.
fn is_persons(name: &str) -> bool {
    matches!(name, "FirstName" | "LastName" | "Salutation")
        || name.starts_with("Person")
        || name.ends_with("__pc")
}

impl State {
    fn account(&self, id: &str) -> Option<&Record> {
        self.tables.get("Account")?.get(id)
    }

    /// Refuses to write the contact behind a person account.
    pub(super) fn check_not_hidden_contact(&self, object: &str, id: Option<&str>) -> Result<(), RowError> {
        let record = id.filter(|_| object == "Contact").and_then(|id| self.tables.get(object)?.get(id));
        if record.is_some_and(|record| record.says("IsPersonAccount")) {
            let message = "insufficient access rights on object id".to_owned();
            return Err(RowError::new("INSUFFICIENT_ACCESS_OR_READONLY", message));
        }
        Ok(())
    }

    /// Checks what is written to an account; where it is a person, the answer holds what its contact gets.
    pub(super) fn check_person(
        &self,
        object: &str,
        id: Option<&str>,
        values: &mut Map<String, Json>,
    ) -> Result<Option<Map<String, Json>>, RowError> {
        let contacts = &self.tables["Contact"];
        if object != "Account" || !contacts.schema.fields.contains_key("IsPersonAccount") {
            return Ok(None);
        }
        let before = id.and_then(|id| self.account(id));
        let person = match before {
            Some(record) => record.says("IsPersonAccount"),
            None => values.get("LastName").is_some_and(|name| !name.is_null()),
        };
        let wrong = |(name, value): (&String, &Json)| {
            let amiss = if person {
                name == "Name"
            } else {
                is_persons(name) && !matches!(value, Json::Null | Json::Bool(false))
            };
            amiss.then(|| name.clone())
        };
        let wrong: Vec<String> = values.iter().filter_map(wrong).collect();
        if !wrong.is_empty() {
            return Err(RowError::unwritable(&wrong.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        if !person {
            return Ok(None);
        }
        if values.get("LastName").is_some_and(Json::is_null) {
            return Err(RowError::missing(vec!["LastName".to_owned()]));
        }
        values.insert("IsPersonAccount".to_owned(), json!(true));
        let custom = contacts
            .schema
            .fields
            .keys()
            .filter(|name| name.ends_with("__c"))
            .map(|name| (of_person(name), name.clone()));
        let known = CARRIED.iter().chain(&[("PersonHasOptedOutOfEmail", "HasOptedOutOfEmail")]);
        let pairs = known.map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).chain(custom);
        let carried = pairs.filter_map(|(from, to)| Some((to, values.get(&from)?.clone())));
        let contact: Map<String, Json> = carried.collect();
        contacts.check_unique(before.map(|record| record.text("PersonContactId")), &contact)?;
        Ok(Some(contact))
    }

    /// Makes or changes the contact behind a person account. No message tells of it: the account's does.
    pub(super) fn keep_in_step(&mut self, account: &str, mut values: Map<String, Json>, act: Act) {
        let Some(record) = self.account(account) else { return };
        let (contact, owner) = (record.text("PersonContactId").to_owned(), record.fields["OwnerId"].clone());
        let Some(contacts) = self.tables.get_mut("Contact") else { return };
        if !contact.is_empty() {
            contacts.set(&contact, values);
            contacts.stamp(&contact, act.user, act.now);
            return;
        }
        for (name, value) in
            [("AccountId", json!(account)), ("IsPersonAccount", json!(true)), ("OwnerId", owner)]
        {
            values.insert(name.to_owned(), value);
        }
        let contact = contacts.insert(values, act.user, act.now);
        if let Some(accounts) = self.tables.get_mut("Account") {
            accounts.set(account, Map::from_iter([("PersonContactId".to_owned(), json!(contact))]));
        }
    }
}
