//! What happens to whole records: deletion and return, merges, conversions.

use serde_json::{Map, Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::salesforce::fields::WRITTEN;
use crate::emulator::salesforce::records::{Record, RowError, Table};
use crate::emulator::salesforce::{Act, Converted, State, ids, values};

/// What a conversion carries over to the contact: the fields both have under one name, and the address under another.
const TO_CONTACT: [(&str, &str); 15] = [
    ("FirstName", "FirstName"),
    ("LastName", "LastName"),
    ("Salutation", "Salutation"),
    ("Title", "Title"),
    ("Email", "Email"),
    ("Phone", "Phone"),
    ("MobilePhone", "MobilePhone"),
    ("Fax", "Fax"),
    ("LeadSource", "LeadSource"),
    ("HasOptedOutOfEmail", "HasOptedOutOfEmail"),
    ("Street", "MailingStreet"),
    ("City", "MailingCity"),
    ("State", "MailingState"),
    ("PostalCode", "MailingPostalCode"),
    ("Country", "MailingCountry"),
];

/// What it carries over to the account.
const TO_ACCOUNT: [(&str, &str); 12] = [
    ("Company", "Name"),
    ("Phone", "Phone"),
    ("Fax", "Fax"),
    ("Website", "Website"),
    ("Industry", "Industry"),
    ("AnnualRevenue", "AnnualRevenue"),
    ("NumberOfEmployees", "NumberOfEmployees"),
    ("Street", "BillingStreet"),
    ("City", "BillingCity"),
    ("State", "BillingState"),
    ("PostalCode", "BillingPostalCode"),
    ("Country", "BillingCountry"),
];

/// What it carries over to an account that is a person.
const TO_PERSON: [(&str, &str); 15] = [
    ("FirstName", "FirstName"),
    ("LastName", "LastName"),
    ("Salutation", "Salutation"),
    ("Title", "PersonTitle"),
    ("Email", "PersonEmail"),
    ("Phone", "Phone"),
    ("MobilePhone", "PersonMobilePhone"),
    ("Fax", "Fax"),
    ("LeadSource", "PersonLeadSource"),
    ("HasOptedOutOfEmail", "PersonHasOptedOutOfEmail"),
    ("Street", "PersonMailingStreet"),
    ("City", "PersonMailingCity"),
    ("State", "PersonMailingState"),
    ("PostalCode", "PersonMailingPostalCode"),
    ("Country", "PersonMailingCountry"),
];

fn carried(lead: &Record, names: &[(&str, &str)]) -> Map<String, Json> {
    let pair = |(from, to): &(&str, &str)| {
        let value = lead.fields.get(*from).filter(|value| !value.is_null())?;
        Some(((*to).to_owned(), value.clone()))
    };
    names.iter().filter_map(pair).collect()
}

/// What goes into the recycle bin together with a record: the object and the field that names the record.
fn dependants(object: &str) -> &'static [(&'static str, &'static str)] {
    match object {
        "Account" => &[("Contact", "AccountId"), ("Opportunity", "AccountId")],
        "Contact" => &[("OpportunityContactRole", "ContactId")],
        "Opportunity" => &[("OpportunityContactRole", "OpportunityId")],
        _ => &[],
    }
}

/// What a merge moves from the loser to its master.
fn moved(object: &str) -> &'static [(&'static str, &'static str)] {
    match object {
        "Account" => &[("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Account", "ParentId")],
        other => dependants(other),
    }
}

impl State {
    fn live(&self, object: &str, id: &str) -> Result<(&Table, &Record), RowError> {
        let table = self.tables.get(object).ok_or_else(|| RowError::unknown_object(object))?;
        Ok((table, table.get(id).ok_or_else(RowError::deleted)?))
    }

    /// Deletes a record with all that hangs on it.
    pub(super) fn delete(&mut self, object: &str, id: &str, act: Act) -> Result<(), RowError> {
        self.begin(act);
        let table = self.seen(act.user, object).ok_or_else(|| RowError::unknown_object(object))?;
        if !table.schema.is_written() {
            let message = format!("entity type cannot be deleted: {object}");
            return Err(RowError::new("INVALID_TYPE_FOR_OPERATION", message));
        }
        self.check_not_hidden_contact(object, Some(id))?;
        let id = ids::normal(id).unwrap_or_default();
        let Some(table) = self.tables.get_mut(object) else { return Ok(()) };
        table.delete(&id, None, (act.user, act.now))?;
        self.delete_dependants((object, &id), &id, act);
        Ok(())
    }

    fn delete_dependants(&mut self, (object, id): (&str, &str), root: &str, act: Act) {
        for (child, field) in dependants(object) {
            let children = self.tables.get(*child).map(|table| table.naming(field, id)).unwrap_or_default();
            for child_id in children {
                let table = self.tables.get_mut(*child);
                if table.is_some_and(|table| table.delete(&child_id, Some(root), (act.user, act.now)).is_ok())
                {
                    self.delete_dependants((child, &child_id), root, act);
                }
            }
        }
    }

    /// Takes a record out of the recycle bin, with all that its deletion took along.
    pub(super) fn undelete(&mut self, object: &str, id: &str, act: Act) -> Result<(), RowError> {
        self.begin(act);
        let table = self.tables.get(object).ok_or_else(|| RowError::unknown_object(object))?;
        let record = table
            .any(id)
            .filter(|record| record.deleted)
            .ok_or_else(|| RowError::new("UNDELETE_FAILED", "entity is not in the recycle bin".to_owned()))?;
        let id = record.text("Id").to_owned();
        self.check_not_taken(object, &id)?;
        let taken = |object: &'static str| {
            let rows = self.tables.get(object).into_iter().flat_map(Table::rows);
            let with = rows.filter(|record| record.deleted_with.as_deref() == Some(id.as_str()));
            with.map(|record| (object, record.text("Id").to_owned())).collect::<Vec<_>>()
        };
        let taken: Vec<(&str, String)> = WRITTEN.into_iter().flat_map(taken).collect();
        for (object, id) in taken.iter().map(|(object, id)| (*object, id)).chain([(object, &id)]) {
            if self.check_not_taken(object, id).is_err() {
                continue;
            }
            if let Some(table) = self.tables.get_mut(object) {
                table.undelete(id, act.user, act.now);
            }
        }
        // A record that comes back alone has lost what is still in the bin, and its master.
        let Some(record) = self.tables[object].get(&id) else { return Ok(()) };
        let gone = |name: &str| {
            let parent = record.text(name);
            !parent.is_empty() && self.tables["Account"].get(parent).is_none()
        };
        let mut lost: Map<String, Json> = Map::new();
        for name in ["AccountId", "ParentId"].into_iter().filter(|name| gone(name)) {
            lost.insert(name.to_owned(), Json::Null);
        }
        if record.fields.contains_key("MasterRecordId") {
            lost.insert("MasterRecordId".to_owned(), Json::Null);
        }
        if let Some(table) = self.tables.get_mut(object) {
            table.set(&id, lost);
        }
        Ok(())
    }

    /// Whether a deleted record may come back: nobody else holds its external ids, and a role's records are there.
    fn check_not_taken(&self, object: &str, id: &str) -> Result<(), RowError> {
        let Some(table) = self.tables.get(object) else { return Ok(()) };
        let Some(record) = table.any(id) else { return Ok(()) };
        table.check_unique(Some(id), &record.fields)?;
        let alone = record.deleted_with.is_none() && object == "OpportunityContactRole";
        let there = |of: &str, field: &str| self.tables[of].get(record.text(field)).is_some();
        if alone && !(there("Opportunity", "OpportunityId") && there("Contact", "ContactId")) {
            return Err(RowError::deleted());
        }
        Ok(())
    }

    /// Merges one record into another of its object. Nothing tells of the records that move to the master.
    pub(super) fn merge(
        &mut self,
        object: &str,
        (master, loser): (&str, &str),
        act: Act,
    ) -> Result<(), RowError> {
        self.begin(act);
        let (table, record) = self.live(object, loser)?;
        let other = table.get(master).ok_or_else(RowError::deleted)?;
        let (master, loser) = (other.text("Id").to_owned(), record.text("Id").to_owned());
        let persons = (other.says("IsPersonAccount"), record.says("IsPersonAccount"));
        let contacts = (other.text("PersonContactId").to_owned(), record.text("PersonContactId").to_owned());
        let mergeable = matches!(object, "Lead" | "Contact" | "Account") && master != loser;
        if !mergeable || persons.0 != persons.1 || (object == "Contact" && persons.0) {
            let message = format!("{loser} cannot be merged into {master}");
            return Err(RowError::new("INVALID_PERSON_ACCOUNT_OPERATION", message)
                .unless(mergeable, "INVALID_OPERATION"));
        }
        for id in [&master, &loser] {
            // A lead that was converted cannot be referenced any more.
            self.live(object, id)?.0.check_update(id, &Map::new())?;
        }
        if persons.0 {
            self.merge_away("Contact", (&contacts.0, &contacts.1), act)?;
        }
        self.merge_away(object, (&master, &loser), act)?;
        self.write(object, Some(&master), &Map::new(), act).map(|_| ())
    }

    fn merge_away(&mut self, object: &str, (master, loser): (&str, &str), act: Act) -> Result<(), RowError> {
        for (child, field) in moved(object) {
            let Some(table) = self.tables.get_mut(*child) else { continue };
            for id in table.naming(field, loser) {
                // The contact of a person goes the way of its account.
                if table.get(&id).is_some_and(|record| *child == "Contact" && record.says("IsPersonAccount"))
                {
                    continue;
                }
                let value = if id == master { Json::Null } else { json!(master) };
                table.set(&id, Map::from_iter([((*field).to_owned(), value)]));
                table.touch(&id, act.now);
            }
        }
        let Some(table) = self.tables.get_mut(object) else { return Ok(()) };
        table.delete(loser, None, (act.user, act.now))?;
        table.set(loser, Map::from_iter([("MasterRecordId".to_owned(), json!(master))]));
        Ok(())
    }

    /// Converts a lead into a contact of an account, new or given, and into an opportunity where that has a name.
    pub(super) fn convert(
        &mut self,
        lead: &str,
        account: Option<&str>,
        opportunity: Option<&str>,
        act: Act,
    ) -> Result<Converted, RowError> {
        self.begin(act);
        let (table, record) = self.live("Lead", lead)?;
        table.check_update(lead, &Map::new())?;
        let (record, id) = (record.clone(), record.text("Id").to_owned());
        // Accounts and contacts have no queue for an owner, nor anybody who left.
        let owner = self.tables["User"].get(record.text("OwnerId")).filter(|user| user.says("IsActive"));
        let owner = owner.map_or(act.user, |user| user.text("Id")).to_owned();
        let account = self.account_of(&record, account, &owner, act)?;
        let contact = self.contact_of(&record, &account, &owner, act)?;
        let opportunity = match opportunity {
            Some(name) => Some(self.opportunity_of((&record, name), (&account, &contact), &owner, act)?),
            None => None,
        };
        let Some(table) = self.tables.get_mut("Lead") else { return Err(RowError::deleted()) };
        let set = [
            ("IsConverted", json!(true)),
            ("Status", json!("Closed - Converted")),
            ("ConvertedAccountId", json!(account)),
            ("ConvertedContactId", json!(contact)),
            ("ConvertedOpportunityId", json!(opportunity)),
            ("ConvertedDate", json!(values::date(act.now))),
        ];
        table.set(&id, set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        table.stamp(&id, act.user, act.now);
        Ok(Converted { contact, account, opportunity })
    }

    fn account_of(
        &mut self,
        lead: &Record,
        given: Option<&str>,
        owner: &str,
        act: Act,
    ) -> Result<String, RowError> {
        if let Some(given) = given {
            let (_, held) = self.live("Account", given)?;
            // Only what is blank is filled.
            let names = if held.says("IsPersonAccount") { &TO_PERSON[..] } else { &TO_ACCOUNT[..] };
            let mut row = carried(lead, names);
            row.retain(|name, _| held.fields.get(name).is_none_or(Json::is_null));
            let id = held.text("Id").to_owned();
            return if row.is_empty() { Ok(id) } else { self.write("Account", Some(&id), &row, act) };
        }
        let names = if lead.text("Company").is_empty() { &TO_PERSON[..] } else { &TO_ACCOUNT[..] };
        let mut row = carried(lead, names);
        row.insert("OwnerId".to_owned(), json!(owner));
        self.write("Account", None, &row, act)
    }

    fn contact_of(
        &mut self,
        lead: &Record,
        account: &str,
        owner: &str,
        act: Act,
    ) -> Result<String, RowError> {
        let (_, held) = self.live("Account", account)?;
        if held.says("IsPersonAccount") {
            return Ok(held.text("PersonContactId").to_owned());
        }
        let mut row = carried(lead, &TO_CONTACT);
        row.insert("AccountId".to_owned(), json!(account));
        row.insert("OwnerId".to_owned(), json!(owner));
        self.write("Contact", None, &row, act)
    }

    fn opportunity_of(
        &mut self,
        (lead, name): (&Record, &str),
        (account, contact): (&str, &str),
        owner: &str,
        act: Act,
    ) -> Result<String, RowError> {
        let stages = self.tables["OpportunityStage"].rows();
        let first =
            stages.min_by_key(|stage| stage.fields["SortOrder"].as_u64()).map(|stage| stage.text("ApiName"));
        let row = json!({
            "Name": name, "AccountId": account, "OwnerId": owner, "StageName": first, "CloseDate": end_of_quarter(act.now),
            "LeadSource": lead.fields["LeadSource"],
        });
        let id = self.write("Opportunity", None, row.as_object().unwrap_or(&Map::new()), act)?;
        let role = json!({ "OpportunityId": id, "ContactId": contact, "IsPrimary": true });
        self.write("OpportunityContactRole", None, role.as_object().unwrap_or(&Map::new()), act)?;
        Ok(id)
    }
}

impl RowError {
    /// The same error, or one of another code where a condition does not hold.
    fn unless(self, holds: bool, code: &'static str) -> Self {
        if holds { self } else { Self { code, ..self } }
    }
}

/// The last day of the quarter: when an opportunity made from a lead closes.
fn end_of_quarter(at: Timestamp) -> String {
    let day = values::date(at);
    let (year, month) = (&day[..4], &day[5..7]);
    let end = match month {
        "01" | "02" | "03" => "03-31",
        "04" | "05" | "06" => "06-30",
        "07" | "08" | "09" => "09-30",
        _ => "12-31",
    };
    format!("{year}-{end}")
}
