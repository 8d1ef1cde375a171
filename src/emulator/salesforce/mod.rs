//! Salesforce, emulated: leads and contacts, SOQL, collections, and outbound messages.
//!
//! Built from Salesforce's documentation. What is not here (merging, converting, bulk jobs, metadata) answers 404, as an unknown call
//! should. Administrators' doings, which have no REST call, stand below `/_control/`.

mod access;
mod ids;
mod outbound;
mod queries;
mod records;
mod rest;
mod schema;
mod soql;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::domain::{Clock, Secret, Timestamp};
use crate::emulator::control::read;
use crate::emulator::outbox::WebhookControl;
use crate::emulator::{Answer, Asked, Caller, Control, EmulatorClock, Outgoing, Reply, Vendor};
use outbound::Outbound;
use records::{RowError, Table};
use schema::Schema;

/// How the emulated organization is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The organization.
    pub organization: String,
    /// Its edition.
    pub edition: String,
    /// The address under which the emulator is reached.
    pub instance_url: String,
    /// The integration's client id and secret.
    pub client: (String, Secret),
    /// The person's user name and password.
    pub person: (String, Secret),
    /// How long a session lasts.
    pub session_ms: i64,
    /// The unique external id field on leads and contacts; empty for none.
    pub external_id_field: String,
    /// Whether the integration's user may send outbound messages; the vendor advises against it.
    pub integration_sends_messages: bool,
    /// Calls in 24 hours.
    pub calls_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organization: "00D000000000001EAA".to_owned(),
            edition: "Enterprise Edition".to_owned(),
            instance_url: "http://127.0.0.1:9102".to_owned(),
            client: ("integration-client".to_owned(), Secret::new("integration-secret")),
            person: ("person@example.com".to_owned(), Secret::new("person-password")),
            session_ms: 2 * 3_600_000,
            external_id_field: "Hubforce_HubSpot_Id__c".to_owned(),
            integration_sends_messages: false,
            calls_max: 15_000,
        }
    }
}

/// The integration's user.
pub(super) const INTEGRATION_USER: &str = "005000000000001AAA";

/// The person's user.
pub(super) const PERSON_USER: &str = "005000000000002AAA";

/// The emulated organization.
pub struct SalesforceEmulator {
    options: Options,
    desk: Control,
    state: Mutex<State>,
}

struct State {
    tables: HashMap<&'static str, Table>,
    sessions: HashMap<String, (Caller, Timestamp)>,
    outbound: Outbound,
    /// A validation rule: this field must not contain this text.
    validation: Option<(String, String)>,
    calls: u64,
    last_session: u64,
}

impl SalesforceEmulator {
    /// An empty organization.
    pub fn new(options: Options, clock: EmulatorClock) -> Self {
        let table = |object| (object, Table::new(Schema::of(object, &options.external_id_field)));
        let state = State {
            tables: HashMap::from([table("Lead"), table("Contact")]),
            sessions: HashMap::new(),
            outbound: Outbound::new(&options.organization),
            validation: None,
            calls: 0,
            last_session: 0,
        };
        Self { options, desk: Control::new(clock), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.desk.clock().now()
    }

    /// Counts, faults and clock.
    pub const fn control(&self) -> &Control {
        &self.desk
    }

    /// Sends the outbound messages of both objects there.
    pub fn deliver_to(&self, url: &str) {
        self.state().outbound.set_target(Some(url.to_owned()));
    }

    /// Loses the next `n` notifications.
    pub fn drop_notifications(&self, n: u32) {
        self.state().outbound.outbox.knobs.drop = n;
    }

    /// Refuses every write in which this field contains this text.
    pub fn refuse_where(&self, field: &str, contains: &str) {
        self.state().validation = Some((field.to_owned(), contains.to_owned()));
    }

    fn by_person(&self, tells: bool) -> Act {
        Act { user: PERSON_USER, now: self.now(), tells }
    }

    /// A person creates a record; returns its id.
    pub fn create(&self, object: &str, fields: &[(&str, &str)]) -> Result<String, String> {
        let row = row_of(fields);
        self.state().write(object, None, &row, self.by_person(true)).map_err(|error| error.message)
    }

    /// A person edits a record.
    pub fn update(&self, object: &str, id: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let row = row_of(fields);
        let written = self.state().write(object, Some(id), &row, self.by_person(true));
        written.map(|_| ()).map_err(|error| error.message)
    }

    /// A person deletes a record.
    pub fn delete(&self, object: &str, id: &str) -> bool {
        let now = self.now();
        self.state().tables.get_mut(object).is_some_and(|table| table.delete(id, PERSON_USER, now).is_ok())
    }

    /// A person converts a lead; returns the contact it became. No message tells of the lead, as in an organization that does not
    /// require validation for converted leads.
    pub fn convert(&self, lead: &str) -> Result<String, String> {
        self.state().convert(lead, self.by_person(true))
    }

    /// A person merges one record into another of its object: the loser is deleted and names its master, the master is told of.
    pub fn merge(&self, object: &str, master: &str, loser: &str) -> Result<(), String> {
        self.state().merge(object, (master, loser), self.by_person(true))
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

    /// Takes its part of a seed file: `{"salesforce": {"Lead": [{...}], "Contact": [{...}]}}`. Sends nothing.
    pub fn seed(&self, seed: &Json) -> Result<usize, String> {
        let Some(Json::Object(objects)) = seed.pointer("/salesforce") else { return Ok(0) };
        let mut n = 0;
        for (object, rows) in objects {
            let rows: Vec<Map<String, Json>> =
                serde_json::from_value(rows.clone()).map_err(|error| format!("{object}: {error}"))?;
            for row in rows {
                self.state()
                    .write(object, None, &row, self.by_person(false))
                    .map_err(|error| error.message)?;
                n += 1;
            }
        }
        Ok(n)
    }
}

fn row_of(fields: &[(&str, &str)]) -> Map<String, Json> {
    let value = |text: &str| if text.is_empty() { Json::Null } else { json!(text) };
    fields.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
}

/// Who writes, when, and whether outbound messages tell of it.
#[derive(Clone, Copy)]
struct Act {
    user: &'static str,
    now: Timestamp,
    tells: bool,
}

impl State {
    /// Creates or updates a record and, where its user may, tells of it.
    fn write(
        &mut self,
        object: &str,
        id: Option<&str>,
        row: &Map<String, Json>,
        act: Act,
    ) -> Result<String, RowError> {
        let Act { user, now, tells } = act;
        if let Some((field, text)) = &self.validation
            && row.get(field).and_then(Json::as_str).is_some_and(|value| value.contains(text.as_str()))
        {
            let message = format!("{field} must not hold that");
            return Err(RowError {
                code: "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                message,
                fields: vec![field.clone()],
            });
        }
        let Some(table) = self.tables.get_mut(object) else {
            return Err(RowError::new("INVALID_TYPE", format!("sObject type '{object}' is not supported.")));
        };
        let id = match id {
            Some(id) => table.update(id, row, user, now).map(|()| id.to_owned())?,
            None => table.create(row, user, now)?,
        };
        if tells {
            self.outbound.changed(object, &id, now);
        }
        Ok(id)
    }
}

/// What a conversion carries over: the fields both have under one name, and the address under another.
const CONVERTED_FIELDS: [(&str, &str); 14] = [
    ("FirstName", "FirstName"),
    ("LastName", "LastName"),
    ("Salutation", "Salutation"),
    ("Title", "Title"),
    ("Email", "Email"),
    ("Phone", "Phone"),
    ("MobilePhone", "MobilePhone"),
    ("Fax", "Fax"),
    ("LeadSource", "LeadSource"),
    ("Street", "MailingStreet"),
    ("City", "MailingCity"),
    ("State", "MailingState"),
    ("PostalCode", "MailingPostalCode"),
    ("Country", "MailingCountry"),
];

impl State {
    fn merge(&mut self, object: &str, (master, loser): (&str, &str), act: Act) -> Result<(), String> {
        self.write(object, Some(master), &Map::new(), act).map_err(|error| error.message)?;
        let table = self.tables.get_mut(object).ok_or_else(|| format!("there is no object {object}"))?;
        table.merge_away(loser, master, act.user, act.now).map_err(|error| error.message)
    }

    fn convert(&mut self, lead: &str, act: Act) -> Result<String, String> {
        let record = self.tables["Lead"].get(lead).ok_or_else(|| format!("there is no lead {lead}"))?;
        if record.fields.get("IsConverted") == Some(&json!(true)) {
            return Err(format!("lead {lead} is converted already"));
        }
        let carried = |(of_lead, of_contact): &(&str, &str)| {
            Some((
                (*of_contact).to_owned(),
                record.fields.get(*of_lead).filter(|value| !value.is_null())?.clone(),
            ))
        };
        let row: Map<String, Json> = CONVERTED_FIELDS.iter().filter_map(carried).collect();
        let contact = self.write("Contact", None, &row, act).map_err(|error| error.message)?;
        if let Some(table) = self.tables.get_mut("Lead") {
            table.convert(lead, &contact, act.user, act.now);
        }
        Ok(contact)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    object: String,
    master: String,
    loser: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    lead: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// A validation rule: writes in which `field` contains `text` are refused.
    validation: Option<Validation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Validation {
    field: String,
    text: String,
}

impl Vendor for SalesforceEmulator {
    fn caller(&self, asked: &Asked<'_>) -> Caller {
        let session = asked.bearer().and_then(|token| self.state().sessions.get(token).copied());
        session.map_or(Caller::Unknown, |(caller, _)| caller)
    }

    fn answer(&self, asked: &Asked<'_>, caller: Caller) -> Reply {
        rest::answer(self, asked, caller)
    }

    fn control(&self, name: &str, body: &[u8]) -> Option<Result<Json, String>> {
        let state = &mut *self.state();
        Some(match name {
            "state" => Ok(
                json!({ "Lead": state.tables["Lead"].shown(), "Contact": state.tables["Contact"].shown() }),
            ),
            "reset" => {
                state.tables.values_mut().for_each(Table::clear);
                state.outbound.outbox.clear();
                state.validation = None;
                Ok(json!({}))
            }
            "webhooks" => read(body).map(|control: WebhookControl<Target>| {
                state.outbound.set(control);
                json!({})
            }),
            "merge" => read(body).and_then(|Merge { object, master, loser }| {
                state.merge(&object, (&master, &loser), self.by_person(true))?;
                Ok(json!({}))
            }),
            "convert" => read(body).and_then(|Convert { lead }| {
                let contact = state.convert(&lead, self.by_person(true))?;
                Ok(json!({ "contact": contact }))
            }),
            "rules" => read(body).map(|Rules { validation }| {
                state.validation = validation.map(|rule| (rule.field, rule.text));
                json!({})
            }),
            _ => return None,
        })
    }

    fn take_due(&self, now: Timestamp) -> Vec<Outgoing> {
        let state = &mut *self.state();
        state.outbound.take_due(&state.tables, &self.options, now)
    }

    fn settle(&self, id: u64, answer: &Answer, now: Timestamp) {
        let told = matches!(answer, Answer::Status(200, body) if outbound::acknowledges(body));
        self.state().outbound.outbox.settle(id, told, now);
    }

    fn pending(&self) -> usize {
        self.state().outbound.outbox.pending()
    }

    fn desk(&self) -> &Control {
        &self.desk
    }
}
