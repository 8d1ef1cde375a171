//! What persons and administrators do without an API call.

use serde_json::{Map, Value as Json, json};

use crate::emulator::journal::Author;
use crate::emulator::salesforce::fields::WRITTEN;
use crate::emulator::salesforce::records::Table;
use crate::emulator::salesforce::values::typed;
use crate::emulator::salesforce::{
    Act, Converted, DuplicateRule, INTEGRATION_USER, PERSON_USER, SalesforceEmulator,
};

impl SalesforceEmulator {
    /// Sends the outbound messages of leads, contacts, accounts and opportunities there.
    pub fn deliver_to(&self, url: &str) {
        self.state().outbound.set_target(Some(url.to_owned()));
    }

    /// Loses the next `n` notifications.
    pub fn drop_notifications(&self, n: u32) {
        self.state().outbound.outbox.knobs.drop = n;
    }

    /// Tries again at once what could not be delivered, instead of after the vendor's minutes and hours.
    pub fn try_again_now(&self) {
        let now = self.now();
        self.state().outbound.outbox.hasten(now);
    }

    /// Refuses every write in which this field contains this text.
    pub fn refuse_where(&self, field: &str, contains: &str) {
        self.state().validation = Some((field.to_owned(), contains.to_owned()));
    }

    /// A duplicate rule: no record of this object is created with a value that another one holds in this field, unless the caller's
    /// header allows it.
    pub fn refuse_duplicates(&self, object: &str, field: &str) {
        self.set_duplicate_rule(object, field, false);
    }

    /// The same, whatever the caller's header says.
    pub fn block_duplicates(&self, object: &str, field: &str) {
        self.set_duplicate_rule(object, field, true);
    }

    fn set_duplicate_rule(&self, object: &str, field: &str, blocks: bool) {
        let (object, field) = (object.to_owned(), field.to_owned());
        self.state().duplicates = Some(DuplicateRule { object, field, blocks });
    }

    pub(super) fn by_person(&self, tells: bool) -> Act {
        Act { user: PERSON_USER, now: self.now(), tells, assigns: false, saves_duplicates: true }
    }

    /// A person creates a record; returns its id. Texts are taken in the fields' types. The assignment rule does not run, as on a
    /// page where its box is not ticked.
    pub fn create(&self, object: &str, fields: &[(&str, &str)]) -> Result<String, String> {
        let mut state = self.state();
        let row = typed(state.tables.get(object).map(|table| &table.schema), fields);
        state.write(object, None, &row, self.by_person(true)).map_err(|error| error.message)
    }

    /// A person edits a record.
    pub fn update(&self, object: &str, id: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let mut state = self.state();
        let row = typed(state.tables.get(object).map(|table| &table.schema), fields);
        let written = state.write(object, Some(id), &row, self.by_person(true));
        written.map(|_| ()).map_err(|error| error.message)
    }

    /// A person edits a record in a transaction that took this long: the record bears the time of its beginning.
    pub fn update_slowly(
        &self,
        object: &str,
        id: &str,
        fields: &[(&str, &str)],
        millis: i64,
    ) -> Result<(), String> {
        let mut state = self.state();
        let row = typed(state.tables.get(object).map(|table| &table.schema), fields);
        let act = Act { now: self.now().plus_millis(-millis), ..self.by_person(true) };
        state.write(object, Some(id), &row, act).map(|_| ()).map_err(|error| error.message)
    }

    /// A person deletes a record, and with it what hangs on it.
    pub fn delete(&self, object: &str, id: &str) -> bool {
        self.state().delete(object, id, self.by_person(true)).is_ok()
    }

    /// A person takes a record out of the recycle bin. No message tells of it.
    pub fn undelete(&self, object: &str, id: &str) -> Result<(), String> {
        self.state().undelete(object, id, self.by_person(false)).map_err(|error| error.message)
    }

    /// A person converts a lead; returns the contact it became. The contact gets an account of its own, and no opportunity is made. No
    /// message tells of the lead, as in an organization that does not require validation for converted leads.
    pub fn convert(&self, lead: &str) -> Result<String, String> {
        self.convert_into(lead, None, None).map(|converted| converted.contact)
    }

    /// A person converts a lead into a contact of this account, or of a new one named after the company, and into an opportunity of
    /// that name, if any. Where accounts may be persons, a lead without a company becomes one.
    pub fn convert_into(
        &self,
        lead: &str,
        account: Option<&str>,
        opportunity: Option<&str>,
    ) -> Result<Converted, String> {
        let converted = self.state().convert(lead, account, opportunity, self.by_person(true));
        converted.map_err(|error| error.message)
    }

    /// A person merges one record into another of its object: the loser is deleted and names its master, the master is told of.
    pub fn merge(&self, object: &str, master: &str, loser: &str) -> Result<(), String> {
        self.state().merge(object, (master, loser), self.by_person(true)).map_err(|error| error.message)
    }

    /// Adds a user; returns its id.
    pub fn add_user(&self, email: &str, first_name: &str, last_name: &str, active: bool) -> String {
        self.state().add_user(email, (first_name, last_name), active, self.now())
    }

    /// Adds a user of another type, such as `CustomerSuccess` for one of a portal.
    pub fn add_user_of_type(&self, user_type: &str, email: &str, (first, last): (&str, &str)) -> String {
        let mut state = self.state();
        let id = state.add_user(email, (first, last), true, self.now());
        state.set_user_type(&id, user_type);
        id
    }

    /// Lets a user own nothing more.
    pub fn deactivate_user(&self, id: &str) {
        self.state().deactivate_user(id, self.now());
    }

    /// Adds a queue for leads; returns its id.
    pub fn add_queue(&self, name: &str) -> String {
        self.state().add_queue(name, self.now())
    }

    /// Sets the active assignment rule: it gives every lead that the API writes to this owner, unless the caller's header says no.
    pub fn assign_leads_to(&self, owner: &str) {
        self.state().assign_leads_to(owner, self.now());
    }

    /// A person adds products to an opportunity, worth so much together. From then on its amount is their sum.
    pub fn add_line_items(&self, opportunity: &str, sum: &str) -> Result<(), String> {
        self.update("Opportunity", opportunity, &[("Amount", sum)])?;
        let mut state = self.state();
        let table = state.tables.get_mut("Opportunity").ok_or("there are no opportunities")?;
        table.set(opportunity, Map::from_iter([("HasOpportunityLineItem".to_owned(), json!(true))]));
        Ok(())
    }

    /// A flow: whenever anybody saves a record of this object, this field gets this value. What it does carries the saver's name.
    pub fn on_save_set(&self, object: &str, field: &str, value: &str) {
        self.state().flow = Some((object.to_owned(), field.to_owned(), value.to_owned()));
    }

    /// A process touches a record and changes nothing that anybody sees.
    pub fn touch(&self, object: &str, id: &str) {
        let now = self.now();
        let mut state = self.state();
        state.journal.begin(Author::Crm, now);
        if let Some(table) = state.tables.get_mut(object) {
            table.touch(id, now);
        }
    }

    /// A person names a contact on an opportunity; returns the role's id.
    pub fn add_contact_role(&self, opportunity: &str, contact: &str) -> Result<String, String> {
        self.create("OpportunityContactRole", &[("OpportunityId", opportunity), ("ContactId", contact)])
    }

    /// A person takes a contact off an opportunity.
    pub fn remove_contact_role(&self, role: &str) -> bool {
        self.delete("OpportunityContactRole", role)
    }

    /// Hides an object from the integration's user.
    pub fn hide_object(&self, object: &str) {
        self.state().hidden.objects.insert(object.to_owned());
    }

    /// Hides a field from the integration's user.
    pub fn hide_field(&self, object: &str, field: &str) {
        self.state().hidden.fields.insert((object.to_owned(), field.to_owned()));
    }

    /// Shows the integration's user a field again.
    pub fn show_field(&self, object: &str, field: &str) {
        self.state().hidden.fields.remove(&(object.to_owned(), field.to_owned()));
    }

    /// Lets the integration's user read an object's records and write none.
    pub fn restrict_object(&self, object: &str) {
        self.state().hidden.read_only.insert(object.to_owned());
    }

    /// The integration's user.
    pub fn integration_user(&self) -> &'static str {
        INTEGRATION_USER
    }

    /// One record's field as text; `None` where the record is gone or the field blank.
    pub fn field(&self, object: &str, id: &str, name: &str) -> Option<String> {
        let state = self.state();
        let record = state.tables.get(object)?.get(id)?;
        match record.fields.get(name)? {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// The ids of all records of an object that are not deleted.
    pub fn ids(&self, object: &str) -> Vec<String> {
        self.state().tables.get(object).map(Table::live_ids).unwrap_or_default()
    }

    /// Takes its part of a seed file: `{"salesforce": {"Lead": [{...}], "Contact": [{...}]}}`, accounts before what names them.
    /// Ids count from one in each object, so that a seed knows them. Sends nothing.
    pub fn seed(&self, seed: &Json) -> Result<usize, String> {
        let Some(Json::Object(objects)) = seed.pointer("/salesforce") else { return Ok(0) };
        let order = ["User", "Group", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"];
        if let Some(object) = objects.keys().find(|object| !order.contains(&object.as_str())) {
            return Err(format!("{object}: no such object to seed"));
        }
        let mut n = 0;
        for (object, rows) in order.iter().filter_map(|object| Some((*object, objects.get(*object)?))) {
            let rows: Vec<Map<String, Json>> =
                serde_json::from_value(rows.clone()).map_err(|error| format!("{object}: {error}"))?;
            for row in &rows {
                self.seed_row(object, row)?;
            }
            n += rows.len();
        }
        Ok(n)
    }

    fn seed_row(&self, object: &str, row: &Map<String, Json>) -> Result<(), String> {
        if WRITTEN.contains(&object) {
            let written = self.state().write(object, None, row, self.by_person(false));
            return written.map(|_| ()).map_err(|error| format!("{object}: {}", error.message));
        }
        let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default();
        if object == "User" {
            let active = row.get("IsActive") != Some(&json!(false));
            self.add_user(text("Email"), text("FirstName"), text("LastName"), active);
        } else {
            self.add_queue(text("Name"));
        }
        Ok(())
    }
}
