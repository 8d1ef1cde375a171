//! From outcomes to what memory keeps: pure translation, committed by the round in one transaction.

use std::collections::HashMap;

use uuid::Uuid;

use crate::crm::{self, Refusal};
use crate::domain::{Kind, Record, RecordKey, System, Timestamp, Value};
use crate::plan::retry::{self, Failure, Next};
use crate::plan::stored::{Stored, as_stored};
use crate::plan::{Base, Category, Pair, Plan, Rules, Side, State, Step, View, landed};
use crate::store::types::{Claimed, Conflict, Finished, Intent, Outcome, Settled};
use crate::worker::apply::{Applied, DELETED, WrittenRecord};

/// What becomes of a claim, and whether the connection must stop.
pub(super) struct Conclusion {
    pub(super) finished: Finished,
    /// Why the connection may not go on: a CRM refuses our credentials.
    pub(super) unauthorized: Option<String>,
}

/// A claim given back untouched.
pub(super) fn released(claimed: &Claimed) -> Finished {
    Finished {
        jobs: claimed.jobs.iter().map(|job| (job.id, job.dirty)).collect(),
        outcome: Outcome::Release,
        states: Vec::new(),
        pair: None,
        released: claimed.records(),
        conflicts: Vec::new(),
        conflicts_settled: Vec::new(),
        settled: Vec::new(),
        looks: Vec::new(),
        cause: claimed.cause().id(),
    }
}

/// A claim to be worked once more.
pub(super) fn given_back(claimed: &Claimed) -> Conclusion {
    Conclusion { finished: released(claimed), unauthorized: None }
}

/// A claim of records that by the settings nobody looks at.
pub(super) fn passed_over(claimed: &Claimed) -> Finished {
    Finished {
        outcome: Outcome::Done,
        states: claimed.jobs.iter().map(|job| (job.key, State::Excluded)).collect(),
        ..echoed(claimed)
    }
}

/// A claim that needs no look at the records: every message told of our own writes only, or of what is not mapped.
pub(super) fn echoed(claimed: &Claimed) -> Finished {
    Finished { outcome: Outcome::Done, pair: claimed.pair.clone(), ..released(claimed) }
}

/// A claim whose records could not be read.
pub(super) fn unread(claimed: &Claimed, system: System, error: &crm::Error, now: Timestamp) -> Conclusion {
    let (outcome, unauthorized) = after_failure(system, error, claimed, now);
    let states = match outcome {
        Outcome::Park { .. } => claimed.jobs.iter().map(|job| (job.key, State::Failed)).collect(),
        Outcome::Done | Outcome::Retry { .. } | Outcome::Release | Outcome::Postpone { .. } => Vec::new(),
    };
    Conclusion { finished: Finished { outcome, states, ..released(claimed) }, unauthorized }
}

/// A claim whose plan was carried out.
pub(super) fn applied(
    claimed: &Claimed,
    view: &View,
    plan: &Plan,
    applied: &Applied,
    rules: &Rules,
) -> Conclusion {
    let now = view.around.now;
    let (outcome, unauthorized) = match (&applied.failed, &applied.set_aside, held(plan)) {
        (Some((system, error)), _, _) => after_failure(*system, error, claimed, now),
        (None, Some(refusal), _) => (without_fields(refusal, claimed, now), None),
        (None, None, Some((category, text))) => (Outcome::Park { category, message: text.to_owned() }, None),
        (None, None, None) => (postponed(plan).unwrap_or(Outcome::Done), None),
    };
    let stored: Vec<(&WrittenRecord, Stored)> =
        applied.stored.iter().map(|written| (written, as_stored(view, &written.answered(), rules))).collect();
    let pair = pair_after(view, plan, applied, &stored);
    let mut settled = settled(applied, &stored);
    let open = claimed.open_intents.iter();
    settled.extend(open.filter_map(|intent| Some((intent.id, settle_open(intent, view, rules)?))));
    let finished = Finished {
        states: states_after(claimed, plan, pair.as_ref(), &outcome),
        looks: looks_of(plan, &outcome, claimed, &stored),
        outcome,
        conflicts: conflicts_of(plan, now),
        conflicts_settled: concerned(claimed, pair.as_ref()),
        released: released_by(claimed, view),
        pair,
        settled,
        ..released(claimed)
    };
    Conclusion { finished, unauthorized }
}

/// What a failed call means for the job.
fn after_failure(
    system: System,
    error: &crm::Error,
    claimed: &Claimed,
    now: Timestamp,
) -> (Outcome, Option<String>) {
    let attempts = attempts_of(claimed);
    let message = match error {
        crm::Error::Refused(refusal) => refusal.to_string(),
        other => format!("{system}: {other}"),
    };
    let failure = failure_of(error);
    match retry::next(&failure, attempts, now, fastrand::f64()) {
        Next::RetryAt { at, category, counts } => (Outcome::Retry { at, counts, category, message }, None),
        Next::Park(category) => (Outcome::Park { category, message }, None),
        Next::PauseConnection => (Outcome::Release, Some(message)),
    }
}

/// What it means that a CRM took the rest and refused some fields: that those are hidden may be told by the schemas, when they are read anew.
fn without_fields(refusal: &Refusal, claimed: &Claimed, now: Timestamp) -> Outcome {
    let failure = Failure::Hidden(refusal.category);
    match retry::next(&failure, attempts_of(claimed), now, fastrand::f64()) {
        Next::RetryAt { at, category, counts } if hides_fields(refusal) => {
            Outcome::Retry { at, counts, category, message: refusal.to_string() }
        }
        _ => parked_by(refusal),
    }
}

fn attempts_of(claimed: &Claimed) -> u32 {
    claimed.jobs.iter().map(|job| job.attempts).max().unwrap_or_default()
}

fn failure_of(error: &crm::Error) -> Failure {
    match error {
        crm::Error::Unavailable { retry_after_ms, .. } => {
            Failure::Unavailable { retry_after_ms: *retry_after_ms }
        }
        crm::Error::Quota { until, .. } => Failure::Quota { until: *until },
        crm::Error::Unauthorized { .. } => Failure::Unauthorized,
        crm::Error::Refused(refusal) if may_be_new(refusal) => Failure::Overtaken(refusal.category),
        crm::Error::Refused(refusal) if hides_fields(refusal) => Failure::Hidden(refusal.category),
        crm::Error::Refused(refusal) => Failure::Refused(refusal.category),
        crm::Error::Unexpected { .. } => Failure::Unexpected,
    }
}

/// Whether a refusal names fields that we may not see or write. They may have been hidden since the schemas were read.
fn hides_fields(refusal: &Refusal) -> bool {
    refusal.category == Category::FieldPermission && !refusal.fields.is_empty()
}

/// Whether what a refusal is about may have happened between our look and our write: the next look finds the record that took the
/// unique value, or the contact that the lead was converted to.
fn may_be_new(refusal: &Refusal) -> bool {
    (refusal.category == Category::Duplicate && refusal.existing.is_some())
        || refusal.code == "CANNOT_UPDATE_CONVERTED_LEAD"
}

fn parked_by(refusal: &Refusal) -> Outcome {
    Outcome::Park { category: refusal.category, message: refusal.to_string() }
}

fn held(plan: &Plan) -> Option<(Category, &str)> {
    plan.steps.iter().find_map(|step| match step {
        Step::Hold { category, text } => Some((*category, text.as_str())),
        _ => None,
    })
}

/// When to look again, where nothing could be decided yet.
fn postponed(plan: &Plan) -> Option<Outcome> {
    plan.steps.iter().find_map(|step| match step {
        Step::Postpone { at } => Some(Outcome::Postpone { at: *at }),
        _ => None,
    })
}

/// The other records to look at, once what is done here is done.
fn looks_of(
    plan: &Plan,
    outcome: &Outcome,
    claimed: &Claimed,
    stored: &[(&WrittenRecord, Stored)],
) -> Vec<RecordKey> {
    if !matches!(outcome, Outcome::Done | Outcome::Park { .. }) {
        return Vec::new();
    }
    let looked = |step: &Step| match step {
        Step::Look { key } => Some(*key),
        _ => None,
    };
    // What is parked waits for a person, not for another look at itself.
    let own = if matches!(outcome, Outcome::Park { .. }) { claimed.records() } else { Vec::new() };
    let brought =
        stored.iter().filter(|(_, stored)| stored.brings).map(|(written, _)| written.answered().key);
    plan.steps.iter().filter_map(looked).chain(brought).filter(|key| !own.contains(key)).collect()
}

/// What became of the intents: where a CRM stored something else than it was sent, with that.
fn settled(applied: &Applied, stored: &[(&WrittenRecord, Stored)]) -> Vec<(Uuid, Settled)> {
    let instead: HashMap<Uuid, &Value> =
        stored.iter().flat_map(|(written, stored)| written.corrected(&stored.instead)).collect();
    let of = |(id, settled): &(Uuid, Settled)| match (settled, instead.get(id)) {
        (Settled::Written { record, .. }, Some(value)) => {
            (*id, Settled::Written { record: *record, stored: Some((*value).clone()) })
        }
        (settled, _) => (*id, settled.clone()),
    };
    applied.settled.iter().map(of).collect()
}

/// The pair as it is now: with what was agreed on before, and what was written besides.
fn pair_after(
    view: &View,
    plan: &Plan,
    applied: &Applied,
    stored: &[(&WrittenRecord, Stored)],
) -> Option<Pair> {
    let (hubspot, salesforce) = linked_by(view, plan, applied)?;
    let mut base: Base = plan.base.clone();
    base.extend(applied.written.iter().filter_map(|change| change.agrees.clone()));
    base.extend(stored.iter().flat_map(|(_, stored)| stored.agreed.iter().cloned()));
    let stopped = plan.steps.iter().find_map(|step| match step {
        Step::Stop { reason } => Some(reason.clone()),
        Step::Delete { reason, .. } if applied.deleted => Some(reason.clone()),
        _ => None,
    });
    Some(Pair { hubspot, salesforce, stopped, base })
}

/// The records whose pairs the planner saw: a new pair of either may end those.
fn released_by(claimed: &Claimed, view: &View) -> Vec<RecordKey> {
    let mut keys = claimed.records();
    keys.extend(view.pair.iter().flat_map(Pair::records));
    keys.extend(&view.around.released);
    keys
}

fn linked_by(view: &View, plan: &Plan, applied: &Applied) -> Option<(RecordKey, RecordKey)> {
    for step in &plan.steps {
        match (step, applied.created) {
            (Step::Link { hubspot, salesforce }, _) => return Some((*hubspot, *salesforce)),
            (Step::Create { twin, .. }, Some(created)) if twin.system() == System::Hubspot => {
                return Some((*twin, created));
            }
            (Step::Create { twin, .. }, Some(created)) => return Some((created, *twin)),
            _ => {}
        }
    }
    view.pair.as_ref().map(|pair| (pair.hubspot, pair.salesforce))
}

fn states_after(
    claimed: &Claimed,
    plan: &Plan,
    pair: Option<&Pair>,
    outcome: &Outcome,
) -> Vec<(RecordKey, State)> {
    let state = match outcome {
        Outcome::Park { category: Category::Ambiguous, .. } => State::Ambiguous,
        Outcome::Park { category: Category::Conflict, .. } => State::Conflict,
        // Nothing failed: somebody else holds what would be its counterpart.
        Outcome::Park { .. } if plan.state == State::Stopped => State::Stopped,
        Outcome::Park { .. } => State::Failed,
        Outcome::Retry { .. } | Outcome::Release | Outcome::Postpone { .. } => return Vec::new(),
        Outcome::Done => plan.state,
    };
    let in_pair = |key: &RecordKey| pair.is_some_and(|pair| pair.records().contains(key));
    let of = |key: RecordKey| match pair {
        // A newcomer that lost against the present twin stays without one.
        Some(_) if !in_pair(&key) => (key, State::Unlinked),
        _ => (key, state),
    };
    let mut states: Vec<_> = concerned(claimed, pair).into_iter().map(of).collect();
    for step in &plan.steps {
        if let Step::Conflict { records, .. } = step {
            states.retain(|(key, _)| !records.contains(key));
            states.extend(records.iter().map(|key| (*key, State::Conflict)));
        }
    }
    states
}

/// The records that answer for a claim: those that were dirty and those that are now paired.
fn concerned(claimed: &Claimed, pair: Option<&Pair>) -> Vec<RecordKey> {
    let mut keys: Vec<RecordKey> = claimed.jobs.iter().map(|job| job.key).collect();
    keys.extend(pair.into_iter().flat_map(Pair::records));
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn conflicts_of(plan: &Plan, at: Timestamp) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for step in &plan.steps {
        if let Step::Conflict { records, property, text } = step {
            let conflict =
                |key: &RecordKey| Conflict { key: *key, property: property.clone(), text: text.clone(), at };
            conflicts.extend(records.iter().map(conflict));
        }
    }
    conflicts
}

/// How long an update that is not there yet may still be under way: whoever began it and lost its lease may have been held up right before the
/// call, and clocks differ. Until then it stays open, for the next look to judge.
const UNDER_WAY_MS: i64 = 120_000;

/// What became of a write whose answer never reached memory: the records themselves tell. `None` where it may still happen.
fn settle_open(intent: &Intent, view: &View, rules: &Rules) -> Option<Settled> {
    match intent.creates {
        Some(kind) => match made_of(kind, view) {
            Some(record) if holds(intent, record, rules) => Some(Settled::written(Some(record.key))),
            _ => Some(Settled::NotWritten),
        },
        None => match side_of(intent.key, view) {
            Some(record) if holds(intent, record, rules) => Some(Settled::written(None)),
            None if intent.field == DELETED => Some(Settled::written(None)),
            _ if view.around.now.millis_since(intent.at) < UNDER_WAY_MS => None,
            _ => Some(Settled::NotWritten),
        },
    }
}

fn holds(intent: &Intent, record: &Record, rules: &Rules) -> bool {
    let held = record.fields.get(&intent.field);
    held.is_some_and(|held| landed(&intent.field, record.key.kind(), &intent.new, held, rules))
}

fn side_of(key: RecordKey, view: &View) -> Option<&Record> {
    [&view.hubspot, &view.salesforce].into_iter().find_map(|side| match side {
        Side::Present(record) if record.key == key => Some(record),
        _ => None,
    })
}

/// The record that an interrupted create made, if it is in sight: the other side, a candidate, or what was looked for on purpose.
fn made_of(kind: Kind, view: &View) -> Option<&Record> {
    let sides = [&view.hubspot, &view.salesforce].into_iter().filter_map(|side| match side {
        Side::Present(record) => Some(record),
        Side::Absent | Side::Deleted | Side::Merged | Side::Converted => None,
    });
    let candidates = view.around.candidates.iter().map(|candidate| &candidate.record);
    sides.chain(candidates).chain(&view.around.made).find(|record| record.key.kind() == kind)
}
