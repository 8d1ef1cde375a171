//! What leads and contacts are made of.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// A field's definition.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) kind: &'static str,
    pub(super) length: usize,
    pub(super) required: bool,
    pub(super) writable: bool,
    pub(super) external_id: bool,
    options: &'static [&'static str],
}

/// An object's definition.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) object: &'static str,
    pub(super) prefix: &'static str,
    pub(super) fields: BTreeMap<String, Field>,
}

type Row = (&'static str, &'static str, usize);

const PERSON: [Row; 11] = [
    ("FirstName", "string", 40),
    ("LastName", "string", 80),
    ("Salutation", "picklist", 40),
    ("Title", "string", 128),
    ("Email", "email", 80),
    ("Phone", "phone", 40),
    ("MobilePhone", "phone", 40),
    ("Fax", "phone", 40),
    ("Description", "textarea", 32_000),
    ("LeadSource", "picklist", 40),
    ("OwnerId", "reference", 18),
];
const LEAD: [Row; 12] = [
    ("Company", "string", 255),
    ("Status", "picklist", 40),
    ("Street", "textarea", 255),
    ("City", "string", 40),
    ("State", "string", 80),
    ("PostalCode", "string", 20),
    ("Country", "string", 80),
    ("Website", "url", 255),
    ("Industry", "picklist", 40),
    ("Rating", "picklist", 40),
    ("AnnualRevenue", "currency", 0),
    ("NumberOfEmployees", "int", 0),
];
const CONTACT: [Row; 7] = [
    ("MailingStreet", "textarea", 255),
    ("MailingCity", "string", 40),
    ("MailingState", "string", 80),
    ("MailingPostalCode", "string", 20),
    ("MailingCountry", "string", 80),
    ("Department", "string", 80),
    ("Birthdate", "date", 0),
];
const COMPUTED: [Row; 7] = [
    ("Id", "id", 18),
    ("Name", "string", 121),
    ("CreatedDate", "datetime", 0),
    ("CreatedById", "reference", 18),
    ("LastModifiedDate", "datetime", 0),
    ("LastModifiedById", "reference", 18),
    ("SystemModstamp", "datetime", 0),
];
const STATUSES: [&str; 4] =
    ["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"];
const SALUTATIONS: [&str; 5] = ["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];

impl Schema {
    /// The definition of an object, with the unique external id field of that name.
    pub(super) fn of(object: &'static str, external_id_field: &str) -> Self {
        let (prefix, own): (_, &[Row]) = if object == "Lead" { ("00Q", &LEAD) } else { ("003", &CONTACT) };
        let mut fields = BTreeMap::new();
        for (name, kind, length) in PERSON.iter().chain(own) {
            let options: &'static [&'static str] = match *name {
                "Status" => &STATUSES,
                "Salutation" => &SALUTATIONS,
                _ => &[],
            };
            let required = *name == "LastName" || *name == "Company";
            let field =
                Field { kind, length: *length, required, writable: true, external_id: false, options };
            fields.insert((*name).to_owned(), field);
        }
        for (name, kind, length) in COMPUTED {
            let field =
                Field { kind, length, required: false, writable: false, external_id: false, options: &[] };
            fields.insert(name.to_owned(), field);
        }
        let more = [
            ("IsDeleted", "boolean"),
            ("MasterRecordId", "reference"),
            ("IsConverted", "boolean"),
            ("ConvertedContactId", "reference"),
            ("ConvertedDate", "date"),
        ];
        for (name, kind) in more {
            if matches!(name, "IsDeleted" | "MasterRecordId") || object == "Lead" {
                let field = Field {
                    kind,
                    length: 0,
                    required: false,
                    writable: false,
                    external_id: false,
                    options: &[],
                };
                fields.insert(name.to_owned(), field);
            }
        }
        if !external_id_field.is_empty() {
            let field = Field {
                kind: "string",
                length: 40,
                required: false,
                writable: true,
                external_id: true,
                options: &[],
            };
            fields.insert(external_id_field.to_owned(), field);
        }
        Self { object, prefix, fields }
    }

    /// `describe`, as far as it is used.
    pub(super) fn described(&self) -> Json {
        let fields: Vec<Json> = self.fields.iter().map(|(name, field)| field.described(name)).collect();
        json!({
            "name": self.object, "label": self.object, "keyPrefix": self.prefix, "createable": true, "updateable": true,
            "deletable": true, "queryable": true, "replicateable": true, "custom": false, "fields": fields,
        })
    }
}

impl Field {
    fn described(&self, name: &str) -> Json {
        let values: Vec<Json> = self
            .options
            .iter()
            .map(|value| json!({ "value": value, "label": value, "active": true, "defaultValue": false, "validFor": null }))
            .collect();
        let defaulted = name == "Status" || name == "OwnerId" || self.kind == "boolean";
        json!({
            "name": name, "label": name, "type": self.kind, "length": self.length, "createable": self.writable,
            "updateable": self.writable, "nillable": !self.required && !defaulted, "defaultedOnCreate": defaulted,
            "calculated": false, "custom": name.ends_with("__c"), "externalId": self.external_id, "unique": self.external_id,
            "idLookup": self.external_id || name == "Email" || name == "Id", "restrictedPicklist": false,
            "picklistValues": values, "referenceTo": [],
        })
    }
}
