//! From settings and live schemas to rules: which mappings hold, which are left out, and why.
//!
//! | HubSpot | Salesforce | |
//! |---|---|---|
//! | text, phone, address | text, long text, phone, address, URL | R-208 |
//! | several lines | long text | R-208 |
//! | dropdown, radio | picklist, reference | R-208 |
//! | checkboxes | multi-select picklist | R-208 |
//! | checkbox | checkbox | R-208 |
//! | number | number | R-208 |
//! | date | date, date and time | R-208 |
//! | date and time | date and time | ours |
//!
//! A default mapping may also take text to a picklist: its values are checked one by one.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::Kind;
use crate::plan::defaults::{ADDRESS, DefaultMapping, PEOPLE};
use crate::plan::mapping::{ConflictPolicy, MappingOptions, Rule, Target};
use crate::plan::rules::{CONTACT_ID_PROPERTY, LEAD_ID_PROPERTY, People, PeopleOptions};
use crate::plan::{FieldSchema, FieldType, Mapping, Rules, Schemas};

/// Settings resolved against the live schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What the planner decides by.
    pub rules: Rules,
    /// What was left out or deserves a word.
    pub findings: Vec<Finding>,
}

impl Resolved {
    /// Why the connection cannot work with these settings, if it cannot.
    pub fn refusal(&self) -> Option<String> {
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let texts: Vec<String> =
            errors.map(|finding| format!("{}: {}", finding.subject, finding.text)).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

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

fn finding(severity: Severity, subject: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.into(), text: text.into() }
}

/// What can be said of the settings without asking either CRM.
pub fn check_offline(options: &PeopleOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut properties, mut fields) = (BTreeSet::new(), BTreeSet::new());
    for mapping in &options.mappings {
        let subject = format!("mapping of {}", mapping.hubspot);
        if mapping.salesforce.is_none() && mapping.lead.is_none() && mapping.contact.is_none() {
            findings.push(finding(
                Severity::Error,
                &subject,
                "names no Salesforce field: set `salesforce`, `lead` or `contact`",
            ));
        }
        if mapping.salesforce.is_some() && (mapping.lead.is_some() || mapping.contact.is_some()) {
            let text = "`salesforce` names the field of both objects: leave out `lead` and `contact`, or name both instead";
            findings.push(finding(Severity::Error, &subject, text));
        }
        if !properties.insert(mapping.hubspot.clone()) {
            findings.push(finding(
                Severity::Error,
                &subject,
                "the property is mapped twice (R-198): remove one of the mappings",
            ));
        }
        for (kind, field) in mapping.fields() {
            if !fields.insert((kind, field.clone())) {
                let text = format!("{kind}.{field} is mapped twice (R-198): remove one of the mappings");
                findings.push(finding(Severity::Error, &subject, text));
            }
        }
        let translations: BTreeSet<&String> = mapping.values.values().collect();
        if translations.len() != mapping.values.len() {
            let text = "two values translate to the same one, so the way back is not known: map each value to one of its own";
            findings.push(finding(Severity::Error, &subject, text));
        }
        if mapping.conflict != ConflictPolicy::Newest
            && mapping.rule.unwrap_or(options.default_rule) != Rule::TwoWay
        {
            findings.push(finding(
                Severity::Warning,
                &subject,
                "`conflict` has a meaning only with the rule two_way",
            ));
        }
    }
    findings
}

impl MappingOptions {
    /// The fields it names, by kind.
    fn fields(&self) -> impl Iterator<Item = (Kind, &String)> {
        let lead = self.lead.as_ref().or(self.salesforce.as_ref()).map(|field| (Kind::Lead, field));
        let contact = self.contact.as_ref().or(self.salesforce.as_ref()).map(|field| (Kind::Contact, field));
        lead.into_iter().chain(contact)
    }
}

/// Resolves settings against the live schemas.
pub fn resolve(options: &PeopleOptions, external_id_field: Option<&str>, schemas: &Schemas) -> Resolved {
    let mut resolver = Resolver { schemas, findings: check_offline(options), mappings: Vec::new() };
    for default in wanted_defaults(options) {
        resolver.add(&as_options(default), options.default_rule, true);
    }
    for mapping in &options.mappings {
        resolver.add(mapping, options.default_rule, false);
    }
    resolver.mappings.sort_by_key(|mapping| !mapping.is_address());
    let rules = Rules {
        external_id_field: resolver.external_id(external_id_field),
        lead_id_property: resolver.own_property(LEAD_ID_PROPERTY),
        contact_id_property: resolver.own_property(CONTACT_ID_PROPERTY),
        people: People {
            enabled: options.enabled,
            create_in_salesforce: options.create_in_salesforce,
            create_in_hubspot: options.create_in_hubspot,
            inclusion_list: Some(options.inclusion_list_id.trim().to_owned()).filter(|list| !list.is_empty()),
            on_ambiguous_match: options.on_ambiguous_match,
            delete_in_hubspot: options.delete_in_hubspot,
            follow_merges: options.follow_merges,
            follow_conversions: options.follow_conversions,
            mappings: resolver.mappings,
        },
    };
    Resolved { rules, findings: resolver.findings }
}

/// The default mappings that no explicit one replaces.
fn wanted_defaults(options: &PeopleOptions) -> Vec<DefaultMapping> {
    let replaced = |default: &DefaultMapping| {
        options.mappings.iter().any(|mapping| {
            let takes = |(kind, field): (Kind, &String)| {
                let own = if kind == Kind::Lead { default.1 } else { default.2 };
                own == Some(field.as_str())
            };
            mapping.hubspot == default.0 || mapping.fields().any(takes)
        })
    };
    let others = PEOPLE.into_iter().filter(|_| options.default_mappings);
    std::iter::once(ADDRESS).chain(others).filter(|default| !replaced(default)).collect()
}

fn as_options((property, lead, contact): DefaultMapping) -> MappingOptions {
    MappingOptions {
        hubspot: property.to_owned(),
        salesforce: None,
        lead: lead.map(str::to_owned),
        contact: contact.map(str::to_owned),
        rule: None,
        conflict: ConflictPolicy::default(),
        values: std::collections::BTreeMap::new(),
    }
}

struct Resolver<'a> {
    schemas: &'a Schemas,
    findings: Vec<Finding>,
    mappings: Vec<Mapping>,
}

impl Resolver<'_> {
    fn schema(&self, kind: Kind, name: &str) -> Option<&FieldSchema> {
        self.schemas.get(&kind)?.get(name)
    }

    fn add(&mut self, options: &MappingOptions, default_rule: Rule, is_default: bool) {
        let subject = format!("mapping of {}", options.hubspot);
        let Some(property_schema) = self.schema(Kind::HubspotContact, &options.hubspot).cloned() else {
            let severity = if options.hubspot == ADDRESS.0 { Severity::Error } else { Severity::Warning };
            let text = "HubSpot has no such property, or hides it from our token: create it or grant access; left out until then";
            return self.findings.push(finding(severity, subject, text));
        };
        let mut targets = [None, None];
        for (kind, field) in options.fields() {
            let target = self.target(options, &property_schema, (kind, field), is_default);
            targets[usize::from(kind == Kind::Contact)] = target;
        }
        let [lead, contact] = targets;
        if lead.is_none() && contact.is_none() {
            return;
        }
        self.mappings.push(Mapping {
            property: options.hubspot.clone(),
            property_schema,
            lead,
            contact,
            rule: options.rule.unwrap_or(default_rule),
            conflict: options.conflict,
            values: options.values.clone(),
        });
    }

    fn target(
        &mut self,
        options: &MappingOptions,
        property: &FieldSchema,
        (kind, field): (Kind, &String),
        is_default: bool,
    ) -> Option<Target> {
        let subject = format!("mapping of {} to {kind}.{field}", options.hubspot);
        let Some(schema) = self.schema(kind, field).cloned() else {
            let severity = if field == "Email" { Severity::Error } else { Severity::Warning };
            let text = "Salesforce has no such field, or hides it from our user: create it or grant access; left out until then";
            self.findings.push(finding(severity, subject, text));
            return None;
        };
        if !compatible(property.field_type, schema.field_type, is_default) {
            let text = format!(
                "the types do not go together (R-208): HubSpot's is {:?}, Salesforce's is {:?}; left out",
                property.field_type, schema.field_type
            );
            let severity = if is_default { Severity::Note } else { Severity::Warning };
            self.findings.push(finding(severity, subject, text));
            return None;
        }
        Some(Target { field: field.clone(), schema })
    }

    fn external_id(&mut self, name: Option<&str>) -> Option<String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let text = "creates in Salesforce are not keyed; see docs/decisions/0003-keyed-creates.md";
            self.findings.push(finding(Severity::Note, "external_id_field is empty", text));
            return None;
        };
        let missing: Vec<&str> = [Kind::Lead, Kind::Contact]
            .into_iter()
            .filter(|kind| self.schema(*kind, name).is_none())
            .map(Kind::as_str)
            .collect();
        if missing.is_empty() {
            return Some(name.to_owned());
        }
        let text = format!(
            "{} has no such field, or hides it from our user: create it as a unique external id of type text, or set external_id_field = \"\"",
            missing.join(" and ")
        );
        self.findings.push(finding(Severity::Error, name, text));
        None
    }

    fn own_property(&mut self, name: &str) -> Option<String> {
        if self.schema(Kind::HubspotContact, name).is_some() {
            return Some(name.to_owned());
        }
        let text = "HubSpot has no such property: people will not see there which Salesforce record a contact is linked to (R-065)";
        self.findings.push(finding(Severity::Note, name, text));
        None
    }
}

/// Whether a property and a field go together.
const fn compatible(property: FieldType, field: FieldType, is_default: bool) -> bool {
    use FieldType::{Choice, Choices, Date, Email, Flag, Instant, Multiline, Number, Phone, Reference, Text};
    match (property, field) {
        (Text | Phone | Email, Text | Multiline | Phone | Email)
        | (Multiline, Multiline)
        | (Choice, Choice | Reference)
        | (Choices, Choices)
        | (Flag, Flag)
        | (Number, Number)
        | (Date, Date | Instant)
        | (Instant, Instant) => true,
        (Text, Choice | Number) | (Choice, Text) => is_default,
        _ => false,
    }
}
