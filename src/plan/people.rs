//! HubSpot contacts with Salesforce leads and contacts.
//!
//! A lead or contact cannot be created without a last name, nor (in most organizations) a lead without a company. What HubSpot
//! does not hold is filled in: the local part of the address; the name of the associated company, or the mail domain, or `[not provided]`. The
//! base remembers that the two
//! sides were left apart, so that a filled value never travels back.
//!
//! The choice between lead and contact is one setting, not one decision for each record. With leads, HubSpot's own setting that
//! creates and associates companies should be off, because a lead has no account.

use crate::domain::{Family, Kind, Record, RecordKey, System, Value};
use crate::plan::draft::{Both, Draft};
use crate::plan::mapping::Mapping;
use crate::plan::options::CreateInSalesforce;
use crate::plan::pairing::{address_of, decide};
use crate::plan::rules::{COMPANY_PROPERTY, NAME_PROPERTY};
use crate::plan::values::Words;
use crate::plan::verdict::{Pairing, Verdict};
use crate::plan::{
    Agreed, Base, Change, Plan, Rules, Side, State, Step, View, competing, inclusion, lifecycle, persons,
};

/// A lead's company.
const COMPANY_FIELD: &str = "Company";

/// What a lead's company becomes where neither the contact nor its address tells one.
const COMPANY_NOT_PROVIDED: &str = "[not provided]";

/// Decides what should happen to people.
pub(super) fn plan(view: &View, rules: &Rules) -> Plan {
    let mut draft = Draft::new(view, rules, Family::People);
    if !rules.people.enabled {
        draft.say("R-090", "contacts are switched off for this connection");
        return draft.finish(State::Excluded);
    }
    let pairing = decide(view, rules);
    draft.say(pairing.rule, pairing.text.clone());
    if let Some(at) = inclusion::asks_again_at(view, rules) {
        draft.say(
            "R-033",
            "the contact changed a moment ago: HubSpot is asked again who is in the inclusion list",
        );
        draft.steps.push(Step::Postpone { at });
        return draft.finish(State::Excluded);
    }
    // A Salesforce record that comes to HubSpot is matched with a contact that is in no list, too; nothing else passes.
    let comes =
        matches!((&view.pair, &pairing.verdict), (None, Verdict::Pair { .. })) && !seeks_from_hubspot(view);
    if draft.takes_no_part() && !comes {
        return excluded(draft, pairing);
    }
    match pairing.verdict {
        Verdict::Pair { hubspot, salesforce, new, heir, let_go } => {
            let pair = Both::of(view, hubspot, salesforce, (new, heir));
            draft.pair(&pair, (new, let_go));
            inclusion::remember(&mut draft.base, view, rules);
            if draft.takes_no_part() {
                draft.steps.push(Step::Stop { reason: OUTSIDE.to_owned() });
                return draft.finish(State::Excluded);
            }
            if new || view.pair.as_ref().is_some_and(|pair| pair.stopped.is_some()) {
                look_at_opportunities(&mut draft);
            }
            lifecycle::of_contact(&mut draft, hubspot);
            persons::look_at_account(view, &mut draft.steps);
            draft.finish(State::Linked)
        }
        Verdict::Create { twin, kind } => {
            let mut changes = draft.first_values(twin, kind);
            if kind.system() == System::Salesforce {
                fill_required(&mut draft, twin, kind, &mut changes);
                lifecycle::remember(&mut draft, twin);
            }
            if twin.key.system() == System::Salesforce {
                competing::remember_edit(&mut draft.base, twin, &Base::default(), rules);
            }
            inclusion::remember(&mut draft.base, view, rules);
            look_at_opportunities(&mut draft);
            draft.create(twin, kind, changes, &[]);
            draft.finish(State::Linked)
        }
        Verdict::Delete(_)
        | Verdict::Stop
        | Verdict::Wait
        | Verdict::Ambiguous
        | Verdict::Held
        | Verdict::Nothing(_) => draft.rest(pairing),
    }
}

/// Who begins to sync joins the deals of the opportunities on which they have a role.
fn look_at_opportunities(draft: &mut Draft<'_>) {
    let opportunities = draft.view.around.dependants.iter().map(|key| Step::Look { key: *key });
    draft.steps.extend(opportunities);
}

/// Why nothing passes for a contact outside the inclusion list.
const OUTSIDE: &str = "the contact is not in the inclusion list: nothing passes until it is";

/// Whether the HubSpot side is what was looked at, or what is there.
const fn seeks_from_hubspot(view: &View) -> bool {
    matches!(view.hubspot, Side::Present(_))
}

/// What becomes of a contact outside the inclusion list: nothing passes and nothing is deleted. A pair remembers that, so that
/// a contact which is deleted later takes no record with it.
fn excluded<'a>(mut draft: Draft<'a>, pairing: Pairing<'a>) -> Plan {
    if matches!(pairing.verdict, Verdict::Stop) {
        return draft.rest(pairing);
    }
    draft.say("R-021", OUTSIDE);
    if draft.view.pair.is_some() {
        inclusion::remember(&mut draft.base, draft.view, draft.rules);
        draft.steps.push(Step::Stop { reason: OUTSIDE.to_owned() });
    }
    draft.finish(State::Excluded)
}

/// The HubSpot company whose name a new lead may need: the contact's, where a lead would be made of that without a company of its own.
pub fn company_to_name(view: &View, rules: &Rules) -> Option<RecordKey> {
    let Side::Present(contact) = &view.hubspot else { return None };
    let makes_lead = rules.people.enabled && rules.people.create_in_salesforce == CreateInSalesforce::Lead;
    let is_new = view.pair.is_none() && view.around.candidates.is_empty();
    if !makes_lead || !is_new || contact.key.kind() != Kind::HubspotContact {
        return None;
    }
    let words = Words { rules, links: &view.around.links };
    let holds_one = |mapping: &Mapping| {
        let target = mapping.target(Kind::Lead).filter(|target| target.field == COMPANY_FIELD)?;
        Some(mapping.value_of(contact, target, words).is_ok_and(|held| !held.is_blank()))
    };
    let has_one = rules.mappings(Family::People).iter().find_map(holds_one).unwrap_or(false);
    let id = contact.fields.get(COMPANY_PROPERTY).and_then(Value::as_text)?;
    RecordKey::parse(Kind::Company, &id).ok().filter(|_| !has_one)
}

/// Fills what Salesforce requires and HubSpot does not hold.
fn fill_required(draft: &mut Draft<'_>, twin: &Record, kind: Kind, changes: &mut Vec<Change>) {
    let address = address_of(twin).unwrap_or_default();
    let (last_name, of_address) = filled_in(&address);
    let named =
        draft.view.around.company.as_ref().and_then(|company| company.fields.get(NAME_PROPERTY)?.as_text());
    let company = named.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let text = match company {
        Some(_) => "the company is missing and filled with the name of the associated company",
        None => "the company is missing and filled from the address",
    };
    let fills = [
        ("LastName", last_name, "the last name is missing and filled from the address", true),
        (COMPANY_FIELD, company.unwrap_or(of_address), text, kind == Kind::Lead),
    ];
    for (field, filling, text, wanted) in fills {
        if wanted {
            fill(draft, kind, changes, (field, filling, text));
        }
    }
}

/// What the last name and the company become where HubSpot holds none.
pub(super) fn filled_in(address: &str) -> (&str, &str) {
    let (local_part, domain) = address.split_once('@').unwrap_or((address, ""));
    (local_part, if domain.is_empty() { COMPANY_NOT_PROVIDED } else { domain })
}

/// Fills one required field that has no value; HubSpot's blank stays one.
pub(super) fn fill(
    draft: &mut Draft<'_>,
    kind: Kind,
    changes: &mut Vec<Change>,
    (field, filling, text): (&str, &str, &'static str),
) {
    let rules = draft.rules;
    let mut mappings = rules.mappings(kind.family()).iter();
    let mapping = mappings.find(|mapping| mapping.target(kind).is_some_and(|target| target.field == field));
    let required =
        mapping.and_then(|mapping| mapping.target(kind)).is_none_or(|target| target.schema.required);
    if !required || changes.iter().any(|change| change.field == field) {
        return;
    }
    draft.say("R-202", text);
    if let Some(mapping) = mapping {
        let apart = Agreed::left_apart(Value::Blank, Value::text(filling));
        draft.base.insert(&mapping.property, apart);
    }
    let new = Value::text(filling);
    changes.push(Change { field: field.to_owned(), old: Value::Blank, new, rule: "R-202", agrees: None });
}
