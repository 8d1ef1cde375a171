//! The settings of one connection, resolved against the live schemas: what the planner decides by.

use crate::plan::Mapping;

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

/// Settings for people.
#[derive(Clone, Debug, PartialEq)]
pub struct People {
    /// What an eligible HubSpot contact without a match becomes.
    pub create_in_salesforce: CreateInSalesforce,
    /// Which Salesforce records without a match become HubSpot contacts.
    pub create_in_hubspot: CreateInHubspot,
    /// What happens when several records match on first sight.
    pub on_ambiguous_match: OnAmbiguousMatch,
    /// The field mappings, the address first.
    pub mappings: Vec<Mapping>,
}

/// What an eligible HubSpot contact without a match becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAmbiguousMatch {
    /// The first one returned is taken.
    #[default]
    First,
    /// A person chooses.
    Hold,
}
