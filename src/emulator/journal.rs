//! What happened in an emulated CRM, change by change, in the order in which it happened.
//!
//! Tests judge the service by it. Both emulators draw their sequence numbers from the clock that they share, so that two journals
//! together are one history.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};

use crate::domain::{System, Timestamp};

/// The most entries that are kept; beyond it the oldest go first.
pub const ENTRIES_MAX: usize = 1_000_000;

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The service.
    Integration,
    /// Somebody at work.
    Person,
    /// The CRM itself: a flow, a formula, a mirror of another record, what goes together with a deleted one.
    Crm,
}

/// What kind of change it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record was created.
    Created,
    /// A field's value changed from `old` to `new`.
    Value,
    /// The record's time of modification moved.
    Touched,
    /// The record was associated with `new`, or is no longer with `old`; `field` names the object.
    Associated,
    /// The record was deleted.
    Deleted,
    /// The contact was erased for good.
    Erased,
    /// The record was restored.
    Restored,
    /// The record was merged into `new`.
    Merged,
    /// The lead was converted into the contact `new`.
    Converted,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place among all changes of both CRMs.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The CRM.
    pub system: System,
    /// Who made it.
    pub author: Author,
    /// The object, as paths name it: `contacts`, `Lead`.
    pub object: &'static str,
    /// The record.
    pub id: String,
    /// What kind of change it was.
    pub change: Change,
    /// The field; empty where the change concerns the record.
    pub field: String,
    /// What it held before; empty where that was nothing.
    pub old: String,
    /// What it holds now; empty where that is nothing.
    pub new: String,
}

impl Entry {
    fn shown(&self) -> Json {
        json!({
            "sequence": self.sequence, "at": self.at.to_string(), "author": format!("{:?}", self.author).to_lowercase(),
            "object": self.object, "id": self.id, "change": format!("{:?}", self.change).to_lowercase(),
            "field": self.field, "old": self.old, "new": self.new,
        })
    }
}

/// The journal of an emulator; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    system: System,
    sequence: Arc<AtomicU64>,
    author: Author,
    at: Timestamp,
    /// The field that a flow sets in this change.
    set_by_flow: Option<String>,
    entries: VecDeque<Entry>,
    forgotten: u64,
}

impl Journal {
    pub(super) fn new(system: System, sequence: Arc<AtomicU64>) -> Self {
        let (author, at) = (Author::Crm, Timestamp::from_millis(0));
        let entries = VecDeque::new();
        let inner = Inner { system, sequence, author, at, set_by_flow: None, entries, forgotten: 0 };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted from now on was done by this author at this time.
    pub(super) fn begin(&self, author: Author, at: Timestamp) {
        let mut inner = self.inner();
        (inner.author, inner.at, inner.set_by_flow) = (author, at, None);
    }

    /// What is noted from now on follows from what was noted before.
    pub(super) fn follows(&self) {
        self.inner().author = Author::Crm;
    }

    /// A flow sets this field in the change that has begun.
    pub(super) fn sets_by_flow(&self, field: &str) {
        self.inner().set_by_flow = Some(field.to_owned());
    }

    /// Notes a change of a record as a whole; `new` names the record that it became.
    pub(super) fn note(&self, (object, id): (&'static str, &str), change: Change, new: &str) {
        self.inner().add((object, id), change, ("", "", new));
    }

    /// Notes a field's new value, where it is another.
    pub(super) fn note_value(
        &self,
        (object, id): (&'static str, &str),
        (field, old, new): (&str, &str, &str),
    ) {
        if old != new {
            self.inner().add((object, id), Change::Value, (field, old, new));
        }
    }

    /// Notes an association that came or went.
    pub(super) fn note_association(
        &self,
        (object, id): (&'static str, &str),
        (with, old, new): (&str, &str, &str),
    ) {
        self.inner().add((object, id), Change::Associated, (with, old, new));
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.inner().entries.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.inner().entries.clear();
    }

    pub(super) fn shown(&self) -> Json {
        let inner = self.inner();
        let entries: Vec<Json> = inner.entries.iter().map(Entry::shown).collect();
        json!({ "forgotten": inner.forgotten, "entries": entries })
    }
}

impl Inner {
    fn add(
        &mut self,
        (object, id): (&'static str, &str),
        change: Change,
        (field, old, new): (&str, &str, &str),
    ) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        let by_flow = change == Change::Value && self.set_by_flow.as_deref() == Some(field);
        let author = if by_flow { Author::Crm } else { self.author };
        let [id, field, old, new] = [id, field, old, new].map(str::to_owned);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let (at, system) = (self.at, self.system);
        self.entries.push_back(Entry { sequence, at, system, author, object, id, change, field, old, new });
    }
}
