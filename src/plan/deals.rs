//! HubSpot deals with Salesforce opportunities.
//!
//! There is no matching: a new deal is a new opportunity and the other way round, once; only our own ids say that two
//! belong together. Contacts with a role on the opportunity are the deal's contacts; a contact that HubSpot's people added stays.

use std::collections::BTreeSet;

use crate::domain::{Family, Kind, Record, RecordKey, System, Value};
use crate::plan::draft::{Both, Draft};
use crate::plan::mapping::Meaning;
use crate::plan::rules::{PIPELINE_PROPERTY, RECORD_TYPE_FIELD};
use crate::plan::verdict::{Pairing, Verdict, pairing};
use crate::plan::{
    Agreed, Base, Candidate, Category, Change, Plan, Rules, Side, State, Step, View, fates, lifecycle,
};

/// Salesforce's field of an opportunity's stage.
const STAGE_FIELD: &str = "StageName";

/// What the audit calls a deal's contacts.
const CONTACTS: &str = "contacts";

/// What the names begin with under which the base remembers each contact that a role brought.
const CONTACT: &str = "contact";

/// Decides what should happen to a deal and its opportunity.
pub(super) fn plan(view: &View, rules: &Rules) -> Plan {
    let mut draft = Draft::new(view, rules, Family::Deals);
    if let Side::Present(opportunity) = &view.salesforce {
        lifecycle::of_opportunity(&mut draft, opportunity);
    }
    if !rules.deals.enabled {
        draft.say("R-144", "deals are switched off for this connection");
        return draft.finish(State::Excluded);
    }
    let pairing = decide(view, rules);
    draft.say(pairing.rule, pairing.text.clone());
    match pairing.verdict {
        Verdict::Pair { hubspot, salesforce, new, heir, let_go } => {
            let pair = Both::of(view, hubspot, salesforce, (new, heir));
            draft.pair(&pair, (new, let_go));
            relate_contacts(&mut draft, hubspot);
            draft.finish(State::Linked)
        }
        Verdict::Create { twin, kind } => create(draft, twin, kind),
        Verdict::Delete(_)
        | Verdict::Stop
        | Verdict::Wait
        | Verdict::Ambiguous
        | Verdict::Held
        | Verdict::Nothing(_) => draft.rest(pairing),
    }
}

fn decide<'a>(view: &'a View, rules: &Rules) -> Pairing<'a> {
    let known = view.pair.as_ref().map(|pair| {
        let settings = fates::Settings {
            delete: rules.deals.delete_in_hubspot.then_some("R-052"),
            follow_merges: rules.people.follow_merges,
        };
        fates::known(view, pair, (&view.hubspot, &view.salesforce), &settings)
    });
    if let Side::Present(deal) = &view.hubspot
        && !in_synced_pipeline(deal, rules)
    {
        let text = "the deal's pipeline does not take part: nothing passes";
        return pairing(Verdict::Nothing(State::Excluded), "R-147", text);
    }
    match (known, &view.hubspot, &view.salesforce) {
        (Some(Ok(known)), ..) => known,
        (_, Side::Present(deal), _) => match keyed(view) {
            Some(opportunity) => {
                pairing(Verdict::link(deal, opportunity), "R-143", "the opportunity bears the deal's id")
            }
            None => pairing(
                Verdict::Create { twin: deal, kind: Kind::Opportunity },
                "R-141",
                "a new deal is a new opportunity",
            ),
        },
        (_, _, Side::Present(opportunity)) => match keyed(view) {
            Some(deal) => {
                pairing(Verdict::link(deal, opportunity), "R-143", "the deal bears the opportunity's id")
            }
            None if !in_synced_stages(opportunity, rules) => {
                let text = "the opportunity belongs to a pipeline that does not take part";
                pairing(Verdict::Nothing(State::Excluded), "R-147", text)
            }
            None => pairing(
                Verdict::Create { twin: opportunity, kind: Kind::Deal },
                "R-142",
                "a new opportunity is a new deal",
            ),
        },
        _ => pairing(Verdict::Nothing(State::Unlinked), "R-049", "the record is not there, and had no twin"),
    }
}

/// The record that bears the id of this one, where nobody else holds it.
fn keyed(view: &View) -> Option<&Record> {
    let free = |candidate: &&Candidate| candidate.keyed && candidate.paired_with.is_none();
    view.around.candidates.iter().find(free).map(|candidate| &candidate.record)
}

fn in_synced_pipeline(deal: &Record, rules: &Rules) -> bool {
    let pipeline = deal.fields.get(PIPELINE_PROPERTY).and_then(Value::as_text).unwrap_or_default();
    rules.deals.pipelines.is_empty() || rules.deals.pipelines.iter().any(|synced| *synced == pipeline)
}

/// Whether a pipeline that takes part could have the opportunity's deal. A stage that no pipeline has is said when the deal is made.
fn in_synced_stages(opportunity: &Record, rules: &Rules) -> bool {
    let (stages, allowed) = (&rules.deals.stages, &rules.deals.pipelines);
    let held = |field: &str| opportunity.fields.get(field).and_then(Value::as_text);
    let of_record_type = held(RECORD_TYPE_FIELD).and_then(|record_type| stages.pipeline_of(&record_type));
    if allowed.is_empty() {
        return true;
    }
    if let Some(pipeline) = of_record_type {
        return allowed.iter().any(|synced| synced == pipeline);
    }
    let name = held(STAGE_FIELD).unwrap_or_default();
    stages.stage_of(&name, None, allowed).is_some() || stages.stage_of(&name, None, &[]).is_none()
}

fn create(mut draft: Draft<'_>, twin: &Record, kind: Kind) -> Plan {
    let mut changes = draft.first_values(twin, kind);
    if kind.system() == System::Salesforce {
        default_close_date(&mut draft, &mut changes);
    }
    let lacking = lacking(&draft, kind, &changes);
    if !lacking.is_empty() {
        let text = format!(
            "{} cannot be created without {}: fill it, or map its stage under deals.stages",
            kind,
            lacking.join(", ")
        );
        draft.say("R-156", text.clone());
        draft.steps.push(Step::Hold { category: Category::MissingField, text });
        return draft.finish(State::Failed);
    }
    let contacts: Vec<RecordKey> = if kind == Kind::Deal {
        draft.view.around.contacts.iter().map(|contact| contact.key).collect()
    } else {
        Vec::new()
    };
    remember(&mut draft, &contacts);
    draft.create(twin, kind, changes, &contacts);
    draft.finish(State::Linked)
}

/// A deal that says nothing of its close date closes some days from now, where the settings say so.
fn default_close_date(draft: &mut Draft<'_>, changes: &mut Vec<Change>) {
    let days = draft.rules.deals.close_date_default_days;
    if days == 0 || changes.iter().any(|change| change.field == "CloseDate") {
        return;
    }
    let now = jiff::Timestamp::from_millisecond(draft.view.around.now.as_millis()).unwrap_or_default();
    let today = now.to_zoned(draft.rules.time_zone.clone()).date();
    let Ok(day) = today.checked_add(jiff::Span::new().days(i64::from(days))) else { return };
    draft.say("R-156", "the deal has no close date and gets the default one");
    let new = Value::text(day.to_string());
    draft.base.insert("closedate", Agreed::left_apart(Value::Blank, new.clone()));
    changes.push(Change {
        field: "CloseDate".to_owned(),
        old: Value::Blank,
        new,
        rule: "R-156",
        agrees: None,
    });
}

/// What the new record cannot be created without and does not get.
fn lacking(draft: &Draft<'_>, kind: Kind, changes: &[Change]) -> Vec<String> {
    let has = |name: &str| changes.iter().any(|change| change.field == name && !change.new.is_blank());
    let mappings = draft.rules.mappings(Family::Deals).iter();
    match kind.system() {
        System::Salesforce => mappings
            .filter_map(|mapping| mapping.target(kind))
            .filter(|target| target.schema.required && !has(&target.field))
            .map(|target| target.field.clone())
            .collect(),
        System::Hubspot => mappings
            .filter(|mapping| mapping.property == "dealname" || mapping.meaning == Meaning::Stage)
            .filter(|mapping| !has(&mapping.property))
            .map(|mapping| mapping.property.clone())
            .collect(),
    }
}

/// Associates the deal with the contacts who have a role, once for each: what people removed on either side stays removed and is shown as
/// a difference, and what they added in HubSpot stays.
fn relate_contacts(draft: &mut Draft<'_>, deal: &Record) {
    let around = &draft.view.around;
    let Some(associated) = &around.associated else { return };
    let associated: BTreeSet<RecordKey> = associated.iter().copied().collect();
    let wanted: BTreeSet<RecordKey> = around.contacts.iter().map(|contact| contact.key).collect();
    let brought = brought_by_roles(&draft.base);
    draft.base.insert(CONTACTS, Agreed::new(Value::Blank));
    for contact in wanted.difference(&brought).filter(|contact| !associated.contains(contact)) {
        let (old, new) = (Value::Blank, Value::text(contact.id().to_string()));
        let agrees = Some((name_of(*contact), Agreed::new(Value::Flag(true))));
        let change = Change { field: CONTACTS.to_owned(), old, new, rule: "R-154", agrees };
        draft.steps.push(Step::Relate { from: deal.key, to: *contact, change });
    }
    for contact in brought.union(&wanted.intersection(&associated).copied().collect()) {
        let agreed = Agreed::new(Value::Flag(true));
        let agreed = match (associated.contains(contact), wanted.contains(contact)) {
            (true, true) => agreed,
            (false, true) => Agreed { removed_in: Some(System::Hubspot), ..agreed },
            (true, false) => Agreed { removed_in: Some(System::Salesforce), ..agreed },
            (false, false) => Agreed::new(Value::Blank),
        };
        draft.base.insert(&name_of(*contact), agreed);
    }
}

/// The name under which the base remembers that a role brought a contact to the deal.
fn name_of(contact: RecordKey) -> String {
    format!("{CONTACT} {}", contact.id())
}

/// The contacts that roles brought. Earlier versions kept all of them in one value.
fn brought_by_roles(base: &Base) -> BTreeSet<RecordKey> {
    let parse = |id: &str| RecordKey::parse(Kind::HubspotContact, id).ok();
    let earlier = base.get(CONTACTS).and_then(|agreed| agreed.value.as_text()).unwrap_or_default();
    let each = base.iter().filter_map(|(name, agreed)| {
        let id = name.strip_prefix(CONTACT)?.strip_prefix(' ')?;
        (agreed.value == Value::Flag(true)).then(|| parse(id)).flatten()
    });
    each.chain(earlier.split(';').filter_map(parse)).collect()
}

/// Remembers the contacts that a new deal is created with.
fn remember(draft: &mut Draft<'_>, contacts: &[RecordKey]) {
    for contact in contacts {
        draft.base.insert(&name_of(*contact), Agreed::new(Value::Flag(true)));
    }
}
