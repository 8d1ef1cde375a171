//! What a deal and an opportunity hang on: their company, and the people who have a part in them.

use std::collections::HashMap;

use crate::crm::FieldsByKind;
use crate::domain::{Kind, RecordKey, System, Value};
use crate::plan::rules::COMPANY_PROPERTY;
use crate::plan::{Pair, Side};
use crate::worker::Error;
use crate::worker::gather::around::read_contacts;
use crate::worker::gather::{Draft, Known, Sources};

/// Reads each deal's primary company, which is no property of its own, and keeps it as one.
pub(super) async fn read_companies(sources: &Sources<'_>, drafts: &mut [Draft]) {
    if !sources.rules.companies.enabled || !sources.rules.deals.enabled {
        return;
    }
    for (place, related) in related(sources, drafts, (Kind::Deal, Kind::Company)).await {
        let draft = &mut drafts[place];
        match (related, &mut draft.view.hubspot) {
            (Ok(companies), Side::Present(deal)) => {
                let id = companies.first().map(|company| company.id().to_string()).unwrap_or_default();
                deal.fields.insert(COMPANY_PROPERTY.to_owned(), Value::text(id));
            }
            (Ok(_), _) => {}
            (Err(error), _) => draft.failed = Some((System::Hubspot, error)),
        }
    }
}

/// Reads who has a role on each opportunity, as HubSpot contacts; and, for deals that have one, whom they are associated with.
pub(super) async fn read_people(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    let mut members: Vec<(usize, RecordKey)> = Vec::new();
    for (place, related) in related(sources, drafts, (Kind::Opportunity, Kind::Contact)).await {
        match related {
            Ok(contacts) => members.extend(contacts.into_iter().map(|key| (place, key))),
            Err(error) => drafts[place].failed = Some((System::Salesforce, error)),
        }
    }
    let keys: Vec<RecordKey> = members.iter().map(|(_, key)| *key).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let pairs: Vec<(usize, Pair)> =
        members.into_iter().zip(pairs).filter_map(|((place, _), pair)| Some((place, pair?))).collect();
    exclude_those_who_rest(sources, drafts, &pairs).await;
    let twins: Vec<(usize, RecordKey)> = pairs.iter().map(|(place, pair)| (*place, pair.hubspot)).collect();
    read_contacts(sources, fields, known, (drafts, twins)).await;
    if sources.rules.deals.enabled {
        for (place, related) in related(sources, drafts, (Kind::Deal, Kind::HubspotContact)).await {
            match related {
                Ok(contacts) => drafts[place].view.around.associated = Some(contacts),
                Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
            }
        }
    }
    Ok(())
}

/// Finds the opportunities on which people have a role who may begin to sync now: their deals are looked at anew.
pub(super) async fn look_for_roles(sources: &Sources<'_>, drafts: &mut [Draft]) {
    if !sources.rules.looks_at(Kind::Opportunity) {
        return;
    }
    let begins =
        |draft: &Draft| draft.goes_on() && draft.view.pair.as_ref().is_none_or(|pair| pair.stopped.is_some());
    let mut asked: Vec<(usize, RecordKey)> = Vec::new();
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| begins(draft)) {
        let own = draft.present(Kind::Contact).into_iter();
        let candidates = draft.view.around.candidates.iter().map(|candidate| &candidate.record);
        let contacts =
            own.chain(candidates).map(|record| record.key).filter(|key| key.kind() == Kind::Contact);
        asked.extend(contacts.map(|key| (place, key)));
    }
    if asked.is_empty() {
        return;
    }
    let keys: Vec<RecordKey> = asked.iter().map(|(_, key)| *key).collect();
    let related = sources.live.crm(System::Salesforce).related(Kind::Opportunity, &keys).await;
    for ((place, _), related) in asked.into_iter().zip(related) {
        match related {
            Ok(opportunities) => drafts[place].view.around.dependants.extend(opportunities),
            Err(error) => drafts[place].failed = Some((System::Salesforce, error)),
        }
    }
}

/// Names the contacts that take no part: an opportunity moves none of their stages.
async fn exclude_those_who_rest(sources: &Sources<'_>, drafts: &mut [Draft], pairs: &[(usize, Pair)]) {
    if !sources.rules.lifecycle.opportunity_transitions {
        return;
    }
    for (place, pair) in pairs.iter().filter(|(_, pair)| pair.stopped.is_some()) {
        drafts[*place].view.around.excluded.insert(pair.hubspot);
    }
    let Some(list) = &sources.rules.people.inclusion_list else { return };
    let asked: Vec<&(usize, Pair)> = pairs.iter().filter(|(_, pair)| pair.stopped.is_none()).collect();
    if asked.is_empty() {
        return;
    }
    let keys: Vec<RecordKey> = asked.iter().map(|(_, pair)| pair.hubspot).collect();
    let members = sources.live.crm(System::Hubspot).members(list, &keys).await;
    for ((place, pair), is_member) in asked.into_iter().zip(members) {
        match is_member {
            Ok(true) => {}
            Ok(false) => {
                drafts[*place].view.around.excluded.insert(pair.hubspot);
            }
            Err(error) => drafts[*place].failed = Some((System::Hubspot, error)),
        }
    }
}

/// Asks for what belongs to the records of one kind among the sides, all at once.
async fn related(
    sources: &Sources<'_>,
    drafts: &[Draft],
    (of, kind): (Kind, Kind),
) -> HashMap<usize, Result<Vec<RecordKey>, crate::crm::Error>> {
    let going = drafts.iter().enumerate().filter(|(_, draft)| draft.goes_on());
    let asked: Vec<(usize, RecordKey)> =
        going.filter_map(|(place, draft)| Some((place, draft.present(of)?.key))).collect();
    if asked.is_empty() {
        return HashMap::new();
    }
    let keys: Vec<RecordKey> = asked.iter().map(|(_, key)| *key).collect();
    let related = sources.live.crm(of.system()).related(kind, &keys).await;
    asked.into_iter().map(|(place, _)| place).zip(related).collect()
}
