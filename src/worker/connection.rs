//! A connection at work: its two CRMs, and its rules as resolved against their live schemas.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, try_join_all};
use futures::try_join;

use crate::crm::{self, Crm, FieldsByKind, Identity};
use crate::domain::{ConnectionName, Family, Kind, System, Timestamp};
use crate::plan::options::SyncOptions;
use crate::plan::persons::PERSON_FIELD;
use crate::plan::resolve::{NativeConnector, Resolved, Survey, resolve};
use crate::plan::retry::rest_ms;
use crate::plan::rules::NATIVE_CONNECTOR_PROPERTIES;
use crate::plan::{Category, Rules, Schema, Schemas};
use crate::worker::Error;
use crate::worker::sweep::Due;

/// How long resolved rules are believed before the schemas are read again; fields come and go seldom, and each reading costs
/// one call for each kind.
pub(super) const RULES_FRESH_MS: i64 = 15 * 60 * 1_000;

/// How old resolved rules must be before an unknown owner makes us read them again; a record may name one that no longer exists.
const RULES_FRESH_FOR_STRANGERS_MS: i64 = 60 * 1_000;

/// A clock that goes back by more than this was set; by less, it is kept in step.
const CLOCK_STEP_MS: i64 = 1_000;

/// Whether a connection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It reads, plans and writes.
    Live,
    /// It reads and plans, and writes nothing to either CRM.
    Shadow,
}

/// A connection, as far as the worker is concerned.
#[derive(Clone)]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// Whether it writes.
    pub mode: Mode,
    /// Its HubSpot portal.
    pub hubspot: Arc<dyn Crm>,
    /// Its Salesforce organization.
    pub salesforce: Arc<dyn Crm>,
    /// What is synchronised, and how.
    pub sync: SyncOptions,
    /// The Salesforce field that is to hold the HubSpot id; `None` where the organization may not add fields.
    pub external_id_field: Option<String>,
    /// Whether HubSpot's own connector may be at work in the same portal.
    pub allow_native_connector: bool,
    /// How often both CRMs are asked what no message told; 0 for never.
    pub sweep_interval_ms: i64,
}

/// A connection together with what was learned of it since the start.
pub(super) struct Live {
    pub(super) settings: Connection,
    resolved: Mutex<Option<(Timestamp, Arc<Resolved>)>>,
    salesforce_author: Mutex<Option<String>>,
    /// Milliseconds since 1970; 0 where it never rested.
    rests_until: AtomicI64,
    /// When a connection without access is tried again, in milliseconds since 1970; 0 for at once.
    tries_at: AtomicI64,
    /// Rounds in a row in which a CRM answered nothing.
    silent_rounds: AtomicU32,
    pub(super) sweep_due: Due,
    /// The present instant when it was last asked for, in milliseconds since 1970.
    seen_at: AtomicI64,
}

impl Live {
    pub(super) fn new(settings: Connection) -> Self {
        Self {
            settings,
            resolved: Mutex::default(),
            salesforce_author: Mutex::default(),
            rests_until: AtomicI64::new(0),
            tries_at: AtomicI64::new(0),
            silent_rounds: AtomicU32::new(0),
            sweep_due: Due::default(),
            // What an earlier process wrote may lie ahead of this one's clock.
            seen_at: AtomicI64::new(i64::MAX),
        }
    }

    /// A CRM answered nothing in a whole round: all of it rests, longer each time, instead of every job by itself.
    pub(super) fn rest_in_silence(&self, now: Timestamp) {
        let rounds = self.silent_rounds.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.rest_until(now.plus_millis(rest_ms(rounds)));
    }

    /// Both CRMs answer.
    pub(super) fn is_answered(&self) {
        self.silent_rounds.store(0, Ordering::Relaxed);
    }

    /// Claiming more before then would only fail more: an allowance is used up, or a CRM does not answer.
    pub(super) fn rest_until(&self, at: Timestamp) {
        self.rests_until.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// Whether the clock went back since the last time this was asked. What was to be waited for is forgotten with that.
    pub(super) fn clock_went_back(&self, now: Timestamp) -> bool {
        let seen_at = self.seen_at.swap(now.as_millis(), Ordering::Relaxed);
        let went_back = seen_at.saturating_sub(now.as_millis()) > CLOCK_STEP_MS;
        if went_back {
            self.rests_until.store(0, Ordering::Relaxed);
            self.is_accepted();
            self.sweep_due.forget();
            self.forget_rules();
        }
        went_back
    }

    /// How long to rest; 0 where work can go on.
    pub(super) fn rest_ms(&self, now: Timestamp) -> u64 {
        let until = Timestamp::from_millis(self.rests_until.load(Ordering::Relaxed));
        until.millis_since(now).max(0).unsigned_abs()
    }

    /// The credentials or the settings do not fit: they are tried again later, however often somebody wakes the worker.
    pub(super) fn try_at(&self, at: Timestamp) {
        self.tries_at.store(at.as_millis(), Ordering::Relaxed);
    }

    /// Credentials and settings fit, as far as anybody knows.
    pub(super) fn is_accepted(&self) {
        self.tries_at.store(0, Ordering::Relaxed);
    }

    /// Whether a connection without access is to be tried again by now.
    pub(super) fn is_to_be_tried(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.tries_at.load(Ordering::Relaxed)
    }

    pub(super) fn crm(&self, system: System) -> &dyn Crm {
        match system {
            System::Hubspot => &*self.settings.hubspot,
            System::Salesforce => &*self.settings.salesforce,
        }
    }

    pub(super) fn salesforce_author(&self) -> Option<String> {
        self.salesforce_author.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks a CRM who we are, which proves the credentials, and remembers what its own messages will call us.
    pub(super) async fn identify(&self, system: System) -> Result<Identity, Error> {
        let identity = self.crm(system).identity().await.map_err(|source| Error::Crm { system, source })?;
        if system == System::Salesforce {
            self.salesforce_author
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&identity.author);
        }
        Ok(identity)
    }

    /// The rules, resolved against schemas that are at most [`RULES_FRESH_MS`] old.
    pub(super) async fn resolve(&self, now: Timestamp) -> Result<Arc<Resolved>, Error> {
        let known = self.resolved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, resolved)) = known
            && now.millis_since(at) < RULES_FRESH_MS
        {
            return Ok(resolved);
        }
        let resolved = Arc::new(self.survey(now).await?);
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&resolved)));
        Ok(resolved)
    }

    /// Forgets the resolved rules: a CRM said that a field is not there any more.
    pub(super) fn forget_rules(&self) {
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Forgets the resolved rules unless they were read just now. Returns whether it did.
    pub(super) fn forget_older_rules(&self, now: Timestamp) -> bool {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        let old =
            |(at, _): &(Timestamp, Arc<Resolved>)| now.millis_since(*at) >= RULES_FRESH_FOR_STRANGERS_MS;
        let forgets = resolved.as_ref().is_some_and(old);
        if forgets {
            *resolved = None;
        }
        forgets
    }

    async fn survey(&self, now: Timestamp) -> Result<Resolved, Error> {
        let sync = &self.settings.sync;
        let schema = |kind: Kind| async move {
            let system = kind.system();
            // An object that is hidden from us has no fields; the planner says so, and the others go on.
            let hidden = |error: &crm::Error| matches!(error, crm::Error::Refused(refusal) if refusal.category == Category::RecordUnavailable);
            match self.crm(system).schema(kind).await {
                Ok(schema) => Ok((kind, schema)),
                Err(error) if hidden(&error) => Ok((kind, Schema::new())),
                Err(source) => Err(Error::Crm { system, source }),
            }
        };
        let transitions = sync.lifecycle.opportunity_transitions;
        let wanted = Kind::ALL.into_iter().filter(|kind| match kind.family() {
            Family::People => true,
            Family::Companies => sync.companies.enabled,
            Family::Deals => sync.deals.enabled || (transitions && *kind == Kind::Opportunity),
        });
        let list = sync.contacts.inclusion_list_id.trim();
        let (owners, deals) = (sync.owners.enabled, sync.deals.enabled);
        // Side by side, as a start waits for all of them. Credentials that are refused are tried once: the first error ends all questions.
        // Who both CRMs take us for is always asked: what is created with the token of another account is created there.
        let (portal, identity, schemas, inclusion_list, owners, users, pipelines, stages) = try_join!(
            self.identify(System::Hubspot),
            self.identify(System::Salesforce),
            try_join_all(wanted.map(schema)),
            asked_if(!list.is_empty(), self.ask(System::Hubspot, |crm| crm.list_kind(list))),
            asked_if(owners, self.ask(System::Hubspot, |crm| crm.owners())),
            asked_if(owners, self.ask(System::Salesforce, |crm| crm.owners())),
            asked_if(deals, self.ask(System::Hubspot, |crm| crm.stages())),
            asked_if(deals, self.ask(System::Salesforce, |crm| crm.stages())),
        )?;
        let mut schemas: Schemas = schemas.into_iter().collect();
        let has =
            |kind: Kind, field: &str| schemas.get(&kind).is_some_and(|schema| schema.contains_key(field));
        let accounts = has(Kind::Contact, PERSON_FIELD) && !schemas.contains_key(&Kind::Account);
        let signs: Vec<&str> =
            NATIVE_CONNECTOR_PROPERTIES.into_iter().filter(|sign| has(Kind::HubspotContact, sign)).collect();
        let Identity { author: salesforce_author, edition, trial_ends, .. } = identity;
        let (accounts, wrote_at) = try_join!(
            asked_if(accounts, async { Ok(Some(schema(Kind::Account).await?)) }),
            asked_if(!signs.is_empty(), self.ask(System::Hubspot, |crm| crm.native_connector(&signs))),
        )?;
        schemas.extend(accounts);
        let is_allowed = self.settings.allow_native_connector;
        let native_connector = wrote_at.map(|wrote_at| NativeConnector { wrote_at, now, is_allowed });
        let survey = Survey {
            schemas,
            salesforce_author,
            edition,
            trial_ends,
            inclusion_list,
            native_connector,
            owners,
            users,
            pipelines,
            stages: stages.into_iter().map(|stage| stage.label).collect(),
            time_zone: portal.time_zone,
        };
        Ok(resolve(sync, self.settings.external_id_field.as_deref(), &survey))
    }
}

impl Live {
    /// One question to a CRM outside any record's work.
    async fn ask<'a, T>(
        &'a self,
        system: System,
        question: impl FnOnce(&'a dyn Crm) -> BoxFuture<'a, Result<T, crm::Error>>,
    ) -> Result<T, Error> {
        question(self.crm(system)).await.map_err(|source| Error::Crm { system, source })
    }
}

/// The answer to a question, which is asked only where something depends on it.
async fn asked_if<T: Default>(
    needed: bool,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if needed { question.await } else { Ok(T::default()) }
}

/// Which fields to read of each kind, by these rules.
pub(super) fn fields_to_read(rules: &Rules) -> FieldsByKind {
    Kind::ALL.into_iter().map(|kind| (kind, rules.fields_to_read(kind))).collect()
}
