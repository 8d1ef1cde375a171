//! Which traces deserve a look.
//!
//! | the trace | the record's pair | a look? |
//! |---|---|---|
//! | it was deleted, merged away or converted | it has one, and that does not rest | yes |
//! | the same | none, or one that rests | no: nothing could follow |
//! | it came back, or joined the list | any | yes |
//! | a contact's role on it changed | one, or none where roles move stages | yes |
//! | it changed | one, and it holds what was agreed | no: a message told, we wrote it ourselves, or what changed does not travel |
//! | it changed | one, and it holds something else, or the pair rests | yes |
//! | it changed | none | if it is new, or somebody edited something that travels: what the CRMs do to a record by themselves brings nobody over (R-011, R-240) |

use std::collections::HashMap;

use crate::crm::{self, Deed, FieldsByKind, Trace};
use crate::domain::{Kind, RecordKey, System, Timestamp, Value};
use crate::plan::rules::{COMPANY_PROPERTY, MERGED_IDS_PROPERTY};
use crate::plan::{Links, Pair, Rules, holds_what_was_agreed};
use crate::store::types::Mark;
use crate::worker::Error;
use crate::worker::gather::{Sources, company_of};

/// What is to become of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing would follow.
    Pass,
    /// Whatever it is, a look will tell.
    Look,
    /// If somebody edited the record, which its CRM must be asked.
    LookIfEdited,
}

/// Judges the traces of one stream, each with the pair that its record is in. The inner error is the CRM's: the page is to be judged again.
pub(super) async fn judge(
    sources: &Sources<'_>,
    fields: &FieldsByKind,
    window: Timestamp,
    traces: Vec<(Trace, Option<Pair>)>,
) -> Result<Result<Vec<Mark>, crm::Error>, Error> {
    let (mut traces, pairs): (Vec<Trace>, Vec<Option<Pair>>) = traces.into_iter().unzip();
    let Some(system) = traces.first().map(|trace| trace.record.key.system()) else {
        return Ok(Ok(Vec::new()));
    };
    if let Err(error) = complete_deals(sources, &mut traces, &pairs).await {
        return Ok(Err(error));
    }
    let links = links_of(sources, &traces, &pairs).await?;
    let verdicts: Vec<Verdict> = traces
        .iter()
        .zip(&pairs)
        .map(|(trace, pair)| verdict(trace, pair.as_ref(), window, (&links, sources.rules)))
        .collect();
    let doubtful: Vec<RecordKey> = traces
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| **verdict == Verdict::LookIfEdited)
        .map(|(trace, _)| trace.record.key)
        .collect();
    let edited = match edited(sources, system, (&doubtful, fields), window).await {
        Ok(edited) => edited,
        Err(error) => return Ok(Err(error)),
    };
    let looks = |(trace, verdict): (&Trace, Verdict)| {
        let key = trace.record.key;
        let deserved = match verdict {
            Verdict::Pass => false,
            Verdict::Look => true,
            Verdict::LookIfEdited => edited.get(&key).copied().unwrap_or_default(),
        };
        deserved.then(|| mark(key, changed_at(trace)))
    };
    Ok(Ok(traces.iter().zip(verdicts).filter_map(looks).collect()))
}

/// A mark of this time.
pub(super) const fn mark(key: RecordKey, occurred_at: Timestamp) -> Mark {
    Mark::at(key, occurred_at)
}

/// When the change happened, for deciding conflicts: Salesforce's stamp, which its messages carry as well. The time that HubSpot keeps for
/// a record moves for reasons of HubSpot's own too, and must not outdo what a webhook told of a property.
fn changed_at(trace: &Trace) -> Timestamp {
    match (trace.record.key.system(), trace.deed) {
        (System::Salesforce, Deed::Changed) => trace.record.modified_at,
        _ => Timestamp::default(),
    }
}

fn verdict(
    trace: &Trace,
    pair: Option<&Pair>,
    window: Timestamp,
    (links, rules): (&Links, &Rules),
) -> Verdict {
    let record = &trace.record;
    match (trace.deed, pair) {
        // An opportunity that is no deal yet becomes none because somebody has a part in it.
        (Deed::Related, None)
            if record.key.kind() == Kind::Opportunity && !rules.lifecycle.opportunity_transitions =>
        {
            Verdict::Pass
        }
        (Deed::Related, _) => Verdict::Look,
        (Deed::Gone, Some(pair)) if pair.stopped.is_none() => Verdict::Look,
        (Deed::Gone, _) => Verdict::Pass,
        (Deed::Changed, Some(pair)) => {
            let agreed = pair.stopped.is_none() && holds_what_was_agreed(record, pair, links, rules);
            if agreed { Verdict::Pass } else { Verdict::Look }
        }
        (Deed::Changed, None) => {
            // A record that others were merged into is a new one with an old one's values.
            let merged = record.fields.get(MERGED_IDS_PROPERTY).is_some_and(|ids| !ids.is_blank());
            let edited = trace.edited_at.is_some_and(|at| at >= window);
            if merged || edited { Verdict::Look } else { Verdict::LookIfEdited }
        }
    }
}

/// A deal's company is no property of its own: it is read as for any look, a call for a whole page.
async fn complete_deals(
    sources: &Sources<'_>,
    traces: &mut [Trace],
    pairs: &[Option<Pair>],
) -> Result<(), crm::Error> {
    if !sources.rules.companies.enabled {
        return Ok(());
    }
    let deals: Vec<&mut Trace> = traces
        .iter_mut()
        .zip(pairs)
        .filter(|(trace, pair)| {
            trace.deed == Deed::Changed && trace.record.key.kind() == Kind::Deal && pair.is_some()
        })
        .map(|(trace, _)| trace)
        .collect();
    if deals.is_empty() {
        return Ok(());
    }
    let keys: Vec<RecordKey> = deals.iter().map(|trace| trace.record.key).collect();
    let related = sources.live.crm(System::Hubspot).related(Kind::Company, &keys).await;
    for (trace, companies) in deals.into_iter().zip(related) {
        let id = companies?.first().map(|company| company.id().to_string()).unwrap_or_default();
        trace.record.fields.insert(COMPANY_PROPERTY.to_owned(), Value::text(id));
    }
    Ok(())
}

/// Which of the companies and accounts that paired records name are pairs.
async fn links_of(sources: &Sources<'_>, traces: &[Trace], pairs: &[Option<Pair>]) -> Result<Links, Error> {
    let mut links = Links::default();
    if !sources.rules.companies.enabled {
        return Ok(links);
    }
    let paired = traces.iter().zip(pairs).filter(|(_, pair)| pair.is_some());
    let mut named: Vec<RecordKey> = paired.filter_map(|(trace, _)| company_of(&trace.record)).collect();
    named.sort_unstable();
    named.dedup();
    if named.is_empty() {
        return Ok(links);
    }
    let known = sources.store.pairs_of(&sources.live.settings.name, &named).await?;
    for pair in known.into_iter().flatten() {
        links.add(pair.hubspot, pair.salesforce, pair.stopped.is_none());
    }
    Ok(links)
}

/// Which records somebody edited since the sweep's window began.
async fn edited(
    sources: &Sources<'_>,
    system: System,
    (keys, fields): (&[RecordKey], &FieldsByKind),
    window: Timestamp,
) -> Result<HashMap<RecordKey, bool>, crm::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let told = sources.live.crm(system).edited(keys, fields, window).await;
    keys.iter().zip(told).map(|(key, told)| Ok((*key, told?))).collect()
}
