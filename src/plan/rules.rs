//! The settings of one connection, resolved against the live schemas: what the planner decides by.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Family, Kind, System};
use crate::plan::Mapping;
use crate::plan::inclusion::ListFilter;
use crate::plan::mapping::Meaning;
use crate::plan::options::{
    CompanyOptions, CreateInHubspot, CreateInSalesforce, LifecycleOptions, OnAmbiguousMatch,
};
use crate::plan::owners::Owners;
use crate::plan::persons::{PERSON_CONTACT_FIELD, PERSON_FIELD};
use crate::plan::stages::Stages;

/// HubSpot's property that names the records merged into this one, separated by semicolons.
pub const MERGED_IDS_PROPERTY: &str = "hs_merged_object_ids";

/// HubSpot's property of contacts that mirrors their primary company. Of deals we keep it under the same name, read from their
/// associations.
pub const COMPANY_PROPERTY: &str = "associatedcompanyid";

/// HubSpot's property of contacts and companies that holds their lifecycle stage.
pub const LIFECYCLE_PROPERTY: &str = "lifecyclestage";

/// HubSpot's property of a company's name.
pub const NAME_PROPERTY: &str = "name";

/// HubSpot's property that says where a record came from.
pub const SOURCE_PROPERTY: &str = "hs_object_source";

/// The property of contacts in which HubSpot's own connector with Salesforce says when it last wrote.
pub const NATIVE_CONNECTOR_PROPERTY: &str = "salesforcelastsynctime";

/// The properties of contacts that this connector brings along. That a portal has one says only that it was installed once.
pub const NATIVE_CONNECTOR_PROPERTIES: [&str; 3] =
    [NATIVE_CONNECTOR_PROPERTY, "salesforcecontactid", "salesforceleadid"];

/// HubSpot's property of a deal's pipeline.
pub const PIPELINE_PROPERTY: &str = "pipeline";

/// Salesforce's field of an opportunity's record type; organizations without record types do not have it.
pub const RECORD_TYPE_FIELD: &str = "RecordTypeId";

/// Salesforce's field that says whether an opportunity is won.
pub const WON_FIELD: &str = "IsWon";

/// Salesforce's field that says whether an opportunity is closed.
pub const CLOSED_FIELD: &str = "IsClosed";

/// Salesforce's field that names the account of a contact or opportunity.
pub const ACCOUNT_FIELD: &str = "AccountId";

/// Our HubSpot property that holds the id of the linked record of this Salesforce kind.
pub const fn id_property(kind: Kind) -> &'static str {
    match kind {
        Kind::Lead => "hubforce_salesforce_lead_id",
        Kind::Contact => "hubforce_salesforce_contact_id",
        Kind::Account => "hubforce_salesforce_account_id",
        Kind::Opportunity => "hubforce_salesforce_opportunity_id",
        Kind::HubspotContact | Kind::Company | Kind::Deal => "",
    }
}

/// What the planner decides by.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Settings for contacts, leads and HubSpot contacts.
    pub people: People,
    /// Settings for companies and accounts.
    pub companies: CompanyOptions,
    /// Settings for deals and opportunities.
    pub deals: Deals,
    /// Settings for lifecycle stages.
    pub lifecycle: LifecycleOptions,
    /// The stages that a lifecycle goes through, first to last.
    pub lifecycle_stages: Vec<String>,
    /// The field mappings of each family, the address first.
    pub mappings: BTreeMap<Family, Vec<Mapping>>,
    /// Kinds of people that Salesforce does not show us; the others sync.
    pub hidden_kinds: Vec<Kind>,
    /// Which looked-at fields the organization does not have or hides.
    pub hidden: Vec<(Kind, &'static str)>,
    /// Mapped properties and fields of each family that do not exist, or that we may not read or write. When one of them is not among
    /// these any more, what changed meanwhile is to be looked for.
    pub unreachable: BTreeMap<Family, BTreeSet<String>>,
    /// Whether an account may be a person.
    pub person_accounts: bool,
    /// The portal's time zone, in which days are told from instants.
    pub time_zone: jiff::tz::TimeZone,
    /// Who owns records on either side.
    pub owners: Owners,
    /// The Salesforce user that we are: what it wrote last was written by nobody at work.
    pub salesforce_author: Option<String>,
    /// The Salesforce field that holds the HubSpot id; `None` where the organization may not add fields or it does not exist.
    pub external_id_field: Option<String>,
    /// The HubSpot property that holds the id of a twin of each Salesforce kind, where the portal has it.
    pub id_properties: BTreeMap<Kind, String>,
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
    /// What decides who is in that list.
    pub list_filter: ListFilter,
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
}

/// Settings for deals and opportunities.
#[derive(Clone, Debug, PartialEq)]
pub struct Deals {
    /// Whether deals and opportunities take part at all.
    pub enabled: bool,
    /// The pipelines whose deals take part; empty for all.
    pub pipelines: Vec<String>,
    /// Which stage of a pipeline is which stage in Salesforce.
    pub stages: Stages,
    /// Whether a deleted opportunity deletes its deal.
    pub delete_in_hubspot: bool,
    /// How many days ahead an opportunity closes whose deal says nothing; 0 refuses it.
    pub close_date_default_days: u16,
}

impl Rules {
    /// Whether a family's records are paired.
    pub const fn enabled(&self, family: Family) -> bool {
        match family {
            Family::People => self.people.enabled,
            Family::Companies => self.companies.enabled,
            Family::Deals => self.deals.enabled,
        }
    }

    /// Whether a kind's changes are looked at. Opportunities move lifecycle stages even where deals take no part, and a person
    /// account tells of its contact even where companies take none.
    pub fn looks_at(&self, kind: Kind) -> bool {
        let takes_part = self.enabled(kind.family())
            || (matches!(kind, Kind::Opportunity) && self.lifecycle.opportunity_transitions)
            || (matches!(kind, Kind::Account) && self.person_accounts && self.people.enabled);
        takes_part && self.shows(kind)
    }

    /// Whether a kind's records are shown to us.
    pub fn shows(&self, kind: Kind) -> bool {
        !self.hidden_kinds.contains(&kind)
    }

    /// The kinds in the other CRM among which the counterpart of a record of this kind is.
    pub fn kinds_opposite(&self, kind: Kind) -> Vec<Kind> {
        self.kinds_in(kind.family(), kind.system().other())
    }

    /// The kinds of a family in a CRM that are shown to us.
    pub fn kinds_in(&self, family: Family, system: System) -> Vec<Kind> {
        family.kinds_in(system).iter().copied().filter(|kind| self.shows(*kind)).collect()
    }

    /// What is mapped for a family and out of our reach.
    pub fn unreachable(&self, family: Family) -> BTreeSet<String> {
        self.unreachable.get(&family).cloned().unwrap_or_default()
    }

    /// The field mappings of a family.
    pub fn mappings(&self, family: Family) -> &[Mapping] {
        self.mappings.get(&family).map(Vec::as_slice).unwrap_or_default()
    }

    /// The property that holds the id of a twin of this kind, and the one that would hold an id of a rival kind.
    pub fn id_properties(&self, kind: Kind) -> (Option<&String>, Option<&String>) {
        let other = match kind {
            Kind::Lead => Some(Kind::Contact),
            Kind::Contact => Some(Kind::Lead),
            _ => None,
        };
        (self.id_properties.get(&kind), other.and_then(|other| self.id_properties.get(&other)))
    }

    /// The properties or fields to read of a kind of record: what is mapped, the ids we keep, and what the rules look at.
    pub fn fields_to_read(&self, kind: Kind) -> Vec<String> {
        let family = kind.family();
        let mappings = self.mappings(family).iter();
        let mut fields: Vec<String> = match kind.system() {
            System::Hubspot => {
                let ids = family.in_salesforce().iter().filter_map(|kind| self.id_properties.get(kind));
                let mapped = mappings
                    .filter(|mapping| mapping.meaning != Meaning::Company || kind == Kind::HubspotContact);
                mapped.map(|mapping| &mapping.property).chain(ids).cloned().collect()
            }
            System::Salesforce => {
                let targets = mappings.filter_map(|mapping| mapping.target(kind)).map(|target| &target.field);
                targets.chain(&self.external_id_field).cloned().collect()
            }
        };
        if kind == Kind::HubspotContact {
            fields.extend(self.people.list_filter.properties().cloned());
        }
        let seen = |name: &&str| !self.hidden.contains(&(kind, *name));
        fields.extend(self.looked_at(kind).into_iter().filter(seen).map(str::to_owned));
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// What the rules look at besides the mapped fields.
    pub(super) fn looked_at(&self, kind: Kind) -> Vec<&'static str> {
        let mut names = Vec::new();
        if matches!(kind, Kind::HubspotContact | Kind::Company) {
            names.extend(self.people.follow_merges.then_some(MERGED_IDS_PROPERTY));
            names.extend(
                (self.companies.enabled || self.lifecycle.opportunity_transitions)
                    .then_some(LIFECYCLE_PROPERTY),
            );
        }
        match kind {
            Kind::HubspotContact => {
                names.extend((self.companies.enabled || self.makes_leads()).then_some(COMPANY_PROPERTY));
            }
            Kind::Company => {
                names.push(SOURCE_PROPERTY);
                names.extend(self.makes_leads().then_some(NAME_PROPERTY));
            }
            Kind::Deal => names.push(PIPELINE_PROPERTY),
            Kind::Opportunity => {
                names.extend([WON_FIELD, CLOSED_FIELD, ACCOUNT_FIELD]);
                names.extend(self.deals.stages.tell_record_types().then_some(RECORD_TYPE_FIELD));
            }
            Kind::Contact => {
                names.extend((self.companies.enabled || self.person_accounts).then_some(ACCOUNT_FIELD));
                names.extend(self.person_accounts.then_some(PERSON_FIELD));
            }
            Kind::Account if self.person_accounts => names.extend([PERSON_FIELD, PERSON_CONTACT_FIELD]),
            Kind::Lead | Kind::Account => {}
        }
        names
    }

    /// Whether leads are made of HubSpot contacts: they need a company's name.
    fn makes_leads(&self) -> bool {
        self.people.enabled && self.people.create_in_salesforce == CreateInSalesforce::Lead
    }

    /// How far a lifecycle stage is on its way; blank and unknown ones are nowhere.
    pub fn rank(&self, stage: &str) -> usize {
        self.lifecycle_stages.iter().position(|known| known == stage).map_or(0, |place| place + 1)
    }
}
