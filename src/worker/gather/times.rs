//! When HubSpot's properties got their values: asked only where a plan depends on it, because both sides moved and the later change wins.
//!
//! A record's own time says nothing of a property (it moves with every other one, and for reasons of HubSpot's own), and the time that a
//! message tells may be an old one told again. HubSpot's history of the property knows. Salesforce keeps none: there the messages that are
//! stored tell when a value was first seen.

use std::collections::HashMap;

use crate::crm::ValueTimes;
use crate::crm::salesforce::webhook;
use crate::domain::{RecordKey, System};
use crate::plan::{Message, Plan, Side, View, plan};
use crate::worker::Error;
use crate::worker::gather::{Gathered, Sources};

/// Plans every view. Where a conflict turns on time, HubSpot's histories are read, in batches, and the view is planned again.
pub(in crate::worker) async fn plan_all(
    sources: &Sources<'_>,
    gathered: &mut [Gathered],
) -> Result<Vec<Option<Plan>>, Error> {
    let mut plans: Vec<Option<Plan>> =
        gathered.iter().map(|gathered| Some(plan(gathered.view()?, sources.rules))).collect();
    let asked: Vec<(usize, RecordKey, Vec<String>)> = plans
        .iter()
        .zip(gathered.iter())
        .enumerate()
        .filter_map(|(place, (plan, gathered))| {
            let contested =
                plan.as_ref().map(|plan| plan.contested.clone()).filter(|names| !names.is_empty())?;
            Some((place, hubspot_record(gathered.view()?)?, contested))
        })
        .collect();
    if asked.is_empty() {
        return Ok(plans);
    }
    let questions: Vec<(RecordKey, &[String])> =
        asked.iter().map(|(_, key, contested)| (*key, contested.as_slice())).collect();
    let answers = sources.live.crm(System::Hubspot).value_times(&questions).await;
    let name = &sources.live.settings.name;
    let deliveries = sources.store.newest_deliveries(name, System::Salesforce).await?;
    let told = told_by(&deliveries);
    for ((place, ..), answer) in asked.iter().zip(answers) {
        match (answer, &mut gathered[*place]) {
            (Ok(held), Gathered::View(view)) => {
                take_in(view, held);
                view.around.messages =
                    salesforce_record(view).and_then(|key| told.get(&key).cloned()).unwrap_or_default();
                plans[*place] = Some(plan(view, sources.rules));
            }
            (Ok(_), _) => {}
            (Err(error), gathered) => {
                *gathered = Gathered::Failed(System::Hubspot, error);
                plans[*place] = None;
            }
        }
    }
    Ok(plans)
}

/// Takes in what HubSpot's history tells. Where somebody edited a property after the record was read, the time is that of the new value,
/// so that the value has to be the new one as well.
fn take_in(view: &mut View, held: ValueTimes) {
    let times = held.iter().filter_map(|(name, held)| Some((name.clone(), held.given_at?)));
    view.around.hubspot_times = Some(times.collect());
    let Some(record) = hubspot_record(view) else { return };
    let fields = held.into_iter().map(|(name, held)| (name, held.value));
    match &mut view.hubspot {
        Side::Present(present) => present.fields.extend(fields),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => {
            let mut candidates = view.around.candidates.iter_mut().map(|candidate| &mut candidate.record);
            if let Some(candidate) = candidates.find(|candidate| candidate.key == record) {
                candidate.fields.extend(fields);
            }
        }
    }
}

/// What stored messages told of each record, oldest first.
fn told_by(deliveries: &[bytes::Bytes]) -> HashMap<RecordKey, Vec<Message>> {
    let mut told: HashMap<RecordKey, Vec<Message>> = HashMap::new();
    let envelopes = deliveries.iter().filter_map(|body| webhook::parse(body).ok());
    for notification in envelopes.flat_map(|envelope| envelope.notifications).flatten() {
        let Some(at) = notification.changed_at() else { continue };
        let key = notification.kind.map(|kind| RecordKey::parse(kind, notification.record_id.as_str()));
        if let Some(Ok(key)) = key {
            told.entry(key).or_default().push(Message { at, fields: notification.fields });
        }
    }
    for messages in told.values_mut() {
        messages.sort_by_key(|message| message.at);
    }
    told
}

/// The Salesforce record of a view, or the one that its HubSpot record is linked to by the plan.
fn salesforce_record(view: &View) -> Option<RecordKey> {
    match &view.salesforce {
        Side::Present(record) => Some(record.key),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => {
            let mut keys = view.around.candidates.iter().map(|candidate| candidate.record.key);
            keys.find(|key| key.system() == System::Salesforce)
        }
    }
}

/// The HubSpot record of a view, or the one that its Salesforce record is linked to by the plan.
fn hubspot_record(view: &View) -> Option<RecordKey> {
    match &view.hubspot {
        Side::Present(record) => Some(record.key),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => {
            let mut keys = view.around.candidates.iter().map(|candidate| candidate.record.key);
            keys.find(|key| key.system() == System::Hubspot)
        }
    }
}
