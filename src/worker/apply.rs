//! Carrying out plans, in batches, without a choice left.
//!
//! Every write is recorded as an intent before its call (I7). Writes go out in at most three waves, each one batched call or a
//! few of them a CRM: all writes; those that a CRM refused because of named fields, without these fields; and the ids of
//! new records, written back to the records they were made for.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::crm::{self, FieldsByKind, Refusal, Write, Written};
use crate::domain::{Fields, Kind, RecordKey, System, Timestamp, Value};
use crate::plan::rules::LIFECYCLE_PROPERTY;
use crate::plan::stored::Answered;
use crate::plan::{Category, Change, Plan, Rules, Step, fields_of};
use crate::store::Store;
use crate::store::types::{Cause, Claimed, Intent, Settled};
use crate::worker::Error;
use crate::worker::connection::{Live, fields_to_read};
use crate::worker::gather::key_of;
use crate::worker::leases::Leases;

/// The fields by which people are known, in both CRMs.
const ADDRESS_FIELDS: [&str; 2] = ["email", "Email"];

/// What the audit calls the deletion of a record.
pub(super) const DELETED: &str = "(deleted)";

/// The rule under which our own id fields are kept.
const ID_RULE: &str = "R-065";

/// What carrying out one plan came to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// The changes that are written.
    pub(super) written: Vec<Change>,
    /// The record that was created, or found to exist under our key.
    pub(super) created: Option<RecordKey>,
    /// Whether the record that was to be deleted is gone.
    pub(super) deleted: bool,
    /// Fields that a CRM refused while it took the rest.
    pub(super) set_aside: Option<Refusal>,
    /// The first failure.
    pub(super) failed: Option<(System, crm::Error)>,
    /// What became of the intents.
    pub(super) settled: Vec<(Uuid, Settled)>,
    /// What was stored, record by record, where the answers tell.
    pub(super) stored: Vec<WrittenRecord>,
}

/// A record that was written, and what its CRM stored.
#[derive(Debug)]
pub(super) struct WrittenRecord {
    key: RecordKey,
    changes: Vec<Change>,
    intents: Vec<(Uuid, String)>,
    fields: Fields,
}

impl WrittenRecord {
    /// For the planner, which compares.
    pub(super) fn answered(&self) -> Answered<'_> {
        Answered { key: self.key, changes: &self.changes, stored: &self.fields }
    }

    /// The intents of the fields that hold something else than they were sent, with that.
    pub(super) fn corrected<'a>(
        &'a self,
        instead: &'a BTreeMap<String, Value>,
    ) -> impl Iterator<Item = (Uuid, &'a Value)> {
        self.intents.iter().filter_map(|(id, field)| Some((*id, instead.get(field)?)))
    }
}

/// A plan, and the claim it is for.
pub(super) type Assignment<'a> = (&'a Plan, &'a Claimed);

/// Carries out the plans, one outcome for each. Of a claim whose lease was lost, nothing more is written.
pub(super) async fn apply(
    live: &Live,
    (store, leases): (&dyn Store, &Leases<'_>),
    rules: &Rules,
    plans: &[Assignment<'_>],
    now: Timestamp,
) -> Result<Vec<Applied>, Error> {
    let mut applied: Vec<Applied> = plans.iter().map(|_| Applied::default()).collect();
    let fields = fields_to_read(rules);
    let waves = Waves { live, store, leases, plans, fields: &fields };
    let refused = waves.send(first_orders(rules, plans, now), &mut applied).await?;
    waves.send(refused, &mut applied).await?;
    waves.send(mark_backs(plans, &applied, now), &mut applied).await?;
    Ok(applied)
}

/// What every wave of writes needs.
struct Waves<'a> {
    live: &'a Live,
    store: &'a dyn Store,
    leases: &'a Leases<'a>,
    plans: &'a [Assignment<'a>],
    fields: &'a FieldsByKind,
}

impl Waves<'_> {
    /// Records the writes, sends them and notes the answers; returns those to try once more without the fields a CRM named.
    async fn send(&self, mut orders: Vec<Order>, applied: &mut [Applied]) -> Result<Vec<Order>, Error> {
        if orders.is_empty() {
            return Ok(orders);
        }
        // Whoever took a lease over has read the records anew, and plans by what they are now.
        self.leases.insist().await?;
        orders.retain(|order| self.leases.hold(self.plans[order.place].1));
        record_intents(self.live, self.store, &orders).await?;
        let answers = send(self.live, &orders, self.fields).await;
        Ok(settle(orders, answers, applied))
    }
}

/// One write, for the plan at `place`.
struct Order {
    place: usize,
    write: Write,
    changes: Vec<Change>,
    intents: Vec<Intent>,
    /// Whether this is the second attempt, without refused fields.
    reduced: bool,
}

impl Order {
    fn new(place: usize, write: Write, changes: Vec<Change>, origin: &Origin) -> Self {
        let intents = changes.iter().map(|change| origin.intent(change)).collect();
        Self { place, write, changes, intents, reduced: false }
    }

    const fn system(&self) -> System {
        self.write.system()
    }
}

/// Where a write comes from, for its audit rows.
struct Origin {
    at: Timestamp,
    key: RecordKey,
    creates: Option<Kind>,
    cause: Cause,
}

impl Origin {
    fn intent(&self, change: &Change) -> Intent {
        Intent {
            id: Uuid::now_v7(),
            at: self.at,
            key: self.key,
            creates: self.creates,
            field: change.field.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            rule: change.rule.to_owned(),
            cause: self.cause,
        }
    }
}

fn first_orders(rules: &Rules, plans: &[Assignment<'_>], now: Timestamp) -> Vec<Order> {
    let mut orders = Vec::new();
    for (place, (plan, claimed)) in plans.iter().enumerate() {
        let cause = claimed.cause();
        for step in &plan.steps {
            match step {
                Step::Create { twin, kind, changes, related, .. } => {
                    let unique = unique_field((*kind, twin.kind()), rules)
                        .filter(|unique| changes.iter().any(|change| change.field == *unique));
                    let (fields, related) = (fields_of(changes), related.clone());
                    let write = Write::Create { kind: *kind, fields, unique, related };
                    let origin = Origin { at: now, key: *twin, creates: Some(*kind), cause };
                    orders.push(Order::new(place, write, changes.clone(), &origin));
                }
                Step::Update { key, through, changes } => {
                    // Only what a mapping agrees on may go back: opportunities and companies move a stage forward.
                    let moves_forward =
                        |change: &Change| change.field == LIFECYCLE_PROPERTY && change.agrees.is_none();
                    let stage_back = !changes.iter().any(moves_forward);
                    let (through, fields) = (*through, fields_of(changes));
                    let write = Write::Update { key: *key, through, fields, stage_back };
                    let origin = Origin { at: now, key: *key, creates: None, cause };
                    orders.push(Order::new(place, write, changes.clone(), &origin));
                }
                Step::Delete { key, rule, .. } => {
                    let (old, new) = (Value::Flag(false), Value::Flag(true));
                    let change = Change { field: DELETED.to_owned(), old, new, rule, agrees: None };
                    let origin = Origin { at: now, key: *key, creates: None, cause };
                    orders.push(Order::new(place, Write::Delete { key: *key }, vec![change], &origin));
                }
                Step::Relate { from, to, change } => {
                    let write = Write::Relate { from: *from, to: *to };
                    let origin = Origin { at: now, key: *from, creates: None, cause };
                    orders.push(Order::new(place, write, vec![change.clone()], &origin));
                }
                Step::OptOut { key, address, change } => {
                    let write = Write::OptOut { key: *key, address: address.clone() };
                    let origin = Origin { at: now, key: *key, creates: None, cause };
                    orders.push(Order::new(place, write, vec![change.clone()], &origin));
                }
                Step::Link { .. }
                | Step::Look { .. }
                | Step::Postpone { .. }
                | Step::Stop { .. }
                | Step::Conflict { .. }
                | Step::Hold { .. } => {}
            }
        }
    }
    orders
}

/// The field that makes a create of this kind, for a twin of that one, repeatable. HubSpot contacts are unique by their address.
fn unique_field((kind, twin): (Kind, Kind), rules: &Rules) -> Option<String> {
    match kind {
        Kind::HubspotContact => None,
        Kind::Company | Kind::Deal => rules.id_properties(twin).0.cloned(),
        Kind::Lead | Kind::Contact | Kind::Account | Kind::Opportunity => rules.external_id_field.clone(),
    }
}

async fn record_intents(live: &Live, store: &dyn Store, orders: &[Order]) -> Result<(), Error> {
    let intents: Vec<Intent> = orders.iter().flat_map(|order| order.intents.iter().cloned()).collect();
    Ok(store.intend(&live.settings.name, &intents).await?)
}

/// Sends the writes to both CRMs at once; one answer for each, in their order.
async fn send(live: &Live, orders: &[Order], fields: &FieldsByKind) -> Vec<Result<Written, crm::Error>> {
    let of = |system: System| -> Vec<Write> {
        orders.iter().filter(|order| order.system() == system).map(|order| order.write.clone()).collect()
    };
    let (to_hubspot, to_salesforce) = (of(System::Hubspot), of(System::Salesforce));
    let (from_hubspot, from_salesforce) = futures::join!(
        write_some(live, System::Hubspot, &to_hubspot, fields),
        write_some(live, System::Salesforce, &to_salesforce, fields),
    );
    let (mut from_hubspot, mut from_salesforce) = (from_hubspot.into_iter(), from_salesforce.into_iter());
    let answer = |order: &Order| match order.system() {
        System::Hubspot => from_hubspot.next(),
        System::Salesforce => from_salesforce.next(),
    };
    let missing = || Err(crm::Error::Unexpected { text: "fewer answers than writes".to_owned() });
    orders.iter().map(answer).map(|answer| answer.unwrap_or_else(missing)).collect()
}

async fn write_some(
    live: &Live,
    system: System,
    writes: &[Write],
    fields: &FieldsByKind,
) -> Vec<Result<Written, crm::Error>> {
    if writes.is_empty() { Vec::new() } else { live.crm(system).write(writes, fields).await }
}

/// Notes the answers; returns the writes to try once more without the fields a CRM named.
fn settle(
    orders: Vec<Order>,
    answers: Vec<Result<Written, crm::Error>>,
    applied: &mut [Applied],
) -> Vec<Order> {
    let mut again = Vec::new();
    for (mut order, answer) in orders.into_iter().zip(answers) {
        let outcome = &mut applied[order.place];
        let system = order.system();
        match answer {
            Ok(written) => note_written(order, written, outcome),
            Err(crm::Error::Refused(refusal)) => {
                let intents: Vec<Uuid> = order.intents.iter().map(|intent| intent.id).collect();
                outcome.settled.extend(intents.into_iter().map(|id| (id, Settled::NotWritten)));
                if order.reduce(&refusal) {
                    outcome.set_aside = Some(refusal);
                    again.push(order);
                } else {
                    // Where it fails without the refused fields as well, the first refusal is what a person must mend.
                    let earlier = if order.reduced { outcome.set_aside.take() } else { None };
                    let first = earlier.unwrap_or(refusal);
                    outcome.failed = Some((system, first.into()));
                }
            }
            // Whether it happened is not known: the intents stay open, and the next view of the record tells.
            Err(error) => outcome.failed = Some((system, error)),
        }
    }
    again
}

fn note_written(order: Order, written: Written, outcome: &mut Applied) {
    let (record, key) = match &order.write {
        Write::Create { kind, .. } => {
            outcome.created = key_of(*kind, written.id);
            (outcome.created, outcome.created)
        }
        Write::Update { key, .. } => (None, Some(*key)),
        Write::Relate { .. } | Write::OptOut { .. } => (None, None),
        Write::Delete { .. } => {
            outcome.deleted = true;
            (None, None)
        }
    };
    if let Some(key) = key.filter(|_| !written.stored.is_empty()) {
        let intents = order.intents.iter().map(|intent| (intent.id, intent.field.clone())).collect();
        let (changes, fields) = (order.changes.clone(), written.stored);
        outcome.stored.push(WrittenRecord { key, changes, intents, fields });
    }
    outcome.settled.extend(order.intents.iter().map(|intent| (intent.id, Settled::written(record))));
    outcome.written.extend(order.changes);
}

impl Order {
    /// Takes the refused fields out. Returns whether there is anything left worth another attempt.
    fn reduce(&mut self, refusal: &Refusal) -> bool {
        // Salesforce takes no state without its country.
        let states: Vec<String> = refusal
            .fields
            .iter()
            .filter(|field| field.ends_with("Country"))
            .map(|field| field.replace("Country", "State"))
            .collect();
        let refused: BTreeSet<&str> = refusal.fields.iter().chain(&states).map(String::as_str).collect();
        let before = self.changes.len();
        self.changes.retain(|change| !refused.contains(change.field.as_str()));
        if self.reduced
            || self.changes.is_empty()
            || self.changes.len() == before
            || self.loses_its_key(&refused)
        {
            return false;
        }
        if let Write::Create { fields, .. } | Write::Update { fields, .. } = &mut self.write {
            *fields = fields_of(&self.changes);
        }
        let kept = std::mem::take(&mut self.intents)
            .into_iter()
            .filter(|intent| !refused.contains(intent.field.as_str()));
        self.intents = kept.map(|intent| Intent { id: Uuid::now_v7(), ..intent }).collect();
        self.reduced = true;
        true
    }
}

impl Order {
    /// Whether a create without these fields could not be recognised when it is repeated.
    fn loses_its_key(&self, refused: &BTreeSet<&str>) -> bool {
        match &self.write {
            Write::Create { unique, .. } => {
                ADDRESS_FIELDS.iter().copied().chain(unique.as_deref()).any(|key| refused.contains(key))
            }
            Write::Update { .. } | Write::Delete { .. } | Write::Relate { .. } | Write::OptOut { .. } => {
                false
            }
        }
    }
}

/// The ids of new records, to be written to the records they were made for.
fn mark_backs(plans: &[Assignment<'_>], applied: &[Applied], now: Timestamp) -> Vec<Order> {
    let mut orders = Vec::new();
    for (place, ((plan, claimed), outcome)) in plans.iter().zip(applied).enumerate() {
        let Some(created) = outcome.created else { continue };
        for step in &plan.steps {
            let Step::Create { twin, mark_back: Some(field), through, .. } = step else { continue };
            let new = Value::text(created.id().to_string());
            let change = Change { field: field.clone(), old: Value::Blank, new, rule: ID_RULE, agrees: None };
            let fields = fields_of(std::slice::from_ref(&change));
            let write = Write::Update { key: *twin, through: *through, fields, stage_back: false };
            let origin = Origin { at: now, key: *twin, creates: None, cause: claimed.cause() };
            orders.push(Order::new(place, write, vec![change], &origin));
        }
    }
    orders
}

impl Applied {
    /// The first failure.
    pub(super) fn error(&mut self) -> Option<(System, &mut crm::Error)> {
        self.failed.as_mut().map(|(system, error)| (*system, error))
    }

    /// Whether a CRM said that a field is not there (any more): the schemas must be read again.
    pub(super) fn lacks_a_field(&self) -> bool {
        let lacks = |refusal: &Refusal| refusal.category == Category::FieldPermission;
        let failed = match &self.failed {
            Some((_, crm::Error::Refused(refusal))) => lacks(refusal),
            _ => false,
        };
        failed || self.set_aside.as_ref().is_some_and(lacks)
    }

    /// What a step writes: the kind of record and the operation's name in the metrics.
    pub(super) const fn operation_of(step: &Step) -> Option<(Kind, &'static str)> {
        match step {
            Step::Create { kind, .. } => Some((*kind, "create")),
            Step::Update { key, .. } => Some((key.kind(), "update")),
            Step::Delete { key, .. } => Some((key.kind(), "delete")),
            Step::Relate { from, .. } => Some((from.kind(), "relate")),
            Step::OptOut { key, .. } => Some((key.kind(), "opt_out")),
            Step::Link { .. }
            | Step::Look { .. }
            | Step::Postpone { .. }
            | Step::Stop { .. }
            | Step::Conflict { .. }
            | Step::Hold { .. } => None,
        }
    }
}
