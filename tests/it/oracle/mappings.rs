//! What goes with what, as the rules have it: the oracle's own table, not the product's.

use hubforce::domain::Timestamp;

/// Our field in Salesforce that names the HubSpot record.
pub(crate) const KEY: &str = "Hubforce_HubSpot_Id__c";

/// Our properties in HubSpot: the object, the property, the object it names.
pub(crate) const LINKS: &[(&str, &str, &str)] = &[
    ("contacts", "hubforce_salesforce_lead_id", "Lead"),
    ("contacts", "hubforce_salesforce_contact_id", "Contact"),
    ("companies", "hubforce_salesforce_account_id", "Account"),
    ("deals", "hubforce_salesforce_opportunity_id", "Opportunity"),
];

/// What Salesforce and HubSpot themselves derive from another field of the same record, and what goes together with it.
pub(crate) const DERIVED: &[&str] =
    &["IsClosed", "IsWon", "Probability", "pipeline", "IsPersonAccount", "hs_additional_emails"];

/// The stages that people and companies go through, in order.
pub(crate) const STAGES: [&str; 8] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
];

/// Property, lead's field, contact's field.
const PEOPLE: &[(&str, &str, &str)] = &[
    ("email", "Email", "Email"),
    ("firstname", "FirstName", "FirstName"),
    ("lastname", "LastName", "LastName"),
    ("salutation", "Salutation", "Salutation"),
    ("company", "Company", ""),
    ("jobtitle", "Title", "Title"),
    ("phone", "Phone", "Phone"),
    ("mobilephone", "MobilePhone", "MobilePhone"),
    ("fax", "Fax", "Fax"),
    ("address", "Street", "MailingStreet"),
    ("city", "City", "MailingCity"),
    ("state", "State", "MailingState"),
    ("zip", "PostalCode", "MailingPostalCode"),
    ("country", "Country", "MailingCountry"),
    ("website", "Website", ""),
    ("industry", "Industry", ""),
    ("annualrevenue", "AnnualRevenue", ""),
    ("numemployees", "NumberOfEmployees", ""),
    ("hs_email_optout", "HasOptedOutOfEmail", "HasOptedOutOfEmail"),
    ("hubspot_owner_id", "OwnerId", "OwnerId"),
    ("associatedcompanyid", "", "AccountId"),
];

const COMPANIES: &[(&str, &str)] = &[
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
    ("hubspot_owner_id", "OwnerId"),
];

const DEALS: &[(&str, &str)] = &[
    ("dealname", "Name"),
    ("amount", "Amount"),
    ("closedate", "CloseDate"),
    ("description", "Description"),
    ("dealtype", "Type"),
    ("dealstage", "StageName"),
    ("hubspot_owner_id", "OwnerId"),
    ("associatedcompanyid", "AccountId"),
];

/// The settings of a run, as far as they explain anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Whether a deleted lead or contact deletes its HubSpot contact.
    pub(crate) delete_in_hubspot: bool,
    /// Whether a deleted HubSpot contact deletes its lead or contact.
    pub(crate) delete_in_salesforce: bool,
    /// Whether a deleted opportunity deletes its deal.
    pub(crate) delete_deals: bool,
    /// Owners that are the same person: HubSpot's id, Salesforce's.
    pub(crate) owners: Vec<(String, String)>,
    /// Stages of deals that go together.
    pub(crate) stages: Vec<(&'static str, &'static str)>,
    /// Further mappings of people: the property, and the field of leads and contacts.
    pub(crate) mappings: Vec<(&'static str, &'static str)>,
}

impl Settings {
    /// The HubSpot property that a field is mapped with; of a HubSpot record, the property itself where it is mapped at all.
    pub(crate) fn property_of(&self, object: &str, field: &str) -> Option<&'static str> {
        let is = |property: &'static str, name: &str| (name == field).then_some(property);
        let further = self.mappings.iter();
        match object {
            "contacts" => PEOPLE
                .iter()
                .map(|(property, ..)| property)
                .chain(further.map(|(property, _)| property))
                .find_map(|property| is(property, property)),
            "companies" => COMPANIES.iter().find_map(|(property, _)| is(property, property)),
            "deals" => DEALS.iter().find_map(|(property, _)| is(property, property)),
            "Lead" => PEOPLE
                .iter()
                .map(|(property, lead, _)| (property, lead))
                .chain(further.map(|(property, field)| (property, field)))
                .find_map(|(property, name)| is(property, name)),
            "Contact" => PEOPLE
                .iter()
                .map(|(property, _, contact)| (property, contact))
                .chain(further.map(|(property, field)| (property, field)))
                .find_map(|(property, name)| is(property, name)),
            "Account" => COMPANIES.iter().find_map(|(property, name)| is(property, name)),
            "Opportunity" => DEALS.iter().find_map(|(property, name)| is(property, name)),
            _ => None,
        }
    }

    /// The field of an object that a property is mapped with.
    pub(crate) fn field_of(&self, object: &str, property: &str) -> Option<&'static str> {
        let further = self.mappings.iter().find(|(name, _)| *name == property).map(|(_, field)| *field);
        let person = PEOPLE.iter().find(|(name, ..)| *name == property);
        let field = match object {
            "Lead" => further.or(person.map(|(_, lead, _)| *lead)),
            "Contact" => further.or(person.map(|(.., contact)| *contact)),
            "Account" => COMPANIES.iter().find(|(name, _)| *name == property).map(|(_, field)| *field),
            "Opportunity" => DEALS.iter().find(|(name, _)| *name == property).map(|(_, field)| *field),
            _ => None,
        };
        field.filter(|field| !field.is_empty())
    }

    /// The properties of a HubSpot object that are mapped, each with its field of this Salesforce object.
    pub(crate) fn mapped(&self, object: &str, counterpart: &str) -> Vec<(&'static str, &'static str)> {
        let properties: Vec<&'static str> = match object {
            "contacts" => {
                let automatic = PEOPLE.iter().map(|(property, ..)| *property);
                let further = self.mappings.iter().map(|(property, _)| *property);
                automatic
                    .filter(|name| !further.clone().any(|other| other == *name))
                    .chain(further.clone())
                    .collect()
            }
            "companies" => COMPANIES.iter().map(|(property, _)| *property).collect(),
            _ => DEALS.iter().map(|(property, _)| *property).collect(),
        };
        let mapped = |property| Some((property, self.field_of(counterpart, property)?));
        properties.into_iter().filter_map(mapped).collect()
    }

    pub(crate) fn is_same_owner(&self, hubspot: &str, salesforce: &str) -> bool {
        self.owners.iter().any(|(one, other)| one == hubspot && other == salesforce)
    }

    /// Whether Salesforce knows a HubSpot owner.
    pub(crate) fn knows_owner(&self, hubspot: &str) -> bool {
        self.owners.iter().any(|(one, _)| one == hubspot)
    }

    pub(crate) fn is_same_stage(&self, hubspot: &str, salesforce: &str) -> bool {
        self.stages.iter().any(|(one, other)| *one == hubspot && *other == salesforce)
    }
}

/// A value in the form in which both sides are compared.
pub(crate) fn normal(property: &str, value: &str) -> String {
    let value = value.trim();
    match property {
        "email" => value.to_lowercase(),
        // Midnight in the portal's time zone may be the evening before in universal time.
        "closedate" => Timestamp::parse(value).map_or_else(
            || value.to_owned(),
            |at| at.plus_millis(2 * 3_600_000).to_string().chars().take(10).collect(),
        ),
        "amount" | "annualrevenue" | "numemployees" | "numberofemployees" => {
            value.parse::<f64>().map_or_else(|_| value.to_owned(), |number| number.to_string())
        }
        _ if value == "false" => String::new(),
        _ => value.to_owned(),
    }
}
