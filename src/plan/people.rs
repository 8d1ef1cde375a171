//! HubSpot contacts with Salesforce leads and contacts.
//!
//! A lead or contact cannot be created without a last name, nor (in most organizations) a lead without a company. What HubSpot
//! does not hold is filled in: the local part of the address, and the mail domain or `[not provided]`. The base remembers that the two
//! sides were left apart, so that a filled value never travels back.
//!
//! The choice between lead and contact is one setting, not one decision for each record. With leads, HubSpot's own setting that
//! creates and associates companies should be off, because a lead has no account.

use crate::domain::{Family, Kind, Record, System, Value};
use crate::plan::draft::{Both, Draft};
use crate::plan::pairing::{address_of, decide};
use crate::plan::verdict::Verdict;
use crate::plan::{Agreed, Change, Plan, Rules, State, View, lifecycle, persons};

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
    draft.say(pairing.rule, pairing.text);
    // A Salesforce record that comes to HubSpot has no contact there yet, or none that it is linked to: no list stops it.
    if view.around.included == Some(false)
        && matches!(pairing.verdict, Verdict::Pair { .. } | Verdict::Create { .. })
    {
        draft.say("R-021", "the contact is not in the inclusion list: nothing passes");
        return draft.finish(State::Excluded);
    }
    match pairing.verdict {
        Verdict::Pair { hubspot, salesforce, new, heir, let_go } => {
            let pair = Both { hubspot, salesforce, first_sight: new && !heir };
            draft.pair(&pair, (new, let_go));
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
            draft.create(twin, kind, changes, &[]);
            draft.finish(State::Linked)
        }
        Verdict::Delete(_) | Verdict::Stop | Verdict::Ambiguous | Verdict::Nothing(_) => draft.rest(&pairing),
    }
}

/// Fills what Salesforce requires and HubSpot does not hold.
fn fill_required(draft: &mut Draft<'_>, twin: &Record, kind: Kind, changes: &mut Vec<Change>) {
    let address = address_of(twin).unwrap_or_default();
    let (local_part, domain) = address.split_once('@').unwrap_or((&address, ""));
    let company = if domain.is_empty() { COMPANY_NOT_PROVIDED } else { domain };
    let fills = [
        ("LastName", local_part, "the last name is missing and filled from the address", true),
        ("Company", company, "the company is missing and filled from the address", kind == Kind::Lead),
    ];
    for (field, filling, text, wanted) in fills {
        if wanted {
            fill(draft, kind, changes, (field, filling, text));
        }
    }
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
