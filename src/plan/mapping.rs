//! Field mappings: which property goes with which field, and by which rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Family, Kind};
use crate::plan::FieldSchema;

/// A HubSpot property and the Salesforce fields it corresponds to, resolved against both schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The HubSpot property; it names the mapping.
    pub property: String,
    /// Its schema.
    pub property_schema: FieldSchema,
    /// What its values are.
    pub meaning: Meaning,
    /// The field of each Salesforce kind.
    pub targets: BTreeMap<Kind, Target>,
    /// The sync rule.
    pub rule: Rule,
    /// Who wins when both sides changed, for `two_way`.
    pub conflict: ConflictPolicy,
    /// Translation of values, HubSpot's to Salesforce's; empty where values travel as they are.
    pub values: BTreeMap<String, String>,
}

/// What the values of a mapping are, where they are more than text, numbers and choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// Plain values.
    #[default]
    Value,
    /// Who owns the record.
    Owner,
    /// The company of a contact or deal, Salesforce's account.
    Company,
    /// A deal's stage in its pipeline.
    Stage,
    /// Whether a person opted out of all mail.
    OptOut,
}

/// A Salesforce field with its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its API name.
    pub field: String,
    /// Its schema.
    pub schema: FieldSchema,
}

/// A mapping as a person wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingOptions {
    /// The HubSpot property.
    pub hubspot: String,
    /// The field of both leads and contacts, of accounts, or of opportunities.
    #[serde(default)]
    pub salesforce: Option<String>,
    /// The lead's field, where only leads have it or its name differs; for contacts alone.
    #[serde(default)]
    pub lead: Option<String>,
    /// The contact's field, likewise.
    #[serde(default)]
    pub contact: Option<String>,
    /// The sync rule; the connection's default rule where left out.
    #[serde(default)]
    pub rule: Option<Rule>,
    /// Who wins when both sides changed, for `two_way`.
    #[serde(default)]
    pub conflict: ConflictPolicy,
    /// Translation of values, HubSpot's to Salesforce's.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

impl MappingOptions {
    /// The fields it names, by kind.
    pub fn fields(&self, family: Family) -> Vec<(Kind, &String)> {
        let own = |kind: Kind| match kind {
            Kind::Lead => self.lead.as_ref(),
            Kind::Contact => self.contact.as_ref(),
            _ => None,
        };
        let field = |kind: &Kind| Some((*kind, own(*kind).or(self.salesforce.as_ref())?));
        family.in_salesforce().iter().filter_map(field).collect()
    }
}

/// The sync rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Salesforce's value wins; HubSpot's fills a blank.
    PreferSalesforce,
    /// Only Salesforce writes.
    AlwaysSalesforce,
    /// HubSpot's value wins; Salesforce's fills a blank: R-190 with the sides exchanged.
    PreferHubspot,
    /// Only HubSpot writes: R-191 with the sides exchanged.
    AlwaysHubspot,
    /// The latest change wins.
    #[default]
    TwoWay,
    /// Nothing passes.
    DontSync,
}

/// Who wins when both sides changed one field since they last agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The later change; Salesforce's where the times are equal.
    #[default]
    Newest,
    /// Salesforce.
    Salesforce,
    /// HubSpot.
    Hubspot,
    /// Neither: a person decides.
    Hold,
}
