//! Records of one round that have the same address.
//!
//! A shared address is a common sight: `none@none.com`, or a form that somebody sends a thousand times. One of the records becomes the
//! counterpart of the contact with that address, and planning them one a round would cost a few calls for each.

use std::collections::BTreeMap;

use crate::domain::{Family, Kind, Record, RecordKey, System};
use crate::plan::{Rules, address_of, latest};
use crate::worker::gather::Draft;

/// Lets the latest of the records of each kind and address go on; the others need no plan of their own. What a person asked for, and what a
/// create was interrupted for, is planned by itself.
pub(super) fn leave_to_the_latest(drafts: &mut [Draft], rules: &Rules) {
    let mut groups: BTreeMap<(Kind, String), Vec<usize>> = BTreeMap::new();
    for (place, draft) in drafts.iter().enumerate() {
        let sibling = sibling(draft).and_then(|record| Some((record.key.kind(), address_of(record)?)));
        if let Some(group) = sibling {
            groups.entry(group).or_default().push(place);
        }
    }
    for places in groups.into_values().filter(|places| places.len() > 1) {
        let records = places.iter().filter_map(|place| sibling(&drafts[*place]));
        let Some(latest) = latest(records, rules) else { continue };
        for place in places {
            if drafts[place].subject != latest {
                drafts[place].is_outdone_by(latest);
            }
        }
    }
}

/// The record of a draft that could be left to another one.
fn sibling(draft: &Draft) -> Option<&Record> {
    let is_person = draft.subject.system() == System::Salesforce && draft.family() == Family::People;
    let is_new = draft.view.pair.is_none() && !draft.interrupted && !draft.view.around.asked.overrides();
    let has_its_own = draft.view.around.candidates.iter().any(|candidate| candidate.keyed);
    draft.seeker().filter(|_| is_person && is_new && !has_its_own && draft.failed.is_none())
}

impl Draft {
    /// Another record has the address and is planned instead.
    fn is_outdone_by(&mut self, other: RecordKey) {
        self.view.around.candidates.clear();
        self.view.around.outdone_by = Some(other);
    }
}
