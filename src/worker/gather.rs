//! Gathering: everything known about each dirty record, in as few calls as both CRMs allow.
//!
//! | what | when | calls for a batch |
//! |---|---|---|
//! | both sides of every pair, and each record without one | always | one batched read a CRM |
//! | records that could be the twin | for a record without a pair, and for a resync of a pair whose twin is gone | one batched search a CRM |
//! | the twin of a contact that was merged into this one | where there is one | one batched read |
//! | the record that a paired one lives on in | where it was converted or merged | one batched read |
//! | the twin that a candidate already has | where a Salesforce record's match is taken | one batched read |
//! | whether the HubSpot contact is in the inclusion list | where there is one | one batched call |
//! | who holds the address that Salesforce moved to | where it changed (R-075) | one batched search |
//!
//! Records of one round that turn out to concern each other are not planned side by side: the later one is put off to the next
//! round, which sees what became of the first.

use std::collections::{HashMap, HashSet};

use crate::crm::{self, FieldsByKind, Found, Search};
use crate::domain::{Kind, Record, RecordId, RecordKey, System, Timestamp, Value};
use crate::plan::rules::MERGED_IDS_PROPERTY;
use crate::plan::{Around, Candidate, Pair, Rules, Side, View, address_of, address_to_check};
use crate::store::Store;
use crate::worker::Error;
use crate::worker::connection::{Live, fields_to_read};
use crate::worker::membership;

/// A record to look at, with what memory says of it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The record that became dirty; for a pair, either side.
    pub(super) key: RecordKey,
    /// Its pair.
    pub(super) pair: Option<Pair>,
    /// Whether a person asked.
    pub(super) manual: bool,
    /// When the HubSpot side changed, as told.
    pub(super) hubspot_changed_at: Option<Timestamp>,
    /// When the Salesforce side changed, as told.
    pub(super) salesforce_changed_at: Option<Timestamp>,
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
    adopt_merged(sources, &fields, &mut known, &mut drafts).await?;
    search_twins(sources, &fields, &mut drafts).await;
    read_heirs(sources, &fields, &mut known, &mut drafts).await;
    adopt_pairs(sources, &fields, &mut known, &mut drafts).await?;
    put_off_relatives(&mut drafts);
    look_up_members(sources, &mut drafts).await;
    look_up_addresses(sources, &fields, &mut drafts).await;
    Ok(drafts.into_iter().map(Draft::finish).collect())
}

fn own_keys(subject: &Subject) -> Vec<RecordKey> {
    match &subject.pair {
        Some(pair) => vec![pair.hubspot, pair.salesforce],
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
        let (hubspot, salesforce): (Vec<_>, Vec<_>) = fresh.partition(|key| key.system() == System::Hubspot);
        let (from_hubspot, from_salesforce) = futures::join!(
            read_some(sources.live, System::Hubspot, &hubspot, fields),
            read_some(sources.live, System::Salesforce, &salesforce, fields),
        );
        self.0.extend(hubspot.into_iter().zip(from_hubspot));
        self.0.extend(salesforce.into_iter().zip(from_salesforce));
    }

    /// One side of a view; the error where its call failed.
    fn side(&self, key: RecordKey) -> Result<Side, crm::Error> {
        match self.0.get(&key) {
            Some(Found::Present(record)) if record.key == key => Ok(Side::Present(record.clone())),
            // It was merged into another record: what was linked is gone, and the survivor speaks for itself.
            Some(Found::Present(_) | Found::Deleted) => Ok(Side::Deleted),
            Some(Found::Converted(_)) => Ok(Side::Converted),
            Some(Found::Merged(_)) => Ok(Side::Merged),
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
    view: View,
    failed: Option<(System, crm::Error)>,
    put_off: bool,
}

impl Draft {
    fn new(subject: &Subject, known: &Known, now: Timestamp) -> Self {
        let around = Around {
            now,
            manual: subject.manual,
            hubspot_changed_at: subject.hubspot_changed_at,
            salesforce_changed_at: subject.salesforce_changed_at,
            ..Around::default()
        };
        let view =
            View { pair: subject.pair.clone(), hubspot: Side::Absent, salesforce: Side::Absent, around };
        let mut draft = Self { subject: subject.key, view, failed: None, put_off: false };
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
                if self.view.around.manual && !matches!(other, Side::Present(_)) =>
            {
                Some(record)
            }
            _ => None,
        }
    }

    fn finish(self) -> Gathered {
        match (self.failed, self.put_off) {
            (Some((system, error)), _) => Gathered::Failed(system, error),
            (None, true) => Gathered::PutOff,
            (None, false) => Gathered::View(Box::new(self.view)),
        }
    }
}

/// Looks for the twins of the records that have none.
async fn search_twins(sources: &Sources<'_>, fields: &FieldsByKind, drafts: &mut [Draft]) {
    for system in [System::Hubspot, System::Salesforce] {
        let (mut places, mut searches) = (Vec::new(), Vec::new());
        for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.failed.is_none()) {
            if let Some(search) = draft
                .seeker()
                .filter(|record| record.key.system() != system)
                .and_then(|record| search_for(record, sources.rules))
            {
                places.push(place);
                searches.push(search);
            }
        }
        if searches.is_empty() {
            continue;
        }
        let found = sources.live.crm(system).find(&searches, fields).await;
        for ((place, search), found) in places.into_iter().zip(&searches).zip(found) {
            match found {
                Ok(records) => drafts[place].view.around.candidates = candidates(records, search),
                Err(error) => drafts[place].failed = Some((system, error)),
            }
        }
    }
}

/// A contact that others were merged into takes over their pair: a merge gives the survivor an id of its own, and nothing is merged
/// in Salesforce. Where several of them had a twin, the one that the survivor's own property names goes on.
async fn adopt_merged(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let mut merged: Vec<(usize, RecordKey)> = Vec::new();
    for (place, draft) in drafts.iter().enumerate() {
        if let (None, Side::Present(record)) = (&draft.view.pair, &draft.view.hubspot) {
            merged.extend(merged_into(record).into_iter().map(|key| (place, key)));
        }
    }
    if merged.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = merged.iter().map(|(_, key)| *key).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let mut inherited: Vec<(usize, Pair)> = Vec::new();
    for ((place, _), pair) in merged.into_iter().zip(pairs) {
        let (Some(pair), Side::Present(survivor)) = (pair, &drafts[place].view.hubspot) else { continue };
        let known = inherited.iter_mut().find(|(other, _)| *other == place);
        match known {
            Some((_, chosen)) if names(survivor, pair.salesforce, sources.rules) => *chosen = pair,
            Some(_) => {}
            None => inherited.push((place, pair)),
        }
    }
    known.read(sources, fields, inherited.iter().map(|(_, pair)| pair.salesforce)).await;
    for (place, pair) in inherited {
        let draft = &mut drafts[place];
        draft.set_side(pair.salesforce, known);
        draft.view.pair = Some(Pair { hubspot: draft.subject, stopped: None, ..pair });
    }
    Ok(())
}

/// The contacts that were merged into this one.
fn merged_into(record: &Record) -> Vec<RecordKey> {
    let ids = record.fields.get(MERGED_IDS_PROPERTY).and_then(Value::as_text).unwrap_or_default();
    ids.split(';').filter_map(|id| RecordKey::parse(Kind::HubspotContact, id.trim()).ok()).collect()
}

/// Whether a contact's own property names this twin.
fn names(contact: &Record, twin: RecordKey, rules: &Rules) -> bool {
    let held = rules.id_properties(twin.kind()).0.and_then(|property| contact.fields.get(property));
    held.and_then(Value::as_text).is_some_and(|id| id == twin.id().to_string())
}

/// Reads the contacts that paired leads became, and the records that paired ones were merged into.
async fn read_heirs(sources: &Sources<'_>, fields: &FieldsByKind, known: &mut Known, drafts: &mut [Draft]) {
    let mut heirs = Vec::new();
    for (place, draft) in drafts.iter().enumerate() {
        if let Some(pair) = &draft.view.pair
            && let Some(Found::Converted(Some(heir)) | Found::Merged(Some(heir))) =
                known.0.get(&pair.salesforce)
        {
            heirs.push((place, *heir));
        }
    }
    known.read(sources, fields, heirs.iter().map(|(_, heir)| *heir)).await;
    for (place, heir) in heirs {
        match known.side(heir) {
            Ok(Side::Present(record)) => {
                drafts[place].view.around.candidates =
                    vec![Candidate { record, paired_with: None, keyed: true }];
            }
            Ok(Side::Absent | Side::Deleted | Side::Merged | Side::Converted) => {}
            Err(error) => drafts[place].failed = Some((System::Salesforce, error)),
        }
    }
}

/// How to look for the twin of a record; `None` where nothing could tell it.
fn search_for(record: &Record, rules: &Rules) -> Option<Search> {
    let address = address_of(record);
    let id = record.key.id().to_string();
    let (kinds, key) = match record.key.kind() {
        Kind::HubspotContact => (vec![Kind::Lead, Kind::Contact], rules.external_id_field.clone()),
        // A contact's address is unique in HubSpot, so our key is asked for only where there is no address: it costs a call.
        Kind::Lead => {
            (vec![Kind::HubspotContact], rules.lead_id_property.clone().filter(|_| address.is_none()))
        }
        Kind::Contact => {
            (vec![Kind::HubspotContact], rules.contact_id_property.clone().filter(|_| address.is_none()))
        }
    };
    let key = key.map(|field| (field, id));
    (address.is_some() || key.is_some()).then_some(Search { kinds, address, key })
}

fn candidates(records: Vec<Record>, search: &Search) -> Vec<Candidate> {
    let keyed = |record: &Record| {
        let holds = |(field, id): &(String, String)| {
            record.fields.get(field).and_then(Value::as_text).as_deref() == Some(id)
        };
        search.key.as_ref().is_some_and(holds)
    };
    records.into_iter().map(|record| Candidate { keyed: keyed(&record), record, paired_with: None }).collect()
}

/// Says which candidates already have a twin. A Salesforce record whose HubSpot match is taken competes with that match's
/// present twin: its view becomes the view of that pair.
async fn adopt_pairs(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let keys: Vec<RecordKey> = drafts
        .iter()
        .flat_map(|draft| &draft.view.around.candidates)
        .map(|candidate| candidate.record.key)
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let mut pairs =
        keys.into_iter().zip(pairs).filter_map(|(key, pair)| Some((key, pair?))).collect::<HashMap<_, _>>();
    let mut rivals = Vec::new();
    for (place, draft) in drafts.iter_mut().enumerate() {
        for candidate in &mut draft.view.around.candidates {
            let Some(pair) = pairs.get(&candidate.record.key) else { continue };
            candidate.paired_with = Some(match candidate.record.key.system() {
                System::Hubspot => pair.salesforce,
                System::Salesforce => pair.hubspot,
            });
        }
        let first = draft.view.around.candidates.first().map(|candidate| candidate.record.key);
        if draft.subject.system() == System::Salesforce
            && draft.view.pair.is_none()
            && let Some(pair) = first.and_then(|key| pairs.remove(&key))
        {
            rivals.push((place, pair));
        }
    }
    known.read(sources, fields, rivals.iter().map(|(_, pair)| pair.salesforce)).await;
    for (place, pair) in rivals {
        become_rival(&mut drafts[place], pair, known);
    }
    Ok(())
}

fn become_rival(draft: &mut Draft, pair: Pair, known: &Known) {
    let matched = std::mem::take(&mut draft.view.around.candidates)
        .into_iter()
        .next()
        .map(|candidate| candidate.record);
    let newcomer = std::mem::replace(&mut draft.view.salesforce, Side::Absent);
    draft.set_side(pair.salesforce, known);
    if let (Some(matched), Side::Present(newcomer)) = (matched, newcomer) {
        draft.view.hubspot = Side::Present(matched);
        draft.view.around.candidates = vec![Candidate { record: newcomer, paired_with: None, keyed: false }];
    }
    draft.view.pair = Some(pair);
}

/// Puts off every record that concerns one which an earlier subject of the round works on.
fn put_off_relatives(drafts: &mut [Draft]) {
    let (mut keys, mut addresses) = (HashSet::new(), HashSet::new());
    // Pairs come first: they are leased as such, and what is known of them is firmer than a match by address.
    let mut order: Vec<usize> = (0..drafts.len()).collect();
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
    let mut keys = vec![draft.subject];
    keys.extend(draft.view.pair.iter().flat_map(|pair| [pair.hubspot, pair.salesforce]));
    keys.extend(draft.view.around.candidates.iter().map(|candidate| candidate.record.key));
    keys
}

/// Finds out whose contact is in the inclusion list, where there is one.
async fn look_up_members(sources: &Sources<'_>, drafts: &mut [Draft]) {
    let Some(list) = &sources.rules.people.inclusion_list else { return };
    let views = drafts.iter_mut().map(|draft| &mut draft.view);
    let failures = membership::look_up(sources.live, list, views).await;
    for (draft, failure) in drafts.iter_mut().zip(failures) {
        draft.failed = draft.failed.take().or(failure);
    }
}

/// Finds out who holds the addresses that Salesforce records moved to.
async fn look_up_addresses(sources: &Sources<'_>, fields: &FieldsByKind, drafts: &mut [Draft]) {
    let (mut places, mut searches) = (Vec::new(), Vec::new());
    for (place, draft) in
        drafts.iter().enumerate().filter(|(_, draft)| draft.failed.is_none() && !draft.put_off)
    {
        if let Some(address) = address_to_check(&draft.view, sources.rules) {
            places.push(place);
            searches.push(Search { kinds: vec![Kind::HubspotContact], address: Some(address), key: None });
        }
    }
    if searches.is_empty() {
        return;
    }
    let found = sources.live.crm(System::Hubspot).find(&searches, fields).await;
    for (place, found) in places.into_iter().zip(found) {
        match found {
            Ok(records) => {
                drafts[place].view.around.address_holder = records.first().map(|record| record.key);
            }
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
}

/// The key of a record of the given kind, if the id is of its CRM.
pub(super) fn key_of(kind: Kind, id: RecordId) -> Option<RecordKey> {
    RecordKey::parse(kind, &id.to_string()).ok()
}
