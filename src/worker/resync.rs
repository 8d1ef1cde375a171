//! Resyncs: a person asks for records to be brought into agreement, or wants to see what would happen.
//!
//! A resync marks records dirty through the same door as a webhook, page by page; the rounds do the rest. A dry run gathers and
//! plans each page instead, counts the steps and changes nothing.

use std::collections::BTreeMap;

use tracing::warn;
use uuid::Uuid;

use crate::crm::{self, Page};
use crate::domain::{ConnectionName, RecordKey, System, Timestamp};
use crate::plan::Step;
use crate::store::types::{AllOf, Mark, Resync};
use crate::worker::connection::Live;
use crate::worker::gather::{Gathered, Sources, Subject, gather, plan_all};
use crate::worker::{Error, Worker};

impl Worker {
    /// Records a resync of named records, or of all of one kind or list; the rounds take it from there. Returns it as recorded.
    pub async fn resync(
        &self,
        connection: &ConnectionName,
        keys: Vec<RecordKey>,
        all_of: Option<AllOf>,
        dry_run: bool,
    ) -> Result<Resync, Error> {
        let live = self.live(connection)?;
        if let Some(AllOf::List(list)) = &all_of {
            let system = System::Hubspot;
            let kind = live.crm(system).list_kind(list).await;
            let kind = kind.map_err(|source| Error::Crm { system, source })?;
            kind.filter(|kind| kind.of_contacts).ok_or(Error::UnknownList)?;
        }
        let resync = Resync {
            id: Uuid::now_v7(),
            connection: connection.clone(),
            all_of,
            total: keys.len() as u64,
            keys,
            dry_run,
            complete: false,
            cursor: None,
            done: 0,
            failed: 0,
            preview: BTreeMap::new(),
            created_at: self.clock.now(),
        };
        self.store.create_resync(&resync).await?;
        self.wake();
        Ok(resync)
    }

    /// Takes one page of the oldest open resync. Returns whether there was one.
    pub(super) async fn advance_resyncs(&self, live: &Live) -> Result<bool, Error> {
        let Some(mut resync) = self.store.open_resyncs(&live.settings.name).await?.into_iter().next() else {
            return Ok(false);
        };
        let from = resync.cursor.clone();
        let page = next_page(live, &mut resync).await?;
        let now = self.clock.now();
        if resync.dry_run {
            self.preview(live, &mut resync, &page, now).await?;
            self.store.advance_resync(&resync, from.as_deref(), &[], now).await?;
        } else {
            // It gives neither side a newer time: when something changed decides conflicts, not when somebody asked.
            let marks: Vec<Mark> = page.iter().copied().map(Mark::of).collect();
            self.store.advance_resync(&resync, from.as_deref(), &marks, now).await?;
        }
        Ok(true)
    }

    async fn preview(
        &self,
        live: &Live,
        resync: &mut Resync,
        page: &[RecordKey],
        now: Timestamp,
    ) -> Result<(), Error> {
        let resolved = live.resolve(now).await?;
        let pairs = self.store.pairs_of(&live.settings.name, page).await?;
        let asked = resync.cause().asked();
        let subjects: Vec<Subject> =
            page.iter().zip(pairs).map(|(key, pair)| Subject::asked_for(*key, pair, asked)).collect();
        for chunk in subjects.chunks(self.round_limit()) {
            let sources = Sources { live, store: &*self.store, rules: &resolved.rules, now };
            let mut gathered = gather(&sources, chunk).await?;
            let plans = plan_all(&sources, &mut gathered).await?;
            for (gathered, plan) in gathered.iter().zip(plans) {
                match gathered {
                    Gathered::View(_) => {
                        resync.done += 1;
                        let steps = plan.map(|plan| plan.steps).unwrap_or_default();
                        count_steps(&steps, &mut resync.preview);
                    }
                    Gathered::PutOff => {
                        resync.done += 1;
                        count(&mut resync.preview, "with_another", 1);
                    }
                    Gathered::Failed(..) => resync.failed += 1,
                }
            }
        }
        Ok(())
    }
}

/// The next records of a resync; moves its cursor.
async fn next_page(live: &Live, resync: &mut Resync) -> Result<Vec<RecordKey>, Error> {
    let after = resync.cursor.as_deref();
    let (system, page) = match &resync.all_of {
        None => {
            resync.complete = true;
            return Ok(std::mem::take(&mut resync.keys));
        }
        Some(AllOf::Kind(kind)) => (kind.system(), live.crm(kind.system()).list(*kind, after).await),
        Some(AllOf::List(list)) => {
            (System::Hubspot, live.crm(System::Hubspot).list_members(list, after).await)
        }
    };
    let page = match page {
        // The list is gone, or the object hidden from us, since it was asked for: what was found so far is what there is.
        Err(crm::Error::Refused(refusal)) => {
            warn!(connection = %live.settings.name, crm.code = refusal.code, "A resync ends early: {system} refuses its next page");
            Page { keys: Vec::new(), next: None, total: None }
        }
        page => page.map_err(|source| Error::Crm { system, source })?,
    };
    resync.complete = page.next.is_none();
    resync.cursor = page.next;
    resync.total = resync.total.saturating_add(page.keys.len() as u64);
    Ok(page.keys)
}

fn count_steps(steps: &[Step], preview: &mut BTreeMap<String, u64>) {
    for step in steps {
        match step {
            Step::Link { .. } => count(preview, "links", 1),
            Step::Create { kind, .. } => count(preview, &format!("creates_in_{}", kind.system()), 1),
            Step::Update { key, changes, .. } => {
                count(preview, &format!("updates_in_{}", key.system()), 1);
                let clears = changes.iter().filter(|change| change.new.is_blank()).count();
                count(preview, &format!("cleared_values_in_{}", key.system()), clears as u64);
            }
            Step::Delete { key, .. } => count(preview, &format!("deletes_in_{}", key.system()), 1),
            Step::Relate { .. } => count(preview, "associations_in_hubspot", 1),
            Step::OptOut { .. } => count(preview, "opt_outs_in_hubspot", 1),
            Step::Look { .. } => {}
            Step::Postpone { .. } => count(preview, "postponed", 1),
            Step::Stop { .. } => count(preview, "stops", 1),
            Step::Conflict { .. } => count(preview, "conflicts", 1),
            Step::Hold { .. } => count(preview, "held", 1),
        }
    }
}

fn count(preview: &mut BTreeMap<String, u64>, what: &str, n: u64) {
    if n > 0 {
        *preview.entry(what.to_owned()).or_default() += n;
    }
}
