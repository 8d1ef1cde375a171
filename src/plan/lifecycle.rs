//! Lifecycle stages, which move forward only.
//!
//! | what moved | what follows | setting | rule |
//! |---|---|---|---|
//! | a contact's stage | its company's, where that is behind | `contact_to_company` | R-129 |
//! | a company's stage | that of the contacts whose primary company it is, where they are behind | `company_to_contacts` | R-167 |
//! | an opportunity is open | the contacts with a role: `opportunity` | `opportunity_transitions` | R-163 |
//! | an opportunity is won | the contacts with a role: `customer` | `opportunity_transitions` | R-160, R-164 |
//! | an opportunity is won and somebody has a role | its company, and so all its contacts: `customer` | all three of company sync, `opportunity_transitions`, `company_to_contacts` | R-160, R-167 |
//!
//! The base of a pair remembers the stage that was seen last, so that a move is told from a difference.

use crate::domain::{Kind, Record, RecordKey, Value};
use crate::plan::draft::{Draft, update};
use crate::plan::rules::{CLOSED_FIELD, COMPANY_PROPERTY, LIFECYCLE_PROPERTY, WON_FIELD};
use crate::plan::{Agreed, Change, Pair, Rules, Side, Step, View};

/// The stage of a contact with a role on an open opportunity.
const OPPORTUNITY: &str = "opportunity";

/// The stage of a contact with a role on a won opportunity.
const CUSTOMER: &str = "customer";

/// The HubSpot company whose own stage must be known to plan this view: of a contact whose stage moved, or of a won opportunity.
pub fn company_to_read(view: &View, rules: &Rules) -> Option<RecordKey> {
    if !rules.companies.enabled {
        return None;
    }
    match (&view.hubspot, &view.salesforce) {
        (Side::Present(contact), _) if contact.key.kind() == Kind::HubspotContact => {
            let wanted = rules.lifecycle.contact_to_company && stage_moved(view, contact);
            wanted.then(|| company_of(contact)).flatten()
        }
        (_, Side::Present(opportunity)) if opportunity.key.kind() == Kind::Opportunity => {
            let wanted = account_wide(rules) && flag(opportunity, WON_FIELD);
            wanted.then(|| account_company(view, opportunity)).flatten()
        }
        _ => None,
    }
}

/// Whether the contacts of a company must be known to plan this view: its stage moved.
pub fn wants_contacts_of_company(view: &View, rules: &Rules) -> bool {
    match &view.hubspot {
        Side::Present(company) if company.key.kind() == Kind::Company => {
            rules.companies.enabled && rules.lifecycle.company_to_contacts && stage_moved(view, company)
        }
        _ => false,
    }
}

/// What a contact's stage does to its company's.
pub(super) fn of_contact(draft: &mut Draft<'_>, contact: &Record) {
    let moved = stage_moved(draft.view, contact);
    if let (true, Some(company)) = (moved, &draft.view.around.company)
        && draft.rules.lifecycle.contact_to_company
    {
        advance(draft, company, &stage_of(contact), ("R-129", "the company follows its contact's stage"));
        look_at_contacts(draft, company.key);
    }
    remember(draft, contact);
}

/// What a company's stage does to its contacts'.
pub(super) fn of_company(draft: &mut Draft<'_>, company: &Record) {
    if wants_contacts_of_company(draft.view, draft.rules) {
        // Only the primary association makes a contact one of the company's.
        let own = |contact: &&Record| company_of(contact) == Some(company.key);
        for contact in draft.view.around.contacts.iter().filter(own) {
            advance(draft, contact, &stage_of(company), ("R-167", "the contact follows its company's stage"));
        }
    }
    remember(draft, company);
}

/// What an opportunity does to the stages of its contacts, and of its company.
pub(super) fn of_opportunity(draft: &mut Draft<'_>, opportunity: &Record) {
    if !draft.rules.lifecycle.opportunity_transitions {
        return;
    }
    let (won, closed) = (flag(opportunity, WON_FIELD), flag(opportunity, CLOSED_FIELD));
    let (stage, why) = match (won, closed) {
        (true, _) => (CUSTOMER, ("R-160", "the opportunity is won: its contact becomes a customer")),
        (false, false) => (OPPORTUNITY, ("R-163", "the contact has a role on an open opportunity")),
        (false, true) => return,
    };
    let around = &draft.view.around;
    let taking_part: Vec<&Record> =
        around.contacts.iter().filter(|contact| !around.excluded.contains(&contact.key)).collect();
    for contact in &taking_part {
        advance(draft, contact, stage, why);
    }
    if won
        && account_wide(draft.rules)
        && let Some(company) = &draft.view.around.company
        // Somebody of the account must have a role; those of other accounts move themselves alone.
        && taking_part.iter().any(|contact| company_of(contact) == Some(company.key))
    {
        advance(draft, company, stage, ("R-160", "the opportunity is won: its company becomes a customer"));
        look_at_contacts(draft, company.key);
    }
}

/// Moves a record's stage forward; one that is as far already stays.
fn advance(draft: &mut Draft<'_>, record: &Record, stage: &str, (rule, text): (&'static str, &'static str)) {
    let held = stage_of(record);
    if draft.rules.rank(stage) <= draft.rules.rank(&held) {
        return;
    }
    draft.say(rule, text);
    let change = Change {
        field: LIFECYCLE_PROPERTY.to_owned(),
        old: Value::text(held),
        new: Value::text(stage),
        rule,
        agrees: None,
    };
    draft.steps.push(update(record, vec![change]));
}

/// The company's own look carries its new stage on to its contacts.
fn look_at_contacts(draft: &mut Draft<'_>, company: RecordKey) {
    let written = |step: &Step| matches!(step, Step::Update { key, .. } if *key == company);
    if draft.rules.lifecycle.company_to_contacts && draft.steps.iter().any(written) {
        draft.steps.push(Step::Look { key: company });
    }
}

/// Remembers the stage seen, unless a mapping does that.
pub(super) fn remember(draft: &mut Draft<'_>, record: &Record) {
    let mapped =
        |family| draft.rules.mappings(family).iter().any(|mapping| mapping.property == LIFECYCLE_PROPERTY);
    if let Some(stage) = record.fields.get(LIFECYCLE_PROPERTY)
        && !mapped(record.key.kind().family())
    {
        draft.base.insert(LIFECYCLE_PROPERTY, Agreed::new(stage.clone()));
    }
}

/// Whether all three settings are on that let a won opportunity move a whole account; the third is asked for by the caller.
const fn account_wide(rules: &Rules) -> bool {
    rules.companies.enabled && rules.lifecycle.opportunity_transitions && rules.lifecycle.company_to_contacts
}

fn stage_moved(view: &View, record: &Record) -> bool {
    view.pair.as_ref().is_some_and(|pair| stage_moved_since(pair, record))
}

/// Whether the stage of a paired record is another one than was seen last. One that was never seen counts as moved: the record may have
/// been made by us, with a stage that HubSpot chose.
pub(super) fn stage_moved_since(pair: &Pair, record: &Record) -> bool {
    let seen = pair.base.get(LIFECYCLE_PROPERTY).map(Agreed::hubspot);
    let held = record.fields.get(LIFECYCLE_PROPERTY).filter(|held| !held.is_blank());
    held.is_some_and(|held| seen != Some(held))
}

fn stage_of(record: &Record) -> String {
    record.fields.get(LIFECYCLE_PROPERTY).and_then(Value::as_text).unwrap_or_default().into_owned()
}

fn flag(record: &Record, field: &str) -> bool {
    record.fields.get(field) == Some(&Value::Flag(true))
}

fn company_of(contact: &Record) -> Option<RecordKey> {
    let id = contact.fields.get(COMPANY_PROPERTY).and_then(Value::as_text)?;
    RecordKey::parse(Kind::Company, &id).ok()
}

fn account_company(view: &View, opportunity: &Record) -> Option<RecordKey> {
    let account = opportunity.fields.get(crate::plan::rules::ACCOUNT_FIELD).and_then(Value::as_text)?;
    RecordKey::parse(Kind::Company, view.around.links.company_of(&account)?).ok()
}
