//! What a commit of finished work comes to, whichever database writes it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::domain::{RecordKey, Timestamp};
use crate::plan::retry::rest_ms;
use crate::plan::{Category, Pair};
use crate::store::types::{Finished, JobId, Mark, Outcome, Settled};

/// A job that is still its worker's.
pub(crate) struct Held {
    /// Its dirty counter, as it is now.
    pub(crate) dirty: i64,
    /// Its failed attempts.
    pub(crate) attempts: u32,
    /// Whether a resync waits for it.
    pub(crate) awaited: bool,
}

/// The jobs that are still their worker's, by their ids.
pub(crate) type HeldJobs = HashMap<i64, Held>;

/// The ids of all jobs of a commit.
pub(crate) fn job_ids(finished: &[Finished]) -> Vec<i64> {
    finished.iter().flat_map(|finished| finished.jobs.iter().map(|(id, _)| id.0)).collect()
}

/// What counts: a lease that was lost leaves what was made under it, and that is looked at.
pub(crate) fn still_held<'a>(finished: &'a [Finished], held: &HeldJobs) -> Vec<&'a Finished> {
    finished.iter().filter(|finished| is_held(finished, held)).collect()
}

/// What became of the writes. A written value whose agreement is not kept stays open, so that whoever looks next can tell our own work from
/// somebody's edit.
pub(crate) fn settled<'a>(finished: &'a [Finished], kept: &[&Finished]) -> Vec<&'a (Uuid, Settled)> {
    let of = |finished: &'a Finished| {
        let is_kept = kept.iter().any(|kept| std::ptr::eq(*kept, finished));
        finished.settled.iter().filter(move |(_, settled)| is_kept || !is_value(settled))
    };
    finished.iter().flat_map(of).collect()
}

/// Whether a value was written, and no record made.
const fn is_value(settled: &Settled) -> bool {
    matches!(settled, Settled::Written { record: None, .. })
}

fn is_held(finished: &Finished, held: &HeldJobs) -> bool {
    finished.jobs.iter().all(|(id, _)| held.contains_key(&id.0))
}

/// The jobs that end here and that resyncs wait for: those that are done, and those that failed. One that became dirty meanwhile does
/// not end.
pub(crate) fn awaited(finished: &[&Finished], held: &HeldJobs) -> (Vec<JobId>, Vec<JobId>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for finished in finished {
        let ended = match finished.outcome {
            Outcome::Done => &mut done,
            Outcome::Park { .. } => &mut failed,
            Outcome::Retry { .. } | Outcome::Release | Outcome::Postpone { .. } => continue,
        };
        let unmoved = finished
            .jobs
            .iter()
            .filter(|(id, dirty)| held.get(&id.0).is_some_and(|held| held.awaited && held.dirty == *dirty));
        ended.extend(unmoved.map(|(id, _)| *id));
    }
    (done, failed)
}

/// The jobs to delete, which is all of most commits, and a row for each that stays: id, dirty counter as it was claimed, outcome, when it
/// is due, attempts to count, category and message. Nobody else writes meanwhile, so what ends is known beforehand.
pub(crate) fn closed(finished: &[&Finished], held: &HeldJobs, now: Timestamp) -> (Vec<i64>, Vec<Json>) {
    let (mut done, mut kept) = (Vec::new(), Vec::new());
    for finished in finished {
        let (outcome, due_at, counts, error) = match &finished.outcome {
            Outcome::Done => ("done", now, 0, None),
            Outcome::Retry { at, counts, category, message } => {
                ("retry", *at, i64::from(*counts), Some((category, message)))
            }
            Outcome::Park { category, message } => ("park", now, 1, Some((category, message))),
            Outcome::Release => ("release", now, 0, None),
            Outcome::Postpone { at } => ("postpone", *at, 0, None),
        };
        for (id, dirty) in &finished.jobs {
            if outcome == "done" && held.get(&id.0).is_some_and(|held| held.dirty == *dirty) {
                done.push(id.0);
                continue;
            }
            let category = error.map(|(category, _)| category.as_str());
            let message = error.map(|(_, message)| message);
            kept.push(json!([id.0, dirty, outcome, due_at.as_millis(), counts, category, message]));
        }
    }
    (done, kept)
}

/// The other records that are to be looked at; in the order of the causes, so that what is done does not depend on chance. Where a lease
/// was lost, that is what was made and the pair that was worked: whoever has the lease now may have made another record, or may have read
/// before we wrote, and nobody else knows of it, as our own writes are not told.
/// The same goes for what was refused.
pub(crate) fn looks(
    finished: &[Finished],
    held: &HeldJobs,
    refused: &[&Finished],
) -> BTreeMap<Uuid, Vec<Mark>> {
    let mut by_cause: BTreeMap<Uuid, Vec<Mark>> = BTreeMap::new();
    for finished in finished {
        let made = || finished.settled.iter().filter_map(|(_, settled)| settled.record());
        let paired = || finished.pair.iter().flat_map(Pair::records);
        let is_refused = refused.iter().any(|refused| std::ptr::eq(*refused, finished));
        let counts = is_held(finished, held) && !is_refused;
        let keys: Vec<RecordKey> =
            if counts { finished.looks.clone() } else { made().chain(paired()).collect() };
        if !keys.is_empty() {
            by_cause.entry(finished.cause).or_default().extend(keys.into_iter().map(Mark::of));
        }
    }
    by_cause
}

/// Parts what can be kept from what cannot: a claim whose pair would end one that its planner did not know of is refused. `standing` are
/// the pairs that the records of all new ones are in; each claim sees what those before it came to.
pub(crate) fn part_refused<'a>(
    finished: &[&'a Finished],
    standing: &[[RecordKey; 2]],
) -> (Vec<&'a Finished>, Vec<&'a Finished>) {
    let both_ways = |[hubspot, salesforce]: [RecordKey; 2]| [(hubspot, salesforce), (salesforce, hubspot)];
    let mut partners: HashMap<RecordKey, RecordKey> = standing.iter().copied().flat_map(both_ways).collect();
    finished.iter().partition(|finished| {
        let Some(pair) = &finished.pair else { return true };
        let new = both_ways(pair.records());
        let former =
            |(own, other): (RecordKey, RecordKey)| partners.get(&own).copied().filter(|one| *one != other);
        let former: Vec<RecordKey> = new.into_iter().filter_map(former).collect();
        let allowed = former.iter().all(|record| finished.released.contains(record));
        if allowed {
            for record in &former {
                partners.remove(record);
            }
            partners.extend(new);
        }
        allowed
    })
}

/// What is said of a claim that was refused.
const TAKEN: &str = "one of the two records was paired with another one meanwhile; they are looked at anew";

/// A row for each job of what was refused, in the form that [`closed`] has: looked at again at once, and where that comes to the same,
/// after longer and longer waits.
pub(crate) fn again(refused: &[&Finished], held: &HeldJobs, now: Timestamp) -> Vec<Json> {
    let jobs = refused.iter().flat_map(|finished| &finished.jobs);
    let row = |(id, dirty): &(JobId, i64)| {
        let attempts = held.get(&id.0).map_or(0, |held| held.attempts);
        let due_at = if attempts == 0 { now } else { now.plus_millis(rest_ms(attempts)) };
        json!([id.0, dirty, "retry", due_at.as_millis(), 1, Category::Conflict.as_str(), TAKEN])
    };
    jobs.map(row).collect()
}

/// The pairs to remember: where two of one commit share a record, the later one replaces the earlier, as it would in a commit
/// of its own. Left to the statement, one pair would take the other's base.
pub(crate) fn latest_pairs<'a>(finished: &[&'a Finished]) -> Vec<&'a Pair> {
    let mut taken = HashSet::new();
    let mut pairs = Vec::new();
    for pair in all_pairs(finished).rev() {
        // One that was replaced had itself replaced what shares a record with it.
        let (hubspot_is_free, salesforce_is_free) =
            (taken.insert(pair.hubspot), taken.insert(pair.salesforce));
        if hubspot_is_free && salesforce_is_free {
            pairs.push(pair);
        }
    }
    pairs
}

/// Every pair of one commit; each ends those that its records were in.
pub(crate) fn all_pairs<'a>(finished: &[&'a Finished]) -> impl DoubleEndedIterator<Item = &'a Pair> {
    finished.iter().filter_map(|finished| finished.pair.as_ref())
}
