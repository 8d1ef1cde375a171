//! The two correspondents. Each speaks to one CRM in batches and neither knows of the other, of memory, or of the rules.
//!
//! Answers are given record by record: one bad record never fails its neighbours, and one failed call fails only the records
//! it carried. Nothing here retries or sleeps: what to do after a failure is the planner's decision (`plan::retry`).

pub mod changes;
pub mod error;
pub mod hubspot;
pub mod limiter;
pub mod salesforce;
pub mod transport;

use async_trait::async_trait;

pub use changes::{Asked, Deed, Place, Stream, Trace, Traces};
pub use error::{Error, Refusal};

use crate::domain::{Fields, Kind, Record, RecordId, RecordKey, System, Timestamp, Value};
use crate::plan::Schema;
use crate::plan::owners::Owner;
use crate::plan::resolve::ListKind;
use crate::plan::stages::PipelineStage;

/// A CRM, in batches.
#[async_trait]
pub trait Crm: Send + Sync {
    /// Which CRM this is.
    fn system(&self) -> System;

    /// The calls of a day that are ours.
    fn calls_per_day(&self) -> u32;

    /// Who we are there; the first call to make, since it proves the credentials.
    async fn identity(&self) -> Result<Identity, Error>;

    /// What the CRM says of one kind of record and its fields.
    async fn schema(&self, kind: Kind) -> Result<Schema, Error>;

    /// Reads records by id, with the named fields. The answer has one element for each key, in the order of the keys.
    async fn read(&self, keys: &[RecordKey], fields: &FieldsByKind) -> Vec<Found>;

    /// The record that answers to the id of one that is gone, because that was merged into it; where reading tells it, none.
    async fn survivor_of(&self, key: RecordKey) -> Result<Option<RecordKey>, Error> {
        let _ = key;
        Ok(None)
    }

    /// Looks for records by address or by our key, all in as few calls as the CRM allows. The answer has one element for each
    /// search, in their order; the records of one search come in the order in which the CRM returned them.
    async fn find(&self, searches: &[Search], fields: &FieldsByKind) -> Vec<Result<Vec<Record>, Error>>;

    /// Creates and updates records, and tells what the named fields of each hold then, as far as that costs no call of its own. The answer
    /// has one element for each write, in their order.
    async fn write(&self, writes: &[Write], fields: &FieldsByKind) -> Vec<Result<Written, Error>>;

    /// Whether each record is a member of a list; only HubSpot has lists.
    async fn members(&self, list: &str, keys: &[RecordKey]) -> Vec<Result<bool, Error>> {
        let nothing = || Error::Unexpected { text: format!("this CRM has no list {list}") };
        keys.iter().map(|_| Err(nothing())).collect()
    }

    /// The records of a kind that belong to each of these, which are of one kind themselves: HubSpot's associations, the primary one
    /// first; an account's contacts and opportunities; the contacts with a role on an opportunity, and the opportunities on which a contact has
    /// one; the leads that became a contact. One element for each key, in their order.
    async fn related(&self, kind: Kind, keys: &[RecordKey]) -> Vec<Result<Vec<RecordKey>, Error>>;

    /// Everybody who may own records, and whoever once did.
    async fn owners(&self) -> Result<Vec<Owner>, Error>;

    /// The stages that deals go through: HubSpot's with their pipelines, Salesforce's under their names.
    async fn stages(&self) -> Result<Vec<PipelineStage>, Error>;

    /// One page of the contacts in a list, in the order of their ids; only HubSpot has lists.
    async fn list_members(&self, list: &str, after: Option<&str>) -> Result<Page, Error> {
        let _ = (list, after);
        Ok(Page { keys: Vec::new(), next: None, total: None })
    }

    /// What a list is; `None` where there is none. Only HubSpot has lists.
    async fn list_kind(&self, list: &str) -> Result<Option<ListKind>, Error> {
        let _ = list;
        Ok(None)
    }

    /// When HubSpot's own connector with Salesforce last wrote a contact that holds one of these properties of its; `None` where it never did.
    /// Only HubSpot has one.
    async fn native_connector(&self, signs: &[&str]) -> Result<Option<Timestamp>, Error> {
        let _ = signs;
        Ok(None)
    }

    /// One page of all records of a kind, in the order of their ids: for resync and import.
    async fn list(&self, kind: Kind, after: Option<&str>) -> Result<Page, Error>;

    /// What changed of late: one page of each stream asked for, with the named fields of the records. One answer for each, in their
    /// order. Every trace is on one page only.
    async fn changes(&self, asked: &[Asked], fields: &FieldsByKind) -> Vec<Result<Traces, Error>>;

    /// What each of these properties holds now and when it was given, by the CRM's own history of it. What the CRM does not tell is
    /// missing; only HubSpot keeps such a history. One answer for each, in their order.
    async fn value_times(&self, asked: &[(RecordKey, &[String])]) -> Vec<Result<ValueTimes, Error>> {
        asked.iter().map(|_| Ok(ValueTimes::new())).collect()
    }

    /// Whether somebody edited one of these fields of each record since then; for records whose trace does not tell. One answer for
    /// each, in their order.
    async fn edited(
        &self,
        keys: &[RecordKey],
        fields: &FieldsByKind,
        since: Timestamp,
    ) -> Vec<Result<bool, Error>>;
}

/// The fields to read, kind by kind.
pub type FieldsByKind = std::collections::BTreeMap<Kind, Vec<String>>;

/// What properties hold and when they got it, by name.
pub type ValueTimes = std::collections::BTreeMap<String, ValueTime>;

/// The newest version of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTime {
    /// The value.
    pub value: Value,
    /// When somebody else than us gave it; `None` where we did, or the CRM does not say.
    pub given_at: Option<Timestamp>,
}

/// Who we are in a CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account: HubSpot's portal id, Salesforce's organization id.
    pub account: String,
    /// The user or app that our own changes carry: HubSpot's app id where it is known, Salesforce's user id.
    pub author: Option<String>,
    /// The account's time zone, where the CRM says (IANA name).
    pub time_zone: Option<String>,
    /// The edition, where the CRM says.
    pub edition: Option<String>,
    /// When a trial account ends; `None` for every other.
    pub trial_ends: Option<String>,
}

/// What reading one record found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The record. Its key may differ from the one asked for where records were merged.
    Present(Record),
    /// It was deleted.
    Deleted,
    /// A lead that was converted: it can be read, and never written again. The contact it became, where that is told.
    Converted(Option<RecordKey>),
    /// It was merged into another record and deleted. The survivor, where that is told.
    Merged(Option<RecordKey>),
    /// The CRM knows no such record, or hides it from us.
    Absent,
    /// The call that should have told failed.
    Failed(Error),
}

/// A search for the twin of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The kinds to look among.
    pub kinds: Vec<Kind>,
    /// The address, folded; `None` to look by our key only.
    pub address: Option<String>,
    /// Our key: the field or property that would hold it, and the id it would hold.
    pub key: Option<(String, String)>,
}

/// One record to create, update or delete.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create a record, keyed so that a repetition creates nothing.
    Create {
        /// Of which kind.
        kind: Kind,
        /// With which fields.
        fields: Fields,
        /// The unique property or external id field among `fields` that makes it repeatable. `None`: HubSpot's e-mail
        /// address serves, or, in an organization without our field, the caller has looked and found nothing.
        unique: Option<String>,
        /// HubSpot records that the new HubSpot record is associated with, a company as its primary one.
        related: Vec<RecordKey>,
    },
    /// Update a record.
    Update {
        /// Which one.
        key: RecordKey,
        /// The person account behind which the record is: Salesforce takes changes of its contact through that alone.
        through: Option<RecordKey>,
        /// The fields to change; a blank value clears.
        fields: Fields,
        /// Whether a lifecycle stage may go back. HubSpot keeps a later stage until that is cleared.
        stage_back: bool,
    },
    /// Delete a record, as far as its CRM lets it be restored. One that is gone already is fine.
    Delete {
        /// Which one.
        key: RecordKey,
    },
    /// Associate two HubSpot records.
    Relate {
        /// The contact or deal.
        from: RecordKey,
        /// The company, which becomes the primary one, or the deal's contact; a former company stays associated.
        to: RecordKey,
    },
    /// Opt an address out of all mail in HubSpot.
    OptOut {
        /// The record for whose sake.
        key: RecordKey,
        /// The address.
        address: String,
    },
}

impl Write {
    /// The CRM it goes to.
    pub const fn system(&self) -> System {
        match self {
            Self::Create { kind, .. } => kind.system(),
            Self::Update { key, .. } | Self::Delete { key } => key.system(),
            Self::Relate { .. } | Self::OptOut { .. } => System::Hubspot,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The record.
    pub id: RecordId,
    /// Whether it is new.
    pub created: bool,
    /// Values as the CRM stored them, where its answer tells.
    pub stored: Fields,
}

/// A page of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub keys: Vec<RecordKey>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<String>,
    /// How many records there are in all, where the CRM says.
    pub total: Option<u64>,
}
