//! Gathering: everything known about each dirty record, in as few calls as both CRMs allow.
//!
//! | what | when | calls for a batch |
//! |---|---|---|
//! | both sides of every pair, and each record without one | always | one batched read a CRM |
//! | records that could be the twin | for a record without a pair, and for a resync of a pair whose twin is gone | one batched search a CRM |
//! | another record with the address | for a person's pair of which one side was deleted | one batched search a CRM |
//! | whether the record that holds a possible twin is still there | where one is held | one batched read |
//! | the twin of a contact that was merged into this one | where there is one | one batched read |
//! | the record that a paired one lives on in | where it was converted or merged | one batched read |
//! | the twin that a candidate already has | where a Salesforce record's match is taken | one batched read |
//! | whether the HubSpot contact is in the inclusion list | where there is one | one batched call |
//! | whether the address is that of a contact erased for privacy | for Salesforce people without a twin | none |
//! | who holds the address that Salesforce moved to | where it changed (R-075) | one batched search |
//! | who belongs to a company or account, and to whom they belong | where it has no twin (R-121) | one batched call a CRM for the people, one batched read of them |
//! | a deal's company and contacts | for deals | one batched call each |
//! | on which opportunities a contact has a role | where it may begin to sync, and deals or stages follow opportunities | one batched query |
//! | who has a role on an opportunity | for opportunities | one batched query |
//! | the record whose id a record bears | where it has no twin, or work on its pair was interrupted | one batched read |
//! | the record whose id a possible twin bears | where that is neither the seeker nor in a pair | one batched read |
//! | which lead a contact came of | for contacts that nobody in HubSpot matches | one batched query |
//! | whether a deleted HubSpot contact was merged | where its Salesforce record would be deleted with it | one call each |
//! | the lifecycle stages of a company and of its contacts | where one moved | one batched read each |
//! | the name of a contact's company | for a new lead that has none of its own | one batched read |
//! | when HubSpot's properties got their values | where both sides moved and the later change wins ([`plan_all`]) | one batched read with history |
//!
//! Records of one round that turn out to concern each other are not planned side by side: the later one is put off to the next
//! round, which sees what became of the first.

use std::collections::{HashMap, HashSet};

use crate::crm::{self, FieldsByKind, Found};
use crate::domain::{Family, Kind, Record, RecordId, RecordKey, System, Timestamp};
use crate::plan::{Around, Asked, Candidate, Pair, Rules, Side, View, address_of};
use crate::store::Store;
use crate::worker::Error;
use crate::worker::connection::{Live, fields_to_read};

mod around;
mod companies;
mod deals;
mod echoes;
mod fates;
mod holders;
mod membership;
mod merges;
mod siblings;
mod times;
mod twins;

pub(super) use around::company_of;
pub(super) use echoes::tell_of_us_only;
pub(super) use times::plan_all;

/// A record to look at, with what memory says of it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The record that became dirty; for a pair, either side.
    pub(super) key: RecordKey,
    /// Its pair.
    pub(super) pair: Option<Pair>,
    /// Whether a person asked.
    pub(super) asked: Asked,
    /// Whether a write for it was begun whose end nobody recorded.
    pub(super) interrupted: bool,
}

/// What gathering came to, for one subject.
pub(super) enum Gathered {
    /// All that is known.
    View(Box<View>),
    /// It concerns a record that another subject of this round works on: look again next round.
    PutOff,
    /// A call failed.
    Failed(System, crm::Error),
}

impl Gathered {
    /// The failed call's error.
    pub(super) const fn error(&mut self) -> Option<(System, &mut crm::Error)> {
        match self {
            Self::Failed(system, error) => Some((*system, error)),
            Self::View(_) | Self::PutOff => None,
        }
    }

    /// All that is known, where nothing failed.
    pub(super) fn view(&self) -> Option<&View> {
        match self {
            Self::View(view) => Some(view),
            Self::PutOff | Self::Failed(..) => None,
        }
    }

    /// Whether the CRM refused to answer.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self, Self::Failed(_, crm::Error::Refused(_)))
    }

    /// Whether the CRM did not answer at all.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(self, Self::Failed(_, crm::Error::Unavailable { .. }))
    }
}

/// What gathering needs.
pub(super) struct Sources<'a> {
    pub(super) live: &'a Live,
    pub(super) store: &'a dyn Store,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

/// Gathers a view for every subject, in their order.
pub(super) async fn gather(sources: &Sources<'_>, subjects: &[Subject]) -> Result<Vec<Gathered>, Error> {
    let fields = fields_to_read(sources.rules);
    let mut known = Known::default();
    known.read(sources, &fields, subjects.iter().flat_map(own_keys)).await;
    let mut drafts: Vec<Draft> =
        subjects.iter().map(|subject| Draft::new(subject, &known, sources.now)).collect();
    merges::adopt_merged(sources, &fields, &mut known, &mut drafts).await?;
    fates::tell_merged_from_deleted(sources, &mut drafts).await;
    twins::search(sources, &fields, &mut drafts).await;
    twins::look_for_made(sources, &fields, &mut drafts).await;
    twins::look_for_made_of_merged(sources, &fields, &mut drafts).await;
    twins::follow_own_ids(sources, &fields, &mut known, &mut drafts).await?;
    fates::adopt_converted(sources, &fields, &mut known, &mut drafts).await?;
    let all = 0..drafts.len();
    twins::read_heirs(sources, &fields, &mut known, (&mut drafts, all)).await;
    fates::look_for_others_of_the_address(sources, &fields, &mut drafts).await;
    companies::meet_neighbours(sources, &fields, &mut known, &mut drafts).await?;
    siblings::leave_to_the_latest(&mut drafts, sources.rules);
    holders::adopt_pairs(sources, &fields, &mut known, &mut drafts).await?;
    twins::spare_the_spoken_for(sources, &fields, &mut known, &mut drafts).await?;
    put_off_relatives(&mut drafts);
    look_up_members(sources, &mut drafts).await;
    look_up_erased(sources, &mut drafts).await?;
    twins::look_up_addresses(sources, &fields, &mut drafts).await;
    deals::read_companies(sources, &mut drafts).await;
    around::link_companies(sources, &fields, &mut known, &mut drafts).await?;
    deals::read_people(sources, &fields, &mut known, &mut drafts).await?;
    deals::look_for_roles(sources, &mut drafts).await;
    around::read_names(sources, &fields, &mut known, &mut drafts).await;
    around::read_stages(sources, &fields, &mut known, &mut drafts).await;
    Ok(drafts.into_iter().map(Draft::finish).collect())
}

fn own_keys(subject: &Subject) -> Vec<RecordKey> {
    match &subject.pair {
        Some(pair) => pair.records().into(),
        None => vec![subject.key],
    }
}

/// What reading found, by record.
#[derive(Default)]
struct Known(HashMap<RecordKey, Found>);

impl Known {
    /// Reads the records not read yet, both CRMs at once.
    async fn read(
        &mut self,
        sources: &Sources<'_>,
        fields: &FieldsByKind,
        keys: impl Iterator<Item = RecordKey>,
    ) {
        let mut seen = HashSet::new();
        let fresh = keys.filter(|key| !self.0.contains_key(key) && seen.insert(*key));
        // Nothing can be asked of a kind that is hidden from us.
        let (fresh, hidden): (Vec<_>, Vec<_>) = fresh.partition(|key| sources.rules.shows(key.kind()));
        self.0.extend(hidden.into_iter().map(|key| (key, Found::Absent)));
        let fresh = fresh.into_iter();
        let (hubspot, salesforce): (Vec<_>, Vec<_>) = fresh.partition(|key| key.system() == System::Hubspot);
        let (from_hubspot, from_salesforce) = futures::join!(
            read_some(sources.live, System::Hubspot, &hubspot, fields),
            read_some(sources.live, System::Salesforce, &salesforce, fields),
        );
        self.0.extend(hubspot.into_iter().zip(from_hubspot));
        self.0.extend(salesforce.into_iter().zip(from_salesforce));
    }

    /// Whether a record was asked for.
    fn was_read(&self, key: RecordKey) -> bool {
        self.0.contains_key(&key)
    }

    /// A record, if it was found.
    fn present(&self, key: RecordKey) -> Option<&Record> {
        match self.0.get(&key) {
            Some(Found::Present(record)) if record.key == key => Some(record),
            _ => None,
        }
    }

    /// One side of a view; the error where its call failed.
    fn side(&self, key: RecordKey) -> Result<Side, crm::Error> {
        match self.0.get(&key) {
            Some(Found::Present(record)) if record.key == key => Ok(Side::Present(record.clone())),
            // Another record answers to its id: it was merged into that, which speaks for itself.
            Some(Found::Present(_) | Found::Merged(_)) => Ok(Side::Merged),
            Some(Found::Deleted) => Ok(Side::Deleted),
            Some(Found::Converted(_)) => Ok(Side::Converted),
            Some(Found::Absent) | None => Ok(Side::Absent),
            Some(Found::Failed(error)) => Err(error.clone()),
        }
    }
}

async fn read_some(live: &Live, system: System, keys: &[RecordKey], fields: &FieldsByKind) -> Vec<Found> {
    if keys.is_empty() { Vec::new() } else { live.crm(system).read(keys, fields).await }
}

/// A view in the making.
struct Draft {
    subject: RecordKey,
    interrupted: bool,
    view: View,
    failed: Option<(System, crm::Error)>,
    put_off: bool,
}

impl Draft {
    fn new(subject: &Subject, known: &Known, now: Timestamp) -> Self {
        let around = Around { now, asked: subject.asked, ..Around::default() };
        let view =
            View { pair: subject.pair.clone(), hubspot: Side::Absent, salesforce: Side::Absent, around };
        let interrupted = subject.interrupted;
        let mut draft = Self { subject: subject.key, interrupted, view, failed: None, put_off: false };
        for key in own_keys(subject) {
            draft.set_side(key, known);
        }
        draft
    }

    fn set_side(&mut self, key: RecordKey, known: &Known) {
        match (known.side(key), key.system()) {
            (Ok(side), System::Hubspot) => self.view.hubspot = side,
            (Ok(side), System::Salesforce) => self.view.salesforce = side,
            (Err(error), system) => self.failed = Some((system, error)),
        }
    }

    /// The record whose twin is to be searched, if one is.
    fn seeker(&self) -> Option<&Record> {
        match (&self.view.pair, &self.view.hubspot, &self.view.salesforce) {
            (None, Side::Present(record), _) | (None, _, Side::Present(record)) => Some(record),
            (Some(_), Side::Present(record), other) | (Some(_), other, Side::Present(record))
                if self.view.around.asked.overrides() && !matches!(other, Side::Present(_)) =>
            {
                Some(record)
            }
            _ => None,
        }
    }

    /// Takes in the record that it bears the id of, ahead of whatever else could be its twin.
    fn meets_its_own(&mut self, record: Record) {
        let candidates = &mut self.view.around.candidates;
        candidates.retain(|candidate| candidate.record.key != record.key);
        candidates.insert(0, Candidate::new(record, true));
    }

    /// The record that is gone since a create of its twin was interrupted, if so.
    fn cut_short(&self) -> Option<RecordKey> {
        let gone = ![&self.view.hubspot, &self.view.salesforce]
            .into_iter()
            .any(|side| matches!(side, Side::Present(_)));
        (self.interrupted && gone && self.view.pair.is_none()).then_some(self.subject)
    }

    /// The record that became dirty, or those of its pair.
    fn own_keys(&self) -> Vec<RecordKey> {
        match &self.view.pair {
            Some(pair) => vec![self.subject, pair.hubspot, pair.salesforce],
            None => vec![self.subject],
        }
    }

    const fn family(&self) -> Family {
        self.subject.kind().family()
    }

    /// Whether planning it goes on: nothing failed and nobody else works on it.
    const fn goes_on(&self) -> bool {
        self.failed.is_none() && !self.put_off && self.view.around.outdone_by.is_none()
    }

    /// One of its sides, if it is there.
    fn present(&self, kind: Kind) -> Option<&Record> {
        [&self.view.hubspot, &self.view.salesforce].into_iter().find_map(|side| match side {
            Side::Present(record) if record.key.kind() == kind => Some(record),
            _ => None,
        })
    }

    fn finish(self) -> Gathered {
        match (self.failed, self.put_off) {
            (Some((system, error)), _) => Gathered::Failed(system, error),
            (None, true) => Gathered::PutOff,
            (None, false) => Gathered::View(Box::new(self.view)),
        }
    }
}

/// Puts off every record that concerns one which an earlier subject of the round works on.
fn put_off_relatives(drafts: &mut [Draft]) {
    let (mut keys, mut addresses) = (HashSet::new(), HashSet::new());
    // Pairs come first: they are leased as such, and what is known of them is firmer than a match by address.
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    // Those that are outdone concern nobody else.
    order.retain(|place| drafts[*place].view.around.outdone_by.is_none());
    order.sort_by_key(|place| {
        drafts[*place].seeker().is_some() || !drafts[*place].view.around.candidates.is_empty()
    });
    for place in order {
        let draft = &mut drafts[place];
        let touched = touched_keys(draft);
        let address = if draft.view.pair.is_none() { draft.seeker().and_then(address_of) } else { None };
        let taken = touched.iter().any(|key| keys.contains(key))
            || address.as_ref().is_some_and(|address| addresses.contains(address));
        draft.put_off = taken;
        if !taken {
            keys.extend(touched);
            addresses.extend(address);
        }
    }
}

fn touched_keys(draft: &Draft) -> Vec<RecordKey> {
    let mut keys = draft.own_keys();
    keys.extend(draft.view.around.candidates.iter().map(|candidate| candidate.record.key));
    keys
}

/// Finds out whose contact is in the inclusion list, where there is one.
async fn look_up_members(sources: &Sources<'_>, drafts: &mut [Draft]) {
    let Some(list) = &sources.rules.people.inclusion_list else { return };
    let people = drafts.iter_mut().filter(|draft| draft.family() == Family::People && draft.failed.is_none());
    let mut people: Vec<&mut Draft> = people.collect();
    let views = people.iter_mut().map(|draft| &mut draft.view);
    let failures = membership::look_up(sources.live, list, views).await;
    for (draft, failure) in people.into_iter().zip(failures) {
        draft.failed = draft.failed.take().or(failure);
    }
}

/// Finds out which Salesforce records have the address of a contact that was erased for privacy.
async fn look_up_erased(sources: &Sources<'_>, drafts: &mut [Draft]) -> Result<(), Error> {
    let seekers = drafts.iter().enumerate().filter(|(_, draft)| draft.goes_on());
    let (places, addresses): (Vec<usize>, Vec<String>) = seekers
        .filter_map(|(place, draft)| {
            let seeker = draft.seeker().filter(|seeker| seeker.key.system() == System::Salesforce)?;
            Some((place, address_of(seeker)?))
        })
        .unzip();
    if addresses.is_empty() {
        return Ok(());
    }
    let erased = sources.store.erased(&sources.live.settings.name, &addresses).await?;
    for (place, erased) in places.into_iter().zip(erased) {
        drafts[place].view.around.erased = erased;
    }
    Ok(())
}

/// The key of a record of the given kind, if the id is of its CRM.
pub(super) fn key_of(kind: Kind, id: RecordId) -> Option<RecordKey> {
    RecordKey::parse(kind, &id.to_string()).ok()
}
