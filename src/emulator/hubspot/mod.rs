//! HubSpot, emulated: contacts, companies and deals, their properties and associations, owners, pipelines, and signed webhooks.
//!
//! Built from HubSpot's documentation and public API specification. Both path styles are served, `/crm/v3/objects/...` and
//! `/crm/objects/2026-09/...`. What is not here (engagements, imports) answers 404, as an unknown call should.

mod associations;
mod batches;
mod deeds;
mod history;
mod lists;
mod noted;
mod objects;
mod owners;
mod portal;
mod privacy;
mod properties;
mod records;
mod rest;
mod search;
#[cfg(test)]
mod tests;
mod webhooks;
mod writer;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::{Clock, Secret, System, Timestamp};
use crate::emulator::control::read;
use crate::emulator::journal::{Entry, Journal};
use crate::emulator::outbox::WebhookControl;
use crate::emulator::{Answer, Asked, Caller, Control, EmulatorClock, Outgoing, Reply, Vendor};
use associations::Asks;
use deeds::ListControl;
use objects::Object;
use owners::{Owner, Pipeline};
use portal::State;
use properties::{NATIVE_ID_PROPERTY, NATIVE_PROPERTY};
use records::Refused;
use webhooks::Webhooks;
use writer::{Act, Writer};

/// How the emulated portal is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The account.
    pub portal_id: u64,
    /// The integration's app.
    pub app_id: u64,
    /// The integration's token.
    pub access_token: Secret,
    /// The person's token.
    pub person_token: Secret,
    /// Whether the portal has hubforce's own properties.
    pub own_properties: bool,
    /// Whether batched reads list a record that was merged among the deleted ones. What they do is not documented; single reads
    /// answer with the survivor either way.
    pub batches_hide_merges: bool,
    /// Searches in one second, whoever makes them.
    pub searches_per_second: usize,
    /// How far the results of one search can be paged.
    pub search_window: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            portal_id: 1_234_567,
            app_id: 998_877,
            access_token: Secret::new("pat-integration"),
            person_token: Secret::new("pat-person"),
            own_properties: true,
            batches_hide_merges: false,
            searches_per_second: 5,
            search_window: 10_000,
        }
    }
}

/// The emulated portal.
pub struct HubspotEmulator {
    options: Options,
    desk: Control,
    state: Mutex<State>,
}

impl HubspotEmulator {
    /// An empty portal.
    pub fn new(options: Options, clock: EmulatorClock) -> Self {
        let journal = Journal::new(System::Hubspot, clock.sequence());
        let webhooks = Webhooks::new(options.portal_id, options.app_id);
        let state = State::new(options.own_properties, webhooks, journal);
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

    /// Everything that happened, in order.
    pub fn journal(&self) -> Vec<Entry> {
        self.state().journal.entries()
    }

    /// Sends webhooks there, signed with that secret.
    pub fn deliver_to(&self, url: &str, client_secret: &str) {
        self.state().webhooks.set_target(Some((url.to_owned(), client_secret.to_owned())));
    }

    /// Loses the next `n` events.
    pub fn drop_events(&self, n: u32) {
        self.state().webhooks.outbox.knobs.drop = n;
    }

    /// Tries again at once what could not be delivered, instead of after the vendor's minutes and hours.
    pub fn try_again_now(&self) {
        let now = self.now();
        self.state().webhooks.outbox.hasten(now);
    }

    /// A person creates a contact; returns its id.
    pub fn create(&self, properties: &[(&str, &str)]) -> Result<u64, String> {
        self.create_in("contacts", properties)
    }

    /// A person edits a contact.
    pub fn update(&self, id: u64, properties: &[(&str, &str)]) -> Result<(), String> {
        self.update_in("contacts", id, properties)
    }

    /// A person deletes a contact.
    pub fn delete(&self, id: u64) -> bool {
        self.delete_in("contacts", id)
    }

    /// A person merges two contacts; returns the id of the contact that came of it.
    pub fn merge(&self, primary: u64, other: u64) -> Result<u64, String> {
        self.merge_in("contacts", primary, other)
    }

    /// A person restores a deleted contact.
    pub fn restore(&self, id: u64) -> Result<(), String> {
        self.restore_in("contacts", id)
    }

    /// One contact's property; `None` where the contact is gone or the property blank.
    pub fn property(&self, id: u64, name: &str) -> Option<String> {
        self.property_in("contacts", id, name)
    }

    /// The ids of all contacts that are not deleted.
    pub fn ids(&self) -> Vec<u64> {
        self.ids_in("contacts")
    }

    fn by_person(&self) -> Act<'static> {
        Act { writer: &Writer::Person, now: self.now() }
    }

    /// A person creates a record of an object (`contacts`, `companies` or `deals`); returns its id.
    pub fn create_in(&self, object: &str, properties: &[(&str, &str)]) -> Result<u64, String> {
        self.write(object, None, properties)
    }

    /// A person edits a record.
    pub fn update_in(&self, object: &str, id: u64, properties: &[(&str, &str)]) -> Result<(), String> {
        self.write(object, Some(id), properties).map(|_| ())
    }

    fn write(&self, object: &str, id: Option<u64>, properties: &[(&str, &str)]) -> Result<u64, String> {
        let values =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (object, act) = (known(object)?, self.by_person());
        let written = self.state().write(object, id, &values, act);
        written.map(|change| change.id).map_err(|refused: Refused| refused.message)
    }

    /// A person deletes a record.
    pub fn delete_in(&self, object: &str, id: u64) -> bool {
        let act = self.by_person();
        Object::parse(object).is_some_and(|object| self.state().archive(object, id, act))
    }

    /// A person restores a deleted record.
    pub fn restore_in(&self, object: &str, id: u64) -> Result<(), String> {
        let now = self.now();
        self.state().restore(known(object)?, id, now)
    }

    /// A person merges two contacts or companies; returns the id of the record that came of it.
    pub fn merge_in(&self, object: &str, primary: u64, other: u64) -> Result<u64, String> {
        let act = self.by_person();
        let merged = self.state().merge(known(object)?, (primary, other), act);
        merged.map_err(|refused| refused.message)
    }

    /// One record's property; `None` where the record is gone or the property blank.
    pub fn property_in(&self, object: &str, id: u64, name: &str) -> Option<String> {
        let state = self.state();
        let record = state.table(Object::parse(object)?).get(id)?;
        record.properties.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The ids of all records of an object that are not deleted.
    pub fn ids_in(&self, object: &str) -> Vec<u64> {
        Object::parse(object).map(|object| self.state().table(object).live_ids()).unwrap_or_default()
    }

    /// A person associates two records; a company becomes the primary one.
    pub fn associate(&self, from: (&str, u64), to: (&str, u64)) -> Result<(), String> {
        self.associate_as(Asks::Primary, from, to)
    }

    fn associate_as(&self, asks: Asks, from: (&str, u64), to: (&str, u64)) -> Result<(), String> {
        let act = self.by_person();
        let places = ((known(from.0)?, from.1), (known(to.0)?, to.1));
        self.state().relate(places, asks, act)
    }

    /// A person takes an association away.
    pub fn dissociate(&self, from: (&str, u64), to: (&str, u64)) -> Result<(), String> {
        let act = self.by_person();
        let places = ((known(from.0)?, from.1), (known(to.0)?, to.1));
        self.state().unrelate(places, act);
        Ok(())
    }

    /// The records of an object that a record is associated with, the primary one first.
    pub fn associated(&self, from: (&str, u64), to_object: &str) -> Vec<u64> {
        let (Some(object), Some(to)) = (Object::parse(from.0), Object::parse(to_object)) else {
            return Vec::new();
        };
        self.state().associations.of((object, from.1), to).into_iter().map(|(id, _)| id).collect()
    }

    /// The portal makes a company for a contact by itself, as its setting has it.
    pub fn make_company_for(&self, contact: u64, name: &str) -> Result<u64, String> {
        let now = self.now();
        self.state().make_company(contact, name, now)
    }

    /// HubSpot's own connector with Salesforce writes a contact: it leaves a property of its own behind.
    pub fn sync_natively(&self, contact: u64) -> Result<(), String> {
        let now = self.now().to_string();
        self.write_natively(contact, NATIVE_PROPERTY, &now)
    }

    /// The same connector links a contact, and tells of nothing else.
    pub fn link_natively(&self, contact: u64, salesforce_contact: &str) -> Result<(), String> {
        self.write_natively(contact, NATIVE_ID_PROPERTY, salesforce_contact)
    }

    fn write_natively(&self, contact: u64, property: &str, value: &str) -> Result<(), String> {
        let (now, mut state) = (self.now(), self.state());
        let act = Act { writer: &Writer::Connector, now };
        state.add_native_property(property);
        let values = [(property.to_owned(), value.to_owned())].into();
        let written = state.write(Object::Contact, Some(contact), &values, act);
        written.map(|_| ()).map_err(|refused: Refused| refused.message)
    }

    /// Somebody joins who may own records.
    pub fn add_owner(&self, id: u64, email: &str, first_name: &str, last_name: &str) {
        let [email, first_name, last_name] = [email, first_name, last_name].map(str::to_owned);
        self.state().add_owner(Owner { id, email, first_name, last_name, archived: false });
    }

    /// An owner leaves.
    pub fn archive_owner(&self, id: u64) {
        if let Some(owner) = self.state().owners.get_mut(&id) {
            owner.archived = true;
        }
    }

    /// Adds a pipeline of deals; a stage is its id, its label, and whether it closes the deal.
    pub fn add_pipeline(&self, id: &str, label: &str, stages: &[(&str, &str, bool)]) {
        self.state().add_pipeline(Pipeline::new(id, label, stages));
    }

    /// The person behind an address opts out of all mail.
    pub fn unsubscribe(&self, email: &str) {
        let act = self.by_person();
        self.state().opt(email, true, act);
    }

    /// The person behind an address opts in again.
    pub fn resubscribe(&self, email: &str) {
        let act = self.by_person();
        self.state().opt(email, false, act);
    }

    /// Lets the index that searches look into lag behind the records.
    pub fn lag_search(&self, millis: i64) {
        self.state().index.lag_ms = millis;
    }

    /// Takes its part of a seed file: `{"hubspot": {"owners": [...], "contacts": [{...}], "companies": [{...}], "deals": [{...}]}}`. Sends
    /// nothing.
    pub fn seed(&self, seed: &Json) -> Result<usize, String> {
        let (act, mut n) = (self.by_person(), 0);
        let state = &mut *self.state();
        if let Some(owners) = seed.pointer("/hubspot/owners") {
            let owners: Vec<Owner> =
                serde_json::from_value(owners.clone()).map_err(|error| format!("hubspot.owners: {error}"))?;
            for owner in owners {
                state.add_owner(owner);
            }
        }
        for object in Object::ALL {
            let place = format!("/hubspot/{}", object.plural());
            let Some(list) = seed.pointer(&place) else { continue };
            let records: Vec<std::collections::BTreeMap<String, String>> =
                serde_json::from_value(list.clone()).map_err(|error| format!("{place}: {error}"))?;
            for record in &records {
                let target = state.webhooks.set_aside_target();
                let written = state.write(object, None, record, act);
                state.webhooks.set_target(target);
                written.map_err(|refused| refused.message)?;
                n += 1;
            }
        }
        Ok(n)
    }
}

fn known(object: &str) -> Result<Object, String> {
    Object::parse(object).ok_or_else(|| format!("there is no object {object}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
    client_secret: String,
}

impl Vendor for HubspotEmulator {
    fn caller(&self, asked: &Asked<'_>) -> Caller {
        match asked.bearer() {
            Some(token) if token == self.options.access_token.expose() => Caller::Integration,
            Some(token) if token == self.options.person_token.expose() => Caller::Person,
            _ => Caller::Unknown,
        }
    }

    fn answer(&self, asked: &Asked<'_>, caller: Caller) -> Reply {
        rest::answer(self, asked, caller)
    }

    fn control(&self, name: &str, body: &[u8]) -> Option<Result<Json, String>> {
        if name == "restore" {
            let restored = read(body).and_then(|Restore { object, id }| self.restore_in(&object, id));
            return Some(restored.map(|()| json!({})));
        }
        let act = self.by_person();
        let state = &mut *self.state();
        Some(match name {
            "state" => Ok(state.shown()),
            "journal" => Ok(state.journal.shown()),
            "reset" => {
                state.clear();
                Ok(json!({}))
            }
            "owner" => read(body).map(|owner: Owner| {
                state.add_owner(owner);
                json!({})
            }),
            "pipeline" => read(body).map(|pipeline: Pipeline| {
                state.add_pipeline(pipeline);
                json!({})
            }),
            "opt" => read(body).map(|Opt { email, out }| {
                state.opt(&email, out, act);
                json!({})
            }),
            "list" => read(body).and_then(|control: ListControl| state.set_list(control, act.now)),
            "search" => read(body).map(|SearchControl { lag_ms }| {
                state.index.lag_ms = lag_ms;
                json!({})
            }),
            "webhooks" => read(body).map(|control: WebhookControl<Target>| {
                state.webhooks.set(control);
                json!({})
            }),
            _ => return None,
        })
    }

    fn take_due(&self, now: Timestamp) -> Vec<Outgoing> {
        self.state().webhooks.take_due(now)
    }

    fn settle(&self, id: u64, answer: &Answer, now: Timestamp) {
        let told = matches!(answer, Answer::Status(200..=299, _));
        self.state().webhooks.outbox.settle(id, told, now);
    }

    fn pending(&self) -> usize {
        self.state().webhooks.outbox.pending()
    }

    fn desk(&self) -> &Control {
        &self.desk
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchControl {
    lag_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    #[serde(default = "contacts")]
    object: String,
    id: u64,
}

fn contacts() -> String {
    Object::Contact.plural().to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opt {
    email: String,
    out: bool,
}
