//! The shapes of HubSpot's objects and properties APIs, as far as they are used.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::domain::{Fields, Kind, Record, RecordKey, Timestamp, Value};
use crate::plan::{FieldSchema, FieldType};

/// `POST .../batch/read`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchRead<'a> {
    pub(super) properties: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_property: Option<&'a str>,
    pub(super) inputs: Vec<Id>,
}

/// An id, or the value of an id property.
#[derive(Serialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// A batch of records to delete.
#[derive(Serialize)]
pub(super) struct BatchArchive {
    pub(super) inputs: Vec<Id>,
}

/// The answer of any batch call.
#[derive(Deserialize)]
pub(super) struct BatchAnswer {
    #[serde(default)]
    pub(super) results: Vec<Object>,
    #[serde(default)]
    pub(super) errors: Vec<BatchError>,
}

/// A record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    pub(super) id: String,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub(super) updated_at: Option<String>,
}

impl Object {
    pub(super) fn key(&self, kind: Kind) -> Option<RecordKey> {
        RecordKey::parse(kind, &self.id).ok()
    }

    pub(super) fn into_record(self, kind: Kind) -> Option<Record> {
        let key = self.key(kind)?;
        let modified_at = self.updated_at.as_deref().and_then(Timestamp::parse).unwrap_or_default();
        Some(Record { key, fields: into_fields(self.properties), modified_at, modified_by: None })
    }
}

pub(super) fn into_fields(properties: BTreeMap<String, Option<String>>) -> Fields {
    properties.into_iter().map(|(name, value)| (name, Value::text(value.unwrap_or_default()))).collect()
}

/// One failed input of a batch.
#[derive(Deserialize)]
pub(super) struct BatchError {
    #[serde(default)]
    pub(super) category: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) context: BatchErrorContext,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchErrorContext {
    #[serde(default)]
    pub(super) ids: Vec<String>,
    #[serde(default)]
    pub(super) object_write_trace_id: Vec<String>,
    #[serde(default)]
    pub(super) existing_id: Vec<String>,
}

/// `POST .../batch/create` and `.../batch/update`.
#[derive(Serialize)]
pub(super) struct BatchWrite {
    pub(super) inputs: Vec<WriteInput>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriteInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) object_write_trace_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) associations: Vec<NewAssociation>,
}

/// An association of a record that is being created.
#[derive(Serialize)]
pub(super) struct NewAssociation {
    pub(super) to: Id,
    pub(super) types: Vec<AssociationType>,
}

/// A type of association, as it is written.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AssociationType {
    pub(super) association_category: &'static str,
    pub(super) association_type_id: u32,
}

/// Every value travels as text; a blank is `""`, which clears.
pub(super) fn into_properties(fields: &Fields) -> BTreeMap<String, String> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), value.as_text().unwrap_or_default().into_owned()))
        .collect()
}

/// An error's envelope; every field may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ErrorAnswer {
    pub(super) message: String,
    pub(super) category: String,
    pub(super) error_type: String,
    pub(super) policy_name: String,
    pub(super) errors: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetail {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) context: ErrorContext,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ErrorContext {
    pub(super) property_name: Vec<String>,
}

/// `GET .../properties/{type}`.
#[derive(Deserialize)]
pub(super) struct Properties {
    pub(super) results: Vec<Property>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Property {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) value_type: String,
    #[serde(default)]
    pub(super) field_type: String,
    #[serde(default)]
    pub(super) options: Vec<PropertyOption>,
    #[serde(default)]
    pub(super) calculated: bool,
    #[serde(default)]
    pub(super) external_options: bool,
    #[serde(default)]
    pub(super) referenced_object_type: Option<String>,
    #[serde(default)]
    pub(super) modification_metadata: Option<Modification>,
}

#[derive(Deserialize)]
pub(super) struct PropertyOption {
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modification {
    #[serde(default)]
    pub(super) read_only_value: bool,
}

impl Property {
    pub(super) fn into_schema(self) -> (String, FieldSchema) {
        let field_type = self.common_type();
        let listed = matches!(field_type, FieldType::Choice | FieldType::Choices);
        let read_only = self.modification_metadata.is_some_and(|modification| modification.read_only_value);
        let schema = FieldSchema {
            field_type,
            createable: !read_only && !self.calculated,
            updateable: !read_only && !self.calculated,
            required: false,
            length: (self.value_type == "string").then_some(TEXT_LENGTH_MAX),
            scale: None,
            options: listed.then(|| self.options.into_iter().map(|option| option.value).collect()),
            restricted: listed && !self.external_options,
            calculated: self.calculated,
        };
        (self.name, schema)
    }

    fn common_type(&self) -> FieldType {
        if self.referenced_object_type.as_deref() == Some("OWNER") {
            return FieldType::Reference;
        }
        match (self.value_type.as_str(), self.field_type.as_str()) {
            ("enumeration", "checkbox") => FieldType::Choices,
            ("enumeration", "booleancheckbox") | ("bool", _) => FieldType::Flag,
            ("enumeration", _) => FieldType::Choice,
            ("number", _) => FieldType::Number,
            ("date", _) => FieldType::Date,
            ("datetime", _) => FieldType::Instant,
            ("phone_number", _) | ("string", "phonenumber") => FieldType::Phone,
            ("string", "textarea") => FieldType::Multiline,
            ("string", _) => FieldType::Text,
            _ => FieldType::Other,
        }
    }
}

/// The longest text a property takes.
const TEXT_LENGTH_MAX: usize = 65_536;

/// `GET .../objects/{type}`.
#[derive(Deserialize)]
pub(super) struct ListAnswer {
    pub(super) results: Vec<Object>,
    #[serde(default)]
    pub(super) paging: Option<Paging>,
}

#[derive(Deserialize)]
pub(super) struct Paging {
    #[serde(default)]
    pub(super) next: Option<NextPage>,
}

#[derive(Deserialize)]
pub(super) struct NextPage {
    pub(super) after: String,
}

impl NextPage {
    /// The query parameter that asks for it.
    pub(super) fn parameter(&self) -> String {
        format!("&after={}", utf8_percent_encode(&self.after, NON_ALPHANUMERIC))
    }
}

/// `GET /account-info/.../details`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountDetails {
    pub(super) portal_id: u64,
    #[serde(default)]
    pub(super) time_zone: Option<String>,
    #[serde(default)]
    pub(super) account_type: Option<String>,
}
