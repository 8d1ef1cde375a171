//! What a person should know about the settings, and what of it can be said without asking either CRM.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::{Family, Kind};
use crate::plan::defaults::{self, ADDRESS, DefaultMapping};
use crate::plan::mapping::{ConflictPolicy, MappingOptions, Rule};
use crate::plan::options::{CreateInSalesforce, SyncOptions};

/// Something a person should know about the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What it is and what to do.
    pub text: String,
    /// Whether nothing can work until it is mended; otherwise an error leaves out one mapping.
    #[serde(skip)]
    pub stops: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot work until it is mended.
    Error,
    /// Something is left out.
    Warning,
    /// Good to know.
    Note,
}

impl Finding {
    /// A finding; an error stops the connection.
    pub fn new(severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { severity, subject: subject.into(), text: text.into(), stops: severity == Severity::Error }
    }

    /// An error that leaves out one mapping and stops nothing else.
    pub(super) fn of_mapping(property: &str, text: impl Into<String>) -> Self {
        let subject = format!("mapping of {property}");
        Self { stops: false, ..Self::new(Severity::Error, subject, text) }
    }
}

/// What can be said of the settings without asking either CRM.
pub fn check_offline(options: &SyncOptions) -> Vec<Finding> {
    let mut findings = check_together(options);
    findings.extend(Family::ALL.into_iter().flat_map(|family| check_mappings(options, family)));
    findings
}

/// Settings that work, each by itself, and together bring what few people want.
fn check_together(options: &SyncOptions) -> Vec<Finding> {
    let (companies, makes) = (&options.companies, options.contacts.create_in_salesforce);
    let mut findings = Vec::new();
    if options.contacts.enabled
        && companies.enabled
        && companies.hubspot_creates_companies
        && makes == CreateInSalesforce::Lead
    {
        let text = "contacts become leads, which have no account, while HubSpot creates companies for them: an account that comes of a conversion can become a second company (R-046); switch that creation off in HubSpot and set this to false, or create contacts";
        findings.push(Finding::new(Severity::Warning, "hubspot_creates_companies", text));
    }
    if options.deals.enabled && !companies.enabled {
        let text = "deals sync and companies do not: a deal gets no company and an opportunity no account (R-149); to have them, set `enabled` of [connections.sync.companies]";
        findings.push(Finding::new(Severity::Note, "deals", text));
    }
    findings
}

fn check_mappings(options: &SyncOptions, family: Family) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !options.enabled(family) && !options.mappings(family).is_empty() {
        let text = "these mappings do nothing while the sync of their objects is off (R-199): set `enabled`, or remove them";
        findings.push(Finding::new(Severity::Warning, format!("mappings of {family}"), text));
    }
    for (mapping, faults) in options.mappings(family).iter().zip(faults_of_mappings(options, family)) {
        findings.extend(faults.into_iter().map(|text| Finding::of_mapping(&mapping.hubspot, text)));
        let subject = format!("mapping of {}", mapping.hubspot);
        let translations: BTreeSet<&String> = mapping.values.values().collect();
        if translations.len() != mapping.values.len() {
            let text = "two values translate to the same one: on the way back, the one that comes first in the alphabet is used";
            findings.push(Finding::new(Severity::Note, &subject, text));
        }
        if mapping.conflict != ConflictPolicy::Newest
            && mapping.rule.unwrap_or(options.contacts.default_rule) != Rule::TwoWay
        {
            let text = "`conflict` has a meaning only with the rule two_way";
            findings.push(Finding::new(Severity::Warning, &subject, text));
        }
    }
    findings
}

/// Why each mapping of a family cannot work, as far as the settings alone tell; those without a reason may.
pub(super) fn faults_of_mappings(options: &SyncOptions, family: Family) -> Vec<Vec<String>> {
    let (mut properties, mut fields) = (BTreeSet::new(), BTreeSet::new());
    let automatic = defaults::automatic(family, options);
    let mut faults_of = |mapping: &MappingOptions| {
        let mut faults = Vec::new();
        let own = mapping.fields(family);
        if own.is_empty() {
            let text = "names no Salesforce field: set `salesforce`, or for contacts `lead` or `contact`";
            faults.push(text.to_owned());
        }
        let of_one = mapping.lead.is_some() || mapping.contact.is_some();
        if of_one && (mapping.salesforce.is_some() || family != Family::People) {
            let text = "`salesforce` names the field of both objects: leave out `lead` and `contact`, or name both instead";
            faults.push(text.to_owned());
        }
        faults.extend(automatic.iter().filter(|default| takes(mapping, &own, default)).map(|default| {
            let fields: Vec<String> = default.fields().map(|(kind, field)| format!("{kind}.{field}")).collect();
            format!(
                "{} and {} are mapped to each other automatically, and that cannot be changed (R-184, R-201, R-204): remove this mapping",
                default.property,
                fields.join(" and ")
            )
        }));
        if !properties.insert(mapping.hubspot.clone()) {
            faults.push("the property is mapped twice (R-198): remove one of the mappings".to_owned());
        }
        for (kind, field) in own {
            if !fields.insert((kind, field.clone())) {
                faults.push(format!("{kind}.{field} is mapped twice (R-198): remove one of the mappings"));
            }
        }
        faults
    };
    options.mappings(family).iter().map(&mut faults_of).collect()
}

/// Whether a mapping takes a property or a field of one that is automatic. The address may have a rule of its own.
fn takes(mapping: &MappingOptions, own: &[(Kind, &String)], automatic: &DefaultMapping) -> bool {
    let is_its_field =
        |(kind, field): &(Kind, &String)| automatic.fields().any(|known| known == (*kind, field.as_str()));
    let same_property = mapping.hubspot == automatic.property;
    let same_fields = own.iter().all(is_its_field);
    let is_address = same_property && same_fields && automatic.property == ADDRESS;
    !is_address && (same_property || own.iter().any(is_its_field))
}
