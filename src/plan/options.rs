//! The settings of what is synchronised, as a person wrote them: `[connections.sync]`.

use serde::{Deserialize, Serialize};

use crate::domain::Family;
use crate::plan::mapping::{MappingOptions, Rule};

/// `[connections.sync]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncOptions {
    /// HubSpot contacts with leads and contacts.
    pub contacts: PeopleOptions,
    /// Companies with accounts.
    pub companies: CompanyOptions,
    /// Deals with opportunities.
    pub deals: DealOptions,
    /// Lifecycle stages.
    pub lifecycle: LifecycleOptions,
    /// Owners.
    pub owners: OwnerOptions,
}

impl SyncOptions {
    /// Whether a family's records are to be paired.
    pub const fn enabled(&self, family: Family) -> bool {
        match family {
            Family::People => self.contacts.enabled,
            Family::Companies => self.companies.enabled,
            Family::Deals => self.deals.enabled,
        }
    }

    /// The mappings that a person wrote for a family.
    pub fn mappings(&self, family: Family) -> &[MappingOptions] {
        match family {
            Family::People => &self.contacts.mappings,
            Family::Companies => &self.companies.mappings,
            Family::Deals => &self.deals.mappings,
        }
    }
}

/// `[connections.sync.contacts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct PeopleOptions {
    /// Whether people take part at all.
    pub enabled: bool,
    /// What an eligible HubSpot contact without a match becomes.
    pub create_in_salesforce: CreateInSalesforce,
    /// Which Salesforce records without a match become HubSpot contacts.
    pub create_in_hubspot: CreateInHubspot,
    /// The HubSpot list whose members alone take part; empty for everybody.
    pub inclusion_list_id: String,
    /// What happens when several records match on first sight.
    pub on_ambiguous_match: OnAmbiguousMatch,
    /// Whether a deleted lead or contact deletes its HubSpot contact.
    pub delete_in_hubspot: bool,
    /// Whether a deleted HubSpot contact deletes its lead or contact.
    pub delete_in_salesforce: bool,
    /// Whether a pair of which a record was merged away goes on with the survivor.
    pub follow_merges: bool,
    /// Whether a pair whose lead was converted goes on with the contact.
    pub follow_conversions: bool,
    /// Mappings besides or instead of the default ones.
    pub mappings: Vec<MappingOptions>,
    /// Whether the default mappings apply, of every family; the address is mapped in any case.
    pub default_mappings: bool,
    /// The sync rule of mappings that name none, of every family.
    pub default_rule: Rule,
}

impl Default for PeopleOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            create_in_salesforce: CreateInSalesforce::default(),
            create_in_hubspot: CreateInHubspot::default(),
            inclusion_list_id: String::new(),
            on_ambiguous_match: OnAmbiguousMatch::default(),
            delete_in_hubspot: false,
            delete_in_salesforce: false,
            follow_merges: true,
            follow_conversions: true,
            mappings: Vec::new(),
            default_mappings: true,
            default_rule: Rule::default(),
        }
    }
}

/// `[connections.sync.companies]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompanyOptions {
    /// Whether companies and accounts take part at all.
    pub enabled: bool,
    /// Whether the portal creates companies for its contacts and associates them by itself.
    pub hubspot_creates_companies: bool,
    /// Whether a deleted account deletes its company.
    pub delete_in_hubspot: bool,
    /// Mappings besides or instead of the default ones.
    pub mappings: Vec<MappingOptions>,
}

impl Default for CompanyOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            hubspot_creates_companies: true,
            delete_in_hubspot: false,
            mappings: Vec::new(),
        }
    }
}

/// `[connections.sync.deals]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DealOptions {
    /// Whether deals and opportunities take part at all.
    pub enabled: bool,
    /// The pipelines whose deals take part; empty for all.
    pub pipelines: Vec<String>,
    /// Which stage of a pipeline is which stage in Salesforce.
    pub stages: Vec<StageOptions>,
    /// Whether a deleted opportunity deletes its deal.
    pub delete_in_hubspot: bool,
    /// How many days ahead an opportunity closes whose deal says nothing; 0 refuses it.
    pub close_date_default_days: u16,
    /// Mappings besides or instead of the default ones.
    pub mappings: Vec<MappingOptions>,
}

impl Default for DealOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            pipelines: Vec::new(),
            stages: Vec::new(),
            delete_in_hubspot: true,
            close_date_default_days: 0,
            mappings: Vec::new(),
        }
    }
}

/// Which stage is which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageOptions {
    /// The pipeline's id.
    pub pipeline: String,
    /// The stage's id.
    pub stage: String,
    /// The stage's name in Salesforce.
    pub salesforce: String,
}

/// `[connections.sync.lifecycle]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifecycleOptions {
    /// Whether a contact's stage moves its company's.
    pub contact_to_company: bool,
    /// Whether a company's stage moves its contacts'.
    pub company_to_contacts: bool,
    /// Whether opportunities move the stages of their contacts.
    pub opportunity_transitions: bool,
    /// The field of leads and contacts that carries the stage; empty for none.
    pub salesforce_field: String,
}

impl Default for LifecycleOptions {
    fn default() -> Self {
        Self {
            contact_to_company: true,
            company_to_contacts: false,
            opportunity_transitions: false,
            salesforce_field: String::new(),
        }
    }
}

/// `[connections.sync.owners]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnerOptions {
    /// Whether owners travel.
    pub enabled: bool,
}

impl Default for OwnerOptions {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What an eligible HubSpot contact without a match becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateInSalesforce {
    /// A lead.
    #[default]
    Lead,
    /// A contact.
    Contact,
    /// Nothing.
    Never,
}

/// Which Salesforce records without a match become HubSpot contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateInHubspot {
    /// Both kinds.
    #[default]
    LeadsAndContacts,
    /// Leads only.
    Leads,
    /// Contacts only.
    Contacts,
    /// None.
    Never,
}

/// What happens when several records match on first sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAmbiguousMatch {
    /// The first one returned is taken.
    #[default]
    First,
    /// A person chooses.
    Hold,
}
