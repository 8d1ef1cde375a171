//! What should happen: pure decisions from data to data. No async, no I/O, no clock, no randomness, no logging.
//!
//! The shell gathers everything known about one pair of records into a [`View`] and asks [`plan`] what to do. The answer, a
//! [`Plan`], leaves no choices to whoever carries it out, and says for every decision which rule made it: the same [`Why`] is
//! the log line, the explanation shown to people, the preview, and the audit's rule column.

mod access;
mod aside;
mod association;
pub mod base;
mod check;
mod companies;
mod competing;
mod deals;
pub mod defaults;
mod draft;
mod explain;
mod fates;
pub mod inclusion;
mod interrupted;
pub mod lifecycle;
pub mod links;
pub mod mapping;
pub mod merge;
pub mod normal;
pub mod options;
mod optout;
pub mod owners;
mod pairing;
mod passing;
mod people;
pub mod persons;
pub mod resolve;
pub mod retry;
pub mod rules;
pub mod stages;
mod step;
pub mod stored;
mod survey;
#[cfg(test)]
mod tests;
pub mod triggers;
mod values;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use aside::{SetAside, SetAsideField, set_aside_fields};
pub use association::{AssociationDifference, differences};
pub use base::{Agreed, Base};
pub use competing::latest;
pub use draft::names_stranger;
pub use explain::{Echo, ExplainedField, echo, explain, holds_what_was_agreed, landed};
pub use interrupted::{Begun, take_in};
pub use links::Links;
pub use mapping::Mapping;
pub use pairing::{address_of, address_to_check};
pub use people::company_to_name;
pub use rules::Rules;
pub use step::{Change, Step};
pub use triggers::{Changed, is_worth_a_look};

use crate::domain::{Family, Fields, Kind, Record, RecordKey, Timestamp};

/// Everything known about one pair of records, or about one record that has no twin yet.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The link that memory holds, if any.
    pub pair: Option<Pair>,
    /// The HubSpot side: of the pair, or the record that became dirty.
    pub hubspot: Side,
    /// The Salesforce side, likewise.
    pub salesforce: Side,
    /// What else bears on the decision.
    pub around: Around,
}

/// One side of a view.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// There is no such record, or none is known.
    Absent,
    /// The record was deleted by somebody.
    Deleted,
    /// The record was merged into another one; that, if it can be seen, is among the candidates.
    Merged,
    /// A lead that was converted; its contact, if it can be seen, is among the candidates.
    Converted,
    /// The record as its CRM holds it now.
    Present(Record),
}

/// A HubSpot record and a Salesforce record that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The HubSpot side.
    pub hubspot: RecordKey,
    /// The Salesforce side.
    pub salesforce: RecordKey,
    /// Why nothing passes at the moment, if so.
    pub stopped: Option<String>,
    /// What both sides last agreed on.
    pub base: Base,
}

impl Pair {
    /// Its two records.
    pub const fn records(&self) -> [RecordKey; 2] {
        [self.hubspot, self.salesforce]
    }
}

/// What bears on a decision besides the two records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Around {
    /// The present instant.
    pub now: Timestamp,
    /// Whether a person asked for this by a resync.
    pub asked: Asked,
    /// When somebody else than us gave each HubSpot property its present value, by HubSpot's own history. `None` until a plan turns out to
    /// depend on it ([`Plan::contested`]); a property that is missing got its value from us, or HubSpot does not tell.
    pub hubspot_times: Option<BTreeMap<String, Timestamp>>,
    /// What messages of Salesforce told of its record, oldest first. As with `hubspot_times`, empty until a plan depends on it.
    pub messages: Vec<Message>,
    /// Whether the HubSpot record came of a merge and takes over the pair of one that is gone.
    pub hubspot_succeeds: bool,
    /// Records on the other side that could be the twin, in the order in which the CRM returned them. For a view with a pair:
    /// Salesforce records that bear the HubSpot side's address and became dirty themselves.
    pub candidates: Vec<Candidate>,
    /// Another record of this kind with the address, looked at in the same round, that somebody modified more recently: that one is linked, or
    /// made a contact of, and this one is not.
    pub outdone_by: Option<RecordKey>,
    /// Records that are gone and whose pairs may therefore be replaced: by the record that came of a merge, or by one that was entered again.
    pub released: Vec<RecordKey>,
    /// What an interrupted create made of a record that has gone since. No decision depends on it; the audit has to tell of it.
    pub made: Option<Record>,
    /// Whether the HubSpot contact, or the one that a Salesforce record would be linked to, is in the inclusion list; `None` where there is no
    /// list, or no contact.
    pub included: Option<bool>,
    /// HubSpot contacts among `contacts` that do not take part: they are not in the inclusion list, or their pair is stopped.
    pub excluded: BTreeSet<RecordKey>,
    /// Whether the address of the Salesforce record is that of a contact that was erased for privacy: nobody is made of it again in
    /// HubSpot but by hand.
    pub erased: bool,
    /// The HubSpot contact that already holds the address which the Salesforce side moved to.
    pub address_holder: Option<RecordKey>,
    /// Which of the companies and accounts that the two sides name are pairs.
    pub links: Links,
    /// Of a company or account without a twin: the people who belong to it.
    pub neighbours: Vec<Neighbour>,
    /// Of the same: the deals or opportunities that wait for its twin. Of a person who may begin to sync: the opportunities on which they have
    /// a role.
    pub dependants: Vec<RecordKey>,
    /// The HubSpot company whose stage matters: of a contact whose own moved, of a won opportunity; or whose name does, for a new lead.
    pub company: Option<Record>,
    /// HubSpot contacts whose stage matters, or whom the deal is about: a company's, and those with a role on an opportunity.
    pub contacts: Vec<Record>,
    /// The contacts that a deal has now; `None` where nobody asked.
    pub associated: Option<Vec<RecordKey>>,
}

/// What a message told of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The time of the record's last change, as the message tells it.
    pub at: Timestamp,
    /// The fields that it carries.
    pub fields: Fields,
}

/// Whether a person asked for this record by a resync, and how.
///
/// | | first agreement for mappings that are newer than the pair (R-196) | overrides blocks, recreates, links again (R-068, R-115, R-116) |
/// |---|---|---|
/// | nobody | no | no |
/// | bulk: a list, all of a kind, several ids | yes | no |
/// | single: this one record | yes | yes |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Nobody asked: something changed.
    #[default]
    No,
    /// A bulk resync covers the record: the rules apply as ever.
    Bulk,
    /// A resync of this one record: what the person asks for goes before blocks.
    Single,
}

impl Asked {
    /// Whether any resync covers the record.
    pub const fn by_resync(self) -> bool {
        matches!(self, Self::Bulk | Self::Single)
    }

    /// Whether a person asked for exactly this record.
    pub const fn overrides(self) -> bool {
        matches!(self, Self::Single)
    }
}

/// Somebody who belongs to a company or account.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// The HubSpot contact.
    pub contact: Option<RecordKey>,
    /// The lead or contact.
    pub twin: Option<RecordKey>,
    /// Whether the twin is a contact without an account.
    pub private: bool,
    /// Whether the HubSpot contact takes part: it has an address and is in the inclusion list.
    pub eligible: bool,
}

/// A record that could be the twin.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The record.
    pub record: Record,
    /// The record on this side that holds it: it is paired with that already, or was made for it; itself, while it is not known what came of
    /// a create for it. A record that is gone holds nothing.
    pub paired_with: Option<RecordKey>,
    /// Whether it bears our key (the id of the record that seeks a twin, in the external id field or unique property), or is the record that
    /// the twin was merged or converted into.
    pub keyed: bool,
    /// How many people the two have in common, for companies and accounts.
    pub shared: usize,
}

impl Candidate {
    /// A record that nobody is known to hold.
    pub const fn new(record: Record, keyed: bool) -> Self {
        Self { record, paired_with: None, keyed, shared: 0 }
    }

    /// Whether a counterpart was being created for it when the work was interrupted, so that nobody knows yet whether it has one.
    pub fn is_being_linked(&self) -> bool {
        self.paired_with == Some(self.record.key)
    }

    /// The record that holds it, if that is another one than this.
    pub fn holder_besides(&self, own: RecordKey) -> Option<RecordKey> {
        self.paired_with.filter(|holder| *holder != own)
    }
}

/// What should happen to one pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The reasons, one for each field and one or more for the record.
    pub why: Vec<Why>,
    /// The state of the record once the steps are done.
    pub state: State,
    /// What both sides agree on already, before any step: the base to remember whatever becomes of the steps.
    pub base: Base,
    /// The HubSpot properties where the later change wins while it is not known when HubSpot's changed: plan again with
    /// [`Around::hubspot_times`].
    #[serde(skip)]
    pub contested: Vec<String>,
}

impl Plan {
    /// Whether carrying it out calls a CRM to change something.
    pub fn writes(&self) -> bool {
        self.steps.iter().any(Step::writes)
    }
}

/// A reason: which rule decided what, in words for people. Holds no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The rule's number, such as `R-192`.
    pub rule: &'static str,
    /// The HubSpot property it is about; `None` for the record as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The decision.
    pub decision: Decision,
    /// The sentence.
    pub text: String,
}

/// What was decided for one field or record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Both sides hold the same.
    Agree,
    /// HubSpot's value goes to Salesforce.
    ToSalesforce,
    /// Salesforce's value goes to HubSpot.
    ToHubspot,
    /// Nothing passes for this field, by its rule.
    Keep,
    /// A person must decide.
    Conflict,
    /// The value cannot travel; the rest of the record does.
    SetAside,
    /// Said of the record as a whole.
    Record,
}

/// How a record stands, as `GET .../records/...` answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has a twin and both agree, or will once the steps are done.
    Linked,
    /// It has no twin and needs none by the settings.
    Unlinked,
    /// It does not take part.
    Excluded,
    /// Several records could be the twin and a person must choose.
    Ambiguous,
    /// Both sides are at odds and a person must decide.
    Conflict,
    /// The last attempt failed.
    Failed,
    /// Nothing passes until something changes.
    Stopped,
}

impl State {
    /// The word used in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
            Self::Excluded => "excluded",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Reads what [`State::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Linked,
            Self::Unlinked,
            Self::Excluded,
            Self::Ambiguous,
            Self::Conflict,
            Self::Failed,
            Self::Stopped,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// Headings under which parked and waiting work is listed, each with one piece of advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The CRM could not be reached or answered that it is busy.
    Unavailable,
    /// The API allowance is used up for now.
    Quota,
    /// The CRM refuses our credentials or permissions.
    Unauthorized,
    /// A property or field refuses the value.
    InvalidValue,
    /// A required field has no value.
    MissingField,
    /// A validation rule, flow or trigger of the organization refused the write.
    Validation,
    /// A duplicate rule or a unique field refused the write.
    Duplicate,
    /// A field does not exist or is hidden from our user.
    FieldPermission,
    /// The record is locked or was converted, deleted or merged meanwhile.
    RecordUnavailable,
    /// Several records could be the twin.
    Ambiguous,
    /// Both sides are at odds.
    Conflict,
    /// A value keeps flipping between two forms.
    Loop,
    /// An event or notification could not be read.
    Unreadable,
    /// The CRM answered something its documentation does not promise.
    Unexpected,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 14] = [
        Self::Unavailable,
        Self::Quota,
        Self::Unauthorized,
        Self::InvalidValue,
        Self::MissingField,
        Self::Validation,
        Self::Duplicate,
        Self::FieldPermission,
        Self::RecordUnavailable,
        Self::Ambiguous,
        Self::Conflict,
        Self::Loop,
        Self::Unreadable,
        Self::Unexpected,
    ];

    /// The word used in the API, the database and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Quota => "quota",
            Self::Unauthorized => "unauthorized",
            Self::InvalidValue => "invalid_value",
            Self::MissingField => "missing_field",
            Self::Validation => "validation",
            Self::Duplicate => "duplicate",
            Self::FieldPermission => "field_permission",
            Self::RecordUnavailable => "record_unavailable",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::Loop => "loop",
            Self::Unreadable => "unreadable",
            Self::Unexpected => "unexpected",
        }
    }

    /// Reads what [`Category::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == text)
    }
}

/// What a CRM says of one property or field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as both vendors state them")]
pub struct FieldSchema {
    /// Its type, in terms common to both CRMs.
    pub field_type: FieldType,
    /// Whether it may be set when a record is created.
    pub createable: bool,
    /// Whether it may be changed later.
    pub updateable: bool,
    /// Whether a record cannot be created without it (and nothing fills it by default).
    pub required: bool,
    /// The most characters it takes, where the CRM says.
    pub length: Option<usize>,
    /// How many decimals of a number it keeps, where the CRM says.
    pub scale: Option<u32>,
    /// The values it lists, if it has a list.
    pub options: Option<Vec<String>>,
    /// Whether it takes listed values only.
    pub restricted: bool,
    /// Whether the CRM computes it (formula, calculated).
    pub calculated: bool,
}

/// The types of value, in terms common to both CRMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// One line of text.
    Text,
    /// Several lines of text.
    Multiline,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A whole or decimal number.
    Number,
    /// True or false.
    Flag,
    /// A calendar day.
    Date,
    /// An instant.
    Instant,
    /// One of a list (dropdown, radio, picklist).
    Choice,
    /// Any of a list (checkboxes, multi-select picklist).
    Choices,
    /// The id of another record or of an owner.
    Reference,
    /// Anything else; it cannot be mapped.
    Other,
}

/// What a CRM says of one kind of record: its fields by name.
pub type Schema = BTreeMap<String, FieldSchema>;

/// The schemas of every kind a connection touches.
pub type Schemas = BTreeMap<Kind, Schema>;

/// Decides what should happen to one pair of records.
pub fn plan(view: &View, rules: &Rules) -> Plan {
    match view.family() {
        Family::People => people::plan(view, rules),
        Family::Companies => companies::plan(view, rules),
        Family::Deals => deals::plan(view, rules),
    }
}

impl View {
    /// The kinds of record it is about.
    pub fn family(&self) -> Family {
        let of_side = |side: &Side| match side {
            Side::Present(record) => Some(record.key.kind().family()),
            Side::Absent | Side::Deleted | Side::Merged | Side::Converted => None,
        };
        let of_pair = self.pair.as_ref().map(|pair| pair.hubspot.kind().family());
        of_pair
            .or_else(|| of_side(&self.hubspot))
            .or_else(|| of_side(&self.salesforce))
            .unwrap_or(Family::People)
    }
}

/// The fields of a create or update, without the decisions behind them.
pub fn fields_of(changes: &[Change]) -> Fields {
    changes.iter().map(|change| (change.field.clone(), change.new.clone())).collect()
}
