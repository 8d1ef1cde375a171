//! What became of HubSpot contacts that are gone.

use futures::future::join_all;

use crate::domain::{Family, RecordKey, System};
use crate::plan::Side;
use crate::worker::gather::{Draft, Sources};

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
    let crm = sources.live.crm(System::Hubspot);
    let answers = join_all(gone.iter().map(|(_, key)| crm.survivor_of(*key))).await;
    for ((place, _), answer) in gone.into_iter().zip(answers) {
        match answer {
            Ok(Some(_)) => drafts[place].view.hubspot = Side::Merged,
            Ok(None) => {}
            Err(error) => drafts[place].failed = Some((System::Hubspot, error)),
        }
    }
}
