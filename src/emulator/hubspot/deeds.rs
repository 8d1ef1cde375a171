//! What persons do without an API call: lists, associations that are not the primary one, erasing.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::hubspot::HubspotEmulator;
use crate::emulator::hubspot::associations::Asks;
use crate::emulator::hubspot::lists::Filters;
use crate::emulator::hubspot::portal::State;

impl HubspotEmulator {
    /// A person associates two records; the company does not become the primary one, even where there is none.
    pub fn associate_secondary(&self, from: (&str, u64), to: (&str, u64)) -> Result<(), String> {
        self.associate_as(Asks::Secondary, from, to)
    }

    /// A person erases a contact for good, as the law on privacy demands: it cannot be restored, and the API cannot create a contact
    /// with its address again.
    pub fn erase(&self, contact: u64) -> Result<(), String> {
        let act = self.by_person();
        let erased = self.state().erase(contact, act);
        erased.then_some(()).ok_or_else(|| format!("there is no contact {contact}"))
    }

    /// Defines an active list: it holds every contact with all these values, and the portal evaluates it whenever a contact changes.
    /// A blank value stands for a property that holds none; without values the list holds every contact.
    pub fn set_active_list(&self, list: &str, values: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let now = self.now();
        self.state().define_list(list, values.iter().map(owned).collect(), now);
    }

    /// Lets a list that people keep by hand hold these contacts and no others.
    pub fn set_manual_list(&self, list: &str, members: &[u64]) {
        let now = self.now();
        self.state().lists.set_manual(list, &members.iter().copied().collect(), now);
    }

    /// Lets active lists be evaluated so long after a contact changed.
    pub fn lag_lists(&self, millis: i64) {
        self.state().lists.lag_ms = millis;
    }
}

/// A list: an active one with its filters, or one kept by hand with its members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListControl {
    list: String,
    #[serde(default)]
    filters: Option<Filters>,
    #[serde(default)]
    members: Option<BTreeSet<u64>>,
}

impl State {
    /// Defines a list as a control has it.
    pub(super) fn set_list(&mut self, control: ListControl, now: Timestamp) -> Result<Json, String> {
        match (control.filters, control.members) {
            (Some(filters), None) => self.define_list(&control.list, filters, now),
            (None, Some(members)) => self.lists.set_manual(&control.list, &members, now),
            _ => return Err("a list has either filters or members".to_owned()),
        }
        Ok(json!({}))
    }
}
