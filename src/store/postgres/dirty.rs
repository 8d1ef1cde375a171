//! Records made dirty, as rows of one statement.
//!
//! SQLite takes marks one after the other. Here one statement takes them all, and it may not touch a row twice: marks of one record
//! are folded first, to what they would have come to one by one. The rows are in the order in which every transaction locks jobs, so
//! that two instances that store the same records wait for each other and never in a ring.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use uuid::Uuid;

use crate::domain::Fields;
use crate::plan::Changed;
use crate::store::Error;
use crate::store::codec::{changed_json, to_json};

/// Which job: connection, kind and record. Ordered by their bytes, as the database's `"C"` is.
type Key<'a> = (&'a str, &'static str, String);

/// A job to be made dirty.
pub(super) struct Marked<'a> {
    pub(super) family: &'static str,
    /// How many marks it stands for.
    pub(super) n_marks: i64,
    pub(super) state: &'static str,
    pub(super) due_at: i64,
    pub(super) dirty_since: i64,
    pub(super) occurred_at: i64,
    pub(super) error: Option<(&'static str, &'a str)>,
    pub(super) cause: Uuid,
    pub(super) told: Option<&'a Fields>,
    pub(super) changed: Changed,
}

impl Marked<'_> {
    /// What `UPSERT_JOBS` makes of this job when a later mark meets it. Marks of one call have one kind of cause, so that the say
    /// of a resync is nothing that is decided here.
    fn then(&mut self, later: &Self) {
        self.due_at = if self.state == "parked" { later.due_at } else { self.due_at.min(later.due_at) };
        self.state = "due";
        self.n_marks += later.n_marks;
        self.dirty_since = self.dirty_since.min(later.dirty_since);
        self.occurred_at = self.occurred_at.max(later.occurred_at);
        self.cause = later.cause;
        self.told = self.told.and(later.told);
        self.changed.merge(&later.changed);
    }
}

/// Jobs to be made dirty, one row each.
#[derive(Default)]
pub(super) struct Jobs<'a> {
    rows: BTreeMap<Key<'a>, Marked<'a>>,
}

impl<'a> Jobs<'a> {
    /// Adds a job.
    pub(super) fn add(&mut self, key: Key<'a>, marked: Marked<'a>) {
        match self.rows.entry(key) {
            Entry::Vacant(row) => {
                row.insert(marked);
            }
            Entry::Occupied(mut row) => row.get_mut().then(&marked),
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, column by column.
    pub(super) fn columns(&self) -> Result<Columns<'_>, Error> {
        let mut columns = Columns::default();
        for ((connection, kind, record_id), marked) in &self.rows {
            columns.connection.push(connection);
            columns.family.push(marked.family);
            columns.kind.push(kind);
            columns.record_id.push(record_id);
            columns.dirty.push(marked.n_marks);
            columns.state.push(marked.state);
            columns.due_at.push(marked.due_at);
            columns.dirty_since.push(marked.dirty_since);
            columns.occurred_at.push(marked.occurred_at);
            columns.category.push(marked.error.map(|(category, _)| category));
            columns.message.push(marked.error.map(|(_, message)| super::text(message).into_owned()));
            columns.cause.push(marked.cause);
            columns.told.push(marked.told.map(to_json).transpose()?);
            columns.changed.push(changed_json(&marked.changed)?);
        }
        Ok(columns)
    }
}

/// Columns of jobs, all of one length.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) connection: Vec<&'a str>,
    pub(super) family: Vec<&'a str>,
    pub(super) kind: Vec<&'a str>,
    pub(super) record_id: Vec<&'a str>,
    pub(super) dirty: Vec<i64>,
    pub(super) state: Vec<&'a str>,
    pub(super) due_at: Vec<i64>,
    pub(super) dirty_since: Vec<i64>,
    pub(super) occurred_at: Vec<i64>,
    pub(super) category: Vec<Option<&'a str>>,
    pub(super) message: Vec<Option<String>>,
    pub(super) cause: Vec<Uuid>,
    pub(super) told: Vec<Option<String>>,
    pub(super) changed: Vec<Option<String>>,
}
