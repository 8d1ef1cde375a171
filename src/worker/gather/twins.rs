//! Who the twin of a record is, or could be.

use std::collections::HashMap;

use crate::crm::{FieldsByKind, Found, Search};
use crate::domain::{Kind, Record, RecordKey, System, Value};
use crate::plan::{Candidate, Rules, Side, address_of, address_to_check};
use crate::worker::Error;
use crate::worker::gather::{Draft, Known, Sources, fates, merges};

/// How many merges and conversions in a row are followed from a paired record to what it became.
const SUCCESSIONS_MAX: usize = 8;

/// Looks for the twins of the records that have none.
pub(super) async fn search(sources: &Sources<'_>, fields: &FieldsByKind, drafts: &mut [Draft]) {
    let wanted = |_, draft: &Draft| {
        let seeker = draft.seeker();
        seeker.and_then(|record| search_for(record, draft.interrupted, sources.rules)).into_iter().collect()
    };
    let note = |draft: &mut Draft, found| draft.view.around.candidates = found;
    find(sources, fields, drafts, (wanted, note)).await;
}

/// Looks for what interrupted creates made of records that are gone since, merged or deleted before anybody looked again.
pub(super) async fn look_for_made(sources: &Sources<'_>, fields: &FieldsByKind, drafts: &mut [Draft]) {
    let wanted = |_, draft: &Draft| {
        draft.cut_short().and_then(|record| made_of(record, sources.rules)).into_iter().collect()
    };
    let note = |draft: &mut Draft, found: Vec<Candidate>| {
        draft.view.around.made = found.into_iter().map(|candidate| candidate.record).next();
    };
    find(sources, fields, drafts, (wanted, note)).await;
}

/// Looks for what was made of the records that HubSpot records without a twin came of by merges, as [`look_for_made_of`] says.
pub(super) async fn look_for_made_of_merged(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    drafts: &mut [Draft],
) {
    let has_none = |draft: &Draft| draft.view.pair.is_none() && draft.view.around.candidates.is_empty();
    let mut origins: HashMap<usize, Vec<RecordKey>> = HashMap::new();
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| has_none(draft)) {
        if let Side::Present(record) = &draft.view.hubspot {
            origins.insert(place, merges::merged_into(record));
        }
    }
    look_for_made_of(sources, fields, drafts, &origins).await;
}

/// Looks for what was made of records that went on as others: where that create was interrupted, there is no pair to inherit, and our key
/// bears the id of a record that is gone.
pub(super) async fn look_for_made_of(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    drafts: &mut [Draft],
    origins: &HashMap<usize, Vec<RecordKey>>,
) {
    let wanted = |place, _: &Draft| {
        let origins = origins.get(&place).into_iter().flatten();
        origins.filter_map(|origin| made_of(*origin, sources.rules)).collect()
    };
    let note = |draft: &mut Draft, found| draft.view.around.candidates.extend::<Vec<_>>(found);
    find(sources, fields, drafts, (wanted, note)).await;
}

/// Asks both CRMs for what is wanted for the drafts, all of each at once.
pub(super) async fn find(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    drafts: &mut [Draft],
    (wanted, note): (impl Fn(usize, &Draft) -> Vec<Search>, impl Fn(&mut Draft, Vec<Candidate>)),
) {
    for system in [System::Hubspot, System::Salesforce] {
        let (mut places, mut searches) = (Vec::new(), Vec::new());
        for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.failed.is_none()) {
            for search in wanted(place, draft).into_iter().filter(|one| one.kinds[0].system() == system) {
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
                Ok(records) => note(&mut drafts[place], candidates(records, search)),
                Err(error) => drafts[place].failed = Some((system, error)),
            }
        }
    }
}

/// A record that bears the id of one on the other side was made for that, by us: whatever else is found, they belong together.
/// It is how a create is known again whose end we did not live to see, when the new record changes before the other one does.
pub(super) async fn follow_own_ids(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let mut named: Vec<(usize, RecordKey)> = Vec::new();
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.failed.is_none()) {
        match (&draft.view.pair, draft.seeker(), &draft.view.hubspot) {
            (None, Some(seeker), _) => {
                named.extend(named_by(seeker, sources.rules).map(|key| (place, key)));
            }
            // It may have been given another counterpart, and nobody recorded that.
            (Some(pair), _, Side::Present(record)) if draft.interrupted => {
                let others = named_by(record, sources.rules).filter(|key| *key != pair.salesforce);
                named.extend(others.map(|key| (place, key)));
            }
            _ => {}
        }
    }
    let mut gone: Vec<(usize, RecordKey)> = Vec::new();
    known.read(sources, fields, named.iter().map(|(_, key)| *key)).await;
    for (place, key) in named {
        match known.side(key) {
            Ok(Side::Present(record)) => drafts[place].meets_its_own(record),
            Ok(_) => gone.extend((key.system() == System::Hubspot).then_some((place, key))),
            Err(error) => drafts[place].failed = Some((key.system(), error)),
        }
    }
    let survivors = fates::survivors_of(sources, drafts, gone).await;
    for (place, key) in read_unpaired(sources, fields, known, survivors).await? {
        match known.side(key) {
            Ok(Side::Present(record)) => drafts[place].meets_its_own(record),
            Ok(_) => {}
            Err(error) => drafts[place].failed = Some((key.system(), error)),
        }
    }
    Ok(())
}

/// Of the records that others name, those without a pair: read now.
async fn read_unpaired<By>(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    mut named: Vec<(By, RecordKey)>,
) -> Result<Vec<(By, RecordKey)>, Error> {
    if named.is_empty() {
        return Ok(named);
    }
    let keys: Vec<RecordKey> = named.iter().map(|(_, key)| *key).collect();
    let mut pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?.into_iter();
    named.retain(|_| pairs.next().is_some_and(|pair| pair.is_none()));
    known.read(sources, fields, named.iter().map(|(_, key)| *key)).await;
    Ok(named)
}

/// The records on the other side whose ids a record bears.
pub(super) fn named_by<'a>(
    record: &'a Record,
    rules: &'a Rules,
) -> impl Iterator<Item = RecordKey> + use<'a> {
    let family = record.key.kind().family();
    let own: Vec<(&String, Kind)> = match record.key.system() {
        System::Hubspot => {
            let kinds = family.in_salesforce().iter();
            kinds.filter_map(|kind| Some((rules.id_properties.get(kind)?, *kind))).collect()
        }
        System::Salesforce => {
            rules.external_id_field.iter().map(|field| (field, family.in_hubspot())).collect()
        }
    };
    own.into_iter().filter_map(|(field, kind)| {
        let id = record.fields.get(field).and_then(Value::as_text)?;
        RecordKey::parse(kind, &id).ok()
    })
}

/// Reads the contacts that paired leads became, and the records that paired ones were merged into.
/// Returns whether there is any.
pub(super) async fn read_heirs(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    (drafts, places): (&mut [Draft], impl IntoIterator<Item = usize>),
) -> bool {
    let mut heirs = Vec::new();
    for place in places {
        if let Some(pair) = &drafts[place].view.pair
            && let Some(Found::Converted(Some(heir)) | Found::Merged(Some(heir))) =
                known.0.get(&pair.salesforce)
        {
            heirs.push((place, *heir));
        }
    }
    // What they became may have been merged or converted in its turn.
    for _ in 0..SUCCESSIONS_MAX {
        known.read(sources, fields, heirs.iter().map(|(_, heir)| *heir)).await;
        let mut followed = false;
        for (_, heir) in &mut heirs {
            if let Some(Found::Converted(Some(next)) | Found::Merged(Some(next))) = known.0.get(heir) {
                followed |= next != heir;
                *heir = *next;
            }
        }
        if !followed {
            break;
        }
    }
    let any = !heirs.is_empty();
    for (place, heir) in heirs {
        let draft = &mut drafts[place];
        match known.side(heir) {
            Ok(Side::Present(record)) => {
                // Of the others, only the one that competes counts.
                let subject = draft.subject;
                draft.view.around.candidates.retain(|candidate| candidate.record.key == subject);
                draft.meets_its_own(record);
            }
            Ok(Side::Absent | Side::Deleted | Side::Merged | Side::Converted) => {}
            Err(error) => draft.failed = Some((System::Salesforce, error)),
        }
    }
    any
}

/// How to look for the twin of a record; `None` where nothing could tell it.
fn search_for(record: &Record, interrupted: bool, rules: &Rules) -> Option<Search> {
    if !rules.enabled(record.key.kind().family()) {
        return None;
    }
    let address = address_of(record);
    let kind = record.key.kind();
    // A contact's address is unique in HubSpot, so our key, which costs a call, is asked for only where there is no address, or where
    // a contact may have been made of the one that the record had before.
    let asks_for_key = kind.system() == System::Hubspot || address.is_none() || interrupted;
    let key = our_key(record.key, rules).filter(|_| asks_for_key);
    (address.is_some() || key.is_some()).then_some(Search { kinds: rules.kinds_opposite(kind), address, key })
}

/// How to look for what we made of a record, by our key alone.
fn made_of(record: RecordKey, rules: &Rules) -> Option<Search> {
    let key = our_key(record, rules)?;
    Some(Search { kinds: rules.kinds_opposite(record.kind()), address: None, key: Some(key) })
}

/// What our key is in a record that we made of this one: the field and what it holds.
fn our_key(of: RecordKey, rules: &Rules) -> Option<(String, String)> {
    let field = match of.system() {
        System::Hubspot => rules.external_id_field.clone(),
        System::Salesforce => rules.id_properties(of.kind()).0.cloned(),
    };
    Some((field?, of.id().to_string()))
}

fn candidates(records: Vec<Record>, search: &Search) -> Vec<Candidate> {
    let keyed = |record: &Record| {
        let holds = |(field, id): &(String, String)| {
            record.fields.get(field).and_then(Value::as_text).as_deref() == Some(id)
        };
        search.key.as_ref().is_some_and(holds)
    };
    let candidate = |record: Record| {
        let keyed = keyed(&record);
        Candidate::new(record, keyed)
    };
    let mut candidates: Vec<Candidate> = records.into_iter().map(candidate).collect();
    candidates.sort_by_key(|candidate| !candidate.keyed);
    candidates
}

/// Some matches are spoken for, though no pair says so yet: a record that a create is made of whose end is not known may have a twin that
/// nobody has seen, and one that bears the id of a record that is there was made for that one. Until a pair says more, they are
/// no match for anybody else: neither by address, nor by a shared contact, nor as what others were merged into.
pub(super) async fn spare_the_spoken_for(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let (mut matches, mut named) = (Vec::new(), Vec::new());
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.failed.is_none()) {
        let own = draft.own_keys();
        // A candidate that bears the id of a record without a pair is its twin already; one that bears that of a pair is its heir.
        let bears_id = draft.view.pair.is_some();
        let candidates = draft.view.around.candidates.iter();
        for one in candidates.filter(|one| one.paired_with.is_none() && one.keyed == bears_id) {
            matches.push((place, one.record.key));
            let others = named_by(&one.record, sources.rules).filter(|key| !own.contains(key));
            named.extend(others.map(|key| ((place, one.record.key), key)));
        }
    }
    if matches.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = matches.iter().map(|(_, key)| *key).collect();
    let open = sources.store.with_open_creates(&sources.live.settings.name, &keys).await?;
    let made_of = matches.into_iter().filter(|(_, key)| open.contains(key));
    let mut spoken_for: Vec<_> = made_of.map(|(place, key)| (place, key, key)).collect();
    for ((place, key), other) in read_unpaired(sources, fields, known, named).await? {
        match known.side(other) {
            Ok(Side::Present(_)) => spoken_for.push((place, key, other)),
            Ok(_) => {}
            Err(error) => drafts[place].failed = Some((other.system(), error)),
        }
    }
    for (place, key, other) in spoken_for {
        let candidates = drafts[place].view.around.candidates.iter_mut();
        for candidate in candidates.filter(|one| one.record.key == key) {
            candidate.paired_with = Some(other);
        }
    }
    Ok(())
}

/// Finds out who holds the addresses that Salesforce records moved to.
pub(super) async fn look_up_addresses(sources: &Sources<'_>, fields: &FieldsByKind, drafts: &mut [Draft]) {
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
