//! What became of records that are gone: merged or deleted contacts of HubSpot, converted leads of Salesforce.

use std::collections::HashMap;

use futures::future::join_all;

use crate::crm::{FieldsByKind, Search};
use crate::domain::{Family, Kind, RecordKey, System};
use crate::plan::{Candidate, Side, address_of};
use crate::worker::Error;
use crate::worker::gather::{Draft, Known, Sources, twins};

/// Asks once more about each contact whose deletion would delete its Salesforce record: a contact that was merged is gone under
/// its old id as well, and nothing is deleted for that. What a batched read says of such ids is not documented.
pub(super) async fn tell_merged_from_deleted(sources: &Sources<'_>, drafts: &mut [Draft]) {
    if !sources.rules.people.delete_in_salesforce {
        return;
    }
    let gone: Vec<(usize, RecordKey)> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| draft.failed.is_none() && draft.family() == Family::People)
        .filter_map(|(place, draft)| match (&draft.view.pair, &draft.view.hubspot, &draft.view.salesforce) {
            (Some(pair), Side::Deleted, Side::Present(_)) if pair.stopped.is_none() => {
                Some((place, pair.hubspot))
            }
            _ => None,
        })
        .collect();
    for (place, _) in survivors_of(sources, drafts, gone).await {
        drafts[place].view.hubspot = Side::Merged;
    }
}

/// Looks for other records with the address of a person whose record on one side was deleted: whoever has it takes over before anybody is
/// deleted.
pub(super) async fn look_for_others_of_the_address(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    drafts: &mut [Draft],
) {
    let deletes_merged = sources.rules.people.delete_in_hubspot;
    let wanted = |_, draft: &Draft| {
        let Some(pair) = draft.view.pair.as_ref().filter(|pair| pair.stopped.is_none()) else {
            return Vec::new();
        };
        let left = match (&draft.view.hubspot, &draft.view.salesforce) {
            (Side::Present(left), Side::Deleted) | (Side::Deleted, Side::Present(left)) => left,
            (Side::Present(left), Side::Merged) if deletes_merged => left,
            _ => return Vec::new(),
        };
        let gone = if left.key == pair.hubspot { pair.salesforce } else { pair.hubspot };
        let kinds = sources.rules.kinds_in(gone.kind().family(), gone.system());
        let address = address_of(left).filter(|_| sources.rules.people.enabled);
        address.map(|address| Search { kinds, address: Some(address), key: None }).into_iter().collect()
    };
    let note = |draft: &mut Draft, found: Vec<Candidate>| {
        let own = draft.own_keys();
        let known: Vec<RecordKey> =
            draft.view.around.candidates.iter().map(|candidate| candidate.record.key).collect();
        let others = found
            .into_iter()
            .filter(|one| !own.contains(&one.record.key) && !known.contains(&one.record.key));
        draft.view.around.candidates.extend(others);
    };
    twins::find(sources, fields, drafts, (wanted, note)).await;
    // A contact that was merged is gone under its old id as well: what came of the merge takes over the pair that its own id names.
    let gone = drafts.iter().enumerate().filter_map(|(place, draft)| {
        let is_gone = draft.failed.is_none() && matches!(draft.view.hubspot, Side::Deleted);
        let pair = draft.view.pair.as_ref().filter(|pair| is_gone && pair.stopped.is_none())?;
        (!draft.view.around.candidates.is_empty()).then_some((place, pair.hubspot))
    });
    for (place, _) in survivors_of(sources, drafts, gone.collect()).await {
        drafts[place].view.hubspot = Side::Merged;
        drafts[place].view.around.candidates.clear();
    }
}

/// The HubSpot records that those which are gone were merged into.
pub(super) async fn survivors_of(
    sources: &Sources<'_>,
    drafts: &mut [Draft],
    gone: Vec<(usize, RecordKey)>,
) -> Vec<(usize, RecordKey)> {
    let crm = sources.live.crm(System::Hubspot);
    let answers = join_all(gone.iter().map(|(_, key)| crm.survivor_of(*key))).await;
    let mut survivors = Vec::new();
    for ((place, _), answer) in gone.into_iter().zip(answers) {
        match answer {
            Ok(survivor) => survivors.extend(survivor.map(|key| (place, key))),
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
    survivors
}

/// A contact that nobody in HubSpot matches may be what a paired lead became: that pair goes on with it, whatever address its
/// HubSpot contact has by now. No message tells of the conversion itself, so that the contact may come first.
pub(super) async fn adopt_converted(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let unmatched: Vec<(usize, RecordKey)> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| {
            draft.failed.is_none() && draft.view.pair.is_none() && draft.view.around.candidates.is_empty()
        })
        .filter(|(_, draft)| draft.subject.kind() == Kind::Contact && sources.rules.looks_at(Kind::Lead))
        .filter_map(|(place, draft)| Some((place, draft.seeker()?.key)))
        .collect();
    if unmatched.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = unmatched.iter().map(|(_, key)| *key).collect();
    let became = sources.live.crm(System::Salesforce).related(Kind::Lead, &keys).await;
    let mut leads: Vec<(usize, RecordKey)> = Vec::new();
    for ((place, _), became) in unmatched.into_iter().zip(became) {
        match became {
            Ok(keys) => leads.extend(keys.first().map(|lead| (place, *lead))),
            Err(error) => drafts[place].failed = Some((System::Salesforce, error)),
        }
    }
    if leads.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = leads.iter().map(|(_, lead)| *lead).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let (mut adopted, mut unpaired) = (Vec::new(), HashMap::new());
    for ((place, lead), pair) in leads.into_iter().zip(pairs) {
        match pair {
            Some(pair) => adopted.push((place, pair)),
            None => {
                unpaired.insert(place, vec![lead]);
            }
        }
    }
    twins::look_for_made_of(sources, fields, drafts, &unpaired).await;
    known.read(sources, fields, adopted.iter().map(|(_, pair)| pair.hubspot)).await;
    for (place, pair) in adopted {
        let draft = &mut drafts[place];
        draft.set_side(pair.hubspot, known);
        if let Side::Present(record) = std::mem::replace(&mut draft.view.salesforce, Side::Converted) {
            draft.view.around.candidates = vec![Candidate::new(record, true)];
        }
        draft.view.pair = Some(pair);
    }
    Ok(())
}
