//! The people of a company or account without a twin: they tell which account or company is the same, and whether an account
//! is to be created at all.

use std::collections::HashMap;

use crate::crm::FieldsByKind;
use crate::domain::{Family, Kind, Record, RecordKey, System};
use crate::plan::{Candidate, Neighbour, Pair, Side, address_of};
use crate::worker::Error;
use crate::worker::gather::around::company_of;
use crate::worker::gather::{Draft, Known, Sources};

/// Somebody who belongs to the record that seeks a twin.
struct Member {
    /// Whose view.
    place: usize,
    /// The contact on the seeker's side.
    own: RecordKey,
    /// Their pair.
    pair: Option<Pair>,
}

/// Finds out who belongs to each company and account that seeks a twin, and where these people belong on the other side.
pub(super) async fn meet_neighbours(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let seekers = drafts.iter().enumerate().filter(|(_, draft)| {
        draft.family() == Family::Companies && draft.failed.is_none() && sources.rules.companies.enabled
    });
    let seekers: Vec<(usize, RecordKey)> =
        seekers.filter_map(|(place, draft)| Some((place, seeker(draft)?))).collect();
    if seekers.is_empty() {
        return Ok(());
    }
    meet_dependants(sources, drafts, &seekers).await;
    let members = members_of(sources, drafts, &seekers).await?;
    let both = members.iter().flat_map(|member| {
        let pair = member.pair.iter().flat_map(Pair::records);
        std::iter::once(member.own).chain(pair)
    });
    known.read(sources, fields, both.collect::<Vec<_>>().into_iter()).await;
    let homes = members.iter().filter_map(|member| company_of(twin_of(member, known)?));
    known.read(sources, fields, homes.collect::<Vec<_>>().into_iter()).await;
    let eligible = eligible(sources, &members, known).await;
    for (member, eligible) in members.iter().zip(eligible) {
        let draft = &mut drafts[member.place];
        match eligible {
            Ok(eligible) => settle_in(draft, member, eligible, known),
            Err(error) => draft.failed = Some((System::Hubspot, error)),
        }
    }
    Ok(())
}

/// A record that seeks a counterpart; also one whose counterpart was merged away, for the sake of those who wait for the new one.
fn seeker(draft: &Draft) -> Option<RecordKey> {
    let bereft = || match (&draft.view.hubspot, &draft.view.salesforce) {
        (Side::Present(company), Side::Merged) => Some(company.key),
        (_, Side::Present(account)) if draft.view.around.hubspot_succeeds => Some(account.key),
        _ => None,
    };
    draft.seeker().map(|record| record.key).or_else(bereft)
}

/// Finds out which deals and opportunities belong to the seekers.
async fn meet_dependants(sources: &Sources<'_>, drafts: &mut [Draft], seekers: &[(usize, RecordKey)]) {
    if !sources.rules.deals.enabled {
        return;
    }
    for (of, kind) in [(Kind::Company, Kind::Deal), (Kind::Account, Kind::Opportunity)] {
        for (place, related) in belonging_to(sources, seekers, (of, kind)).await {
            match related {
                Ok(keys) => drafts[place].view.around.dependants = keys,
                Err(error) => drafts[place].failed = Some((of.system(), error)),
            }
        }
    }
}

/// What belongs to the seekers of one kind, with the place of each.
async fn belonging_to(
    sources: &Sources<'_>,
    seekers: &[(usize, RecordKey)],
    (of, kind): (Kind, Kind),
) -> Vec<(usize, Result<Vec<RecordKey>, crate::crm::Error>)> {
    let asked: Vec<(usize, RecordKey)> =
        seekers.iter().filter(|(_, key)| key.kind() == of).copied().collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let keys: Vec<RecordKey> = asked.iter().map(|(_, key)| *key).collect();
    let related = sources.live.crm(of.system()).related(kind, &keys).await;
    asked.into_iter().map(|(place, _)| place).zip(related).collect()
}

async fn members_of(
    sources: &Sources<'_>,
    drafts: &mut [Draft],
    seekers: &[(usize, RecordKey)],
) -> Result<Vec<Member>, Error> {
    let mut found: Vec<(usize, RecordKey)> = Vec::new();
    for (of, kind) in [(Kind::Company, Kind::HubspotContact), (Kind::Account, Kind::Contact)] {
        for (place, related) in belonging_to(sources, seekers, (of, kind)).await {
            match related {
                Ok(people) => found.extend(people.into_iter().map(|key| (place, key))),
                Err(error) => drafts[place].failed = Some((of.system(), error)),
            }
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<RecordKey> = found.iter().map(|(_, key)| *key).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let member = |((place, own), pair)| Member { place, own, pair };
    Ok(found.into_iter().zip(pairs).map(member).collect())
}

/// The same person on the other side.
fn twin_of<'a>(member: &Member, known: &'a Known) -> Option<&'a Record> {
    let pair = member.pair.as_ref()?;
    let key = if member.own == pair.hubspot { pair.salesforce } else { pair.hubspot };
    known.present(key)
}

/// Whether each person's HubSpot contact takes part: it has an address and is in the inclusion list, where there is one.
async fn eligible(
    sources: &Sources<'_>,
    members: &[Member],
    known: &Known,
) -> Vec<Result<bool, crate::crm::Error>> {
    let contact = |member: &Member| {
        let key = member.pair.as_ref().map_or(member.own, |pair| pair.hubspot);
        known
            .present(key)
            .filter(|record| record.key.kind() == Kind::HubspotContact && address_of(record).is_some())
    };
    let Some(list) = &sources.rules.people.inclusion_list else {
        return members.iter().map(|member| Ok(contact(member).is_some())).collect();
    };
    let mut keys: Vec<RecordKey> =
        members.iter().filter_map(|member| contact(member).map(|one| one.key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let told = if keys.is_empty() {
        Vec::new()
    } else {
        sources.live.crm(System::Hubspot).members(list, &keys).await
    };
    let told: HashMap<RecordKey, Result<bool, crate::crm::Error>> = keys.into_iter().zip(told).collect();
    let is_member = |member: &Member| contact(member).and_then(|one| told.get(&one.key).cloned());
    members.iter().map(|member| is_member(member).unwrap_or(Ok(false))).collect()
}

/// Adds a person to the view, and the company or account they belong to on the other side as a candidate.
fn settle_in(draft: &mut Draft, member: &Member, eligible: bool, known: &Known) {
    let Some(seeker) = seeker(draft) else { return };
    let pair = member.pair.as_ref();
    let of = |system: System| {
        let own = (member.own.system() == system).then_some(member.own);
        pair.map(|pair| if system == System::Hubspot { pair.hubspot } else { pair.salesforce }).or(own)
    };
    let (contact, twin) = (of(System::Hubspot), of(System::Salesforce));
    let is_contact = twin.filter(|twin| twin.kind() == Kind::Contact).and_then(|twin| known.present(twin));
    let private = is_contact.is_some_and(|twin| company_of(twin).is_none());
    draft.view.around.neighbours.push(Neighbour { contact, twin, private, eligible });
    // Only the primary association says where somebody belongs.
    let is_own = known.present(member.own).and_then(company_of) == Some(seeker);
    let Some(home) = twin_of(member, known).and_then(company_of).filter(|_| is_own) else { return };
    let candidates = &mut draft.view.around.candidates;
    match candidates.iter_mut().find(|candidate| candidate.record.key == home) {
        Some(candidate) => candidate.shared += 1,
        None => {
            if let Ok(Side::Present(record)) = known.side(home) {
                candidates.push(Candidate { shared: 1, ..Candidate::new(record, false) });
            }
        }
    }
}
