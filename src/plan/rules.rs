//! The settings of one connection, resolved against the live schemas: what the planner decides by.

use serde::{Deserialize, Serialize};

use crate::domain::Kind;
use crate::plan::Mapping;
use crate::plan::mapping::{MappingOptions, Rule};

/// Our HubSpot property that holds the id of the linked lead.
pub const LEAD_ID_PROPERTY: &str = "hubforce_salesforce_lead_id";

/// Our HubSpot property that holds the id of the linked contact.
pub const CONTACT_ID_PROPERTY: &str = "hubforce_salesforce_contact_id";

/// HubSpot's property that names the records merged into this one, separated by semicolons.
pub const MERGED_IDS_PROPERTY: &str = "hs_merged_object_ids";

/// The settings for people, as a person wrote them: `[connections.sync.contacts]`.
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
    /// Whether a pair of which a record was merged away goes on with the survivor.
    pub follow_merges: bool,
    /// Whether a pair whose lead was converted goes on with the contact.
    pub follow_conversions: bool,
    /// Mappings besides or instead of the default ones.
    pub mappings: Vec<MappingOptions>,
    /// Whether the default mappings apply; the address is mapped in any case.
    pub default_mappings: bool,
    /// The sync rule of mappings that name none.
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
            follow_merges: true,
            follow_conversions: true,
            mappings: Vec::new(),
            default_mappings: true,
            default_rule: Rule::default(),
        }
    }
}

/// What the planner decides by.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Settings for contacts, leads and HubSpot contacts.
    pub people: People,
    /// The Salesforce field that holds the HubSpot id; `None` where the organization may not add fields or it does not exist.
    pub external_id_field: Option<String>,
    /// The HubSpot property that holds the Salesforce lead's id; `None` where it does not exist in the portal.
    pub lead_id_property: Option<String>,
    /// The HubSpot property that holds the Salesforce contact's id, likewise.
    pub contact_id_property: Option<String>,
}

impl Rules {
    /// The property that holds the id of a twin of this kind, and the one that would hold an id of the other kind.
    pub const fn id_properties(&self, kind: Kind) -> (Option<&String>, Option<&String>) {
        let (lead, contact) = (self.lead_id_property.as_ref(), self.contact_id_property.as_ref());
        match kind {
            Kind::Lead => (lead, contact),
            Kind::Contact => (contact, lead),
            Kind::HubspotContact => (None, None),
        }
    }

    /// The properties or fields to read of a kind of record: what is mapped, the address, and the ids we keep.
    pub fn fields_to_read(&self, kind: Kind) -> Vec<String> {
        let mappings = self.people.mappings.iter();
        let mut fields: Vec<String> = match kind {
            Kind::HubspotContact => {
                let ids = [&self.lead_id_property, &self.contact_id_property].into_iter().flatten();
                let merged = self.people.follow_merges.then(|| MERGED_IDS_PROPERTY.to_owned());
                mappings.map(|mapping| &mapping.property).chain(ids).cloned().chain(merged).collect()
            }
            Kind::Lead | Kind::Contact => {
                let targets = mappings.filter_map(|mapping| mapping.target(kind)).map(|target| &target.field);
                targets.chain(&self.external_id_field).cloned().collect()
            }
        };
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

/// Settings for people.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct People {
    /// Whether people take part at all.
    pub enabled: bool,
    /// What an eligible HubSpot contact without a match becomes.
    pub create_in_salesforce: CreateInSalesforce,
    /// Which Salesforce records without a match become HubSpot contacts.
    pub create_in_hubspot: CreateInHubspot,
    /// The HubSpot list whose members alone take part.
    pub inclusion_list: Option<String>,
    /// What happens when several records match on first sight.
    pub on_ambiguous_match: OnAmbiguousMatch,
    /// Whether a deleted lead or contact deletes its HubSpot contact.
    pub delete_in_hubspot: bool,
    /// Whether a pair of which a record was merged away goes on with the survivor.
    pub follow_merges: bool,
    /// Whether a pair whose lead was converted goes on with the contact.
    pub follow_conversions: bool,
    /// The field mappings, the address first.
    pub mappings: Vec<Mapping>,
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
