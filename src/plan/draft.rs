//! A plan in the making: what every family does alike once it is known who belongs to whom.
//!
//! One merge for each mapping (`passing`), then the ids that each side keeps of the other; or the first values of a new record.

use std::collections::BTreeMap;

use crate::domain::{Family, Kind, Record, RecordKey, System, Value};
use crate::plan::mapping::{Mapping, Meaning, Target};
use crate::plan::normal::Unfit;
use crate::plan::persons::{account_behind, fitted};
use crate::plan::values::Words;
use crate::plan::verdict::{Pairing, Verdict};
use crate::plan::{
    Agreed, Base, Category, Change, Decision, Plan, Rules, SetAside, Side, State, Step, View, Why, competing,
};

/// The rule under which our own id fields are kept.
const ID_RULE: &str = "R-065";

/// When a record is looked at again of which it cannot be told yet who it belongs to.
const WAIT_MS: i64 = 60_000;

/// Both records of a pair.
pub(super) struct Both<'a> {
    pub(super) hubspot: &'a Record,
    pub(super) salesforce: &'a Record,
    /// Whether nothing was ever agreed between the two.
    pub(super) first_sight: bool,
    /// Which of the two took the place of a record that was merged or converted, if one did.
    pub(super) successors: Successors,
}

/// Which records of a pair took the place of one that is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Successors {
    /// The HubSpot record came of a merge.
    pub(super) hubspot: bool,
    /// The Salesforce record is what the former one was merged or converted into.
    pub(super) salesforce: bool,
    /// It is a contact that came of a lead: its checkboxes begin unticked.
    pub(super) converted: bool,
}

impl<'a> Both<'a> {
    /// Two records of a view; `heir` says that the Salesforce record takes over what was agreed with the one before.
    pub(super) fn of(
        view: &View,
        hubspot: &'a Record,
        salesforce: &'a Record,
        (new, heir): (bool, bool),
    ) -> Self {
        let converted = heir && matches!(view.salesforce, Side::Converted);
        let successors = Successors { hubspot: view.around.hubspot_succeeds, salesforce: heir, converted };
        Self { hubspot, salesforce, first_sight: new && !heir, successors }
    }

    /// Whether a record that took another one's place holds no value of its own: then it never had one, and clears nothing.
    /// What we fill in is no value. A person's opt-out goes with them, so a box that is not ticked says nothing either.
    pub(super) fn successor_holds_nothing(
        &self,
        mapping: &Mapping,
        (hubspot, salesforce): (&Value, &Value),
        agreed: Option<&Agreed>,
    ) -> bool {
        let Successors { hubspot: of_hubspot, salesforce: of_salesforce, converted } = self.successors;
        let unticked = *salesforce == Value::Flag(false) && (converted || mapping.meaning == Meaning::OptOut);
        let stays_in = *hubspot == Value::Flag(false) && mapping.meaning == Meaning::OptOut;
        // What a person cleared on the other side was the value of the record before, not the one that the successor brings.
        let brings = |value: &Value, before: fn(&Agreed) -> &Value| {
            !value.is_blank() && agreed.is_some_and(|agreed| before(agreed) != value)
        };
        let of_hubspot = of_hubspot
            && (hubspot.is_blank() || stays_in || salesforce.is_blank() && brings(hubspot, Agreed::hubspot));
        let of_salesforce = of_salesforce
            && (salesforce.is_blank()
                || unticked
                || mapping.is_filled_in(salesforce, self.salesforce)
                || hubspot.is_blank() && brings(salesforce, Agreed::salesforce));
        of_hubspot || of_salesforce
    }
}

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View,
    pub(super) rules: &'a Rules,
    pub(super) steps: Vec<Step>,
    pub(super) base: Base,
    pub(super) family: Family,
    pub(super) to_hubspot: Vec<Change>,
    pub(super) to_salesforce: Vec<Change>,
    pub(super) contested: Vec<String>,
    /// What was set aside when this was last looked at, by property.
    pub(super) known_asides: BTreeMap<String, SetAside>,
    why: Vec<Why>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: &'a View, rules: &'a Rules, family: Family) -> Self {
        let mut base = view.pair.as_ref().map(|pair| pair.base.clone()).unwrap_or_default();
        if let (true, Side::Present(survivor)) = (view.around.hubspot_succeeds, &view.hubspot) {
            forget_what_it_never_held(&mut base, survivor, (view, rules));
        }
        let known_asides: BTreeMap<String, SetAside> =
            base.set_aside().map(|(property, aside)| (property.clone(), aside.clone())).collect();
        Self {
            view,
            rules,
            known_asides,
            steps: Vec::new(),
            base,
            family,
            why: Vec::new(),
            contested: Vec::new(),
            to_hubspot: Vec::new(),
            to_salesforce: Vec::new(),
        }
    }

    /// Says something of the record as a whole.
    pub(super) fn say(&mut self, rule: &'static str, text: impl Into<String>) {
        self.why.push(Why { rule, property: None, decision: Decision::Record, text: text.into() });
    }

    pub(super) fn say_of(
        &mut self,
        mapping: &Mapping,
        rule: &'static str,
        decision: Decision,
        text: impl Into<String>,
    ) {
        self.why.push(Why { rule, property: Some(mapping.property.clone()), decision, text: text.into() });
    }

    pub(super) fn finish(self, state: State) -> Plan {
        let conflict = self.steps.iter().any(|step| matches!(step, Step::Conflict { .. }));
        let state = if conflict { State::Conflict } else { state };
        Plan { steps: self.steps, why: self.why, state, base: self.base, contested: self.contested }
    }

    /// Carries out a verdict that neither pairs nor creates.
    pub(super) fn rest(mut self, pairing: Pairing<'_>) -> Plan {
        let text = pairing.text;
        match pairing.verdict {
            Verdict::Delete(twin) => {
                let other = match twin.key.system() {
                    System::Hubspot => "HubSpot",
                    System::Salesforce => "Salesforce",
                };
                let reason = format!("{text}, and the {other} record with it");
                self.steps.push(Step::Delete { key: twin.key, rule: pairing.rule, reason });
                self.finish(State::Stopped)
            }
            Verdict::Ambiguous => {
                let text = text.into_owned();
                self.steps.push(Step::Hold { category: Category::Ambiguous, text });
                self.finish(State::Ambiguous)
            }
            Verdict::Held if self.view.pair.is_none() => {
                let text = text.into_owned();
                self.steps.push(Step::Hold { category: Category::Duplicate, text });
                self.finish(State::Stopped)
            }
            Verdict::Wait => {
                let at = self.view.around.now.plus_millis(WAIT_MS);
                self.steps.push(Step::Postpone { at });
                self.finish(State::Linked)
            }
            Verdict::Nothing(state) => self.finish(state),
            Verdict::Stop | Verdict::Held | Verdict::Pair { .. } | Verdict::Create { .. } => {
                self.steps.push(Step::Stop { reason: text.into_owned() });
                self.finish(State::Stopped)
            }
        }
    }

    /// Merges a pair, linking it first where memory does not know it yet.
    pub(super) fn pair(&mut self, pair: &Both<'_>, (new, let_go): (bool, Option<&Record>)) {
        if new {
            if pair.first_sight {
                self.base = competing::carried_over(&self.base, pair.salesforce.key, let_go, self.rules);
                if self.view.pair.is_some() {
                    competing::count_as_linked(&mut self.base, self.view.around.now);
                }
            }
            self.steps.push(Step::Link { hubspot: pair.hubspot.key, salesforce: pair.salesforce.key });
        }
        // A stopped pair keeps its set-aside values. Those of a pair that is compared are determined again.
        for property in self.known_asides.keys() {
            self.base.put_aside(property, None);
        }
        for mapping in self.rules.mappings(self.family) {
            match mapping.target(pair.salesforce.key.kind()) {
                Some(target) => self.merge_mapping(pair, mapping, &fitted(target, pair.salesforce)),
                None => self.no_such_field(mapping),
            }
        }
        if self.family == Family::People {
            let known = self.view.pair.as_ref().filter(|_| !pair.first_sight).map(|known| known.base.clone());
            let known = known.unwrap_or_default();
            competing::remember_edit(&mut self.base, pair.salesforce, &known, self.rules);
        }
        self.carry_opt_out(pair);
        self.keep_ids(pair, let_go);
    }

    pub(super) fn no_such_field(&mut self, mapping: &Mapping) {
        let text = "this kind of Salesforce record has no such field";
        self.say_of(mapping, "R-207", Decision::Keep, text);
    }

    /// Keeps each record's id on the other, and takes it from a twin that was let go.
    fn keep_ids(&mut self, pair: &Both<'_>, let_go: Option<&Record>) {
        let hubspot_id = pair.hubspot.key.id().to_string();
        let salesforce_id = pair.salesforce.key.id().to_string();
        if let Some(field) = &self.rules.external_id_field {
            let held_by_old = let_go.filter(|old| holds_id(old, field, &hubspot_id));
            if let Some(old) = held_by_old {
                // The field is unique: the new twin gets the id at the next look, when the old one has let it go.
                let clear = id_change(old, field, Value::Blank);
                self.steps.push(update(old, vec![clear]));
                self.steps.push(Step::Look { key: pair.hubspot.key });
            } else if lacks_id(pair.salesforce, field, &hubspot_id) {
                self.to_salesforce.push(id_change(pair.salesforce, field, Value::text(hubspot_id)));
            }
        }
        let (own, other) = self.rules.id_properties(pair.salesforce.key.kind());
        if let Some(property) = own.filter(|property| lacks_id(pair.hubspot, property, &salesforce_id)) {
            self.to_hubspot.push(id_change(pair.hubspot, property, Value::text(salesforce_id)));
        }
        if let Some(property) =
            other.filter(|property| pair.hubspot.fields.get(*property).is_some_and(|held| !held.is_blank()))
        {
            self.to_hubspot.push(id_change(pair.hubspot, property, Value::Blank));
        }
        for (record, changes) in [
            (pair.hubspot, std::mem::take(&mut self.to_hubspot)),
            (pair.salesforce, std::mem::take(&mut self.to_salesforce)),
        ] {
            if !changes.is_empty() {
                self.steps.push(update(record, changes));
            }
        }
    }

    /// The values a new record starts with.
    pub(super) fn first_values(&mut self, twin: &Record, kind: Kind) -> Vec<Change> {
        self.base = Base::default();
        let mut changes = Vec::new();
        for mapping in self.rules.mappings(self.family) {
            let salesforce_kind = if kind.system() == System::Hubspot { twin.key.kind() } else { kind };
            match mapping.target(salesforce_kind) {
                Some(target) => changes.extend(self.first_value(twin, kind, mapping, target)),
                None => self.no_such_field(mapping),
            }
        }
        changes
    }

    /// Creates a record with these values and the key that makes a repetition harmless.
    pub(super) fn create(&mut self, twin: &Record, kind: Kind, changes: Vec<Change>, contacts: &[RecordKey]) {
        // What HubSpot keeps as relations and by address is told by calls of its own.
        let (special, mut changes): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(|change| {
            kind.system() == System::Hubspot
                && matches!(self.meaning_of(&change.field), Meaning::Company | Meaning::OptOut)
        });
        let mut related = contacts.to_vec();
        for change in special {
            if self.meaning_of(&change.field) == Meaning::OptOut {
                let address = address_in(twin).unwrap_or_default();
                self.steps.push(Step::OptOut { key: twin.key, address, change });
            } else {
                let company = change.new.as_text().and_then(|id| RecordKey::parse(Kind::Company, &id).ok());
                related.extend(company);
                self.base.extend(change.agrees);
            }
        }
        let (key_field, mark_back) = match kind.system() {
            System::Salesforce => (self.rules.external_id_field.as_ref(), self.rules.id_properties(kind).0),
            System::Hubspot => {
                (self.rules.id_properties(twin.key.kind()).0, self.rules.external_id_field.as_ref())
            }
        };
        let key = key_field.map(|field| Change {
            field: field.clone(),
            old: Value::Blank,
            new: Value::text(twin.key.id().to_string()),
            rule: ID_RULE,
            agrees: None,
        });
        changes.extend(key);
        self.steps.push(Step::Create {
            twin: twin.key,
            kind,
            changes,
            related,
            mark_back: mark_back.cloned(),
            through: account_behind(twin),
        });
    }

    fn meaning_of(&self, property: &str) -> Meaning {
        let mappings = self.rules.mappings(self.family);
        mappings
            .iter()
            .find(|mapping| mapping.property == property)
            .map(|mapping| mapping.meaning)
            .unwrap_or_default()
    }

    /// The value a new record starts with; what it does not take over is remembered as left apart.
    fn first_value(&mut self, twin: &Record, kind: Kind, mapping: &Mapping, target: &Target) -> Vec<Change> {
        let system = kind.system();
        let rule = mapping.effective_rule(target);
        let value = match mapping.value_of(twin, target, self.words()) {
            Ok(value) => value,
            Err(unfit) => {
                self.set_aside((mapping, target), (&unfit, system));
                return Vec::new();
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
        let mirrored =
            system == System::Hubspot && matches!(mapping.meaning, Meaning::Company | Meaning::OptOut);
        let nothing = value.is_blank() || (mapping.meaning == Meaning::OptOut && value == Value::Flag(false));
        if !passes || nothing || !(schema.createable || mirrored) {
            let text =
                if passes { "there is nothing to take over" } else { "the mapping does not write this side" };
            self.say_of(mapping, rule.number(), Decision::Keep, text);
            self.keep_to_itself(mapping, value, system);
            return Vec::new();
        }
        match mapping.write_form(&value, target, system, self.words()) {
            Ok(new) => {
                self.say_of(mapping, rule.number(), decision, "the new record takes the value over");
                self.remains_open(mapping);
                let agrees = Some((mapping.property.clone(), Agreed::new(value.clone())));
                let change =
                    Change { field: field.clone(), old: Value::Blank, new, rule: rule.number(), agrees };
                if mapping.meaning == Meaning::Stage && system == System::Hubspot {
                    return self.stage_changes(&value, None, change);
                }
                vec![change]
            }
            Err(unfit @ (Unfit::NoUser | Unfit::NoOwner | Unfit::Waiting)) => {
                self.say_of(mapping, unfit.rule(), Decision::Keep, unfit.to_string());
                let waits = unfit == Unfit::Waiting;
                if waits {
                    let kind = if system == System::Hubspot { Kind::Account } else { Kind::Company };
                    let name = if system == System::Hubspot { &target.field } else { &mapping.property };
                    let id = twin.fields.get(name).and_then(Value::as_text);
                    let key = id.and_then(|id| RecordKey::parse(kind, &id).ok());
                    self.steps.extend(key.map(|key| Step::Look { key }));
                }
                // An account keeps its own name when it arrives, so that nothing may be agreed on before.
                if waits && system == System::Hubspot {
                    self.remains_open(mapping);
                } else {
                    self.keep_to_itself(mapping, value.clone(), system);
                }
                self.name_owners_aside((mapping, target), (&unfit, system), (&Value::Blank, &value));
                Vec::new()
            }
            Err(unfit) => {
                self.set_aside((mapping, target), (&unfit, system));
                Vec::new()
            }
        }
    }

    /// Remembers that the new record in `system` does not hold what its twin does.
    pub(super) fn keep_to_itself(&mut self, mapping: &Mapping, value: Value, system: System) {
        let blank = if mapping.meaning == Meaning::OptOut { Value::Flag(false) } else { Value::Blank };
        let (hubspot, salesforce) = match system {
            System::Salesforce => (value, blank),
            System::Hubspot => (blank, value),
        };
        self.base.insert(&mapping.property, Agreed::left_apart(hubspot, salesforce));
    }
}

/// A HubSpot record that came of a merge and holds nothing in a property never had a value there: what was agreed with the record before
/// says nothing of it, also where nothing passes yet.
fn forget_what_it_never_held(base: &mut Base, survivor: &Record, (view, rules): (&View, &Rules)) {
    let words = Words { rules, links: &view.around.links };
    for mapping in rules.mappings(survivor.key.kind().family()) {
        let Some(target) = mapping.targets.values().next() else { continue };
        let held = mapping.value_of(survivor, target, words);
        let stays_in = mapping.meaning == Meaning::OptOut && held == Ok(Value::Flag(false));
        let holds_nothing = held.is_ok_and(|held| held.is_blank()) || stays_in;
        let was_agreed = base.get(&mapping.property).is_some_and(|agreed| !agreed.hubspot().is_blank());
        if holds_nothing && was_agreed {
            base.insert(&mapping.property, Agreed::pending());
        }
    }
}

/// A change of one record.
pub(super) fn update(record: &Record, changes: Vec<Change>) -> Step {
    Step::Update { key: record.key, through: account_behind(record), changes }
}

/// The address of a person's record.
pub(super) fn address_in(record: &Record) -> Option<String> {
    super::pairing::address_of(record)
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

/// Whether a record names an owner that neither directory knows.
pub fn names_stranger(view: &View, rules: &Rules) -> bool {
    let stranger = |side: &Side, field: &str| match side {
        Side::Present(record) => {
            let owner = record.fields.get(field).and_then(Value::as_text);
            owner.is_some_and(|owner| !rules.owners.knows(&owner))
        }
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => false,
    };
    let mut owners = rules.mappings(view.family()).iter().filter(|mapping| mapping.meaning == Meaning::Owner);
    owners.any(|mapping| {
        let mut targets = mapping.targets.values();
        stranger(&view.hubspot, &mapping.property)
            || targets.any(|target| stranger(&view.salesforce, &target.field))
    })
}
