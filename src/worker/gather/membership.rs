//! Who is in the inclusion list, asked in batches for the records of a round: on the same look that is planned by.

use crate::crm;
use crate::domain::{RecordKey, System};
use crate::plan::{Side, View};
use crate::worker::connection::Live;

/// Says of every view whether its HubSpot contact is a member; where the call failed, why.
pub(super) async fn look_up<'a>(
    live: &Live,
    list: &str,
    views: impl Iterator<Item = &'a mut View>,
) -> Vec<Option<(System, crm::Error)>> {
    let views: Vec<&mut View> = views.collect();
    // The contact of the view, or the one that its Salesforce record would be linked to.
    let contact = |view: &View| match &view.hubspot {
        Side::Present(record) => Some(record.key),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => {
            let keys = view.around.candidates.iter().map(|candidate| candidate.record.key);
            keys.into_iter().find(|key| key.system() == System::Hubspot)
        }
    };
    let keys: Vec<RecordKey> = views.iter().filter_map(|view| contact(view)).collect();
    if keys.is_empty() {
        return views.iter().map(|_| None).collect();
    }
    let mut members = live.crm(System::Hubspot).members(list, &keys).await.into_iter();
    let mut failures = Vec::with_capacity(views.len());
    for view in views {
        let told = if contact(view).is_some() { members.next() } else { None };
        failures.push(match told {
            Some(Ok(member)) => {
                view.around.included = Some(member);
                None
            }
            Some(Err(error)) => Some((System::Hubspot, error)),
            None => None,
        });
    }
    failures
}
