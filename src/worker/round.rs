//! One round: claim, gather, plan, apply, finish.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::crm;
use crate::domain::{ConnectionName, Family, System, Timestamp};
use crate::plan::resolve::Resolved;
use crate::plan::{Begun, Category, Plan, Rules, View, is_worth_a_look, names_stranger, take_in};
use crate::store::types::{Cause, Claim, Claimed, ConnectionState, Finished, Outcome, SaidBy};
use crate::worker::apply::{Applied, Assignment, apply};
use crate::worker::connection::{Live, Mode};
use crate::worker::finish::{self, Conclusion};
use crate::worker::gather::{Gathered, Sources, Subject, gather, plan_all, tell_of_us_only};
use crate::worker::leases::Leases;
use crate::worker::run::REST_WITHOUT_ACCESS_MS;
use crate::worker::{Error, Worker};

impl Worker {
    /// Works one round of a connection. Returns how many pairs it claimed.
    pub(super) async fn round(&self, live: &Live, family: Family) -> Result<usize, Error> {
        let name = &live.settings.name;
        let resolved = live.resolve(self.clock.now()).await?;
        if let Some(reason) = resolved.refusal() {
            return Err(Error::Settings(reason));
        }
        let now = self.clock.now();
        let claim = Claim {
            connection: name,
            family,
            worker: self.id,
            now,
            lease_until: now.plus_millis(self.options.lease_ms),
            limit: self.round_limit(),
        };
        let claimed = self.store.claim(&claim).await?;
        let n_claimed = claimed.len();
        if n_claimed > 0 {
            let leases = Leases::new(
                (&*self.store, &*self.clock),
                (self.id, self.options.lease_ms),
                (&claimed, claim.lease_until),
            );
            leases.kept(|| leases.tick(), self.work(live, &resolved, (claimed, &leases), now)).await?;
        }
        Ok(n_claimed)
    }

    async fn work(
        &self,
        live: &Live,
        resolved: &Arc<Resolved>,
        (claimed, leases): (Vec<Claimed>, &Leases<'_>),
        now: Timestamp,
    ) -> Result<(), Error> {
        let rules = &resolved.rules;
        let looked_at = |claimed: &Claimed| claimed.jobs.iter().any(|job| rules.looks_at(job.key.kind()));
        let (claimed, passed_over): (Vec<_>, Vec<_>) = claimed.into_iter().partition(looked_at);
        let sources = Sources { live, store: &*self.store, rules, now };
        let mut of_us_only = tell_of_us_only(&sources, &claimed).await.into_iter();
        let (echoes, claimed): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|_| of_us_only.next().unwrap_or_default());
        let (unmoved, claimed): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|claimed| tells_of_nothing_mapped(claimed, rules));
        let mut finished: Vec<Finished> = echoes.iter().chain(&unmoved).map(finish::echoed).collect();
        finished.extend(passed_over.iter().map(finish::passed_over));
        count_echoes(&live.settings.name, echoes.len());
        if !claimed.is_empty() {
            let conclusions = self.conclude(live, resolved, (&claimed, leases), now).await?;
            self.pause_where_unauthorized(live, &conclusions, now).await?;
            for (claimed, conclusion) in claimed.iter().zip(&conclusions) {
                log_job(&live.settings.name, claimed, &conclusion.finished, now);
                if let Outcome::Retry { at, category: Category::Quota, .. } = conclusion.finished.outcome {
                    live.rest_until(at);
                }
            }
            finished.extend(conclusions.into_iter().map(|conclusion| conclusion.finished));
        }
        self.store.finish(&live.settings.name, self.id, &finished, self.clock.now()).await?;
        Ok(())
    }

    async fn conclude(
        &self,
        live: &Live,
        resolved: &Arc<Resolved>,
        (claimed, leases): (&[Claimed], &Leases<'_>),
        now: Timestamp,
    ) -> Result<Vec<Conclusion>, Error> {
        let subjects: Vec<Subject> = claimed.iter().map(subject_of).collect();
        let sources = Sources { live, store: &*self.store, rules: &resolved.rules, now };
        let mut gathered = gather(&sources, &subjects).await?;
        for (claimed, gathered) in claimed.iter().zip(&mut gathered) {
            if let Gathered::View(view) = gathered {
                take_in(view, &begun_by(claimed), sources.rules);
            }
        }
        tell_permission_from_access(live, gathered.iter_mut().filter_map(Gathered::error)).await;
        let silent = gathered.iter().all(Gathered::is_silent);
        if silent {
            live.rest_in_silence(now);
        } else {
            live.is_answered();
        }
        // An owner who is new to us may well be known to both CRMs by now.
        let resolved = &self.resolved_for(live, resolved, &gathered, now).await?;
        let rules = &resolved.rules;
        // A question that is refused asks for what is not there any more, as a rule: the schemas tell.
        let looks_anew = gathered.iter().any(Gathered::is_refused) && live.forget_older_rules(now);
        let sources = Sources { live, store: &*self.store, rules, now };
        let plans = plan_all(&sources, &mut gathered).await?;
        let planned: Vec<Option<Planned<'_>>> =
            gathered.iter().zip(plans).map(|(gathered, plan)| Planned::of(gathered, plan)).collect();
        let mut outcomes = self.carry_out(live, (claimed, leases), &planned, rules).await?;
        tell_permission_from_access(live, outcomes.iter_mut().filter_map(Applied::error)).await;
        let mut outcomes = outcomes.into_iter();
        let mut conclusions = Vec::with_capacity(claimed.len());
        for (claimed, (gathered, planned)) in claimed.iter().zip(gathered.iter().zip(&planned)) {
            conclusions.push(match (gathered, planned) {
                (Gathered::Failed(..), _) if silent => finish::given_back(claimed),
                (refused, _) if looks_anew && refused.is_refused() => finish::given_back(claimed),
                (Gathered::Failed(system, error), _) => finish::unread(claimed, *system, error, now),
                (_, Some(Planned { view, plan })) => {
                    finish::applied(claimed, view, plan, &outcomes.next().unwrap_or_default(), rules)
                }
                (_, None) => finish::given_back(claimed),
            });
        }
        Ok(conclusions)
    }

    /// The rules, with the owners read again if a record names one that is not known.
    async fn resolved_for(
        &self,
        live: &Live,
        resolved: &Arc<Resolved>,
        gathered: &[Gathered],
        now: Timestamp,
    ) -> Result<Arc<Resolved>, Error> {
        let views = gathered.iter().filter_map(Gathered::view);
        if views.into_iter().any(|view| names_stranger(view, &resolved.rules)) && live.forget_older_rules(now)
        {
            return live.resolve(now).await;
        }
        Ok(Arc::clone(resolved))
    }

    /// Applies the plans of a live connection; a shadow only says what it would do.
    async fn carry_out(
        &self,
        live: &Live,
        (claimed, leases): (&[Claimed], &Leases<'_>),
        planned: &[Option<Planned<'_>>],
        rules: &Rules,
    ) -> Result<Vec<Applied>, Error> {
        let plans: Vec<Assignment<'_>> = claimed
            .iter()
            .zip(planned)
            .filter_map(|(claimed, planned)| planned.as_ref().map(|planned| (&planned.plan, claimed)))
            .collect();
        for (plan, claimed) in &plans {
            log_plan(&live.settings.name, plan, claimed.cause());
        }
        match live.settings.mode {
            Mode::Shadow => Ok(plans.iter().map(|_| Applied::default()).collect()),
            Mode::Live => {
                let applied = apply(live, (&*self.store, leases), rules, &plans, self.clock.now()).await?;
                count_writes(&live.settings.name, &plans, &applied);
                if applied.iter().any(Applied::lacks_a_field) {
                    live.forget_rules();
                }
                Ok(applied)
            }
        }
    }

    async fn pause_where_unauthorized(
        &self,
        live: &Live,
        conclusions: &[Conclusion],
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(reason) = conclusions.iter().find_map(|conclusion| conclusion.unauthorized.clone()) else {
            return Ok(());
        };
        warn!(connection = %live.settings.name, "A CRM refuses our credentials; work rests until that is mended");
        live.try_at(now.plus_millis(REST_WITHOUT_ACCESS_MS));
        let state = ConnectionState::Unauthorized(reason);
        Ok(self.store.set_connection_state(&live.settings.name, &state, SaidBy::Worker, now).await?)
    }
}

/// Where a CRM refuses something and knows us all the same, it is not the connection that has to rest.
async fn tell_permission_from_access<'e>(
    live: &Live,
    errors: impl Iterator<Item = (System, &'e mut crm::Error)>,
) {
    let mut knows_us: BTreeMap<System, bool> = BTreeMap::new();
    for (system, error) in errors {
        let crm::Error::Unauthorized { reason } = &*error else { continue };
        let known = match knows_us.get(&system) {
            Some(known) => *known,
            None => live.identify(system).await.is_ok(),
        };
        knows_us.insert(system, known);
        if known {
            *error = crm::Error::missing_permission(reason);
        }
    }
}

/// A view with the plan made of it.
struct Planned<'a> {
    view: &'a View,
    plan: Plan,
}

impl<'a> Planned<'a> {
    fn of(gathered: &'a Gathered, plan: Option<Plan>) -> Option<Self> {
        Some(Self { view: gathered.view()?, plan: plan? })
    }
}

/// Whether every message since the last work told of what nobody syncs, so that there is nothing to look at.
fn tells_of_nothing_mapped(claimed: &Claimed, rules: &Rules) -> bool {
    let has_pair = claimed.pair.is_some();
    claimed.open_intents.is_empty()
        && claimed.jobs.iter().all(|job| !is_worth_a_look(job.key.kind(), has_pair, &job.changed, rules))
}

pub(super) fn subject_of(claimed: &Claimed) -> Subject {
    Subject {
        key: claimed.jobs[0].key,
        pair: claimed.pair.clone(),
        interrupted: !claimed.open_intents.is_empty(),
        asked: claimed.jobs.iter().map(|job| job.cause.asked()).max().unwrap_or_default(),
    }
}

/// The writes to a claimed pair whose end nobody recorded.
fn begun_by(claimed: &Claimed) -> Vec<Begun> {
    let updates = claimed.open_intents.iter().filter(|intent| intent.creates.is_none());
    updates
        .map(|intent| Begun {
            at: intent.at,
            key: intent.key,
            field: intent.field.clone(),
            old: intent.old.clone(),
            new: intent.new.clone(),
        })
        .collect()
}

fn log_plan(connection: &ConnectionName, plan: &Plan, cause: Cause) {
    let rules: Vec<&str> = plan.why.iter().map(|why| why.rule).collect();
    let delivery = cause.id();
    debug!(%connection, delivery.id = %delivery, plan.steps = plan.steps.len(), plan.rules = ?rules, "Planned {} steps", plan.steps.len());
}

fn log_job(connection: &ConnectionName, claimed: &Claimed, finished: &Finished, now: Timestamp) {
    let (outcome, category) = match &finished.outcome {
        Outcome::Done => ("done", None),
        Outcome::Retry { category, .. } => ("waiting", Some(*category)),
        Outcome::Park { category, .. } => ("parked", Some(*category)),
        Outcome::Release => ("released", None),
        Outcome::Postpone { .. } => ("postponed", None),
    };
    for job in &claimed.jobs {
        let cause = job.cause.id();
        info!(
            %connection, delivery.id = %cause, record.system = %job.key.system(), record.kind = %job.key.kind(),
            record.id = %job.key.id(), job.attempts = job.attempts, job.outcome = outcome,
            job.category = category.map(Category::as_str), "{}: {outcome}", job.key
        );
        if matches!(finished.outcome, Outcome::Done) {
            let seconds =
                f64::from(i32::try_from(now.millis_since(job.dirty_since)).unwrap_or(i32::MAX)) / 1_000.0;
            metrics::histogram!("hubforce_convergence_seconds", "connection" => connection.to_string())
                .record(seconds.max(0.0));
        }
    }
    if !finished.conflicts.is_empty() {
        metrics::counter!("hubforce_conflicts_total", "connection" => connection.to_string()).increment(1);
    }
}

fn count_echoes(connection: &ConnectionName, n: usize) {
    metrics::counter!("hubforce_echoes_total", "connection" => connection.to_string()).increment(n as u64);
}

fn count_writes(connection: &ConnectionName, plans: &[Assignment<'_>], applied: &[Applied]) {
    for ((plan, _), applied) in plans.iter().zip(applied).filter(|(_, applied)| !applied.written.is_empty()) {
        for (kind, operation) in plan.steps.iter().filter_map(Applied::operation_of) {
            if operation == "create" && applied.created.is_none() {
                continue;
            }
            metrics::counter!(
                "hubforce_writes_total", "connection" => connection.to_string(),
                "system" => kind.system().as_str(), "kind" => kind.as_str(), "operation" => operation
            )
            .increment(1);
        }
    }
}
