//! Contacts that are erased for good, and the addresses that the API may not bring back.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::emulator::Reply;
use crate::emulator::hubspot::objects::Object;
use crate::emulator::hubspot::portal::State;
use crate::emulator::hubspot::records::{Refused, invalid, not_found};
use crate::emulator::hubspot::rest::{Call, error, refused};
use crate::emulator::hubspot::writer::{Act, Writer};
use crate::emulator::journal::Change;

impl State {
    /// Erases a contact for good and blocks its addresses. Returns whether there was one.
    pub(super) fn erase(&mut self, id: u64, act: Act<'_>) -> bool {
        self.begin(act);
        self.settle_lists(act.now);
        let Some(addresses) = self.table_mut(Object::Contact).and_then(|table| table.erase(id)) else {
            return false;
        };
        self.blocked.extend(addresses);
        self.lists.changed(Object::Contact, id, act.now);
        self.journal.note((Object::Contact.plural(), &id.to_string()), Change::Erased, "");
        self.journal.follows();
        self.note_forgotten((Object::Contact, id));
        self.associations.forget((Object::Contact, id));
        self.webhooks.erased(id, act);
        true
    }

    /// Blocks an address.
    pub(super) fn block(&mut self, address: &str) {
        self.blocked.insert(folded(address));
    }

    /// A person entered an address: it is blocked no longer.
    pub(super) fn unblock(&mut self, address: &str) {
        self.blocked.remove(&folded(address));
    }

    /// A blocked address is entered by persons only.
    pub(super) fn check_not_blocked(
        &self,
        object: Object,
        values: &BTreeMap<String, String>,
        writer: &Writer,
    ) -> Result<(), Refused> {
        let address = values.get("email").filter(|_| object == Object::Contact && *writer != Writer::Person);
        match address.filter(|address| self.blocked.contains(&folded(address))) {
            None => Ok(()),
            Some(address) => {
                let message =
                    format!("Email address {address} belongs to a contact that was permanently deleted");
                Err(invalid(Vec::new(), message))
            }
        }
    }

    /// Whether a new record's unique values and address may be had.
    pub(super) fn check_new(
        &self,
        object: Object,
        values: &BTreeMap<String, String>,
        writer: &Writer,
    ) -> Result<(), Refused> {
        self.check_not_blocked(object, values, writer)?;
        self.table(object).check_unique(None, values)
    }
}

fn folded(address: &str) -> String {
    address.trim().to_lowercase()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Erase {
    object_id: String,
    #[serde(default)]
    id_property: Option<String>,
}

impl Call<'_> {
    /// Erases a contact by its id or address; an address that nobody has is blocked.
    pub(super) fn erase(&self) -> Reply {
        let endpoint = "gdpr-delete";
        let erase: Erase = match self.read_body(endpoint) {
            Ok(erase) => erase,
            Err(reply) => return reply,
        };
        let act = Act { writer: &self.writer, now: self.emulator.now() };
        let state = &mut *self.emulator.state();
        let contact = match erase.id_property.as_deref() {
            None => erase.object_id.parse().ok(),
            Some("email") => {
                state.block(&erase.object_id);
                let found = state.table(Object::Contact).find("email", &erase.object_id);
                let Some(contact) = found else { return Reply::empty(endpoint, 204) };
                Some(contact.id)
            }
            Some(_) => return error(endpoint, 400, "VALIDATION_ERROR", "idProperty must be email"),
        };
        if contact.is_some_and(|contact| state.erase(contact, act)) {
            return Reply::empty(endpoint, 204);
        }
        refused(endpoint, &not_found())
    }
}
