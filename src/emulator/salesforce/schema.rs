//! What objects are made of.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::emulator::salesforce::Options;
use crate::emulator::salesforce::fields::{self, Row, Use};

/// How many decimals an amount keeps that says nothing of them.
const DECIMALS: u32 = 2;

/// A field's definition.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) kind: &'static str,
    pub(super) length: usize,
    /// How many decimals an amount keeps.
    pub(super) scale: u32,
    pub(super) usage: Use,
    pub(super) external_id: bool,
    pub(super) references: &'static [&'static str],
    options: Vec<&'static str>,
    calculated: bool,
}

/// An object's definition.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) object: &'static str,
    pub(super) prefix: &'static str,
    pub(super) fields: BTreeMap<String, Field>,
}

impl Schema {
    /// The definition of an object in an organization that is set up so.
    pub(super) fn of(object: &'static str, options: &Options) -> Self {
        let (prefix, own) = fields::of(object);
        let mut schema = Self { object, prefix, fields: BTreeMap::new() };
        own.into_iter().chain([fields::AUDIT.as_slice()]).for_each(|rows| schema.add_rows(rows));
        if schema.is_written() {
            schema.add_rows(&[("IsDeleted", "boolean", 0, Use::Read)]);
        }
        let custom = options.custom_fields.iter().filter(|(of, ..)| of == object);
        for (_, name, kind) in custom {
            schema.add(name, Field::custom(kind));
        }
        for (_, name, _) in options.formulas.iter().filter(|(of, ..)| of == object) {
            schema.add(name, Field { usage: Use::Read, calculated: true, ..Field::custom("string") });
        }
        if schema.is_written() && object != "OpportunityContactRole" {
            for name in options.external_ids() {
                schema.add(name, Field { length: 40, external_id: true, ..Field::custom("string") });
            }
        }
        if options.person_accounts {
            schema.add_persons(options);
        }
        schema
    }

    fn add(&mut self, name: &str, field: Field) {
        self.fields.insert(name.to_owned(), field);
    }

    fn add_rows(&mut self, rows: &[Row]) {
        for (name, kind, length, usage) in rows {
            let (length, scale) = if fields::is_amount(kind) { (0, *length) } else { (*length, 0) };
            let field = Field {
                kind,
                length,
                scale: u32::try_from(scale).unwrap_or_default(),
                usage: *usage,
                external_id: false,
                references: fields::references(self.object, name),
                options: fields::values(self.object, name),
                calculated: false,
            };
            self.add(name, field);
        }
    }

    /// What accounts, contacts and leads have where accounts may be persons. A contact's custom fields stand on the account, too.
    fn add_persons(&mut self, options: &Options) {
        match self.object {
            "Account" => {
                self.add_rows(&fields::PERSON_ACCOUNT);
                for name in options.external_ids() {
                    self.add(&of_person(name), Field { length: 40, ..Field::custom("string") });
                }
                for (_, name, kind) in options.custom_fields.iter().filter(|(of, ..)| of == "Contact") {
                    self.add(&of_person(name), Field::custom(kind));
                }
            }
            "Contact" => self.add_rows(&fields::PERSON_CONTACT),
            "Lead" => self.add_rows(&[("Company", "string", 255, Use::Free)]),
            _ => {}
        }
    }

    /// Whether callers may write rows of this object.
    pub(super) fn is_written(&self) -> bool {
        fields::WRITTEN.contains(&self.object)
    }

    /// Whether a field may name a record in the path of a call.
    pub(super) fn is_lookup(&self, name: &str) -> bool {
        let email = name == "Email" && matches!(self.object, "Lead" | "Contact");
        name == "Id" || email || self.fields.get(name).is_some_and(|field| field.external_id)
    }

    /// `describe`, as far as it is used, with what the caller sees and may do.
    pub(super) fn described(&self, sees: impl Fn(&str) -> bool, may_write: bool) -> Json {
        let fields: Vec<Json> = self
            .fields
            .iter()
            .filter(|(name, _)| sees(name))
            .map(|(name, field)| field.described(name, self.is_lookup(name)))
            .collect();
        let written = self.is_written() && may_write;
        let merged = matches!(self.object, "Lead" | "Contact" | "Account");
        json!({
            "name": self.object, "label": self.object, "keyPrefix": self.prefix, "createable": written, "updateable": written,
            "deletable": written, "undeletable": written, "mergeable": merged, "queryable": true, "replicateable": true,
            "custom": false, "fields": fields,
        })
    }
}

/// What a contact's custom field is called on the account.
pub(super) fn of_person(name: &str) -> String {
    name.strip_suffix("__c").map_or_else(|| name.to_owned(), |bare| format!("{bare}__pc"))
}

impl Field {
    /// A field that the organization added, by its type: of an amount also with its decimals, as in `double(4)`.
    fn custom(kind: &'static str) -> Self {
        let (kind, scale) =
            kind.strip_suffix(')').and_then(|kind| kind.split_once('(')).unwrap_or((kind, ""));
        let scale = scale.parse().unwrap_or(DECIMALS);
        let length = if matches!(kind, "string" | "picklist" | "url") { 255 } else { 0 };
        let usage = if kind == "boolean" { Use::Defaulted } else { Use::Free };
        Self {
            kind,
            length,
            scale: if fields::is_amount(kind) { scale } else { 0 },
            usage,
            external_id: false,
            references: &[],
            options: Vec::new(),
            calculated: false,
        }
    }

    /// Whether a row may be created only with it.
    pub(super) fn is_required(&self) -> bool {
        matches!(self.usage, Use::Required | Use::Fixed)
    }

    /// Whether it is never blank.
    pub(super) fn is_filled(&self) -> bool {
        self.is_required() || self.usage == Use::Defaulted || self.kind == "boolean"
    }

    /// Whether it may be written.
    pub(super) fn is_writable(&self, creating: bool) -> bool {
        match self.usage {
            Use::Free | Use::Required | Use::Defaulted => true,
            Use::Fixed | Use::OnCreate => creating,
            Use::Read => false,
        }
    }

    fn described(&self, name: &str, lookup: bool) -> Json {
        let values: Vec<Json> = self
            .options
            .iter()
            .map(|value| json!({ "value": value, "label": value, "active": true, "defaultValue": false, "validFor": null }))
            .collect();
        let relationship = name
            .strip_suffix("Id")
            .filter(|_| !self.references.is_empty())
            .map_or(Json::Null, |name| json!(name));
        json!({
            "name": name, "label": name, "type": self.kind, "length": self.length, "scale": self.scale, "createable": self.is_writable(true),
            "updateable": self.is_writable(false), "nillable": !self.is_filled(),
            "defaultedOnCreate": self.usage == Use::Defaulted || self.kind == "boolean",
            "calculated": self.calculated, "custom": name.ends_with("__c") || name.ends_with("__pc"), "externalId": self.external_id,
            "unique": self.external_id, "idLookup": lookup, "restrictedPicklist": false, "picklistValues": values,
            "referenceTo": self.references, "relationshipName": relationship, "polymorphicForeignKey": self.references.len() > 1,
        })
    }
}
