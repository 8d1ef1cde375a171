//! What both CRMs say of themselves, and what a person should know of it before anything syncs (A1).

use crate::domain::{Family, Kind, Timestamp};
use crate::plan::check::{Finding, Severity};
use crate::plan::inclusion::ListFilter;
use crate::plan::options::SyncOptions;
use crate::plan::owners::Owner;
use crate::plan::stages::PipelineStage;
use crate::plan::{Schema, Schemas};

/// What both CRMs say of themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// The fields of every kind that was asked about.
    pub schemas: Schemas,
    /// HubSpot's owners.
    pub owners: Vec<Owner>,
    /// Salesforce's users and queues.
    pub users: Vec<Owner>,
    /// The stages of HubSpot's pipelines.
    pub pipelines: Vec<PipelineStage>,
    /// The names of Salesforce's stages.
    pub stages: Vec<String>,
    /// The portal's time zone, an IANA name.
    pub time_zone: Option<String>,
    /// The Salesforce user that we are.
    pub salesforce_author: Option<String>,
    /// The organization's edition.
    pub edition: Option<String>,
    /// When a trial organization ends; `None` for every other.
    pub trial_ends: Option<String>,
    /// What is known of HubSpot's own connector with Salesforce; `None` where the portal never had one.
    pub native_connector: Option<NativeConnector>,
    /// What the inclusion list is; `None` where there is none, or none is asked for.
    pub inclusion_list: Option<ListKind>,
}

/// HubSpot's own connector with Salesforce, in the same portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeConnector {
    /// When it last wrote a contact.
    pub wrote_at: Timestamp,
    /// The present instant.
    pub now: Timestamp,
    /// Whether a person wants both.
    pub is_allowed: bool,
}

/// What a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKind {
    /// Whether it holds contacts.
    pub of_contacts: bool,
    /// Whether HubSpot keeps its members by itself (an active list), rather than people by hand.
    pub is_active: bool,
    /// What decides who is in it.
    pub filter: ListFilter,
}

/// How long HubSpot's own connector must have been silent to count as switched off: it looks every 15 minutes, and in two weeks
/// something changes in any portal that is in use.
const NATIVE_SILENCE_MS: i64 = 14 * 24 * 3_600_000;

/// What the accounts themselves can and cannot do.
pub(super) fn check(options: &SyncOptions, survey: &Survey) -> Vec<Finding> {
    let edition = survey.edition.as_deref().and_then(check_edition);
    let trial = survey.trial_ends.as_deref().map(|ends| {
        let text = format!("this is a trial, which ends on {ends}, and all sync with it (R-004)");
        Finding::new(Severity::Warning, "organization", text)
    });
    let list =
        check_inclusion_list(options.contacts.inclusion_list_id.trim(), survey.inclusion_list.as_ref());
    let native = survey.native_connector.as_ref().and_then(check_native_connector);
    let families = Family::ALL.into_iter().filter(|family| options.enabled(*family));
    let kinds = families.flat_map(|family| family.in_salesforce().iter().copied());
    let access = kinds.filter_map(|kind| check_access(kind, survey.schemas.get(&kind)?));
    edition.into_iter().chain(trial).chain(list).chain(native).chain(access).collect()
}

/// What an edition lacks.
fn check_edition(edition: &str) -> Option<Finding> {
    let starts = |names: &[&str]| names.iter().any(|name| edition.starts_with(name));
    if starts(&["Team", "Group", "Contact Manager", "Base", "Personal"]) {
        let text = "this edition has no API that we could use (R-002): move to Professional or higher";
        return Some(Finding::new(Severity::Error, edition, text));
    }
    let text = "this edition sends no outbound messages: changes in Salesforce are seen by the sweep, every sweep.interval_seconds";
    starts(&["Professional"]).then(|| Finding::new(Severity::Warning, edition, text))
}

/// Whether the inclusion list is one that HubSpot keeps up to date by itself.
fn check_inclusion_list(list: &str, kind: Option<&ListKind>) -> Option<Finding> {
    let (severity, text) = match kind {
        _ if list.is_empty() => return None,
        Some(ListKind { of_contacts: true, is_active: true, .. }) => return None,
        Some(ListKind { of_contacts: true, is_active: false, .. }) => (
            Severity::Warning,
            "the list is not an active one (R-025): HubSpot keeps only active lists up to date by itself",
        ),
        Some(ListKind { of_contacts: false, .. }) => {
            (Severity::Error, "the list holds no contacts: name an active list of contacts")
        }
        None => (
            Severity::Error,
            "HubSpot has no such list, or hides it from our token: without it nobody would take part",
        ),
    };
    Some(Finding::new(severity, format!("inclusion_list_id {list}"), text))
}

/// Two engines in one portal would overwrite each other's work.
fn check_native_connector(connector: &NativeConnector) -> Option<Finding> {
    let NativeConnector { wrote_at, now, is_allowed } = *connector;
    if now.millis_since(wrote_at) >= NATIVE_SILENCE_MS {
        return None;
    }
    let severity = if is_allowed { Severity::Warning } else { Severity::Error };
    let text = format!(
        "HubSpot's own connector with Salesforce is at work in this portal, it last wrote at {wrote_at}: switch it off, and then set allow_native_connector = true or wait two weeks"
    );
    Some(Finding::new(severity, "native connector", text))
}

/// What our user may not do with an object that it sees.
fn check_access(kind: Kind, schema: &Schema) -> Option<Finding> {
    let lacking = match (
        schema.values().any(|field| field.createable),
        schema.values().any(|field| field.updateable),
    ) {
        _ if schema.is_empty() => return None,
        (true, true) => return None,
        (false, true) => "create",
        (true, false) => "change",
        (false, false) => "create or change",
    };
    let text = format!(
        "our user may not {lacking} {kind} records (R-013): grant it Modify All on the object; until then such writes are parked"
    );
    Some(Finding::new(Severity::Warning, kind.as_str(), text))
}
