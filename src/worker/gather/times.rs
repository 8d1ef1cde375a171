//! When HubSpot's properties got their values: asked only where a plan depends on it, because both sides moved and the later change wins.
//!
//! A record's own time says nothing of a property (it moves with every other one, and for reasons of HubSpot's own), and the time that a
//! message tells may be an old one told again. HubSpot's history of the property knows.

use crate::domain::{Kind, RecordKey, System};
use crate::plan::{Plan, Side, View, plan};
use crate::worker::gather::{Gathered, Sources};

/// Plans every view. Where a conflict turns on time, HubSpot's histories are read, in batches, and the view is planned again.
pub(in crate::worker) async fn plan_all(
    sources: &Sources<'_>,
    gathered: &mut [Gathered],
) -> Vec<Option<Plan>> {
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
        return plans;
    }
    let questions: Vec<(RecordKey, &[String])> =
        asked.iter().map(|(_, key, contested)| (*key, contested.as_slice())).collect();
    let answers = sources.live.crm(System::Hubspot).value_times(&questions).await;
    for ((place, ..), answer) in asked.iter().zip(answers) {
        match (answer, &mut gathered[*place]) {
            (Ok(times), Gathered::View(view)) => {
                view.around.hubspot_times = Some(times);
                plans[*place] = Some(plan(view, sources.rules));
            }
            (Ok(_), _) => {}
            (Err(error), gathered) => {
                *gathered = Gathered::Failed(System::Hubspot, error);
                plans[*place] = None;
            }
        }
    }
    plans
}

/// The HubSpot record of a view, or the one that its Salesforce record is linked to by the plan.
fn hubspot_record(view: &View) -> Option<RecordKey> {
    match &view.hubspot {
        Side::Present(record) => Some(record.key),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => {
            let mut keys = view.around.candidates.iter().map(|candidate| candidate.record.key);
            keys.find(|key| matches!(key.kind(), Kind::HubspotContact | Kind::Company | Kind::Deal))
        }
    }
}
