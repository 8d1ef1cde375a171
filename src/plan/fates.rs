//! What became of the records of a pair: deletions and merges, for companies and deals alike. People have rivals and conversions
//! besides; theirs stand with their pairing.

use crate::domain::System;
use crate::plan::pairing::held_text;
use crate::plan::verdict::{Pairing, Verdict, pairing};
use crate::plan::{Pair, Side, View};

/// What the settings say.
pub(super) struct Settings {
    /// The rule by which a deleted Salesforce record deletes its twin, where that is set.
    pub(super) delete: Option<&'static str>,
    /// Whether a pair goes on with the survivor of a merge.
    pub(super) follow_merges: bool,
}

/// The verdict on a known pair; the error names the one side that is there and that a person wants paired anew.
pub(super) fn known<'a>(
    view: &'a View,
    pair: &Pair,
    sides: (&'a Side, &'a Side),
    settings: &Settings,
) -> Result<Pairing<'a>, System> {
    let mut keyed = view.around.candidates.iter().filter(|candidate| candidate.keyed);
    let heir = keyed.clone().find(|candidate| candidate.holder_besides(pair.hubspot).is_none());
    let held = keyed
        .find_map(|candidate| Some(held_text(candidate.record.key, candidate.holder_besides(pair.hubspot)?)));
    let stop = |rule, text| Ok(pairing(Verdict::Stop, rule, text));
    match sides {
        (Side::Present(hubspot), Side::Present(salesforce)) => {
            let text =
                if pair.stopped.is_some() { "both records are there again" } else { "the two are linked" };
            Ok(pairing(Verdict::known(hubspot, salesforce), "R-143", text))
        }
        (Side::Present(hubspot), Side::Merged) if settings.follow_merges && heir.is_some() => {
            let salesforce = heir.map(|heir| &heir.record).ok_or(System::Hubspot)?;
            let verdict = Verdict::Pair { hubspot, salesforce, new: true, heir: true, let_go: None };
            Ok(pairing(verdict, "R-067", "the twin was merged into this record, which takes its place"))
        }
        (Side::Present(_), _) if view.around.asked.overrides() => Err(System::Hubspot),
        (_, Side::Present(_)) if view.around.asked.overrides() => Err(System::Salesforce),
        // Once only: a pair that rests already may have a record that somebody restored.
        (Side::Present(hubspot), Side::Deleted) if pair.stopped.is_none() && settings.delete.is_some() => {
            let rule = settings.delete.ok_or(System::Hubspot)?;
            Ok(pairing(Verdict::Delete(hubspot), rule, "the Salesforce record was deleted"))
        }
        (Side::Present(_), Side::Merged) => match held {
            Some(held) => Ok(pairing(Verdict::Stop, "R-072", format!("Merged in Salesforce: {held}"))),
            None => stop(
                "R-067",
                "Merged in Salesforce: the record was merged into another one; a resync of this record links to that",
            ),
        },
        (Side::Present(_), Side::Deleted | Side::Converted) => stop(
            "R-049",
            "the Salesforce record was deleted; nothing passes until it is restored or resynced",
        ),
        (Side::Present(_), Side::Absent) => {
            stop("R-014", "the Salesforce record is not visible to us; nothing passes until it is")
        }
        (Side::Deleted | Side::Merged | Side::Converted, Side::Present(_)) => {
            stop("R-053", "the HubSpot record was deleted; nothing passes until it is restored or resynced")
        }
        (Side::Absent, Side::Present(_)) => {
            stop("R-014", "the HubSpot record is not visible to us; nothing passes until it is")
        }
        _ => stop("R-049", "neither record is there any more"),
    }
}
