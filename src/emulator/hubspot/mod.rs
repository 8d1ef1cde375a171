//! HubSpot, emulated: contacts, their properties, and signed webhooks.
//!
//! Built from HubSpot's documentation and public API specification. Both path styles are served, `/crm/v3/objects/...` and
//! `/crm/objects/2026-09/...`. What is not here (search, associations) answers 404, as an unknown call should.

mod batches;
mod lists;
mod properties;
mod records;
mod rest;
mod webhooks;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::{Clock, Secret, Timestamp};
use crate::emulator::control::read;
use crate::emulator::outbox::WebhookControl;
use crate::emulator::{Answer, Asked, Caller, Control, EmulatorClock, Outgoing, Reply, Vendor};
use lists::Lists;
use properties::PropertySet;
use records::{Act, Contacts, Refused, Writer};
use webhooks::Webhooks;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            portal_id: 1_234_567,
            app_id: 998_877,
            access_token: Secret::new("pat-integration"),
            person_token: Secret::new("pat-person"),
            own_properties: true,
        }
    }
}

/// The emulated portal.
pub struct HubspotEmulator {
    options: Options,
    desk: Control,
    state: Mutex<State>,
}

struct State {
    contacts: Contacts,
    lists: Lists,
    properties: PropertySet,
    webhooks: Webhooks,
}

impl HubspotEmulator {
    /// An empty portal.
    pub fn new(options: Options, clock: EmulatorClock) -> Self {
        let state = State {
            contacts: Contacts::default(),
            lists: Lists::default(),
            properties: PropertySet::standard(options.own_properties),
            webhooks: Webhooks::new(options.portal_id, options.app_id),
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
        self.write(None, properties, &Writer::Person)
    }

    /// A person edits a contact.
    pub fn update(&self, id: u64, properties: &[(&str, &str)]) -> Result<(), String> {
        self.write(Some(id), properties, &Writer::Person).map(|_| ())
    }

    /// A person deletes a contact.
    pub fn delete(&self, id: u64) -> bool {
        let now = self.now();
        let state = &mut *self.state();
        let gone = state.contacts.archive(id, now);
        if gone {
            state.webhooks.deleted(id, Act { writer: &Writer::Person, now });
        }
        gone
    }

    /// Lets a list hold these contacts and no others.
    pub fn set_list(&self, list: &str, members: &[u64]) {
        self.state().lists.set(list, members.iter().copied().collect());
    }

    /// A person merges two contacts; returns the id of the contact that came of it.
    pub fn merge(&self, primary: u64, other: u64) -> Result<u64, String> {
        let act = Act { writer: &Writer::Person, now: self.now() };
        let state = &mut *self.state();
        let survivor = state
            .contacts
            .merge((primary, other), &state.properties, act)
            .map_err(|refused| refused.message)?;
        state.webhooks.merged((primary, other), survivor, act);
        Ok(survivor)
    }

    /// A person restores a deleted contact.
    pub fn restore(&self, id: u64) -> Result<(), String> {
        let now = self.now();
        let state = &mut *self.state();
        state.contacts.restore(id, &state.properties, now)?;
        state.webhooks.restored(id, now);
        Ok(())
    }

    fn write(&self, id: Option<u64>, properties: &[(&str, &str)], writer: &Writer) -> Result<u64, String> {
        let values =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let now = self.now();
        let state = &mut *self.state();
        let written = state.contacts.write(id, &values, &state.properties, Act { writer, now });
        let change = written.map_err(|refused: Refused| refused.message)?;
        let id = change.id;
        state.webhooks.changed(&change, Act { writer, now });
        Ok(id)
    }

    /// One contact's property; `None` where the contact is gone or the property blank.
    pub fn property(&self, id: u64, name: &str) -> Option<String> {
        self.state().contacts.get(id)?.properties.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The ids of all contacts that are not deleted.
    pub fn ids(&self) -> Vec<u64> {
        self.state().contacts.live_ids()
    }

    /// Takes its part of a seed file: `{"hubspot": {"contacts": [{...}]}}`. Sends nothing.
    pub fn seed(&self, seed: &Json) -> Result<usize, String> {
        let Some(list) = seed.pointer("/hubspot/contacts") else { return Ok(0) };
        let contacts: Vec<std::collections::BTreeMap<String, String>> =
            serde_json::from_value(list.clone()).map_err(|error| format!("hubspot.contacts: {error}"))?;
        let now = self.now();
        let state = &mut *self.state();
        for contact in &contacts {
            let written =
                state.contacts.write(None, contact, &state.properties, Act { writer: &Writer::Person, now });
            written.map_err(|refused| refused.message)?;
        }
        Ok(contacts.len())
    }
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
            return Some(read(body).and_then(|Restore { id }| self.restore(id)).map(|()| json!({})));
        }
        let state = &mut *self.state();
        Some(match name {
            "state" => Ok(state.contacts.shown()),
            "reset" => {
                state.contacts = Contacts::default();
                state.lists = Lists::default();
                state.webhooks.outbox.clear();
                Ok(json!({}))
            }
            "list" => read(body).map(|ListControl { list, members }| {
                state.lists.set(&list, members);
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
struct ListControl {
    list: String,
    members: std::collections::BTreeSet<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    id: u64,
}
