//! What a plan is made of: steps that leave no choice to whoever carries them out.

use serde::Serialize;

use crate::domain::{Kind, RecordKey, Timestamp, Value};
use crate::plan::{Agreed, Category};

/// One thing to do. Execution has no choices left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Remember that the two belong together, in place of any pair that either is in.
    Link {
        /// The HubSpot side.
        #[serde(serialize_with = "as_text")]
        hubspot: RecordKey,
        /// The Salesforce side.
        #[serde(serialize_with = "as_text")]
        salesforce: RecordKey,
    },
    /// Create the missing twin of `twin`, keyed so that a repetition creates nothing.
    Create {
        /// The record that is missing its twin.
        #[serde(serialize_with = "as_text")]
        twin: RecordKey,
        /// What to create.
        kind: Kind,
        /// Its fields, each with the decision behind it.
        changes: Vec<Change>,
        /// HubSpot records that the new one is associated with from the start.
        #[serde(serialize_with = "as_texts")]
        related: Vec<RecordKey>,
        /// The property or field of `twin` that is to hold the new record's id afterwards.
        mark_back: Option<String>,
        /// The person account behind which `twin` is.
        #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
        through: Option<RecordKey>,
    },
    /// Change fields of one record.
    Update {
        /// Which record.
        #[serde(serialize_with = "as_text")]
        key: RecordKey,
        /// The person account behind which the record is: it is written through that.
        #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
        through: Option<RecordKey>,
        /// What to change.
        changes: Vec<Change>,
    },
    /// Delete a record; where that succeeds, the pair rests.
    Delete {
        /// Which record.
        #[serde(serialize_with = "as_text")]
        key: RecordKey,
        /// The rule that says so.
        rule: &'static str,
        /// Why the pair rests afterwards.
        reason: String,
    },
    /// Associate two HubSpot records, a company as the primary one. No association is ever taken away.
    Relate {
        /// The contact or deal.
        #[serde(serialize_with = "as_text")]
        from: RecordKey,
        /// The company or contact.
        #[serde(serialize_with = "as_text")]
        to: RecordKey,
        /// What the audit says of it.
        change: Change,
    },
    /// Opt an address out of all mail in HubSpot.
    OptOut {
        /// The record for whose sake.
        #[serde(serialize_with = "as_text")]
        key: RecordKey,
        /// The address; it is not shown.
        #[serde(skip)]
        address: String,
        /// What the audit says of it.
        change: Change,
    },
    /// Have a look at another record as well: what is done here may concern it.
    Look {
        /// Which record.
        #[serde(serialize_with = "as_text")]
        key: RecordKey,
    },
    /// Decide nothing yet: look again at this time.
    Postpone {
        /// When.
        #[serde(serialize_with = "as_text_time")]
        at: Timestamp,
    },
    /// Let nothing pass until something changes: the reason is shown to people.
    Stop {
        /// Why.
        reason: String,
    },
    /// Show a conflict that a person must decide.
    Conflict {
        /// The records that answer `conflict`.
        #[serde(serialize_with = "as_texts")]
        records: Vec<RecordKey>,
        /// The HubSpot property in question.
        property: String,
        /// What is at odds, without values.
        text: String,
    },
    /// Park the job: it waits for a person.
    Hold {
        /// Under which heading it is listed.
        category: Category,
        /// Why, without values.
        text: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn as_text_time<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn as_text<S: serde::Serializer>(key: &RecordKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

#[expect(clippy::ref_option, reason = "serde hands in the field as it is")]
fn as_optional_text<S: serde::Serializer>(key: &Option<RecordKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => as_text(key, serializer),
        None => serializer.serialize_none(),
    }
}

fn as_texts<S: serde::Serializer>(keys: &[RecordKey], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(keys.iter().map(ToString::to_string))
}

/// One field to write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The property or field to write, named as its CRM names it.
    pub field: String,
    /// What it holds now.
    pub old: Value,
    /// What it is to hold, in the target's own form.
    pub new: Value,
    /// The rule that decided.
    pub rule: &'static str,
    /// What both sides agree on once this is written: the mapping's HubSpot property and the normal form. `None` for our own
    /// id fields, which no mapping covers.
    pub agrees: Option<(String, Agreed)>,
}

impl Step {
    /// Whether carrying it out calls a CRM to change something.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Update { .. }
            | Self::Delete { .. }
            | Self::Relate { .. }
            | Self::OptOut { .. } => true,
            Self::Link { .. }
            | Self::Look { .. }
            | Self::Postpone { .. }
            | Self::Stop { .. }
            | Self::Conflict { .. }
            | Self::Hold { .. } => false,
        }
    }
}
