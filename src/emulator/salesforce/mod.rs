//! Salesforce, emulated: leads, contacts, accounts and opportunities, SOQL, collections, and outbound messages.
//!
//! Built from Salesforce's documentation. What is not here (bulk jobs, metadata) answers 404, as an unknown call should. The doings of
//! persons and administrators that have no REST call (merging, converting, queues, permissions) stand below `/_control/`.

mod access;
mod answers;
mod composite;
mod computed;
mod deeds;
mod fields;
mod ids;
mod lifecycle;
mod options;
mod outbound;
mod person;
mod places;
mod queries;
mod records;
mod rest;
mod schema;
mod soql;
mod standing;
mod steering;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::domain::{Clock, System, Timestamp};
use crate::emulator::journal::{Author, Entry, Journal};
use crate::emulator::{Caller, Control, EmulatorClock};
pub use options::Options;
use outbound::Outbound;
use records::Table;
use write::Hidden;

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
    hidden: Hidden,
    /// A validation rule: this field must not contain this text.
    validation: Option<(String, String)>,
    /// A duplicate rule, where there is one.
    duplicates: Option<DuplicateRule>,
    /// The active assignment rule and the owner it gives leads to.
    assignment: Option<(String, String)>,
    /// Formula fields, as `Options` has them.
    formulas: Vec<(String, String, String)>,
    lists_places: bool,
    /// A flow: whenever a record of this object is saved, this field gets this value.
    flow: Option<(String, String, String)>,
    calls: u64,
    last_session: u64,
    journal: Journal,
}

/// A duplicate rule: of this object, no two records are created with one value in this field.
#[derive(Clone, Debug)]
struct DuplicateRule {
    object: String,
    field: String,
    /// Whether it blocks; one that only alerts lets a caller save whose header says so.
    blocks: bool,
}

/// What a lead became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The contact; that of a person account is hidden behind it.
    pub contact: String,
    /// The account.
    pub account: String,
    /// The opportunity, where one was asked for.
    pub opportunity: Option<String>,
}

/// Who writes, when, and what comes of it.
#[derive(Clone, Copy)]
struct Act {
    user: &'static str,
    now: Timestamp,
    /// Outbound messages tell of it.
    tells: bool,
    /// The assignment rule runs.
    assigns: bool,
    /// The duplicate rule does not.
    saves_duplicates: bool,
}

/// Where outbound messages go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
}

impl SalesforceEmulator {
    /// An organization with nothing but its two users and its stages.
    pub fn new(options: Options, clock: EmulatorClock) -> Self {
        let journal = Journal::new(System::Salesforce, clock.sequence());
        let state = State {
            tables: standing::tables(&options, clock.now(), &journal),
            sessions: HashMap::new(),
            outbound: Outbound::new(&options.organization),
            hidden: Hidden::default(),
            validation: None,
            duplicates: None,
            assignment: None,
            formulas: options.formulas.clone(),
            lists_places: options.lists_places,
            flow: None,
            calls: 0,
            last_session: 0,
            journal,
        };
        Self { options, desk: Control::new(clock), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.desk.clock().now()
    }

    /// Everything that happened, in order.
    pub fn journal(&self) -> Vec<Entry> {
        self.state().journal.entries()
    }

    /// Counts, faults and clock.
    pub const fn control(&self) -> &Control {
        &self.desk
    }
}

impl State {
    /// What is noted from now on is this user's.
    fn begin(&self, act: Act) {
        let author = if act.user == INTEGRATION_USER { Author::Integration } else { Author::Person };
        self.journal.begin(author, act.now);
    }
}
