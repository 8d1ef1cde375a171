//! The sweep: every now and then both CRMs are asked what changed of late, and what no message told is marked like anything else.
//!
//! Messages get lost, some changes send none (deletions and contact roles in Salesforce, members joining a list, what a flow does after
//! our own write), and some organizations send none at all. A sweep finds all of it from the CRMs' own times of change, and decides
//! nothing: what deserves a look is marked, and the rounds do the rest.
//!
//! Each CRM is swept by itself, in *steps* of one page of each stream: claim the task, ask, judge, and record how far it has come
//! together with what was found, in one transaction. Between two steps live work goes first, anybody may take the next step, and a
//! process that ends loses at most the step it was at. A CRM that fails is asked again later; work that messages bring goes on meanwhile.

mod cursor;
mod judge;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tracing::{info, warn};
use uuid::Uuid;

use crate::crm::{self, FieldsByKind, Stream, Traces};
use crate::domain::{Chain, Family, Kind, RecordKey, System, Timestamp};
use crate::plan::options::SyncOptions;
use crate::plan::retry::{self, Failure, Next};
use crate::plan::{Pair, Rules};
use crate::store::types::{Cause, Mark, Task, TaskClaim, TaskNext, TaskProgress};
use crate::worker::connection::{Live, fields_to_read};
use crate::worker::gather::Sources;
use crate::worker::{Error, Worker};
use cursor::Sweep;

/// How long a step is ours at least: its calls run side by side, and one may take a minute.
pub(super) const STEP_LEASE_MS: i64 = 2 * 60 * 1_000;

/// After so many failures in a row a stream is left to the next sweep, so that one that fails for ever holds up no other.
const FAILURES_MAX: u32 = 5;

/// When this process looks next whether a CRM is to be swept.
#[derive(Default)]
pub(super) struct Due {
    /// Whether every sweep of the connection has a beginning.
    begun: AtomicBool,
    /// When this process first meant to give them one; 0 before. What happened since then counts as missed, whoever records the beginning.
    meant_at: AtomicI64,
    hubspot: AtomicI64,
    salesforce: AtomicI64,
}

impl Due {
    const fn of(&self, system: System) -> &AtomicI64 {
        match system {
            System::Hubspot => &self.hubspot,
            System::Salesforce => &self.salesforce,
        }
    }

    fn is_due(&self, system: System, now: Timestamp) -> bool {
        self.of(system).load(Ordering::Relaxed) <= now.as_millis()
    }

    /// When the sweeps were first meant to begin.
    fn meant_at(&self, now: Timestamp) -> Timestamp {
        let known = self.meant_at.compare_exchange(0, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed);
        known.map_or_else(Timestamp::from_millis, |_| now)
    }

    /// Looks again at once.
    pub(super) fn forget(&self) {
        for system in [System::Hubspot, System::Salesforce] {
            self.set(system, Timestamp::default());
        }
    }

    fn set(&self, system: System, at: Timestamp) {
        self.of(system).store(at.as_millis(), Ordering::Relaxed);
    }
}

/// What a step came to.
struct Step {
    sweep: Sweep,
    marks: Vec<Mark>,
    /// When the next step is due.
    next_at: Timestamp,
}

impl Worker {
    /// Takes a step of each sweep that is due. Returns whether there was one.
    pub(super) async fn advance_sweeps(&self, live: &Live) -> Result<bool, Error> {
        let mut worked = false;
        for system in [System::Hubspot, System::Salesforce] {
            worked |= self.advance_sweep(live, system).await?;
        }
        Ok(worked)
    }

    /// Gives the sweeps of a new connection their beginning. That asks no CRM: one that does not answer today must not put off what
    /// counts as missed.
    pub(super) async fn begin_sweeps(&self, live: &Live) -> Result<(), Error> {
        if live.settings.sweep_interval_ms <= 0 || live.sweep_due.begun.load(Ordering::Relaxed) {
            return Ok(());
        }
        let meant_at = live.sweep_due.meant_at(self.clock.now());
        for system in [System::Hubspot, System::Salesforce] {
            let (now, task) = (self.clock.now(), task_of(system));
            // It is recorded with the claim, so that nothing is missed if this process ends right after it.
            let first = written(&Sweep::first(&wanted(system, &live.settings.sync), meant_at));
            let claim = TaskClaim { first: Some(&first), ..self.claim_of(live, &task, now) };
            if let Some(Task { cursor }) = self.store.claim_task(&claim).await? {
                let cursor = cursor.unwrap_or_else(|| first.clone());
                let rests_ms = if cursor == first { live.settings.sweep_interval_ms } else { 0 };
                let next = TaskNext::Rests(now.plus_millis(rests_ms));
                let progress = self.progress_of((live, &task), &cursor, next, Cause::Sweep(Uuid::now_v7()));
                self.store.advance_task(&progress).await?;
            }
        }
        live.sweep_due.begun.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn claim_of<'a>(&self, live: &'a Live, task: &'a str, now: Timestamp) -> TaskClaim<'a> {
        let lease_until = now.plus_millis(self.options.lease_ms.max(STEP_LEASE_MS));
        TaskClaim { connection: &live.settings.name, task, worker: self.id, now, lease_until, first: None }
    }

    fn progress_of<'a>(
        &self,
        (live, task): (&'a Live, &'a str),
        cursor: &'a str,
        next: TaskNext,
        cause: Cause,
    ) -> TaskProgress<'a> {
        let (connection, now) = (&live.settings.name, self.clock.now());
        TaskProgress { connection, task, worker: self.id, now, cursor, next, marks: &[], cause }
    }

    async fn advance_sweep(&self, live: &Live, system: System) -> Result<bool, Error> {
        let now = self.clock.now();
        let interval_ms = live.settings.sweep_interval_ms;
        if interval_ms <= 0 || !live.sweep_due.is_due(system, now) {
            return Ok(false);
        }
        // Before the claim: where the rules cannot be had, nobody holds a lease.
        let resolved = live.resolve(now).await?;
        let task = task_of(system);
        let Some(claimed) = self.store.claim_task(&self.claim_of(live, &task, now)).await? else {
            // It rests, or another instance is at it; if that one dies, its lease ends.
            live.sweep_due.set(system, now.plus_millis(self.options.lease_ms.min(interval_ms)));
            return Ok(false);
        };
        let step = if let Some(sweep) = claimed.cursor.and_then(|cursor| read(live, &cursor)) {
            self.step((live, system), sweep, &resolved.rules).await?
        } else {
            // Whoever was to record its beginning did not live to do so.
            let sweep = Sweep::first(&wanted(system, &live.settings.sync), live.sweep_due.meant_at(now));
            Step { sweep, marks: Vec::new(), next_at: now.plus_millis(interval_ms) }
        };
        let (cursor, next) = (written(&step.sweep), TaskNext::Rests(step.next_at));
        let progress = self.progress_of((live, &task), &cursor, next, Cause::Sweep(step.sweep.id));
        if self.store.advance_task(&TaskProgress { marks: &step.marks, ..progress }).await? {
            count_found(live, &step.marks);
            live.sweep_due.set(system, step.next_at);
        }
        Ok(true)
    }

    /// One page of each stream that is left.
    async fn step(
        &self,
        (live, system): (&Live, System),
        mut sweep: Sweep,
        rules: &Rules,
    ) -> Result<Step, Error> {
        let now = self.clock.now();
        let wanted = wanted(system, &live.settings.sync);
        sweep.go_on(&wanted, |family| rules.unreachable(family), now);
        let shown: Vec<Stream> = wanted.into_iter().filter(|stream| is_shown(stream, rules)).collect();
        let asked = sweep.to_ask(&shown);
        let fields = fields_to_read(rules);
        let answers = live.crm(system).changes(&asked, &fields).await;
        let sources = Sources { live, store: &*self.store, rules, now };
        let (mut marks, mut failed): (Vec<Mark>, _) = (Vec::new(), Vec::new());
        for (asked, answer) in asked.into_iter().zip(answers) {
            let found = match answer {
                Ok(page) => judge_page((&sources, &fields), &mut sweep, &asked.stream, page).await?,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => marks.extend(found),
                Err(error) => failed.push((asked.stream, error)),
            }
        }
        // A record can leave traces in several streams.
        marks.sort_by_key(|mark| (mark.key, Reverse(mark.occurred_at)));
        marks.dedup_by_key(|mark| mark.key);
        sweep.n_found += marks.len() as u64;
        let retry_at = self.after_failures(live, system, &mut sweep, failed).await?;
        let next_at = match retry_at {
            Some(at) => at,
            None if sweep.to_ask(&shown).is_empty() => {
                say_end(live, system, &sweep);
                let began_at = sweep.began_at.unwrap_or(now);
                sweep.end();
                began_at.plus_millis(live.settings.sweep_interval_ms).max(now)
            }
            None => now,
        };
        Ok(Step { sweep, marks, next_at })
    }

    /// Decides about streams whose page could not be had: when to ask again, or to leave them to the next sweep.
    async fn after_failures(
        &self,
        live: &Live,
        system: System,
        sweep: &mut Sweep,
        failed: Vec<(Stream, crm::Error)>,
    ) -> Result<Option<Timestamp>, Error> {
        let now = self.clock.now();
        let mut retry_at: Option<Timestamp> = None;
        let mut counts = false;
        for (stream, error) in failed {
            if let crm::Error::Unauthorized { .. } = &error {
                insist_on_access(live, system).await?;
            }
            let failure = match &error {
                crm::Error::Unavailable { retry_after_ms, .. } => {
                    Some(Failure::Unavailable { retry_after_ms: *retry_after_ms })
                }
                crm::Error::Quota { until, .. } => Some(Failure::Quota { until: *until }),
                crm::Error::Unauthorized { .. } | crm::Error::Refused(_) | crm::Error::Unexpected { .. } => {
                    None
                }
            };
            match failure.map(|failure| retry::next(&failure, sweep.failures, now, fastrand::f64())) {
                Some(Next::RetryAt { at, counts: attempt, .. }) if sweep.failures < FAILURES_MAX => {
                    retry_at = Some(retry_at.map_or(at, |known| known.max(at)));
                    counts |= attempt;
                }
                _ => {
                    say_skipped(live, &stream, &error);
                    sweep.skip(&stream);
                }
            }
        }
        sweep.failures = if counts { sweep.failures + 1 } else { 0 };
        Ok(retry_at)
    }
}

/// Whether nothing works any more, which is an error of the whole connection, or this one thing is not granted to us.
async fn insist_on_access(live: &Live, system: System) -> Result<(), Error> {
    match live.identify(system).await {
        Err(error @ Error::Crm { source: crm::Error::Unauthorized { .. }, .. }) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn task_of(system: System) -> String {
    format!("sweep.{system}")
}

fn written(sweep: &Sweep) -> String {
    serde_json::to_string(sweep).unwrap_or_default()
}

/// Reads a cursor; one that cannot be read is begun anew.
fn read(live: &Live, cursor: &str) -> Option<Sweep> {
    let read = serde_json::from_str(cursor);
    if let Err(error) = &read {
        let connection = &live.settings.name;
        warn!(%connection, %error, "A sweep cannot be gone on with and begins anew: what changed since the last one is not looked for");
    }
    read.ok()
}

/// The streams that a connection follows in a CRM, by its settings.
fn wanted(system: System, sync: &SyncOptions) -> Vec<Stream> {
    let transitions = sync.lifecycle.opportunity_transitions;
    let takes_part = |kind: &Kind| match kind.family() {
        Family::People => sync.contacts.enabled,
        Family::Companies => sync.companies.enabled,
        Family::Deals => sync.deals.enabled || (transitions && *kind == Kind::Opportunity),
    };
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| kind.system() == system).filter(takes_part).collect();
    let mut streams: Vec<Stream> = kinds.iter().copied().map(Stream::Changed).collect();
    match system {
        System::Hubspot => {
            streams.extend(kinds.into_iter().map(Stream::Deleted));
            let list = sync.contacts.inclusion_list_id.trim();
            if sync.contacts.enabled && !list.is_empty() {
                streams.push(Stream::Joined(list.to_owned()));
            }
        }
        System::Salesforce if kinds.contains(&Kind::Opportunity) => streams.push(Stream::Roles),
        System::Salesforce => {}
    }
    streams
}

/// Whether a stream's objects are shown to us at present.
fn is_shown(stream: &Stream, rules: &Rules) -> bool {
    match stream {
        Stream::Changed(kind) | Stream::Deleted(kind) => rules.looks_at(*kind),
        Stream::Joined(_) => rules.people.enabled,
        Stream::Roles => rules.looks_at(Kind::Opportunity),
    }
}

/// Judges a page and takes note of it; the inner error is the CRM's, and the page is to be asked for again.
async fn judge_page(
    (sources, fields): (&Sources<'_>, &FieldsByKind),
    sweep: &mut Sweep,
    stream: &Stream,
    page: Traces,
) -> Result<Result<Vec<Mark>, crm::Error>, Error> {
    let Traces { traces, next } = page;
    let n_traces = traces.len() as u64;
    let marks = match stream {
        Stream::Deleted(kind) => {
            let keys: Vec<RecordKey> = traces.iter().map(|trace| trace.record.key).collect();
            look_at_deleted(sources, sweep, (stream, *kind), (&keys, next.is_none())).await?
        }
        Stream::Changed(_) | Stream::Joined(_) | Stream::Roles => {
            let keys: Vec<RecordKey> = traces.iter().map(|trace| trace.record.key).collect();
            let pairs = sources.store.pairs_of(&sources.live.settings.name, &keys).await?;
            let began_at = sweep.began_at.unwrap_or_default();
            let Some(strand) = sweep.strand(stream) else { return Ok(Ok(Vec::new())) };
            let (before, window) = (strand.clone(), strand.window);
            let unseen = strand.unseen(stream, traces.into_iter().zip(pairs).collect(), began_at);
            match judge::judge(sources, fields, window, unseen).await? {
                Ok(marks) => marks,
                Err(error) => {
                    // It counts as not seen.
                    *strand = before;
                    return Ok(Err(error));
                }
            }
        }
    };
    sweep.n_traces += n_traces;
    sweep.turn_page(stream, next);
    Ok(Ok(marks))
}

/// A page of deleted records: those whose pair does not rest yet are looked at. At the end of the walk, so are those that were deleted
/// when the last walk ended and are not any more.
async fn look_at_deleted(
    sources: &Sources<'_>,
    sweep: &mut Sweep,
    (stream, kind): (&Stream, Kind),
    (keys, last): (&[RecordKey], bool),
) -> Result<Vec<Mark>, Error> {
    let Some(strand) = sweep.strand(stream) else { return Ok(Vec::new()) };
    let name = &sources.live.settings.name;
    let mut looks = Vec::new();
    for (key, pair) in keys.iter().zip(sources.store.pairs_of(name, keys).await?) {
        let Some(pair) = pair else { continue };
        strand.is_gone(key.id().to_string());
        if pair.stopped.is_none() {
            looks.push(*key);
        }
    }
    if last {
        let returned: Vec<RecordKey> =
            strand.returned().iter().filter_map(|id| RecordKey::parse(kind, id).ok()).collect();
        let pairs = sources.store.pairs_of(name, &returned).await?;
        let rests = |pair: &Option<Pair>| pair.as_ref().is_some_and(|pair| pair.stopped.is_some());
        looks.extend(returned.into_iter().zip(pairs).filter(|(_, pair)| rests(pair)).map(|(key, _)| key));
    }
    Ok(looks.into_iter().map(|key| judge::mark(key, Timestamp::default())).collect())
}

fn count_found(live: &Live, marks: &[Mark]) {
    for kind in marks.iter().map(|mark| mark.key.kind()) {
        metrics::counter!(
            "hubforce_sweep_found_total", "connection" => live.settings.name.to_string(),
            "system" => kind.system().as_str(), "kind" => kind.as_str()
        )
        .increment(1);
    }
}

fn say_end(live: &Live, system: System, sweep: &Sweep) {
    info!(
        connection = %live.settings.name, sweep.id = %sweep.id, sweep.system = %system, sweep.traces = sweep.n_traces,
        sweep.found = sweep.n_found, "Swept {system}: {} changes looked through, {} that nothing had told of",
        sweep.n_traces, sweep.n_found
    );
}

fn say_skipped(live: &Live, stream: &Stream, error: &crm::Error) {
    let stream = cursor::name_of(stream);
    warn!(
        connection = %live.settings.name, sweep.stream = stream, error = %Chain(error),
        "A sweep leaves out {stream}; the next one goes on where this one could not"
    );
}
