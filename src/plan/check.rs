//! What a person should know about the settings, and what of it can be said without asking either CRM.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::Family;
use crate::plan::defaults::{OPT_OUT, STAGE};
use crate::plan::mapping::{ConflictPolicy, Rule};
use crate::plan::options::SyncOptions;

/// Something a person should know about the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What it is and what to do.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can work until it is mended.
    Error,
    /// Something is left out.
    Warning,
    /// Good to know.
    Note,
}

pub(super) fn finding(severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.into(), text: text.into() }
}

/// What can be said of the settings without asking either CRM.
pub fn check_offline(options: &SyncOptions) -> Vec<Finding> {
    Family::ALL.into_iter().flat_map(|family| check_mappings(options, family)).collect()
}

fn check_mappings(options: &SyncOptions, family: Family) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !options.enabled(family) && !options.mappings(family).is_empty() {
        let text = "these mappings do nothing while the sync of their objects is off (R-199): set `enabled`, or remove them";
        findings.push(finding(Severity::Warning, format!("mappings of {family}"), text));
    }
    let mut error = |subject: &str, text: &str| findings.push(finding(Severity::Error, subject, text));
    let (mut properties, mut fields) = (BTreeSet::new(), BTreeSet::new());
    for mapping in options.mappings(family) {
        let subject = format!("mapping of {}", mapping.hubspot);
        if mapping.fields(family).is_empty() {
            error(
                &subject,
                "names no Salesforce field: set `salesforce`, or for contacts `lead` or `contact`",
            );
        }
        let of_one = mapping.lead.is_some() || mapping.contact.is_some();
        if of_one && (mapping.salesforce.is_some() || family != Family::People) {
            error(
                &subject,
                "`salesforce` names the field of both objects: leave out `lead` and `contact`, or name both instead",
            );
        }
        if [OPT_OUT, STAGE].contains(&mapping.hubspot.as_str()) {
            error(&subject, "this mapping is automatic and cannot be changed (R-204): remove it");
        }
        if !properties.insert(mapping.hubspot.clone()) {
            error(&subject, "the property is mapped twice (R-198): remove one of the mappings");
        }
        for (kind, field) in mapping.fields(family) {
            if !fields.insert((kind, field.clone())) {
                error(
                    &subject,
                    &format!("{kind}.{field} is mapped twice (R-198): remove one of the mappings"),
                );
            }
        }
        let translations: BTreeSet<&String> = mapping.values.values().collect();
        if translations.len() != mapping.values.len() {
            error(
                &subject,
                "two values translate to the same one, so the way back is not known: map each value to one of its own",
            );
        }
        if mapping.conflict != ConflictPolicy::Newest
            && mapping.rule.unwrap_or(options.contacts.default_rule) != Rule::TwoWay
        {
            let text = "`conflict` has a meaning only with the rule two_way";
            findings.push(finding(Severity::Warning, &subject, text));
            return findings;
        }
    }
    findings
}
