//! HubSpot contacts with Salesforce leads and contacts: pairing, then one merge for each mapping.
//!
//! A lead or contact cannot be created without a last name, nor (in most organizations) a lead without a company. What HubSpot
//! does not hold is filled in: the local part of the address, and the mail domain or `[not provided]`. The base remembers that the two
//! sides were left apart, so that a filled value never travels back.
//!
//! The choice between lead and contact is one setting, not one decision for each record. With leads, HubSpot's own setting that
//! creates and associates companies should be off, because a lead has no account.

use crate::domain::{Kind, Record, RecordKey, System, Value};
use crate::plan::mapping::{Mapping, Rule, Target};
use crate::plan::merge::{Question, merge};
use crate::plan::normal::Unfit;
use crate::plan::pairing::{Verdict, address_of, decide};
use crate::plan::{Agreed, Base, Category, Change, Decision, Plan, Rules, State, Step, View, Why};

/// What a lead's company becomes where neither the contact nor its address tells one.
const COMPANY_NOT_PROVIDED: &str = "[not provided]";

/// The rule under which our own id fields are kept.
const ID_RULE: &str = "R-065";

/// Decides what should happen to people.
pub(super) fn plan(view: &View, rules: &Rules) -> Plan {
    let mut draft = Draft::new(view);
    if !rules.people.enabled {
        draft.say("R-090", Decision::Record, "contacts are switched off for this connection");
        return draft.finish(State::Excluded);
    }
    let pairing = decide(view, rules);
    draft.say(pairing.rule, Decision::Record, pairing.text);
    // A Salesforce record that comes to HubSpot has no contact there yet, or none that it is linked to: no list stops it.
    if view.around.included == Some(false)
        && matches!(pairing.verdict, Verdict::Pair { .. } | Verdict::Create { .. })
    {
        draft.say("R-021", Decision::Record, "the contact is not in the inclusion list: nothing passes");
        return draft.finish(State::Excluded);
    }
    match pairing.verdict {
        Verdict::Pair { hubspot, salesforce, new, heir, let_go } => {
            if new {
                if !heir {
                    draft.base = Base::default();
                }
                draft.steps.push(Step::Link { hubspot: hubspot.key, salesforce: salesforce.key });
            }
            let pair = Both { hubspot, salesforce, first_sight: new && !heir };
            draft.merge_pair(&pair, rules);
            draft.keep_ids(&pair, let_go, rules);
            draft.finish(State::Linked)
        }
        Verdict::Create { twin, kind } => {
            draft.base = Base::default();
            draft.create(twin, kind, rules);
            draft.finish(State::Linked)
        }
        Verdict::Delete(hubspot) => {
            let reason = format!("{}, and the HubSpot contact with it", pairing.text);
            draft.steps.push(Step::Delete { key: hubspot.key, rule: pairing.rule, reason });
            draft.finish(State::Stopped)
        }
        Verdict::Stop => {
            draft.steps.push(Step::Stop { reason: pairing.text.to_owned() });
            draft.finish(State::Stopped)
        }
        Verdict::Ambiguous => {
            draft.steps.push(Step::Hold { category: Category::Ambiguous, text: pairing.text.to_owned() });
            draft.finish(State::Ambiguous)
        }
        Verdict::Nothing(state) => draft.finish(state),
    }
}

/// Both records of a pair.
struct Both<'a> {
    hubspot: &'a Record,
    salesforce: &'a Record,
    first_sight: bool,
}

/// A plan in the making.
struct Draft<'a> {
    view: &'a View,
    steps: Vec<Step>,
    why: Vec<Why>,
    base: Base,
    to_hubspot: Vec<Change>,
    to_salesforce: Vec<Change>,
}

impl<'a> Draft<'a> {
    fn new(view: &'a View) -> Self {
        let base = view.pair.as_ref().map(|pair| pair.base.clone()).unwrap_or_default();
        Self {
            view,
            steps: Vec::new(),
            why: Vec::new(),
            base,
            to_hubspot: Vec::new(),
            to_salesforce: Vec::new(),
        }
    }

    fn say(&mut self, rule: &'static str, decision: Decision, text: &str) {
        self.why.push(Why { rule, property: None, decision, text: text.to_owned() });
    }

    fn say_of(&mut self, mapping: &Mapping, rule: &'static str, decision: Decision, text: impl Into<String>) {
        self.why.push(Why { rule, property: Some(mapping.property.clone()), decision, text: text.into() });
    }

    fn finish(self, state: State) -> Plan {
        let conflict = self.steps.iter().any(|step| matches!(step, Step::Conflict { .. }));
        let state = if conflict { State::Conflict } else { state };
        Plan { steps: self.steps, why: self.why, state, base: self.base }
    }

    fn merge_pair(&mut self, pair: &Both<'_>, rules: &Rules) {
        for mapping in &rules.people.mappings {
            match mapping.target(pair.salesforce.key.kind()) {
                Some(target) => self.merge_mapping(pair, mapping, target),
                None => self.say_of(
                    mapping,
                    "R-207",
                    Decision::Keep,
                    "this kind of Salesforce record has no such field",
                ),
            }
        }
    }

    fn merge_mapping(&mut self, pair: &Both<'_>, mapping: &Mapping, target: &Target) {
        let (hubspot, salesforce) = match mapping.values_of(pair.hubspot, pair.salesforce, target) {
            Ok(values) => values,
            Err(unfit) => return self.set_aside(mapping, &unfit),
        };
        let around = &self.view.around;
        let base = self.base.0.get(&mapping.property).cloned();
        let rule = mapping.effective_rule(target);
        let answer = merge(&Question {
            hubspot: &hubspot,
            salesforce: &salesforce,
            base: base.as_ref(),
            first: pair.first_sight || around.manual || self.base.0.is_empty(),
            rule,
            conflict: mapping.conflict,
            hubspot_at: around.hubspot_changed_at.unwrap_or(pair.hubspot.modified_at),
            salesforce_at: around.salesforce_changed_at.unwrap_or(pair.salesforce.modified_at),
        });
        let (decision, number, text) = match mapping.address_decision(&hubspot, &salesforce) {
            Some(decision) if rule != Rule::DontSync => {
                (decision, "R-076", "an address is never cleared: it is written back")
            }
            _ => (answer.decision, answer.rule, answer.text),
        };
        match decision {
            Decision::Agree => {
                let kept = base.map_or_else(
                    || Agreed::new(hubspot.clone()),
                    |base| Agreed { value: hubspot.clone(), apart: None, ..base },
                );
                self.base.0.insert(mapping.property.clone(), kept);
                self.say_of(mapping, number, decision, text);
            }
            Decision::ToHubspot | Decision::ToSalesforce => {
                let passage =
                    Passage { mapping, target, base, hubspot, salesforce, decision, rule: number, text };
                self.pass(pair, passage);
            }
            Decision::Conflict => {
                let records = vec![pair.hubspot.key, pair.salesforce.key];
                self.steps.push(Step::Conflict {
                    records,
                    property: mapping.property.clone(),
                    text: text.to_owned(),
                });
                self.say_of(mapping, number, decision, text);
            }
            Decision::Keep | Decision::SetAside | Decision::Record => {
                if rule != Rule::DontSync
                    && base.as_ref().is_none_or(|base| !base.holds(&hubspot, &salesforce))
                {
                    self.base.0.insert(mapping.property.clone(), Agreed::left_apart(hubspot, salesforce));
                }
                let (number, text) = mapping.explain_keep(target).unwrap_or((number, text));
                self.say_of(mapping, number, decision, text);
            }
        }
    }

    fn set_aside(&mut self, mapping: &Mapping, unfit: &Unfit) {
        self.say_of(mapping, unfit.rule(), Decision::SetAside, unfit.to_string());
    }

    /// Lets a value pass to the other side, unless something stands in its way.
    fn pass(&mut self, pair: &Both<'_>, passage: Passage<'_>) {
        let Passage { mapping, target, base, hubspot, salesforce, decision, rule, text } = passage;
        let to_hubspot = decision == Decision::ToHubspot;
        if to_hubspot && let Some(holder) = self.holder_of(mapping, pair.hubspot.key) {
            let text = "Salesforce moved to an address that another HubSpot contact has";
            let records = vec![pair.hubspot.key, holder];
            self.steps.push(Step::Conflict {
                records,
                property: mapping.property.clone(),
                text: text.to_owned(),
            });
            return self.say_of(mapping, "R-075", Decision::Conflict, text);
        }
        let value = if to_hubspot { salesforce } else { hubspot };
        let written = match mapping.write_form(
            &value,
            target,
            if to_hubspot { System::Hubspot } else { System::Salesforce },
        ) {
            Ok(written) => written,
            Err(unfit) => return self.set_aside(mapping, &unfit),
        };
        let now = self.view.around.now;
        let mut next =
            base.map_or_else(|| Agreed::new(value.clone()), |base| base.followed_by(value.clone(), now));
        if self.view.around.manual {
            next = Agreed { flips: 0, flipped_at: None, ..next };
        }
        if next.loops() {
            let text = "the value keeps returning to the one before: something changes it back each time";
            self.steps
                .push(Step::Hold { category: Category::Loop, text: format!("{}: {text}", mapping.property) });
            return self.say_of(mapping, rule, Decision::Conflict, text);
        }
        let (field, record, changes) = if to_hubspot {
            (&mapping.property, pair.hubspot, &mut self.to_hubspot)
        } else {
            (&target.field, pair.salesforce, &mut self.to_salesforce)
        };
        changes.push(Change {
            field: field.clone(),
            old: record.fields.get(field).cloned().unwrap_or(Value::Blank),
            new: written,
            rule,
            agrees: Some((mapping.property.clone(), next)),
        });
        self.say_of(mapping, rule, decision, text);
    }

    /// The other HubSpot contact that has the address, if this mapping is the address.
    fn holder_of(&self, mapping: &Mapping, own: RecordKey) -> Option<RecordKey> {
        self.view.around.address_holder.filter(|holder| mapping.is_address() && *holder != own)
    }

    /// Keeps each record's id on the other, and takes it from a twin that was let go.
    fn keep_ids(&mut self, pair: &Both<'_>, let_go: Option<&Record>, rules: &Rules) {
        let hubspot_id = pair.hubspot.key.id().to_string();
        let salesforce_id = pair.salesforce.key.id().to_string();
        if let Some(field) = &rules.external_id_field {
            let held_by_old = let_go.filter(|old| holds_id(old, field, &hubspot_id));
            if let Some(old) = held_by_old {
                // The field is unique: the new twin gets the id at the next look, when the old one has let it go.
                let clear = id_change(old, field, Value::Blank);
                self.steps.push(Step::Update { key: old.key, changes: vec![clear] });
            } else if lacks_id(pair.salesforce, field, &hubspot_id) {
                self.to_salesforce.push(id_change(pair.salesforce, field, Value::text(hubspot_id)));
            }
        }
        let (own, other) = rules.id_properties(pair.salesforce.key.kind());
        if let Some(property) = own.filter(|property| lacks_id(pair.hubspot, property, &salesforce_id)) {
            self.to_hubspot.push(id_change(pair.hubspot, property, Value::text(salesforce_id)));
        }
        if let Some(property) =
            other.filter(|property| pair.hubspot.fields.get(*property).is_some_and(|held| !held.is_blank()))
        {
            self.to_hubspot.push(id_change(pair.hubspot, property, Value::Blank));
        }
        for (key, changes) in [
            (pair.hubspot.key, std::mem::take(&mut self.to_hubspot)),
            (pair.salesforce.key, std::mem::take(&mut self.to_salesforce)),
        ] {
            if !changes.is_empty() {
                self.steps.push(Step::Update { key, changes });
            }
        }
    }

    fn create(&mut self, twin: &Record, kind: Kind, rules: &Rules) {
        let mut changes = Vec::new();
        for mapping in &rules.people.mappings {
            let salesforce_kind = if kind == Kind::HubspotContact { twin.key.kind() } else { kind };
            match mapping.target(salesforce_kind) {
                Some(target) => changes.extend(self.first_value(twin, kind, mapping, target)),
                None => self.say_of(
                    mapping,
                    "R-207",
                    Decision::Keep,
                    "this kind of Salesforce record has no such field",
                ),
            }
        }
        let (key_field, mark_back) = match kind {
            Kind::Lead | Kind::Contact => {
                self.fill_required(twin, kind, rules, &mut changes);
                (rules.external_id_field.as_ref(), rules.id_properties(kind).0)
            }
            Kind::HubspotContact => {
                (rules.id_properties(twin.key.kind()).0, rules.external_id_field.as_ref())
            }
        };
        if let Some(field) = key_field {
            let new = Value::text(twin.key.id().to_string());
            changes.push(Change {
                field: field.clone(),
                old: Value::Blank,
                new,
                rule: ID_RULE,
                agrees: None,
            });
        }
        self.steps.push(Step::Create { twin: twin.key, kind, changes, mark_back: mark_back.cloned() });
    }

    /// The value a new record starts with; what it does not take over is remembered as left apart.
    fn first_value(
        &mut self,
        twin: &Record,
        kind: Kind,
        mapping: &Mapping,
        target: &Target,
    ) -> Option<Change> {
        let system = kind.system();
        let rule = mapping.effective_rule(target);
        let value = match mapping.value_of(twin, target) {
            Ok(value) => value,
            Err(unfit) => {
                self.set_aside(mapping, &unfit);
                return None;
            }
        };
        let (field, schema, passes, decision) = match system {
            System::Salesforce => {
                (&target.field, &target.schema, rule.writes_salesforce(), Decision::ToSalesforce)
            }
            System::Hubspot => {
                (&mapping.property, &mapping.property_schema, rule.writes_hubspot(), Decision::ToHubspot)
            }
        };
        if !passes || !schema.createable || value.is_blank() {
            let (hubspot, salesforce) = match system {
                System::Salesforce => (value, Value::Blank),
                System::Hubspot => (Value::Blank, value),
            };
            self.base.0.insert(mapping.property.clone(), Agreed::left_apart(hubspot, salesforce));
            let text =
                if passes { "there is nothing to take over" } else { "the mapping does not write this side" };
            self.say_of(mapping, rule.number(), Decision::Keep, text);
            return None;
        }
        match mapping.write_form(&value, target, system) {
            Ok(new) => {
                self.say_of(mapping, rule.number(), decision, "the new record takes the value over");
                let agrees = Some((mapping.property.clone(), Agreed::new(value)));
                Some(Change { field: field.clone(), old: Value::Blank, new, rule: rule.number(), agrees })
            }
            Err(unfit) => {
                self.set_aside(mapping, &unfit);
                None
            }
        }
    }

    /// Fills what Salesforce requires and HubSpot does not hold.
    fn fill_required(&mut self, twin: &Record, kind: Kind, rules: &Rules, changes: &mut Vec<Change>) {
        let address = address_of(twin).unwrap_or_default();
        let (local_part, domain) = address.split_once('@').unwrap_or((&address, ""));
        let company = if domain.is_empty() { COMPANY_NOT_PROVIDED } else { domain };
        let fills = [
            ("LastName", local_part, "the last name is missing and filled from the address", true),
            ("Company", company, "the company is missing and filled from the address", kind == Kind::Lead),
        ];
        for (field, filling, text, wanted) in fills {
            let mapping = rules
                .people
                .mappings
                .iter()
                .find(|mapping| mapping.target(kind).is_some_and(|target| target.field == field));
            let required =
                mapping.and_then(|mapping| mapping.target(kind)).is_none_or(|target| target.schema.required);
            if !wanted || !required || changes.iter().any(|change| change.field == field) {
                continue;
            }
            self.why.push(Why {
                rule: "R-202",
                property: None,
                decision: Decision::Record,
                text: text.to_owned(),
            });
            if let Some(mapping) = mapping {
                let apart = Agreed::left_apart(Value::Blank, Value::text(filling));
                self.base.0.insert(mapping.property.clone(), apart);
            }
            let new = Value::text(filling);
            changes.push(Change {
                field: field.to_owned(),
                old: Value::Blank,
                new,
                rule: "R-202",
                agrees: None,
            });
        }
    }
}

/// A value on its way.
struct Passage<'a> {
    mapping: &'a Mapping,
    target: &'a Target,
    base: Option<Agreed>,
    hubspot: Value,
    salesforce: Value,
    decision: Decision,
    rule: &'static str,
    text: &'static str,
}

fn holds_id(record: &Record, field: &str, id: &str) -> bool {
    record.fields.get(field).and_then(Value::as_text).as_deref() == Some(id)
}

/// Whether a field that was read holds something else than the id. A field that was not read does not exist.
fn lacks_id(record: &Record, field: &str, id: &str) -> bool {
    record.fields.contains_key(field) && !holds_id(record, field, id)
}

fn id_change(record: &Record, field: &str, new: Value) -> Change {
    let old = record.fields.get(field).cloned().unwrap_or(Value::Blank);
    Change { field: field.to_owned(), old, new, rule: ID_RULE, agrees: None }
}

impl Agreed {
    /// Whether the sides hold exactly what they held.
    fn holds(&self, hubspot: &Value, salesforce: &Value) -> bool {
        self.hubspot() == hubspot && self.salesforce() == salesforce
    }
}
