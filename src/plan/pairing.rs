//! Who belongs to whom.
//!
//! The address is the only key, besides our own: a record that bears the id of the other in the field we keep for it is its
//! twin, whatever became of the address.
//!
//! | what is seen | what follows | rule |
//! |---|---|---|
//! | HubSpot contact, no record with its address | created by the settings | R-043, R-044 |
//! | HubSpot contact, several records with its address | the first returned, or a person chooses | R-062 |
//! | HubSpot contact, all records with its address are somebody else's | nothing: the address has a record | R-073 |
//! | HubSpot contact without an address | does not take part | R-037 |
//! | Salesforce record whose address a free HubSpot contact has | linked | R-047 |
//! | Salesforce record whose HubSpot contact is linked already | the one that somebody else than us modified most recently, lead or contact alike, is the twin | R-063, R-064 |
//! | Salesforce record, nobody has its address | created by the settings | R-040, R-041 |
//! | Salesforce record without an address | nothing | R-077 |
//! | a pair whose Salesforce record was merged away | goes on with the survivor, if nobody else holds that and `follow_merges` is on; else as deleted | R-067, R-050, R-072 |
//! | a pair whose lead was converted | goes on with the contact, unless another contact holds that, contacts do not come to HubSpot or `follow_conversions` is off | R-080, R-042 |
//! | either, while it is not known whether a counterpart was created for what the Salesforce record became | that is settled first | R-067, R-080 |
//! | a pair of which one side was deleted, while another record has the address and nobody holds that | goes on with that one | R-047, R-063 |
//! | any, but the record that belongs to it is held by another one | nothing is taken over; the answer names who holds it | R-072, R-073 |
//! | a pair whose Salesforce record was deleted, with `delete_in_hubspot` | the HubSpot contact is deleted, once | R-048 |
//! | a pair whose HubSpot contact was deleted, with `delete_in_salesforce` | the lead or contact is deleted, once | R-051 |
//! | a pair of which one side was deleted | stopped until it is restored or somebody asks for a resync | R-049 |

use crate::domain::{Kind, Record, RecordKey, System, Value};
use crate::plan::options::{CreateInHubspot, CreateInSalesforce, OnAmbiguousMatch};
use crate::plan::persons::is_person;
use crate::plan::verdict::{Pairing, Verdict, pairing};
use crate::plan::{Candidate, Pair, Rules, Side, State, View, competing};

/// The address of a person's record, folded; `None` where it has none.
pub fn address_of(record: &Record) -> Option<String> {
    let field = match record.key.kind() {
        Kind::HubspotContact => "email",
        Kind::Lead | Kind::Contact => "Email",
        Kind::Company | Kind::Deal | Kind::Account | Kind::Opportunity => return None,
    };
    let address = record.fields.get(field).and_then(Value::as_text)?.trim().to_lowercase();
    (!address.is_empty()).then_some(address)
}

/// Decides who belongs to whom.
pub(super) fn decide<'a>(view: &'a View, rules: &Rules) -> Pairing<'a> {
    match (&view.pair, &view.hubspot, &view.salesforce) {
        (Some(pair), Side::Present(hubspot), salesforce) => {
            known_pair(view, rules, pair, hubspot, salesforce)
        }
        (Some(_), _, Side::Present(salesforce)) if view.around.asked.overrides() => {
            first_sight_in_salesforce(salesforce, view, rules)
        }
        (Some(_), Side::Deleted, Side::Present(person)) if is_person(person) => pairing(
            Verdict::Stop,
            "R-222",
            "the HubSpot record was deleted; its account is a person and stays, and nothing passes until it is restored or resynced",
        ),
        (Some(_), Side::Deleted, Side::Present(salesforce)) if entered_again(view, salesforce).is_some() => {
            let text =
                "the HubSpot record was deleted; the contact that has the address now becomes the twin";
            match entered_again(view, salesforce) {
                Some(hubspot) => pairing(Verdict::link(hubspot, salesforce), "R-047", text),
                None => pairing(Verdict::Stop, "R-049", text),
            }
        }
        (Some(pair), Side::Deleted, Side::Present(salesforce)) if deletes_there_now(rules, pair) => {
            pairing(Verdict::Delete(salesforce), "R-051", "the HubSpot record was deleted")
        }
        (Some(_), Side::Deleted, Side::Present(_)) => pairing(
            Verdict::Stop,
            "R-049",
            "the HubSpot record was deleted; nothing passes until it is restored or resynced",
        ),
        // What the other contact had is its own affair: nothing is merged or deleted in Salesforce.
        (Some(_), Side::Merged, Side::Present(_)) => pairing(
            Verdict::Stop,
            "R-070",
            "the HubSpot record was merged into another one; nothing passes to what was its twin",
        ),
        (Some(_), Side::Absent | Side::Converted, Side::Present(_)) => pairing(
            Verdict::Stop,
            "R-014",
            "the HubSpot record is not visible to us; nothing passes until it is",
        ),
        (Some(_), _, _) => pairing(Verdict::Stop, "R-049", "neither record is there any more"),
        (None, Side::Present(hubspot), _) => first_sight_in_hubspot(hubspot, view, rules),
        (None, _, Side::Present(salesforce)) => first_sight_in_salesforce(salesforce, view, rules),
        (None, _, _) => {
            pairing(Verdict::Nothing(State::Unlinked), "R-049", "the record is not there, and had no twin")
        }
    }
}

fn known_pair<'a>(
    view: &'a View,
    rules: &Rules,
    pair: &Pair,
    hubspot: &'a Record,
    salesforce: &'a Side,
) -> Pairing<'a> {
    let free = |candidate: &&Candidate| candidate.holder_besides(hubspot.key).is_none();
    let rivals = || view.around.candidates.iter().filter(free).map(|candidate| &candidate.record);
    if let Side::Present(linked) = salesforce {
        let link =
            |salesforce| Verdict::Pair { hubspot, salesforce, new: true, heir: false, let_go: Some(linked) };
        if let Some(begun) = view.around.candidates.iter().filter(free).find(|candidate| candidate.keyed) {
            let text = "the record that was taking the twin's place when the work was interrupted takes it";
            return pairing(link(&begun.record), "R-063", text);
        }
        if let Some(salesforce) = competing::contender(rivals(), (linked, pair), rules) {
            let text = "another record with the address was modified more recently and becomes the twin";
            return pairing(link(salesforce), "R-063", text);
        }
    }
    let rival = rivals().max_by_key(|rival| rival.modified_at);
    match (salesforce, rival) {
        (Side::Merged | Side::Converted, _) if !view.around.asked.overrides() => {
            lives_on(view, hubspot, salesforce, (rules, pair))
        }
        (Side::Present(linked), _) => {
            let verdict =
                Verdict::Pair { hubspot, salesforce: linked, new: false, heir: false, let_go: None };
            let text =
                if pair.stopped.is_some() { "both records take part again" } else { "the two are linked" };
            pairing(verdict, "R-143", text)
        }
        (_, Some(rival)) if !view.around.asked.overrides() => {
            let verdict = Verdict::Pair { hubspot, salesforce: rival, new: true, heir: false, let_go: None };
            pairing(verdict, "R-063", "the twin is gone; another record with the address becomes the twin")
        }
        (Side::Merged | Side::Converted, _) => first_sight_in_hubspot(hubspot, view, rules),
        (Side::Deleted | Side::Absent, _) if view.around.asked.overrides() => {
            first_sight_in_hubspot(hubspot, view, rules)
        }
        (Side::Deleted, _) if deletes_now(rules, pair) => {
            pairing(Verdict::Delete(hubspot), "R-048", "the Salesforce record was deleted")
        }
        (Side::Deleted, _) => pairing(
            Verdict::Stop,
            "R-049",
            "the Salesforce record was deleted; nothing passes until it is restored or resynced",
        ),
        (Side::Absent, _) => pairing(
            Verdict::Stop,
            "R-014",
            "the Salesforce record is not visible to us; nothing passes until it is",
        ),
    }
}

/// A pair whose Salesforce record was merged away or converted, and the record it goes on with, where nobody holds that.
fn lives_on<'a>(
    view: &'a View,
    hubspot: &'a Record,
    salesforce: &'a Side,
    (rules, pair): (&Rules, &Pair),
) -> Pairing<'a> {
    let merged = matches!(salesforce, Side::Merged);
    let follows = if merged { rules.people.follow_merges } else { follows_conversions(rules) };
    let (successors, others): (Vec<&Candidate>, Vec<&Candidate>) =
        view.around.candidates.iter().partition(|candidate| candidate.keyed || !merged);
    let free = |candidate: &&&Candidate| candidate.holder_besides(hubspot.key).is_none();
    let link = |candidate: &&'a Candidate, heir| {
        let salesforce = &candidate.record;
        Verdict::Pair { hubspot, salesforce, new: true, heir, let_go: None }
    };
    let own = || successors.iter().filter(free).find(|candidate| candidate.keyed);
    if let Some(successor) = own().or_else(|| successors.iter().find(free)).filter(|_| follows) {
        // Only what it came to be takes over what was agreed; another record with the address meets the contact for the first time.
        let link = link(successor, successor.keyed);
        return match (merged, successor.keyed) {
            (true, _) => {
                pairing(link, "R-067", "the twin was merged into this record, which takes its place")
            }
            (false, true) => pairing(link, "R-080", "the lead was converted; its contact becomes the twin"),
            (false, false) => pairing(
                link,
                "R-080",
                "the lead was converted; a contact that has the address becomes the twin",
            ),
        };
    }
    let rule = if merged { "R-067" } else { "R-080" };
    if follows && successors.iter().any(|candidate| candidate.is_being_linked()) {
        let text =
            "a counterpart was being created for the record that the twin became: that is settled first";
        return pairing(Verdict::Wait, rule, text);
    }
    // Whoever has the address takes over before anybody is deleted.
    if let (true, Some(other)) = (deletes_now(rules, pair), others.iter().find(free)) {
        let text = "the twin is gone; another record with the address becomes the twin";
        return pairing(link(other, false), "R-063", text);
    }
    let held = successors.iter().find_map(|candidate| {
        let holder = candidate.holder_besides(hubspot.key)?;
        Some(held_text(candidate.record.key, holder))
    });
    match (merged, held) {
        (true, _) if deletes_now(rules, pair) => {
            pairing(Verdict::Delete(hubspot), "R-050", "the Salesforce record was merged away")
        }
        (true, Some(held)) if follows => {
            pairing(Verdict::Stop, "R-072", format!("Merged in Salesforce: {held}"))
        }
        (true, _) => pairing(
            Verdict::Stop,
            "R-067",
            "Merged in Salesforce: the record was merged into another one; a resync of this record links to that",
        ),
        (false, Some(held)) if follows => pairing(Verdict::Stop, "R-080", format!("Converted Lead: {held}")),
        (false, _) if follows => pairing(
            Verdict::Stop,
            "R-080",
            "the lead was converted to a contact that is not visible to us; nothing passes until it is",
        ),
        (false, _) => pairing(
            Verdict::Stop,
            "R-042",
            "Converted Lead: the lead was converted, and by the settings its contact does not sync",
        ),
    }
}

/// Whether the HubSpot contact goes, too. Once only: a pair that rests already may have one that somebody restored.
const fn deletes_now(rules: &Rules, pair: &Pair) -> bool {
    rules.people.delete_in_hubspot && pair.stopped.is_none()
}

/// The HubSpot contact that has the address of a record whose own contact was deleted, where nobody holds it.
fn entered_again<'a>(view: &'a View, salesforce: &Record) -> Option<&'a Record> {
    let mut candidates = view.around.candidates.iter();
    let free = |candidate: &&Candidate| {
        candidate.record.key.system() == System::Hubspot && candidate.holder_besides(salesforce.key).is_none()
    };
    candidates.find(free).map(|candidate| &candidate.record)
}

/// Whether the Salesforce record goes, too; likewise once only.
const fn deletes_there_now(rules: &Rules, pair: &Pair) -> bool {
    rules.people.delete_in_salesforce && pair.stopped.is_none()
}

/// Whether contacts that come of leads go on syncing.
const fn follows_conversions(rules: &Rules) -> bool {
    rules.people.follow_conversions && !matches!(rules.people.create_in_hubspot, CreateInHubspot::Leads)
}

fn first_sight_in_hubspot<'a>(hubspot: &'a Record, view: &'a View, rules: &Rules) -> Pairing<'a> {
    let candidates = &view.around.candidates;
    let link = |salesforce: &'a Record| Verdict::link(hubspot, salesforce);
    let is_free = |candidate: &&Candidate| candidate.holder_besides(hubspot.key).is_none();
    if let Some(keyed) = candidates.iter().filter(|candidate| candidate.keyed).find(is_free) {
        return pairing(
            link(&keyed.record),
            "R-065",
            "the record bears this contact's id, or is its successor",
        );
    }
    if address_of(hubspot).is_none() {
        return pairing(
            Verdict::Nothing(State::Excluded),
            "R-037",
            "a contact without an address does not take part",
        );
    }
    let free: Vec<&Candidate> = candidates.iter().filter(is_free).collect();
    match (free.as_slice(), rules.people.on_ambiguous_match) {
        ([], _) if candidates.iter().any(|candidate| candidate.keyed) => held(candidates, hubspot.key),
        ([], _) if !candidates.is_empty() => pairing(
            Verdict::Nothing(State::Unlinked),
            "R-073",
            "every record with the address belongs to another contact",
        ),
        ([], _) => create_in_salesforce(hubspot, rules),
        ([only], _) => pairing(link(&only.record), "R-060", "one record has the address"),
        ([_, _, ..], OnAmbiguousMatch::Hold) => {
            pairing(Verdict::Ambiguous, "R-062", "several records have the address; a person must choose")
        }
        ([first, ..], OnAmbiguousMatch::First) => pairing(
            link(&first.record),
            "R-062",
            "several records have the address; the first returned is taken",
        ),
    }
}

fn first_sight_in_salesforce<'a>(salesforce: &'a Record, view: &'a View, rules: &Rules) -> Pairing<'a> {
    if let Some(other) = view.around.outdone_by {
        let text =
            format!("{other} has the address as well and was modified more recently: that one is the twin");
        return pairing(Verdict::Nothing(State::Unlinked), "R-063", text);
    }
    let candidates = &view.around.candidates;
    let link = |hubspot: &'a Record| Verdict::link(hubspot, salesforce);
    let is_free = |candidate: &&Candidate| candidate.holder_besides(salesforce.key).is_none();
    if let Some(keyed) = candidates.iter().filter(|candidate| candidate.keyed).find(is_free) {
        return pairing(link(&keyed.record), "R-065", "the HubSpot contact bears this record's id");
    }
    if address_of(salesforce).is_none() {
        return pairing(
            Verdict::Nothing(State::Unlinked),
            "R-077",
            "a record without an address is not created in HubSpot",
        );
    }
    match candidates.iter().find(is_free) {
        Some(candidate) => pairing(link(&candidate.record), "R-047", "a HubSpot contact has the address"),
        None if candidates.iter().any(|candidate| candidate.keyed) => held(candidates, salesforce.key),
        None if !candidates.is_empty() => pairing(
            Verdict::Nothing(State::Unlinked),
            "R-063",
            "the HubSpot contact with the address has a twin",
        ),
        None => create_in_hubspot(salesforce, view, rules),
    }
}

/// What a record comes to whose twin by our key belongs to another one: nothing is taken over, and a person must decide.
pub(super) fn held<'a>(candidates: &[Candidate], own: RecordKey) -> Pairing<'a> {
    let keyed = candidates.iter().filter(|candidate| candidate.keyed);
    let mut held = keyed.filter_map(|candidate| Some((candidate.record.key, candidate.holder_besides(own)?)));
    let text = held.next().map_or_else(String::new, |(record, holder)| held_text(record, holder));
    pairing(Verdict::Held, "R-073", text)
}

/// Says who holds a record, and what a person can do.
pub(super) fn held_text(record: RecordKey, holder: RecordKey) -> String {
    format!(
        "{record} belongs to {holder}, and is not taken from it: merge this record into {holder}, or delete one of the two, and ask for a resync of the one that stays"
    )
}

fn create_in_salesforce<'a>(twin: &'a Record, rules: &Rules) -> Pairing<'a> {
    match rules.people.create_in_salesforce {
        CreateInSalesforce::Lead => pairing(
            Verdict::Create { twin, kind: Kind::Lead },
            "R-043",
            "no record has the address; the settings create a lead",
        ),
        CreateInSalesforce::Contact => pairing(
            Verdict::Create { twin, kind: Kind::Contact },
            "R-044",
            "no record has the address; the settings create a contact",
        ),
        CreateInSalesforce::Never => pairing(
            Verdict::Nothing(State::Unlinked),
            "R-043",
            "no record has the address; the settings create none in Salesforce",
        ),
    }
}

fn create_in_hubspot<'a>(twin: &'a Record, view: &View, rules: &Rules) -> Pairing<'a> {
    if view.around.erased {
        return pairing(
            Verdict::Nothing(State::Unlinked),
            "R-242",
            "the contact with this address was erased for privacy in HubSpot; it comes back only if somebody enters it again there",
        );
    }
    let wanted = match rules.people.create_in_hubspot {
        CreateInHubspot::LeadsAndContacts => true,
        CreateInHubspot::Leads => twin.key.kind() == Kind::Lead,
        CreateInHubspot::Contacts => twin.key.kind() == Kind::Contact,
        CreateInHubspot::Never => false,
    };
    if wanted {
        let verdict = Verdict::Create { twin, kind: Kind::HubspotContact };
        return pairing(verdict, "R-242", "nobody has the address; the settings create a HubSpot contact");
    }
    let rule = if rules.people.create_in_hubspot == CreateInHubspot::Never { "R-040" } else { "R-041" };
    pairing(
        Verdict::Nothing(State::Unlinked),
        rule,
        "nobody has the address; the settings create no HubSpot contact from it",
    )
}

/// The address that the Salesforce side moved to, where HubSpot must be asked who holds it. Ordinary edits answer `None`,
/// because the question costs a call.
pub fn address_to_check(view: &View, rules: &Rules) -> Option<String> {
    let (Some(pair), Side::Present(hubspot), Side::Present(salesforce)) =
        (&view.pair, &view.hubspot, &view.salesforce)
    else {
        return None;
    };
    if !rules.people.enabled || hubspot.key.kind() != Kind::HubspotContact {
        return None;
    }
    let there = address_of(salesforce)?;
    let agreed = pair.base.get("email").and_then(|agreed| agreed.salesforce().as_text());
    let moved = agreed.as_deref() != Some(there.as_str());
    (moved && address_of(hubspot).as_deref() != Some(there.as_str())).then_some(there)
}
