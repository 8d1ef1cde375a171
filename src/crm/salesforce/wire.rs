//! The shapes of Salesforce's REST API, as far as they are used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::crm::Found;
use crate::domain::{Fields, Kind, Record, RecordKey, Timestamp, Value};
use crate::plan::{FieldSchema, FieldType, Schema};

/// Fields read of every record besides the mapped ones.
pub(super) const ALWAYS_READ: [&str; 2] = ["LastModifiedById", "SystemModstamp"];

/// Read of leads besides: a converted one lives on in its contact.
pub(super) const READ_OF_LEADS: [&str; 2] = ["IsConverted", "ConvertedContactId"];

/// A record as the API writes it.
pub(super) type Row = Map<String, Json>;

/// Reads a row of a kind.
pub(super) fn into_record(kind: Kind, row: Row) -> Option<Record> {
    let key = RecordKey::parse(kind, row.get("Id")?.as_str()?).ok()?;
    let text = |name: &str| row.get(name).and_then(Json::as_str);
    let modified_at = text("SystemModstamp").and_then(Timestamp::parse).unwrap_or_default();
    let modified_by = text("LastModifiedById").map(str::to_owned);
    Some(Record { key, fields: into_fields(row), modified_at, modified_by })
}

/// The scalars of a row.
pub(super) fn into_fields(row: Row) -> Fields {
    row.into_iter().filter_map(|(name, value)| Some((name, into_value(value)?))).collect()
}

/// What a row of a record asked for says of it.
pub(super) fn into_found(kind: Kind, row: Row) -> Option<Found> {
    converted(&row).or_else(|| into_record(kind, row).map(Found::Present))
}

/// What became of a record that cannot be read. A lead that was deleted after its conversion lives on in its contact all the same.
pub(super) fn fate_of(kind: Kind, row: &Row) -> Found {
    let is_deleted = row.get("IsDeleted").and_then(Json::as_bool) == Some(true);
    let master = || row.get("MasterRecordId").and_then(Json::as_str);
    match (converted(row), is_deleted) {
        (Some(converted), true) => converted,
        (None, true) => master().map_or(Found::Deleted, |id| Found::Merged(RecordKey::parse(kind, id).ok())),
        (_, false) => Found::Absent,
    }
}

fn converted(row: &Row) -> Option<Found> {
    let is_converted = row.get("IsConverted").and_then(Json::as_bool) == Some(true);
    let contact = || RecordKey::parse(Kind::Contact, row.get("ConvertedContactId")?.as_str()?).ok();
    is_converted.then(|| Found::Converted(contact()))
}

/// A scalar; compound fields and `attributes` are none.
fn into_value(json: Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Blank),
        Json::Bool(flag) => Some(Value::Flag(flag)),
        Json::Number(number) => Some(Value::number(number.to_string())),
        Json::String(text) => Some(Value::text(text)),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// A value as the API reads it: `null` clears.
pub(super) fn from_value(value: &Value) -> Json {
    match value {
        Value::Blank => Json::Null,
        Value::Flag(flag) => Json::Bool(*flag),
        Value::Number(number) => serde_json::from_str(&number.number).unwrap_or(Json::Null),
        Value::Text(text) => Json::String(text.clone()),
    }
}

/// `POST /composite/sobjects/{Type}`.
#[derive(Serialize)]
pub(super) struct Retrieve<'a> {
    pub(super) ids: Vec<String>,
    pub(super) fields: Vec<&'a str>,
}

/// `/query`, `/queryAll` and their further pages.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryAnswer {
    pub(super) done: bool,
    #[serde(default)]
    pub(super) next_records_url: Option<String>,
    pub(super) records: Vec<Row>,
}

/// `POST /composite`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Composite {
    all_or_none: bool,
    /// Whether the order of the subrequests is Salesforce's choice.
    collate_subrequests: bool,
    #[serde(rename = "compositeRequest")]
    parts: Vec<Subrequest>,
}

impl Composite {
    /// Parts that are carried out one after the other, each for itself.
    pub(super) const fn one_by_one(parts: Vec<Subrequest>) -> Self {
        Self { all_or_none: false, collate_subrequests: false, parts }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subrequest {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) reference_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) http_headers: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Json>,
}

impl Subrequest {
    pub(super) fn get(url: String, reference_id: impl Into<String>) -> Self {
        let reference_id = reference_id.into();
        Self { method: "GET", url, reference_id, http_headers: BTreeMap::new(), body: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompositeAnswer {
    pub(super) composite_response: Vec<Subresponse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subresponse {
    pub(super) body: Json,
    pub(super) http_status_code: u16,
}

/// `/composite/sobjects`, writing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collection {
    pub(super) all_or_none: bool,
    pub(super) records: Vec<Row>,
}

/// The outcome of one row.
#[derive(Deserialize)]
pub(super) struct RowAnswer {
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) success: bool,
    #[serde(default)]
    pub(super) created: Option<bool>,
    #[serde(default)]
    pub(super) errors: Vec<ApiError>,
}

/// An error: of a row (`statusCode`) or of a call (`errorCode`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiError {
    #[serde(alias = "errorCode")]
    pub(super) status_code: String,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
    /// The vendor's historic spelling, and the right one.
    #[serde(alias = "duplicateResut")]
    pub(super) duplicate_result: Option<DuplicateResult>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DuplicateResult {
    pub(super) duplicate_rule: String,
}

/// `GET /sobjects/{Type}/describe`.
#[derive(Deserialize)]
pub(super) struct Describe {
    #[serde(default = "yes")]
    createable: bool,
    #[serde(default = "yes")]
    updateable: bool,
    fields: Vec<DescribedField>,
}

const fn yes() -> bool {
    true
}

impl Describe {
    /// The fields; what our user may not do with the object, it may not do with any of them.
    pub(super) fn into_schema(self) -> Schema {
        let Self { createable, updateable, fields } = self;
        let field = |field: DescribedField| {
            let (name, schema) = field.into_schema();
            let schema = FieldSchema {
                createable: schema.createable && createable,
                updateable: schema.updateable && updateable,
                ..schema
            };
            (name, schema)
        };
        fields.into_iter().map(field).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the vendor's own flags")]
pub(super) struct DescribedField {
    name: String,
    #[serde(rename = "type")]
    field_type: String,
    #[serde(default)]
    length: usize,
    #[serde(default)]
    scale: Option<u32>,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
    #[serde(default)]
    nillable: bool,
    #[serde(default)]
    defaulted_on_create: bool,
    #[serde(default)]
    calculated: bool,
    #[serde(default)]
    restricted_picklist: bool,
    #[serde(default)]
    picklist_values: Vec<PicklistValue>,
}

#[derive(Deserialize)]
struct PicklistValue {
    value: String,
    #[serde(default)]
    active: bool,
}

impl DescribedField {
    fn into_schema(self) -> (String, FieldSchema) {
        // What has decimals in a whole number is refused, not rounded.
        let keeps_decimals = matches!(self.field_type.as_str(), "double" | "currency" | "percent");
        let field_type = match self.field_type.as_str() {
            "string" | "url" | "combobox" | "encryptedstring" => FieldType::Text,
            "textarea" => FieldType::Multiline,
            "email" => FieldType::Email,
            "phone" => FieldType::Phone,
            "double" | "currency" | "percent" | "int" | "long" => FieldType::Number,
            "boolean" => FieldType::Flag,
            "date" => FieldType::Date,
            "datetime" => FieldType::Instant,
            "picklist" => FieldType::Choice,
            "multipicklist" => FieldType::Choices,
            "reference" | "id" => FieldType::Reference,
            _ => FieldType::Other,
        };
        let listed = matches!(field_type, FieldType::Choice | FieldType::Choices).then(|| {
            self.picklist_values
                .into_iter()
                .filter(|option| option.active)
                .map(|option| option.value)
                .collect()
        });
        let schema = FieldSchema {
            field_type,
            createable: self.createable,
            updateable: self.updateable,
            required: self.createable
                && !self.nillable
                && !self.defaulted_on_create
                && field_type != FieldType::Flag,
            length: (self.length > 0).then_some(self.length),
            scale: self.scale.filter(|_| keeps_decimals),
            restricted: self.restricted_picklist,
            options: listed,
            calculated: self.calculated,
        };
        (self.name, schema)
    }
}

/// The answer of the token endpoint.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) instance_url: String,
    /// `https://login.salesforce.com/id/ORGANIZATION/USER`.
    pub(super) id: String,
}

/// The token endpoint's refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenError {
    pub(super) error: String,
    pub(super) error_description: String,
}
