//! What memory holds, in terms of the domain.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::domain::{ConnectionName, Family, Fields, RecordKey, System, Timestamp, Value};
use crate::plan::{Asked, Category, Changed, Pair, State};

/// Names a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// How far back [`crate::store::Store::newest_deliveries`] looks, in deliveries of any kind: a bound for one question.
pub const DELIVERIES_LOOKED_BACK: u32 = 2_000;

/// The most deliveries that it reads. What a message before them told counts as seen when the record was read.
pub const DELIVERIES_READ: u32 = 200;

/// One verified call of a CRM, as far as it concerns one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDelivery {
    /// Its id, which is followed from the door to the far side.
    pub id: Uuid,
    /// The connection; `None` where the call names an account that no connection has.
    pub connection: Option<ConnectionName>,
    /// Who sent it.
    pub source: System,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The raw body, for inspection and replay.
    pub body: bytes::Bytes,
    /// What became of it at the door.
    pub outcome: DeliveryOutcome,
    /// How many events or notifications it held.
    pub n_events: u32,
    /// How many of them were the echo of our own writes and marked nothing.
    pub n_echoes: u32,
    /// The records it makes dirty.
    pub marks: Vec<Mark>,
    /// Contacts that were erased for privacy.
    pub erased: Vec<RecordKey>,
    /// The parts that could not be read; each becomes a parked job.
    pub unreadable: Vec<Unreadable>,
}

/// What became of a delivery at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    /// Its events were marked.
    Accepted,
    /// It came from an account or of a kind that no connection works: kept for inspection.
    Unknown,
    /// Its signature fitted, but not for the account it names: kept for inspection, never acted on.
    Refused,
}

/// A hint that a record is dirty.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Which record.
    pub key: RecordKey,
    /// When the change happened, as the CRM told; zero where nobody did.
    pub occurred_at: Timestamp,
    /// The notification's own id where the sender promises to repeat it on redelivery; a repeated one marks nothing.
    pub notification: Option<String>,
    /// The record's values, where they are known to be its newest ones or our own: if they all equal the base, there is nothing to
    /// do, and no need to read the record.
    pub told: Option<Fields>,
    /// What the message said of the change.
    pub changed: Changed,
}

impl Mark {
    /// A mark of a record of which anything may have changed at any time.
    pub const fn of(key: RecordKey) -> Self {
        Self::at(key, Timestamp::from_millis(0))
    }

    /// A mark of a record of which anything may have changed, at this time.
    pub const fn at(key: RecordKey, occurred_at: Timestamp) -> Self {
        Self { key, occurred_at, notification: None, told: None, changed: Changed::Anything }
    }
}

/// A part of a delivery that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its position in the delivery, from 0.
    pub position: u32,
    /// Why, without values.
    pub reason: String,
}

/// Why records are marked without a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A delivery, by its id.
    Delivery(Uuid),
    /// A resync of many records, by its id: a person asked.
    Resync(Uuid),
    /// A resync of this one record, by its id: a person asked for exactly this one.
    ResyncOne(Uuid),
    /// What was done for another record, by the id of the delivery or resync behind that.
    Follow(Uuid),
    /// A sweep, by its id: it looked for what no message told.
    Sweep(Uuid),
}

impl Cause {
    /// The delivery, resync or sweep behind it.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Delivery(id)
            | Self::Resync(id)
            | Self::ResyncOne(id)
            | Self::Follow(id)
            | Self::Sweep(id) => id,
        }
    }

    /// Whether a person asked, and how.
    pub const fn asked(self) -> Asked {
        match self {
            Self::ResyncOne(_) => Asked::Single,
            Self::Resync(_) => Asked::Bulk,
            Self::Delivery(_) | Self::Follow(_) | Self::Sweep(_) => Asked::No,
        }
    }
}

/// What to claim.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Of which connection.
    pub connection: &'a ConnectionName,
    /// Of which family.
    pub family: Family,
    /// By whom: one id for each process.
    pub worker: Uuid,
    /// The present instant.
    pub now: Timestamp,
    /// When the lease ends.
    pub lease_until: Timestamp,
    /// The most pairs (or records without a pair) to claim.
    pub limit: usize,
}

/// A pair, or a record without one, that is ours until the lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// Its pair, if it has one.
    pub pair: Option<Pair>,
    /// The dirty records: one, or both sides of the pair.
    pub jobs: Vec<ClaimedJob>,
    /// Writes that were intended earlier and whose outcome is unknown, because the process ended in between. In the order of their intents.
    pub open_intents: Vec<Intent>,
}

impl Claimed {
    /// What it is worked for, as the audit names it: the cause of its first job.
    pub fn cause(&self) -> Cause {
        self.jobs[0].cause
    }

    /// The records it holds: both of its pair, dirty or not, or the one without.
    pub fn records(&self) -> Vec<RecordKey> {
        match &self.pair {
            Some(pair) => pair.records().into(),
            None => self.jobs.iter().map(|job| job.key).collect(),
        }
    }
}

/// Gives each intent to the claim that holds its record.
pub(crate) fn with_intents(mut claimed: Vec<Claimed>, intents: Vec<Intent>) -> Vec<Claimed> {
    let holders = claimed.iter().enumerate();
    let holders = holders.flat_map(|(place, one)| one.records().into_iter().map(move |key| (key, place)));
    let holders: HashMap<RecordKey, usize> = holders.collect();
    for intent in intents {
        if let Some(place) = holders.get(&intent.key) {
            claimed[*place].open_intents.push(intent);
        }
    }
    claimed
}

/// One dirty record of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The job.
    pub id: JobId,
    /// The record.
    pub key: RecordKey,
    /// The dirty counter at the time of the claim: the job is closed only if it has not moved since.
    pub dirty: i64,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When the newest change happened.
    pub occurred_at: Timestamp,
    /// When the oldest change not yet worked happened, for the time to convergence.
    pub dirty_since: Timestamp,
    /// The last cause; that of a resync before others, and that of a resync of this one record before all.
    pub cause: Cause,
    /// The values told by the last mark, where every mark since the last work told some.
    pub told: Option<Fields>,
    /// What all marks since the last work said of the change.
    pub changed: Changed,
}

/// A write about to be made, recorded before the call: it becomes an audit row, whatever happens to the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Names the row. Time-ordered.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// The record to be written; for a create, the record that lacks its twin.
    pub key: RecordKey,
    /// Whether this is part of a create of a `key`'s twin of the given kind.
    pub creates: Option<crate::domain::Kind>,
    /// The property or field.
    pub field: String,
    /// What it held.
    pub old: Value,
    /// What it is to hold.
    pub new: Value,
    /// The rule that decided.
    pub rule: String,
    /// The delivery or resync that led to it.
    pub cause: Cause,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Written.
    Written {
        /// For a create, the record that came of it.
        record: Option<RecordKey>,
        /// What the CRM stored instead of what it was sent, where it did.
        stored: Option<Value>,
    },
    /// Refused by the CRM, or known not to have happened.
    NotWritten,
}

impl Settled {
    /// Written as it was sent; for a create, to the record that came of it.
    #[must_use]
    pub const fn written(record: Option<RecordKey>) -> Self {
        Self::Written { record, stored: None }
    }

    /// The record that came of a create.
    #[must_use]
    pub const fn record(&self) -> Option<RecordKey> {
        match self {
            Self::Written { record, .. } => *record,
            Self::NotWritten => None,
        }
    }
}

/// What working one claim came to. Applied in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The jobs, with the dirty counters seen at the claim.
    pub jobs: Vec<(JobId, i64)>,
    /// What happens to them.
    pub outcome: Outcome,
    /// Records that answer for the outcome in `GET .../records`, with the state they are in now.
    pub states: Vec<(RecordKey, State)>,
    /// The pair as it is now, if there is one; it replaces any pair that either side was in, as far as `released` allows.
    pub pair: Option<Pair>,
    /// Records whose pairs were seen and end with this. A pair with any other record is never replaced: nothing of this is kept then
    /// but the audit, and the jobs are due again.
    pub released: Vec<RecordKey>,
    /// Conflicts to show; they replace those listed before for the same record and property.
    pub conflicts: Vec<Conflict>,
    /// Records whose listed conflicts are settled, all but those in `conflicts`.
    pub conflicts_settled: Vec<RecordKey>,
    /// What became of the intents.
    pub settled: Vec<(Uuid, Settled)>,
    /// Other records to look at.
    pub looks: Vec<RecordKey>,
    /// The delivery or resync behind all this.
    pub cause: Uuid,
}

/// What happens to the jobs of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done: closed, unless they became dirty meanwhile.
    Done,
    /// Tried again at the given time; counts as an attempt if `counts`.
    Retry {
        /// When.
        at: Timestamp,
        /// Whether it counts against the attempts.
        counts: bool,
        /// The heading.
        category: Category,
        /// What happened, for people.
        message: String,
    },
    /// Parked until a person acts or the record changes again.
    Park {
        /// The heading.
        category: Category,
        /// What happened, for people.
        message: String,
    },
    /// Given back untouched: due again at once.
    Release,
    /// Put off until then: no attempt is counted, no error noted, and the record is shown as it was.
    Postpone {
        /// When.
        at: Timestamp,
    },
}

/// A conflict that a person must decide.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Conflict {
    /// The record that answers `conflict`.
    #[serde(skip)]
    pub key: RecordKey,
    /// The HubSpot property.
    pub property: String,
    /// What is at odds, without values.
    pub text: String,
    /// Since when.
    pub at: Timestamp,
}

/// What memory knows of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordStatus {
    /// Its state.
    pub state: State,
    /// Its pair, if any.
    pub pair: Option<Pair>,
    /// When it was last brought into agreement.
    pub last_synced_at: Option<Timestamp>,
    /// The last error: heading and message.
    pub last_error: Option<(Category, String)>,
    /// Whether work is due or waiting for it.
    pub pending: bool,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Ready to be worked.
    Due,
    /// Claimed by a live worker.
    Running,
    /// Failed; a retry is scheduled.
    Waiting,
    /// Needs a person.
    Parked,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Due, Self::Running, Self::Waiting, Self::Parked];

    /// The word used in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
        }
    }

    /// Reads what [`JobState::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A job as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The connection.
    pub connection: ConnectionName,
    /// The record; `None` for an unreadable part of a delivery.
    pub key: Option<RecordKey>,
    /// The delivery and position of an unreadable part.
    pub part: Option<(Uuid, u32)>,
    /// Its state.
    pub state: JobState,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When it is or was due.
    pub due_at: Timestamp,
    /// Since when the record is dirty.
    pub dirty_since: Timestamp,
    /// The last error: heading and message.
    pub error: Option<(Category, String)>,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct JobQuery<'a> {
    /// Of which connection.
    pub connection: &'a ConnectionName,
    /// In which state; `None` for all.
    pub state: Option<JobState>,
    /// After which job, in the order of ids.
    pub after: Option<JobId>,
    /// At most how many.
    pub limit: u32,
    /// The present instant, which tells running from due.
    pub now: Timestamp,
}

/// An audit row.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// The intent it came from.
    pub intent: Intent,
    /// Whether the write is known to have happened; `None` while its outcome is open.
    pub written: Option<bool>,
    /// For a create, the record that came of it.
    pub created: Option<RecordKey>,
}

/// Which audit rows to list.
#[derive(Clone, Debug)]
pub struct AuditQuery<'a> {
    /// Of which connection.
    pub connection: &'a ConnectionName,
    /// Of which system, if only one.
    pub system: Option<System>,
    /// Of which record, if only one.
    pub key: Option<RecordKey>,
    /// Written at or after.
    pub since: Option<Timestamp>,
    /// After which row, in the order of ids.
    pub after: Option<Uuid>,
    /// At most how many.
    pub limit: u32,
}

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It works.
    Running,
    /// A person paused it.
    Paused,
    /// A CRM refuses our credentials: the reason.
    Unauthorized(String),
    /// It was refused at start: the reason.
    Refused(String),
}

/// Who says how a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidBy {
    /// Somebody who pauses it or lets it go on.
    Person,
    /// A worker, of what it found.
    Worker,
}

/// The figures of one connection's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Jobs by state.
    pub jobs: BTreeMap<&'static str, u64>,
    /// The due time of the oldest job that is due and not running.
    pub oldest_due: Option<Timestamp>,
    /// Pairs with fields that are set aside.
    pub set_aside: u64,
}

/// A page of pairs with fields that are set aside.
#[derive(Clone, Copy, Debug)]
pub struct SetAsideQuery<'a> {
    /// The connection.
    pub connection: &'a ConnectionName,
    /// The last pair of the page before.
    pub after: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// Many records at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllOf {
    /// All of a kind.
    Kind(crate::domain::Kind),
    /// The members of a HubSpot list of contacts, by its id.
    List(String),
}

/// A resync that a person asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Resync {
    /// Its id.
    pub id: Uuid,
    /// The connection.
    pub connection: ConnectionName,
    /// What to go through, page by page; `None` when the records were named.
    pub all_of: Option<AllOf>,
    /// The records named, while they are not marked yet.
    pub keys: Vec<RecordKey>,
    /// Whether to report only.
    pub dry_run: bool,
    /// Whether every record has been marked (or looked at, for a dry run).
    pub complete: bool,
    /// Where the next page starts.
    pub cursor: Option<String>,
    /// How many records it covers, as far as known.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How many failed.
    pub failed: u64,
    /// What a dry run found, by kind of step.
    pub preview: BTreeMap<String, u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl Resync {
    /// Why its records are marked: one record that was named is asked for as such.
    pub const fn cause(&self) -> Cause {
        if self.all_of.is_none() && self.total == 1 {
            Cause::ResyncOne(self.id)
        } else {
            Cause::Resync(self.id)
        }
    }
}

/// How long finished things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Deliveries received before this are deleted.
    pub deliveries_before: Timestamp,
    /// Audit rows written before this are deleted.
    pub audit_before: Timestamp,
    /// Notification ids seen before this are forgotten; senders repeat one for 24 hours at most.
    pub notifications_before: Timestamp,
    /// At most this many rows of each go in one transaction.
    pub rows_max: u32,
}

/// The latest instants that can lawfully be in the store; what lies beyond was written before a clock went back.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// The present instant: nothing that is due becomes due later, and scheduled work comes round at once.
    pub now: Timestamp,
    /// No claim is leased for longer.
    pub leased_until: Timestamp,
    /// Nothing waits for longer.
    pub waits_until: Timestamp,
    /// No scheduled work is leased for longer.
    pub task_leased_until: Timestamp,
}

/// Work that is done every now and then, by one instance at a time: a sweep, the end of what was kept long enough.
#[derive(Clone, Debug)]
pub struct TaskClaim<'a> {
    /// For which connection.
    pub connection: &'a ConnectionName,
    /// Its name.
    pub task: &'a str,
    /// By whom.
    pub worker: Uuid,
    /// The present instant.
    pub now: Timestamp,
    /// When the lease ends.
    pub lease_until: Timestamp,
    /// How far it has come where nobody claimed it before: recorded with that first claim.
    pub first: Option<&'a str>,
}

/// A piece of such work that is ours until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// How far it had come, in its own words; `None` the first time.
    pub cursor: Option<String>,
}

/// How far a piece of such work has come, and the records it found.
#[derive(Clone, Debug)]
pub struct TaskProgress<'a> {
    /// For which connection.
    pub connection: &'a ConnectionName,
    /// Its name.
    pub task: &'a str,
    /// By whom.
    pub worker: Uuid,
    /// The present instant.
    pub now: Timestamp,
    /// How far it has come, in its own words.
    pub cursor: &'a str,
    /// What happens next.
    pub next: TaskNext,
    /// Records to look at: they are marked in the same transaction, so that the cursor never passes one.
    pub marks: &'a [Mark],
    /// Why they are marked.
    pub cause: Cause,
}

/// What happens to a task next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskNext {
    /// Its claimer goes on, under a lease until then.
    GoesOn(Timestamp),
    /// It rests until then; anybody may take it up.
    Rests(Timestamp),
}

/// Calls of an allowance that all instances share.
#[derive(Clone, Debug)]
pub struct Reserve<'a> {
    /// Of which connection.
    pub connection: &'a ConnectionName,
    /// Of which allowance, such as `hubspot.day`.
    pub allowance: &'a str,
    /// The present slot of its window: a day, a second.
    pub slot: i64,
    /// The oldest slot that still counts; older ones are forgotten.
    pub oldest_slot: i64,
    /// The newest slot that counts: clocks differ, and whoever asks may have been held up. Newer ones are forgotten, too.
    pub newest_slot: i64,
    /// The most calls in all slots that count.
    pub limit: u32,
    /// How many calls are wanted.
    pub wanted: u32,
}

/// Calls taken from an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// How many: what was wanted, or what was left.
    pub calls: u32,
    /// How many are left after them.
    pub left: u32,
}
