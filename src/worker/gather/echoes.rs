//! Messages that name our own user as the last author and do not carry every mapped field: the Salesforce record is read to see whether
//! somebody edited it between our read and our write. One call for all of a round, and none of HubSpot.

use crate::crm::Found;
use crate::domain::{RecordKey, System};
use crate::plan::{Echo, Links, echo, holds_what_was_agreed};
use crate::store::types::Claimed;
use crate::worker::connection::fields_to_read;
use crate::worker::gather::Sources;

/// Of claimed pairs, whether every message since the last work told of our own writes, and of nothing but them.
pub(in crate::worker) async fn tell_of_us_only(sources: &Sources<'_>, claimed: &[Claimed]) -> Vec<bool> {
    let echoes: Vec<Echo> = claimed.iter().map(|claimed| told(claimed, sources)).collect();
    let unclear: Vec<RecordKey> = claimed
        .iter()
        .zip(&echoes)
        .filter(|(_, echo)| **echo == Echo::Unclear)
        .filter_map(|(claimed, _)| Some(claimed.pair.as_ref()?.salesforce))
        .collect();
    let mut found = if unclear.is_empty() {
        Vec::new()
    } else {
        sources.live.crm(System::Salesforce).read(&unclear, &fields_to_read(sources.rules)).await
    }
    .into_iter();
    let is_own = |(claimed, echo): (&Claimed, &Echo)| match echo {
        Echo::Own => true,
        Echo::Unclear => holds_still(claimed, found.next(), sources),
        Echo::More => false,
    };
    claimed.iter().zip(&echoes).map(is_own).collect()
}

/// What the messages about a pair tell.
fn told(claimed: &Claimed, sources: &Sources<'_>) -> Echo {
    let Some(pair) = claimed.pair.as_ref().filter(|_| claimed.open_intents.is_empty()) else {
        return Echo::More;
    };
    let of_job = |job: &crate::store::types::ClaimedJob| match &job.told {
        Some(told) => echo(told, job.key.kind(), &pair.base, sources.rules),
        None => Echo::More,
    };
    claimed.jobs.iter().map(of_job).max().unwrap_or(Echo::More)
}

/// Whether the Salesforce record holds what was agreed and was last written by us.
fn holds_still(claimed: &Claimed, found: Option<Found>, sources: &Sources<'_>) -> bool {
    let (Some(pair), Some(Found::Present(record))) = (&claimed.pair, found) else { return false };
    let by_us = record.modified_by.is_some() && record.modified_by == sources.rules.salesforce_author;
    by_us
        && record.key == pair.salesforce
        && holds_what_was_agreed(&record, pair, &Links::default(), sources.rules)
}
