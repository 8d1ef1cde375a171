//! What HubSpot records inherit from those that were merged into them: a merge gives the survivor an id of its own, and nothing is merged in
//! Salesforce.

use std::collections::{BTreeMap, HashSet};

use crate::crm::{self, FieldsByKind};
use crate::domain::{Record, RecordKey, System, Value};
use crate::plan::rules::MERGED_IDS_PROPERTY;
use crate::plan::{Pair, Rules, Side};
use crate::worker::Error;
use crate::worker::gather::{Draft, Known, Sources, twins};

/// The records that were merged into this one, as it says itself: after several merges in a row perhaps those of the last one only.
pub(super) fn merged_into(record: &Record) -> Vec<RecordKey> {
    let ids = record.fields.get(MERGED_IDS_PROPERTY).and_then(Value::as_text).unwrap_or_default();
    ids.split(';').filter_map(|id| RecordKey::parse(record.key.kind(), id.trim()).ok()).collect()
}

/// Survivors without a pair of their own take over the pair that they inherit.
pub(super) async fn adopt_merged(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let unpaired = drafts.iter().filter(|draft| draft.view.pair.is_none());
    let survivors = unpaired.filter_map(|draft| match &draft.view.hubspot {
        Side::Present(record) => Some(record),
        _ => None,
    });
    let inherited = inherited(sources, fields, known, survivors).await?;
    known.read(sources, fields, inherited.values().flatten().map(|pair| pair.salesforce)).await;
    for draft in drafts.iter_mut().filter(|draft| draft.view.pair.is_none()) {
        let Side::Present(survivor) = &draft.view.hubspot else { continue };
        let survivor = survivor.key;
        match inherited.get(&survivor) {
            Some(Ok(pair)) => {
                draft.set_side(pair.salesforce, known);
                draft.view.around.released.push(pair.hubspot);
                draft.view.around.hubspot_succeeds = true;
                draft.view.pair = Some(taken_over(survivor, pair));
            }
            Some(Err(error)) => draft.failed = Some((System::Hubspot, error.clone())),
            None => {}
        }
    }
    Ok(())
}

/// A pair as it is once the survivor has taken it over.
pub(super) fn taken_over(survivor: RecordKey, pair: &Pair) -> Pair {
    Pair { hubspot: survivor, stopped: None, ..pair.clone() }
}

/// The pair that each of these HubSpot records inherits, as it is in the store. Where several of the records that were merged into it have
/// a pair, it is the one whose Salesforce record the survivor's own property names. That one may be the pair of a record that was merged
/// into one of them, before any of this was noticed. Where nobody recorded that pair, the survivor inherits no other: it is linked with the
/// record that it names.
pub(super) async fn inherited(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    survivors: impl Iterator<Item = &Record>,
) -> Result<BTreeMap<RecordKey, Result<Pair, crm::Error>>, Error> {
    let mut former: Vec<(&Record, RecordKey)> = Vec::new();
    for survivor in survivors {
        let merged = merged_into(survivor);
        let named = twins::named_by(survivor, sources.rules).filter(|_| !merged.is_empty());
        former.extend(merged.iter().copied().chain(named).map(|key| (survivor, key)));
    }
    let mut inherited = BTreeMap::new();
    if former.is_empty() {
        return Ok(inherited);
    }
    let keys: Vec<RecordKey> = former.iter().map(|(_, key)| *key).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let without = former.iter().zip(&pairs).filter(|(_, pair)| pair.is_none()).map(|(former, _)| *former);
    let linked_already = linked_unrecorded(sources, fields, known, without).await;
    let others = former.into_iter().zip(pairs).filter(|((one, _), _)| !linked_already.contains(&one.key));
    for ((survivor, key), pair) in others {
        let Some(pair) = pair else { continue };
        let goes_before = match inherited.get(&survivor.key) {
            None => true,
            Some(Ok(other)) => *other != pair && names(survivor, pair.salesforce, sources.rules),
            Some(Err(_)) => false,
        };
        if !goes_before {
            continue;
        }
        let inherits = match key.system() {
            System::Hubspot => Ok(true),
            // Whether its HubSpot record became the survivor is not known yet.
            System::Salesforce => became(sources, pair.hubspot, survivor.key).await,
        };
        match inherits {
            Ok(true) => {
                inherited.insert(survivor.key, Ok(pair));
            }
            Ok(false) => {}
            Err(error) => {
                inherited.insert(survivor.key, Err(error));
            }
        }
    }
    Ok(inherited)
}

/// The survivors that name a Salesforce record which is there and in no pair: they belong together, though nobody recorded it.
async fn linked_unrecorded(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    without_pair: impl Iterator<Item = (&Record, RecordKey)>,
) -> HashSet<RecordKey> {
    let named = without_pair.filter(|(_, key)| key.system() == System::Salesforce);
    let named: Vec<(RecordKey, RecordKey)> = named.map(|(survivor, key)| (survivor.key, key)).collect();
    known.read(sources, fields, named.iter().map(|(_, key)| *key)).await;
    let is_there = named.into_iter().filter(|(_, key)| known.present(*key).is_some());
    is_there.map(|(survivor, _)| survivor).collect()
}

/// Whether a HubSpot record came to be, by merges, the survivor.
async fn became(sources: &Sources<'_>, record: RecordKey, survivor: RecordKey) -> Result<bool, crm::Error> {
    Ok(sources.live.crm(System::Hubspot).survivor_of(record).await? == Some(survivor))
}

/// Whether a HubSpot record's own property names this counterpart.
pub(super) fn names(record: &Record, counterpart: RecordKey, rules: &Rules) -> bool {
    let held = rules.id_properties(counterpart.kind()).0.and_then(|property| record.fields.get(property));
    held.and_then(Value::as_text).is_some_and(|id| id == counterpart.id().to_string())
}
