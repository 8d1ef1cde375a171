//! Property definitions, and what a value must be to fit one.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::domain::Timestamp;
use crate::emulator::hubspot::objects::Object;

/// A property's definition.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) label: String,
    pub(super) value_type: &'static str,
    pub(super) field_type: &'static str,
    pub(super) options: Vec<String>,
    pub(super) read_only: bool,
    /// Whether its list comes from elsewhere: owners, pipelines, stages.
    pub(super) external: bool,
    pub(super) unique: bool,
}

/// Why a value does not fit: HubSpot's code and words.
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The definitions of a portal.
#[derive(Clone, Debug)]
pub(super) struct PropertySet(BTreeMap<String, Property>);

const TEXTS: [&str; 16] = [
    "email",
    "firstname",
    "lastname",
    "salutation",
    "company",
    "jobtitle",
    "phone",
    "mobilephone",
    "fax",
    "address",
    "city",
    "state",
    "zip",
    "country",
    "website",
    "industry",
];
const COMPANY_TEXTS: [&str; 9] =
    ["name", "domain", "website", "phone", "city", "state", "zip", "country", "address"];
const INDUSTRIES: [&str; 5] =
    ["BANKING", "COMPUTER_SOFTWARE", "CONSTRUCTION", "RETAIL", "TELECOMMUNICATIONS"];
const COMPANY_TYPES: [&str; 5] = ["PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER"];
const COMPUTED: [(&str, &str); 5] = [
    ("hs_merged_object_ids", "enumeration"),
    ("createdate", "datetime"),
    ("hs_object_id", "number"),
    ("hs_object_source", "string"),
    ("hs_object_source_id", "string"),
];
const COMPUTED_OF_CONTACTS: [(&str, &str); 5] = [
    ("lastmodifieddate", "datetime"),
    ("hs_email_domain", "string"),
    ("hs_email_optout", "bool"),
    ("hs_additional_emails", "enumeration"),
    ("associatedcompanyid", "number"),
];
const LEAD_STATUSES: [&str; 8] = [
    "NEW",
    "OPEN",
    "IN_PROGRESS",
    "OPEN_DEAL",
    "UNQUALIFIED",
    "ATTEMPTED_TO_CONTACT",
    "CONNECTED",
    "BAD_TIMING",
];
const STAGES: [&str; 8] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
];

/// When HubSpot's own connector with Salesforce last wrote a contact.
pub(super) const NATIVE_PROPERTY: &str = "salesforcelastsynctime";

/// The id of the Salesforce contact that it linked one with.
pub(super) const NATIVE_ID_PROPERTY: &str = "salesforcecontactid";

impl PropertySet {
    /// A property that HubSpot's own connector brings along.
    pub(super) fn add_native(&mut self, name: &str) {
        if name == NATIVE_PROPERTY {
            self.add(name, "datetime", "date");
        } else {
            self.add(name, "string", "text");
        }
    }

    /// The properties of an object in a new portal, with or without hubforce's own.
    pub(super) fn standard(object: Object, own: bool) -> Self {
        let mut set = Self(BTreeMap::new());
        for (name, value_type) in COMPUTED {
            set.add_computed(name, value_type);
        }
        set.add("hubspot_owner_id", "enumeration", "select");
        set.change("hubspot_owner_id", |property| property.external = true);
        match object {
            Object::Contact => set.add_of_contacts(),
            Object::Company => set.add_of_companies(),
            Object::Deal => set.add_of_deals(),
        }
        if own {
            let names: &[&str] = match object {
                Object::Contact => &["hubforce_salesforce_lead_id", "hubforce_salesforce_contact_id"],
                Object::Company => &["hubforce_salesforce_account_id"],
                Object::Deal => &["hubforce_salesforce_opportunity_id"],
            };
            for name in names {
                set.add(name, "string", "text");
                set.change(name, |property| property.unique = true);
            }
        }
        set
    }

    fn add_of_contacts(&mut self) {
        for name in TEXTS {
            self.add(name, "string", "text");
        }
        for name in ["annualrevenue", "numemployees"] {
            self.add(name, "number", "number");
        }
        self.add("date_of_birth", "date", "date");
        for (name, value_type) in COMPUTED_OF_CONTACTS {
            self.add_computed(name, value_type);
        }
        self.add_choice("hs_lead_status", "radio", &LEAD_STATUSES);
        self.add_lifecycle();
    }

    fn add_of_companies(&mut self) {
        for name in COMPANY_TEXTS {
            self.add(name, "string", "text");
        }
        self.add("description", "string", "textarea");
        for name in ["annualrevenue", "numberofemployees"] {
            self.add(name, "number", "number");
        }
        self.add_computed("hs_lastmodifieddate", "datetime");
        self.add_choice("industry", "select", &INDUSTRIES);
        self.add_choice("type", "select", &COMPANY_TYPES);
        self.add_lifecycle();
    }

    fn add_of_deals(&mut self) {
        self.add("dealname", "string", "text");
        self.add("description", "string", "textarea");
        self.add("amount", "number", "number");
        self.add("closedate", "datetime", "date");
        self.add_choice("dealtype", "radio", &["newbusiness", "existingbusiness"]);
        for name in ["pipeline", "dealstage"] {
            self.add(name, "enumeration", "select");
            self.change(name, |property| property.external = true);
        }
        self.add_computed("hs_lastmodifieddate", "datetime");
    }

    fn add_computed(&mut self, name: &str, value_type: &'static str) {
        self.add(name, value_type, "text");
        self.change(name, |property| property.read_only = true);
    }

    fn add_choice(&mut self, name: &str, field_type: &'static str, options: &[&str]) {
        self.add(name, "enumeration", field_type);
        self.change(name, |property| {
            property.options = options.iter().map(|one| (*one).to_owned()).collect();
        });
    }

    fn add_lifecycle(&mut self) {
        self.add_choice("lifecyclestage", "radio", &STAGES);
        self.change("lifecyclestage", |property| property.external = true);
    }

    fn change(&mut self, name: &str, how: impl FnOnce(&mut Property)) {
        if let Some(property) = self.0.get_mut(name) {
            how(property);
        }
    }

    /// Adds a value to a property's list.
    pub(super) fn add_option(&mut self, name: &str, value: &str) {
        self.change(name, |property| property.options.push(value.to_owned()));
    }

    fn add(&mut self, name: &str, value_type: &'static str, field_type: &'static str) {
        let property = Property {
            label: name.to_owned(),
            value_type,
            field_type,
            options: Vec::new(),
            read_only: false,
            external: false,
            unique: name == "email",
        };
        self.0.insert(name.to_owned(), property);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Property> {
        self.0.get(name)
    }

    pub(super) fn unique_names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, property)| property.unique).map(|(name, _)| name)
    }

    pub(super) fn shown(&self) -> Json {
        json!({ "results": self.0.iter().map(|(name, property)| property.shown(name)).collect::<Vec<_>>() })
    }

    /// The value as HubSpot keeps it.
    pub(super) fn fit(&self, name: &str, value: &str) -> Result<String, Unfit> {
        let unfit = |code, message: String| Err(Unfit { code, message });
        let Some(property) = self.0.get(name) else {
            return unfit("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist"));
        };
        if property.read_only {
            return unfit(
                "READ_ONLY_VALUE",
                format!("\"{name}\" is a read only property; its value cannot be set."),
            );
        }
        if value.is_empty() {
            return Ok(String::new());
        }
        match property.value_type {
            "number" if value.parse::<f64>().is_err() => {
                unfit("INVALID_INTEGER", format!("{name} was not a valid number"))
            }
            "datetime" => fit_instant(name, value),
            "date" if !is_date(value) => unfit("INVALID_DATE", format!("{value} was not a valid date")),
            "enumeration" if !property.options.iter().any(|option| option == value) => unfit(
                "INVALID_OPTION",
                format!("{value} was not one of the allowed options: {:?}", property.options),
            ),
            _ if name == "email" => fit_email(value),
            _ => Ok(value.to_owned()),
        }
    }
}

/// Instants come as ISO 8601, as milliseconds, or as a plain day; they are kept as the first.
fn fit_instant(name: &str, value: &str) -> Result<String, Unfit> {
    let of_millis = value.parse::<i64>().ok().map(Timestamp::from_millis);
    let of_day = is_date(value).then(|| Timestamp::parse(&format!("{value}T00:00:00Z"))).flatten();
    let instant = of_millis.or(of_day).or_else(|| Timestamp::parse(value));
    let unfit =
        || Unfit { code: "INVALID_DATE", message: format!("{name}: {value} was not a valid instant") };
    instant.map(|at| at.to_string().replace(".000Z", "Z")).ok_or_else(unfit)
}

fn is_date(value: &str) -> bool {
    value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok()
}

fn fit_email(value: &str) -> Result<String, Unfit> {
    let folded = value.trim().to_lowercase();
    let valid = folded.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !folded.contains(char::is_whitespace)
    });
    if valid {
        return Ok(folded);
    }
    Err(Unfit { code: "INVALID_EMAIL", message: format!("Email address {value} is invalid") })
}

impl Property {
    pub(super) fn shown(&self, name: &str) -> Json {
        let options: Vec<Json> = self
            .options
            .iter()
            .enumerate()
            .map(|(place, value)| json!({ "label": value, "value": value, "displayOrder": place, "hidden": false }))
            .collect();
        json!({
            "name": name, "label": self.label, "type": self.value_type, "fieldType": self.field_type, "description": "",
            "groupName": "contactinformation", "options": options, "displayOrder": -1, "calculated": false,
            "externalOptions": self.external,
            "referencedObjectType": if name == "hubspot_owner_id" { json!("OWNER") } else { Json::Null }, "hasUniqueValue": self.unique && name != "email", "hidden": false, "formField": true,
            "dataSensitivity": "non_sensitive",
            "modificationMetadata": {
                "archivable": true, "readOnlyDefinition": true, "readOnlyValue": self.read_only
            },
        })
    }
}
