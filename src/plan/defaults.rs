//! The default mappings: what goes with what where nobody said otherwise.
//!
//! `email` stays even with `default_mappings = false`: people are known by it. So does the opt-out, which cannot be
//! mapped otherwise. `hs_lead_status` is not among them, because its values mean something only through a `values` map.

use crate::domain::{Family, Kind};
use crate::plan::mapping::Meaning;
use crate::plan::options::SyncOptions;
use crate::plan::rules::{ACCOUNT_FIELD, COMPANY_PROPERTY};

/// A default mapping: the HubSpot property, the fields by kind, and what its values are.
#[derive(Clone, Copy, Debug)]
pub struct DefaultMapping {
    /// The HubSpot property.
    pub property: &'static str,
    /// The Salesforce fields.
    pub fields: [Option<(Kind, &'static str)>; 2],
    /// What its values are.
    pub meaning: Meaning,
}

impl DefaultMapping {
    /// The Salesforce fields, each with its kind of record.
    pub fn fields(&self) -> impl Iterator<Item = (Kind, &'static str)> {
        self.fields.into_iter().flatten()
    }
}

/// The address, by which people are known.
pub const ADDRESS: &str = "email";

/// HubSpot's mirror of whether an address is opted out of all mail.
pub const OPT_OUT: &str = "hs_email_optout";

/// HubSpot's property of a record's owner.
pub const OWNER: &str = "hubspot_owner_id";

/// HubSpot's property of a deal's stage.
pub const STAGE: &str = "dealstage";

/// Property, lead's field, contact's field. `company` is text and goes with the lead's text; a contact's account is a
/// reference.
const PEOPLE: [(&str, Option<&str>, Option<&str>); 17] = [
    ("firstname", Some("FirstName"), Some("FirstName")),
    ("lastname", Some("LastName"), Some("LastName")),
    ("salutation", Some("Salutation"), Some("Salutation")),
    ("company", Some("Company"), None),
    ("jobtitle", Some("Title"), Some("Title")),
    ("phone", Some("Phone"), Some("Phone")),
    ("mobilephone", Some("MobilePhone"), Some("MobilePhone")),
    ("fax", Some("Fax"), Some("Fax")),
    ("address", Some("Street"), Some("MailingStreet")),
    ("city", Some("City"), Some("MailingCity")),
    ("state", Some("State"), Some("MailingState")),
    ("zip", Some("PostalCode"), Some("MailingPostalCode")),
    ("country", Some("Country"), Some("MailingCountry")),
    ("website", Some("Website"), None),
    ("industry", Some("Industry"), None),
    ("annualrevenue", Some("AnnualRevenue"), None),
    ("numemployees", Some("NumberOfEmployees"), None),
];

const COMPANIES: [(&str, &str); 13] = [
    ("name", "Name"),
    ("phone", "Phone"),
    ("website", "Website"),
    ("description", "Description"),
    ("industry", "Industry"),
    ("type", "Type"),
    ("annualrevenue", "AnnualRevenue"),
    ("numberofemployees", "NumberOfEmployees"),
    ("address", "BillingStreet"),
    ("city", "BillingCity"),
    ("state", "BillingState"),
    ("zip", "BillingPostalCode"),
    ("country", "BillingCountry"),
];

const DEALS: [(&str, &str); 5] = [
    ("dealname", "Name"),
    ("amount", "Amount"),
    ("closedate", "CloseDate"),
    ("description", "Description"),
    ("dealtype", "Type"),
];

/// The mappings of a family that stay whatever the settings say.
pub fn locked(family: Family) -> Vec<DefaultMapping> {
    match family {
        Family::People => vec![
            person(ADDRESS, "Email", Meaning::Value),
            person(OPT_OUT, "HasOptedOutOfEmail", Meaning::OptOut),
        ],
        Family::Deals => vec![one(STAGE, (Kind::Opportunity, "StageName"), Meaning::Stage)],
        Family::Companies => Vec::new(),
    }
}

/// The mappings of a family that nobody can change: the locked ones, and those of companies and owners where these sync.
pub fn automatic(family: Family, options: &SyncOptions) -> Vec<DefaultMapping> {
    let company = company(family).filter(|_| options.companies.enabled);
    let owner = Some(owner(family)).filter(|_| options.owners.enabled);
    locked(family).into_iter().chain(company).chain(owner).collect()
}

/// The mapping of the company that a contact or deal belongs to; it comes with the company sync.
pub fn company(family: Family) -> Option<DefaultMapping> {
    match family {
        Family::People => Some(one(COMPANY_PROPERTY, (Kind::Contact, ACCOUNT_FIELD), Meaning::Company)),
        Family::Deals => Some(one(COMPANY_PROPERTY, (Kind::Opportunity, ACCOUNT_FIELD), Meaning::Company)),
        Family::Companies => None,
    }
}

/// The mapping of the owner; it comes with the owner sync.
pub fn owner(family: Family) -> DefaultMapping {
    match family {
        Family::People => person(OWNER, "OwnerId", Meaning::Owner),
        Family::Companies => one(OWNER, (Kind::Account, "OwnerId"), Meaning::Owner),
        Family::Deals => one(OWNER, (Kind::Opportunity, "OwnerId"), Meaning::Owner),
    }
}

/// The mappings that `default_mappings` switches.
pub fn optional(family: Family) -> Vec<DefaultMapping> {
    let value = |kind: Kind| {
        move |(property, field): (&'static str, &'static str)| one(property, (kind, field), Meaning::Value)
    };
    match family {
        Family::People => PEOPLE
            .into_iter()
            .map(|(property, lead, contact)| DefaultMapping {
                property,
                fields: [lead.map(|field| (Kind::Lead, field)), contact.map(|field| (Kind::Contact, field))],
                meaning: Meaning::Value,
            })
            .collect(),
        Family::Companies => COMPANIES.into_iter().map(value(Kind::Account)).collect(),
        Family::Deals => DEALS.into_iter().map(value(Kind::Opportunity)).collect(),
    }
}

const fn one(property: &'static str, field: (Kind, &'static str), meaning: Meaning) -> DefaultMapping {
    DefaultMapping { property, fields: [Some(field), None], meaning }
}

const fn person(property: &'static str, field: &'static str, meaning: Meaning) -> DefaultMapping {
    DefaultMapping { property, fields: [Some((Kind::Lead, field)), Some((Kind::Contact, field))], meaning }
}
