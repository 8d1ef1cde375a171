//! Property definitions, and what a value must be to fit one.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// A property's definition.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) label: String,
    pub(super) value_type: &'static str,
    pub(super) field_type: &'static str,
    pub(super) options: Vec<String>,
    pub(super) read_only: bool,
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
const COMPUTED: [(&str, &str); 9] = [
    ("hs_merged_object_ids", "enumeration"),
    ("createdate", "datetime"),
    ("lastmodifieddate", "datetime"),
    ("hs_object_id", "number"),
    ("hs_object_source", "string"),
    ("hs_object_source_id", "string"),
    ("hs_email_domain", "string"),
    ("hs_email_optout", "bool"),
    ("hs_additional_emails", "enumeration"),
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

impl PropertySet {
    /// The properties of a new portal, with or without hubforce's own.
    pub(super) fn standard(own: bool) -> Self {
        let mut set = Self(BTreeMap::new());
        for name in TEXTS {
            set.add(name, "string", "text");
        }
        for name in ["annualrevenue", "numemployees"] {
            set.add(name, "number", "number");
        }
        set.add("date_of_birth", "date", "date");
        for (name, value_type) in COMPUTED {
            set.add(name, value_type, "text");
            if let Some(property) = set.0.get_mut(name) {
                property.read_only = true;
            }
        }
        for (name, options) in [("hs_lead_status", LEAD_STATUSES), ("lifecyclestage", STAGES)] {
            set.add(name, "enumeration", "radio");
            if let Some(property) = set.0.get_mut(name) {
                property.options = options.map(str::to_owned).to_vec();
            }
        }
        if own {
            for name in ["hubforce_salesforce_lead_id", "hubforce_salesforce_contact_id"] {
                set.add(name, "string", "text");
                if let Some(property) = set.0.get_mut(name) {
                    property.unique = true;
                }
            }
        }
        set
    }

    fn add(&mut self, name: &str, value_type: &'static str, field_type: &'static str) {
        let property = Property {
            label: name.to_owned(),
            value_type,
            field_type,
            options: Vec::new(),
            read_only: false,
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
            "externalOptions": false, "hasUniqueValue": self.unique && name != "email", "hidden": false, "formField": true,
            "dataSensitivity": "non_sensitive",
            "modificationMetadata": {
                "archivable": true, "readOnlyDefinition": true, "readOnlyValue": self.read_only
            },
        })
    }
}
