//! What changed of late, for whoever was told of nothing: what can be asked for, page by page, and what comes back.

use serde::{Deserialize, Serialize};

use crate::domain::{Kind, Record, Timestamp};

/// What can be asked for without having been told of anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The records of a kind by the time they last changed; Salesforce's include those that were deleted, merged away or converted.
    Changed(Kind),
    /// The roles of contacts on opportunities, likewise; only Salesforce has them.
    Roles,
    /// The deleted records of a HubSpot kind, which no search shows, in no order that tells when.
    Deleted(Kind),
    /// The members of a HubSpot list, in the order in which they joined.
    Joined(String),
}

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What changed before this is of no interest; nothing to streams that are not in the order of time.
    pub since: Timestamp,
    /// What was seen last, in the CRM's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Place {
    /// What changed at this instant or later.
    pub const fn since(since: Timestamp) -> Self {
        Self { since, after: None }
    }
}

/// A page to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of which stream.
    pub stream: Stream,
    /// From where.
    pub place: Place,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// What it holds.
    pub traces: Vec<Trace>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Place>,
}

impl Traces {
    /// A stream that the CRM does not have.
    pub const fn nothing() -> Self {
        Self { traces: Vec::new(), next: None }
    }
}

/// A trace of something that happened to a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The record as the page shows it, with the time by which the stream is ordered.
    pub record: Record,
    /// What happened.
    pub deed: Deed,
    /// When somebody last edited it, where the page tells that apart from what the CRM does by itself.
    pub edited_at: Option<Timestamp>,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is there, and holds what the page shows.
    Changed,
    /// It was deleted, merged away or converted.
    Gone,
    /// Something that is no part of it changed: it joined the list, or a contact has a role on it or none any more.
    Related,
}
