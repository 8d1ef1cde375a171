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
//! | date and time | date, date and time | ours: a day is told in the portal's time zone |
//!
//! A default mapping may also take text to a picklist: its values are checked one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Family, Kind};
pub use crate::plan::check::{Finding, Severity, check_offline};
pub use crate::plan::survey::{ListKind, NativeConnector, Survey};

use crate::plan::check::faults_of_mappings;
use crate::plan::defaults::{self, ADDRESS, DefaultMapping};
use crate::plan::mapping::{ConflictPolicy, MappingOptions, Meaning, Rule, Target};
use crate::plan::options::{CompanyOptions, SyncOptions};
use crate::plan::owners::Owners;
use crate::plan::persons::PERSON_FIELD;
use crate::plan::rules::{Deals, LIFECYCLE_PROPERTY, People, id_property};
use crate::plan::stages::Stages;
use crate::plan::{FieldSchema, FieldType, Mapping, Rules, survey};

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
        let errors = self.findings.iter().filter(|finding| finding.stops);
        let texts: Vec<String> =
            errors.map(|finding| format!("{}: {}", finding.subject, finding.text)).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// Resolves settings against what both CRMs say of themselves.
pub fn resolve(options: &SyncOptions, external_id_field: Option<&str>, survey: &Survey) -> Resolved {
    let mut resolver = Resolver {
        survey,
        findings: check_offline(options),
        hidden_kinds: Vec::new(),
        unreachable: BTreeMap::new(),
    };
    resolver.findings.extend(survey::check(options, survey));
    let (people, deals) = (&options.contacts, &options.deals);
    let wanted = Family::ALL.into_iter().filter(|family| options.enabled(*family));
    let families: Vec<Family> = wanted.filter(|family| resolver.has_access(*family)).collect();
    let mappings = families.iter().map(|family| (*family, resolver.mappings(options, *family))).collect();
    let mut rules = Rules {
        salesforce_author: survey.salesforce_author.clone(),
        external_id_field: resolver.external_id(external_id_field, &families),
        id_properties: families.iter().flat_map(|family| resolver.id_properties(*family)).collect(),
        mappings,
        people: People {
            enabled: people.enabled,
            create_in_salesforce: resolver.created_in_salesforce(people.create_in_salesforce),
            create_in_hubspot: people.create_in_hubspot,
            inclusion_list: Some(people.inclusion_list_id.trim().to_owned()).filter(|list| !list.is_empty()),
            list_filter: survey.inclusion_list.as_ref().map(|list| list.filter.clone()).unwrap_or_default(),
            on_ambiguous_match: people.on_ambiguous_match,
            delete_in_hubspot: people.delete_in_hubspot,
            delete_in_salesforce: people.delete_in_salesforce,
            follow_merges: people.follow_merges,
            follow_conversions: people.follow_conversions,
        },
        companies: CompanyOptions {
            enabled: families.contains(&Family::Companies),
            ..options.companies.clone()
        },
        deals: Deals {
            enabled: families.contains(&Family::Deals),
            pipelines: deals.pipelines.clone(),
            stages: Stages::new(&deals.stages, &survey.pipelines, &survey.stages),
            delete_in_hubspot: deals.delete_in_hubspot,
            close_date_default_days: deals.close_date_default_days,
        },
        lifecycle: options.lifecycle.clone(),
        lifecycle_stages: resolver.lifecycle_stages(),
        hidden_kinds: std::mem::take(&mut resolver.hidden_kinds),
        hidden: Vec::new(),
        unreachable: std::mem::take(&mut resolver.unreachable),
        person_accounts: resolver.schema(Kind::Contact, PERSON_FIELD).is_some(),
        time_zone: resolver.time_zone(),
        owners: Owners::matched(&survey.owners, &survey.users),
    };
    rules.hidden = resolver.hidden(&rules);
    resolver.name_stages_without_counterpart(&rules.deals);
    Resolved { rules, findings: resolver.findings }
}

/// The mappings of a family that hold without a person writing them, those that a person wrote instead left out.
fn wanted_defaults(options: &SyncOptions, family: Family) -> Vec<DefaultMapping> {
    let replaced = |default: &DefaultMapping| {
        let taken =
            |(kind, field): (Kind, &String)| default.fields().any(|known| known == (kind, field.as_str()));
        working(options, family).any(|mapping| {
            mapping.hubspot == default.property || mapping.fields(family).into_iter().any(taken)
        })
    };
    let optional = defaults::optional(family).into_iter().filter(|_| options.contacts.default_mappings);
    let all = defaults::automatic(family, options).into_iter().chain(optional);
    all.filter(|default| !replaced(default)).collect()
}

/// The mappings that a person wrote and that can work, as far as the settings alone tell.
fn working(options: &SyncOptions, family: Family) -> impl Iterator<Item = &MappingOptions> {
    let mappings = options.mappings(family).iter().zip(faults_of_mappings(options, family));
    mappings.filter(|(_, faults)| faults.is_empty()).map(|(mapping, _)| mapping)
}

fn as_options(default: &DefaultMapping) -> MappingOptions {
    let field = |wanted: Kind| {
        let mut fields = default.fields.iter().flatten();
        fields.find(|(kind, _)| *kind == wanted).map(|(_, field)| (*field).to_owned())
    };
    MappingOptions {
        hubspot: default.property.to_owned(),
        salesforce: field(Kind::Account).or_else(|| field(Kind::Opportunity)),
        lead: field(Kind::Lead),
        contact: field(Kind::Contact),
        rule: rule_of(default),
        conflict: ConflictPolicy::default(),
        values: BTreeMap::new(),
    }
}

/// Owners and the opt-out have rules of their own; a deal follows its opportunity's account, and nothing is ever taken
/// from an opportunity.
fn rule_of(default: &DefaultMapping) -> Option<Rule> {
    let of_deal = default.fields.contains(&Some((Kind::Opportunity, crate::plan::rules::ACCOUNT_FIELD)));
    match default.meaning {
        Meaning::Company if of_deal => Some(Rule::PreferSalesforce),
        Meaning::Owner | Meaning::OptOut | Meaning::Company => Some(Rule::TwoWay),
        Meaning::Value | Meaning::Stage => None,
    }
}

pub(super) struct Resolver<'a> {
    pub(super) survey: &'a Survey,
    findings: Vec<Finding>,
    /// Leads or contacts, where Salesforce shows us the others alone.
    pub(super) hidden_kinds: Vec<Kind>,
    /// What [`Rules::unreachable`] will hold.
    unreachable: BTreeMap<Family, BTreeSet<String>>,
}

impl Resolver<'_> {
    pub(super) fn say(&mut self, severity: Severity, subject: impl Into<String>, text: impl Into<String>) {
        self.findings.push(Finding::new(severity, subject, text));
    }

    /// Says why a mapping is left out. One that a person wrote is an error, which stops nothing else.
    fn say_of_mapping(
        &mut self,
        subject: String,
        (is_default, severity): (bool, Severity),
        text: impl Into<String>,
    ) {
        let of_default = Finding::new(severity, subject, text);
        let of_person = Finding { severity: Severity::Error, stops: of_default.stops, ..of_default.clone() };
        self.findings.push(if is_default { of_default } else { of_person });
    }

    pub(super) fn schema(&self, kind: Kind, name: &str) -> Option<&FieldSchema> {
        self.survey.schemas.get(&kind)?.get(name)
    }

    fn mappings(&mut self, options: &SyncOptions, family: Family) -> Vec<Mapping> {
        let default_rule = options.contacts.default_rule;
        let mut mappings = Vec::new();
        for default in wanted_defaults(options, family) {
            mappings.extend(self.mapping(
                &as_options(&default),
                (default_rule, default.meaning),
                true,
                family,
            ));
        }
        let field = options.lifecycle.salesforce_field.trim();
        if family == Family::People && !field.is_empty() {
            let lifecycle = MappingOptions {
                hubspot: LIFECYCLE_PROPERTY.to_owned(),
                salesforce: Some(field.to_owned()),
                lead: None,
                contact: None,
                rule: None,
                conflict: ConflictPolicy::default(),
                values: BTreeMap::new(),
            };
            mappings.extend(self.mapping(&lifecycle, (default_rule, Meaning::Value), true, family));
        }
        for mapping in working(options, family) {
            mappings.extend(self.mapping(mapping, (default_rule, Meaning::Value), false, family));
        }
        mappings.sort_by_key(|mapping| !mapping.is_address());
        mappings
    }

    fn mapping(
        &mut self,
        options: &MappingOptions,
        (default_rule, meaning): (Rule, Meaning),
        is_default: bool,
        family: Family,
    ) -> Option<Mapping> {
        let subject = format!("mapping of {}", options.hubspot);
        let property = self.property(options, meaning, family);
        let Some(property_schema) = property else {
            let severity = if options.hubspot == ADDRESS { Severity::Error } else { Severity::Warning };
            let text = "HubSpot has no such property, or hides it from our token: create it or grant access; left out until then";
            self.say_of_mapping(subject, (is_default, severity), text);
            self.cannot_reach(family, &options.hubspot);
            return None;
        };
        let compares = meaning == Meaning::Value;
        let rule = options.rule.unwrap_or(default_rule);
        let mut targets = BTreeMap::new();
        for (kind, field) in options.fields(family) {
            let about = (kind, field, is_default);
            let property = compares.then_some(&property_schema);
            targets.extend(self.target(options, property, about, rule).map(|target| (kind, target)));
        }
        (!targets.is_empty()).then(|| Mapping {
            property: options.hubspot.clone(),
            property_schema,
            meaning,
            targets,
            rule,
            conflict: options.conflict,
            values: options.values.clone(),
        })
    }

    /// A deal's company is no property of its own in HubSpot: it is read from the deal's associations.
    fn property(&self, options: &MappingOptions, meaning: Meaning, family: Family) -> Option<FieldSchema> {
        let found = self.schema(family.in_hubspot(), &options.hubspot).cloned();
        found.or_else(|| (meaning == Meaning::Company).then(FieldSchema::reference))
    }

    fn target(
        &mut self,
        options: &MappingOptions,
        property: Option<&FieldSchema>,
        (kind, field, is_default): (Kind, &String, bool),
        rule: Rule,
    ) -> Option<Target> {
        if self.hidden_kinds.contains(&kind) {
            return None;
        }
        let subject = format!("mapping of {} to {kind}.{field}", options.hubspot);
        let Some(schema) = self.schema(kind, field).cloned() else {
            let severity = if field == "Email" { Severity::Error } else { Severity::Warning };
            let text = "Salesforce has no such field, or hides it from our user: create it or grant access; left out until then";
            self.say_of_mapping(subject, (is_default, severity), text);
            self.cannot_reach(kind.family(), &format!("{kind}.{field}"));
            return None;
        };
        if property.is_some_and(|property| property.field_type == FieldType::Reference) {
            let text = "a property that names HubSpot users cannot be mapped (R-200); left out";
            self.say_of_mapping(subject, (is_default, Severity::Warning), text);
            return None;
        }
        if let Some(property) = property
            && !compatible(property.field_type, schema.field_type, is_default)
        {
            let text = format!(
                "the types do not go together (R-208): HubSpot's is {:?}, Salesforce's is {:?}; left out",
                property.field_type, schema.field_type
            );
            self.say_of_mapping(subject, (is_default, Severity::Note), text);
            return None;
        }
        if !schema.updateable && rule.writes_salesforce() {
            let text = "Salesforce computes this field or does not let our user write it: it flows to HubSpot only (R-212)";
            self.say(Severity::Note, subject, text);
            self.cannot_reach(kind.family(), &format!("{kind}.{field} (writing)"));
        }
        Some(Target { field: field.clone(), schema })
    }

    fn cannot_reach(&mut self, family: Family, name: &str) {
        self.unreachable.entry(family).or_default().insert(name.to_owned());
    }

    fn external_id(&mut self, name: Option<&str>, families: &[Family]) -> Option<String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let text = "creates in Salesforce are not keyed; see docs/decisions/0003-keyed-creates.md";
            self.say(Severity::Note, "external_id_field is empty", text);
            return None;
        };
        let kinds = families.iter().flat_map(|family| family.in_salesforce());
        let kinds = kinds.filter(|kind| !self.hidden_kinds.contains(kind));
        let missing: Vec<&str> =
            kinds.filter(|kind| self.schema(**kind, name).is_none()).map(|kind| kind.as_str()).collect();
        if missing.is_empty() {
            return Some(name.to_owned());
        }
        let text = format!(
            "{} has no such field, or hides it from our user: create it as a unique external id of type text, or set external_id_field = \"\"",
            missing.join(" and ")
        );
        self.say(Severity::Error, name, text);
        None
    }

    fn id_properties(&mut self, family: Family) -> Vec<(Kind, String)> {
        let mut found = Vec::new();
        for kind in family.in_salesforce() {
            let name = id_property(*kind);
            if self.schema(family.in_hubspot(), name).is_some() {
                found.push((*kind, name.to_owned()));
            } else {
                let (severity, consequence) = without_id_property(*kind, family.in_hubspot());
                let text = format!(
                    "HubSpot has no such property, or hides it from our token: {consequence} (R-065); create it as single-line text with unique values"
                );
                self.say(severity, name, text);
            }
        }
        found
    }

    fn lifecycle_stages(&self) -> Vec<String> {
        let schema = self.schema(Kind::HubspotContact, LIFECYCLE_PROPERTY);
        schema.and_then(|schema| schema.options.clone()).unwrap_or_default()
    }

    fn time_zone(&mut self) -> jiff::tz::TimeZone {
        let Some(name) = &self.survey.time_zone else { return jiff::tz::TimeZone::UTC };
        jiff::tz::TimeZone::get(name).unwrap_or_else(|_| {
            self.say(
                Severity::Warning,
                "time zone",
                format!("the portal's time zone {name} is not known here: days are told in UTC"),
            );
            jiff::tz::TimeZone::UTC
        })
    }

    /// Says which of Salesforce's stages no deal can be in.
    fn name_stages_without_counterpart(&mut self, deals: &Deals) {
        if !deals.enabled {
            return;
        }
        let lacking = deals.stages.without_counterpart(&self.survey.stages, &deals.pipelines);
        if !lacking.is_empty() {
            let text = format!(
                "no stage of a pipeline that takes part goes with these stages of Salesforce: {}; opportunities in them get no deal (R-145): name them there",
                lacking.join(", ")
            );
            self.say(Severity::Warning, "deals.stages", text);
        }
    }
}

impl FieldSchema {
    /// A reference that HubSpot keeps as an association.
    const fn reference() -> Self {
        Self {
            field_type: FieldType::Reference,
            createable: true,
            updateable: true,
            required: false,
            length: None,
            scale: None,
            options: None,
            restricted: false,
            calculated: false,
        }
    }
}

/// What comes of it that HubSpot has no property for the id of a record of this kind. People have a key all the same: their address.
fn without_id_property(kind: Kind, property_of: Kind) -> (Severity, String) {
    let unseen = format!("people will not see there which {kind} a {property_of} is linked to");
    if property_of == Kind::HubspotContact {
        return (Severity::Note, unseen);
    }
    let unkeyed = format!(
        "a {property_of} made of an {kind} has no key, so one whose answer is lost can be made twice"
    );
    (Severity::Error, format!("{unkeyed}, and {unseen}"))
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
        | (Date | Instant, Date | Instant) => true,
        (Text, Choice | Number) | (Choice, Text) => is_default,
        _ => false,
    }
}
