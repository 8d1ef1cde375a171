//! Who holds the records that could be somebody's counterpart: nobody's record is taken over.

use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;

use crate::crm::{self, FieldsByKind};
use crate::domain::{Family, Kind, Record, RecordKey, System};
use crate::plan::{Candidate, Pair, Rules, Side, address_of};
use crate::worker::Error;
use crate::worker::gather::{Draft, Known, Sources, merges, twins};

/// Says which candidates are held by another record. A Salesforce record whose HubSpot match is held competes with that match's present
/// twin: its view becomes the view of that pair. Where that twin was converted or merged, what it became competes as well.
pub(super) async fn adopt_pairs(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let pairs = mark_holders(sources, fields, known, drafts).await?;
    let competing = drafts.iter().enumerate().filter_map(|(place, draft)| {
        let address = draft.seeker().and_then(address_of);
        let competes = |one: &&Candidate| one.paired_with.is_some() && address_of(&one.record) == address;
        let first = draft.view.around.candidates.first().filter(competes)?;
        let is_person = draft.subject.system() == System::Salesforce && draft.family() == Family::People;
        let pair = pairs.get(&first.record.key).filter(|_| is_person && draft.view.pair.is_none())?;
        Some((place, pair.clone()))
    });
    let mut places = Vec::new();
    for (place, held) in competing.collect::<Vec<_>>() {
        become_rival(&mut drafts[place], held, known, sources.rules);
        places.push(place);
    }
    if twins::read_heirs(sources, fields, known, (drafts, places)).await {
        mark_holders(sources, fields, known, drafts).await?;
    }
    Ok(())
}

/// The pair of a candidate.
#[derive(Clone)]
struct Holding {
    pair: Pair,
    /// Whether the candidate came of a merge and has not taken the pair over yet.
    inherited: bool,
}

/// Says which candidates are held by another record; returns their pairs. One whose holder was deleted or merged is free again, for
/// linking.
async fn mark_holders(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<BTreeMap<RecordKey, Holding>, Error> {
    let pairs = pairs_of_candidates(sources, fields, known, drafts).await?;
    known.read(sources, fields, pairs.iter().map(|(key, held)| other_side(*key, &held.pair))).await;
    let survivors = survivors_of_holders(sources, &pairs, known).await?;
    for draft in drafts.iter_mut() {
        let mut failed = None;
        let own = draft.view.pair.as_ref().map(Pair::records);
        let around = &mut draft.view.around;
        for candidate in &mut around.candidates {
            let Some(held) = pairs.get(&candidate.record.key) else { continue };
            let holder = other_side(candidate.record.key, &held.pair);
            match survivors.get(&holder) {
                Some(Ok(survivor)) if *survivor != draft.subject => {
                    candidate.paired_with = Some(*survivor);
                    continue;
                }
                Some(Err(error)) => failed = Some((holder.system(), error.clone())),
                Some(Ok(_)) | None => {}
            }
            match known.side(holder) {
                Ok(side) if own.is_some_and(|own| own.contains(&holder)) || holds(holder, &side) => {
                    candidate.paired_with = Some(holder);
                }
                Ok(_) => around.released.push(holder),
                Err(error) => failed = Some((holder.system(), error)),
            }
        }
        draft.failed = draft.failed.take().or(failed);
    }
    Ok(pairs)
}

/// The pairs of the candidates. A HubSpot contact that others were merged into has their pair, even before it took it over.
async fn pairs_of_candidates(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<BTreeMap<RecordKey, Holding>, Error> {
    let candidates: Vec<&Record> =
        drafts.iter().flat_map(|draft| &draft.view.around.candidates).map(|one| &one.record).collect();
    if candidates.is_empty() {
        return Ok(BTreeMap::new());
    }
    let keys: Vec<RecordKey> = candidates.iter().map(|record| record.key).collect();
    let found = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let own = |(key, pair): (RecordKey, Option<Pair>)| Some((key, Holding { pair: pair?, inherited: false }));
    let mut pairs: BTreeMap<RecordKey, Holding> = keys.into_iter().zip(found).filter_map(own).collect();
    let unpaired = candidates.into_iter().filter(|record| !pairs.contains_key(&record.key));
    let mut failed = BTreeMap::new();
    for (key, pair) in merges::inherited(sources, fields, known, unpaired).await? {
        match pair {
            Ok(pair) => {
                pairs.insert(key, Holding { pair: merges::taken_over(key, &pair), inherited: true });
            }
            Err(error) => {
                failed.insert(key, error);
            }
        }
    }
    for draft in drafts {
        let mut candidates = draft.view.around.candidates.iter();
        if let Some(error) = candidates.find_map(|one| failed.get(&one.record.key)) {
            draft.failed = Some((System::Hubspot, error.clone()));
        }
    }
    Ok(pairs)
}

/// What the holders in HubSpot that are gone were merged into, if they were: that holds their counterparts, even before it took over
/// their pairs. One that has a pair already took over another.
async fn survivors_of_holders(
    sources: &Sources<'_>,
    pairs: &BTreeMap<RecordKey, Holding>,
    known: &Known,
) -> Result<BTreeMap<RecordKey, Result<RecordKey, crm::Error>>, Error> {
    let holders = pairs.iter().map(|(key, held)| other_side(*key, &held.pair));
    let gone = holders.filter(|holder| {
        let side = known.side(*holder);
        holder.system() == System::Hubspot && side.is_ok_and(|side| !holds(*holder, &side))
    });
    let hubspot = sources.live.crm(System::Hubspot);
    let answers = gone.map(|holder| async move { (holder, hubspot.survivor_of(holder).await.transpose()) });
    let answers = join_all(answers).await.into_iter();
    let survivors: Vec<_> = answers.filter_map(|(holder, survivor)| Some((holder, survivor?))).collect();
    if survivors.is_empty() {
        return Ok(BTreeMap::new());
    }
    let keys: Vec<RecordKey> =
        survivors.iter().filter_map(|(_, answer)| answer.as_ref().ok().copied()).collect();
    let paired = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let paired: HashSet<RecordKey> = paired.into_iter().flatten().map(|pair| pair.hubspot).collect();
    let is_free = |answer: &Result<RecordKey, _>| !answer.as_ref().is_ok_and(|key| paired.contains(key));
    Ok(survivors.into_iter().filter(|(_, answer)| is_free(answer)).collect())
}

/// The record that a candidate is paired with.
fn other_side(candidate: RecordKey, pair: &Pair) -> RecordKey {
    match candidate.system() {
        System::Hubspot => pair.salesforce,
        System::Salesforce => pair.hubspot,
    }
}

/// Whether a record still holds its twin. People and companies that are gone are entered again as new records; deals are never matched.
/// HubSpot hides no single record from an app, so what it does not show under its id was erased. In Salesforce the twin of a deleted record
/// competes like any other, and one that is not shown may be hidden.
fn holds(holder: RecordKey, side: &Side) -> bool {
    let gone = match side {
        Side::Deleted | Side::Merged | Side::Absent => holder.system() == System::Hubspot,
        Side::Converted | Side::Present(_) => false,
    };
    let is_gone_account = matches!((holder.kind(), side), (Kind::Account, Side::Deleted | Side::Merged));
    !(gone || is_gone_account) || holder.kind().family() == Family::Deals
}

fn become_rival(draft: &mut Draft, Holding { pair, inherited }: Holding, known: &Known, rules: &Rules) {
    let matched = std::mem::take(&mut draft.view.around.candidates)
        .into_iter()
        .next()
        .map(|candidate| candidate.record);
    let newcomer = std::mem::replace(&mut draft.view.salesforce, Side::Absent);
    draft.set_side(pair.salesforce, known);
    if let (Some(matched), Side::Present(newcomer)) = (matched, newcomer) {
        // It may be the counterpart by now, and does not compete with itself.
        let competes = newcomer.key != pair.salesforce;
        // Where it was taking the twin's place already and nobody recorded that, the contact names it.
        let takes_its_place = draft.interrupted && merges::names(&matched, newcomer.key, rules);
        draft.view.hubspot = Side::Present(matched);
        let rival = competes.then(|| Candidate::new(newcomer, takes_its_place));
        draft.view.around.candidates = rival.into_iter().collect();
    }
    draft.view.around.hubspot_succeeds = inherited;
    draft.view.pair = Some(pair);
}
