//! What stands around a pair: which companies are which accounts, and the lifecycle stages of others.

use crate::crm::{self, FieldsByKind};
use crate::domain::{Kind, Record, RecordKey, System, Value};
use crate::plan::lifecycle::{company_to_read, wants_contacts_of_company};
use crate::plan::rules::{ACCOUNT_FIELD, COMPANY_PROPERTY};
use crate::plan::{Pair, Side, View, company_to_name};
use crate::worker::Error;
use crate::worker::gather::{Draft, Known, Sources};

/// Says which of the companies and accounts that both sides name are pairs: memory knows, no CRM is asked.
pub(super) async fn link_companies(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) -> Result<(), Error> {
    if !sources.rules.companies.enabled {
        return Ok(());
    }
    let mut named: Vec<(usize, RecordKey)> = Vec::new();
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.goes_on()) {
        named.extend(named_by(&draft.view).map(|key| (place, key)));
    }
    if named.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = named.iter().map(|(_, key)| *key).collect();
    let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
    let links: Vec<(usize, Pair)> =
        named.into_iter().zip(pairs).filter_map(|((place, _), pair)| Some((place, pair?))).collect();
    // Where the sides name different ones, something is about to be written: it must not name a record that is gone.
    let differ = |(place, pair): &&(usize, Pair)| !agrees(&drafts[*place].view, pair);
    let going = links.iter().filter(|(_, pair)| pair.stopped.is_none());
    let doubtful: Vec<RecordKey> = going.filter(differ).flat_map(|(_, pair)| pair.records()).collect();
    known.read(sources, fields, doubtful.into_iter()).await;
    for (place, pair) in links {
        let gone = |key: RecordKey| known.was_read(key) && known.present(key).is_none();
        let is_open = pair.stopped.is_none() && !gone(pair.hubspot) && !gone(pair.salesforce);
        drafts[place].view.around.links.add(pair.hubspot, pair.salesforce, is_open);
    }
    Ok(())
}

/// Whether both sides of a view name the two sides of this pair.
fn agrees(view: &View, pair: &Pair) -> bool {
    let names = |side: &Side, key: RecordKey| match side {
        Side::Present(record) => company_of(record) == Some(key),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => false,
    };
    names(&view.hubspot, pair.hubspot) && names(&view.salesforce, pair.salesforce)
}

/// The companies and accounts that the records of a view name.
fn named_by(view: &View) -> impl Iterator<Item = RecordKey> {
    let sides = [&view.hubspot, &view.salesforce].into_iter().filter_map(|side| match side {
        Side::Present(record) => Some(record),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => None,
    });
    let candidates = view.around.candidates.iter().map(|candidate| &candidate.record);
    sides.chain(candidates).filter_map(company_of)
}

/// The company or account that a contact, deal or opportunity names.
pub(in crate::worker) fn company_of(record: &Record) -> Option<RecordKey> {
    let (field, kind) = match record.key.kind().system() {
        System::Hubspot => (COMPANY_PROPERTY, Kind::Company),
        System::Salesforce => (ACCOUNT_FIELD, Kind::Account),
    };
    let id = record.fields.get(field).and_then(Value::as_text)?;
    RecordKey::parse(kind, &id).ok()
}

/// Reads the names of companies that new leads need. A company that may not be read is none.
pub(super) async fn read_names(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) {
    let going = drafts.iter().enumerate().filter(|(_, draft)| draft.goes_on());
    let companies: Vec<(usize, RecordKey)> = going
        .filter_map(|(place, draft)| Some((place, company_to_name(&draft.view, sources.rules)?)))
        .collect();
    known.read(sources, fields, companies.iter().map(|(_, key)| *key)).await;
    for (place, key) in companies {
        match known.side(key) {
            Ok(Side::Present(company)) => drafts[place].view.around.company = Some(company),
            Ok(_) | Err(crm::Error::Refused(_)) => {}
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
}

/// Reads the lifecycle stages of companies and contacts that a plan must know.
pub(super) async fn read_stages(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    drafts: &mut [Draft],
) {
    let going = |draft: &Draft| draft.goes_on();
    let companies: Vec<(usize, RecordKey)> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| going(draft))
        .filter_map(|(place, draft)| Some((place, company_to_read(&draft.view, sources.rules)?)))
        .collect();
    known.read(sources, fields, companies.iter().map(|(_, key)| *key)).await;
    for (place, key) in companies {
        match known.side(key) {
            Ok(Side::Present(company)) => drafts[place].view.around.company = Some(company),
            Ok(_) => {}
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
    let moved: Vec<(usize, RecordKey)> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| going(draft) && wants_contacts_of_company(&draft.view, sources.rules))
        .filter_map(|(place, draft)| Some((place, draft.present(Kind::Company)?.key)))
        .collect();
    if moved.is_empty() {
        return;
    }
    let keys: Vec<RecordKey> = moved.iter().map(|(_, key)| *key).collect();
    let related = sources.live.crm(System::Hubspot).related(Kind::HubspotContact, &keys).await;
    let mut members: Vec<(usize, RecordKey)> = Vec::new();
    for ((place, _), related) in moved.into_iter().zip(related) {
        match related {
            Ok(contacts) => members.extend(contacts.into_iter().map(|key| (place, key))),
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
    read_contacts(sources, fields, known, (drafts, members)).await;
}

/// Reads contacts into the views they matter to.
pub(super) async fn read_contacts(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    known: &mut Known,
    (drafts, contacts): (&mut [Draft], Vec<(usize, RecordKey)>),
) {
    known.read(sources, fields, contacts.iter().map(|(_, key)| *key)).await;
    for (place, key) in contacts {
        match known.side(key) {
            Ok(Side::Present(contact)) => drafts[place].view.around.contacts.push(contact),
            Ok(_) => {}
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
}
