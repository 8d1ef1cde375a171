//! Records of both CRMs: where they live, what kind they are, what they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::domain::{HubspotId, InvalidId, SalesforceId, Timestamp};

/// One of the two CRMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// HubSpot; its fields are called properties.
    Hubspot,
    /// Salesforce.
    Salesforce,
}

impl System {
    /// The other CRM.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Hubspot => Self::Salesforce,
            Self::Salesforce => Self::Hubspot,
        }
    }

    /// `hubspot` or `salesforce`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hubspot => "hubspot",
            Self::Salesforce => "salesforce",
        }
    }

    /// Reads what [`System::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hubspot, Self::Salesforce].into_iter().find(|system| system.as_str() == text)
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kinds of record that correspond to each other across the two CRMs and are worked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// HubSpot companies with Salesforce accounts.
    Companies,
    /// HubSpot contacts with Salesforce leads and contacts.
    People,
    /// HubSpot deals with Salesforce opportunities.
    Deals,
}

impl Family {
    /// Every family, in the order in which they are worked: what others refer to comes first.
    pub const ALL: [Self; 3] = [Self::Companies, Self::People, Self::Deals];

    /// `companies`, `people` or `deals`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Companies => "companies",
            Self::People => "people",
            Self::Deals => "deals",
        }
    }

    /// Reads what [`Family::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == text)
    }

    /// The family's kind in HubSpot.
    pub const fn in_hubspot(self) -> Kind {
        match self {
            Self::Companies => Kind::Company,
            Self::People => Kind::HubspotContact,
            Self::Deals => Kind::Deal,
        }
    }

    /// The family's kinds in Salesforce.
    pub const fn in_salesforce(self) -> &'static [Kind] {
        match self {
            Self::Companies => &[Kind::Account],
            Self::People => &[Kind::Lead, Kind::Contact],
            Self::Deals => &[Kind::Opportunity],
        }
    }

    /// The family's kinds in a CRM.
    pub const fn kinds_in(self, system: System) -> &'static [Kind] {
        match (system, self) {
            (System::Hubspot, Self::Companies) => &[Kind::Company],
            (System::Hubspot, Self::People) => &[Kind::HubspotContact],
            (System::Hubspot, Self::Deals) => &[Kind::Deal],
            (System::Salesforce, family) => family.in_salesforce(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of record. HubSpot's kinds are written in lower case, Salesforce's as its API names, so a spelling names the CRM too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A HubSpot contact (`0-1`).
    #[serde(rename = "contact")]
    HubspotContact,
    /// A HubSpot company (`0-2`).
    #[serde(rename = "company")]
    Company,
    /// A HubSpot deal (`0-3`).
    #[serde(rename = "deal")]
    Deal,
    /// A Salesforce lead (`00Q`).
    Lead,
    /// A Salesforce contact (`003`).
    Contact,
    /// A Salesforce account (`001`).
    Account,
    /// A Salesforce opportunity (`006`).
    Opportunity,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::HubspotContact,
        Self::Company,
        Self::Deal,
        Self::Lead,
        Self::Contact,
        Self::Account,
        Self::Opportunity,
    ];

    /// The spelling used in the API, the database and logs: `contact`, `Lead`, `Contact`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HubspotContact => "contact",
            Self::Company => "company",
            Self::Deal => "deal",
            Self::Lead => "Lead",
            Self::Contact => "Contact",
            Self::Account => "Account",
            Self::Opportunity => "Opportunity",
        }
    }

    /// Reads what [`Kind::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The CRM this kind lives in.
    pub const fn system(self) -> System {
        match self {
            Self::HubspotContact | Self::Company | Self::Deal => System::Hubspot,
            Self::Lead | Self::Contact | Self::Account | Self::Opportunity => System::Salesforce,
        }
    }

    /// The kinds it corresponds to.
    pub const fn family(self) -> Family {
        match self {
            Self::Company | Self::Account => Family::Companies,
            Self::HubspotContact | Self::Lead | Self::Contact => Family::People,
            Self::Deal | Self::Opportunity => Family::Deals,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record's id in its own CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordId {
    /// In HubSpot.
    Hubspot(HubspotId),
    /// In Salesforce.
    Salesforce(SalesforceId),
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hubspot(id) => id.fmt(f),
            Self::Salesforce(id) => id.fmt(f),
        }
    }
}

/// Names one record within a connection. Invariant: the id belongs to the CRM of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    kind: Kind,
    id: RecordId,
}

impl RecordKey {
    /// Reads an id of the given kind.
    pub fn parse(kind: Kind, id: &str) -> Result<Self, InvalidId> {
        let id = match kind.system() {
            System::Hubspot => RecordId::Hubspot(HubspotId::parse(id)?),
            System::Salesforce => RecordId::Salesforce(SalesforceId::parse(id)?),
        };
        Ok(Self { kind, id })
    }

    /// A HubSpot record of a family.
    pub const fn hubspot(family: Family, id: HubspotId) -> Self {
        Self { kind: family.in_hubspot(), id: RecordId::Hubspot(id) }
    }

    /// A HubSpot contact.
    pub const fn hubspot_contact(id: HubspotId) -> Self {
        Self::hubspot(Family::People, id)
    }

    /// A Salesforce lead.
    pub const fn lead(id: SalesforceId) -> Self {
        Self { kind: Kind::Lead, id: RecordId::Salesforce(id) }
    }

    /// A Salesforce contact.
    pub const fn contact(id: SalesforceId) -> Self {
        Self { kind: Kind::Contact, id: RecordId::Salesforce(id) }
    }

    /// The kind of the record.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The CRM it lives in.
    pub const fn system(&self) -> System {
        self.kind.system()
    }

    /// Its id.
    pub const fn id(&self) -> RecordId {
        self.id
    }
}

/// Prints `hubspot contact 123`, the form used in logs and messages.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.system(), self.kind, self.id)
    }
}

/// The name of a connection: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionName(Arc<str>);

impl ConnectionName {
    /// The most characters a connection's name may have; it stands in every metric and log line.
    pub const LENGTH_MAX: usize = 40;

    /// Accepts `[a-z0-9-]+`, up to [`ConnectionName::LENGTH_MAX`] characters.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = !text.is_empty() && text.len() <= Self::LENGTH_MAX && text.bytes().all(allowed);
        valid.then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one property or field holds, as the CRM said it; [`crate::domain::Value::Blank`] where it holds nothing.
///
/// Values are compared only in the normal form of their type, which is the planner's business.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing: HubSpot's `null` or empty text, Salesforce's `null`.
    Blank,
    /// True or false.
    Flag(bool),
    /// A number in plain decimal notation.
    Number(Decimal),
    /// Text of any kind.
    Text(String),
}

/// A number as its decimal text, so that nothing is lost on the way; serialised as `{"number": "12.50"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Decimal {
    /// The text.
    pub number: String,
}

/// Reads what is written above. By hand, because trying one variant after the other costs more than all else that is read of a base,
/// and a base is read for every record that is worked on.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing, true or false, a text, or a number within an object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Blank)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Decimal::deserialize(MapAccessDeserializer::new(map)).map(Value::Number)
    }
}

impl Value {
    /// Text, or blank where it is empty.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Blank } else { Self::Text(text) }
    }

    /// A number from its decimal text.
    pub fn number(text: impl Into<String>) -> Self {
        Self::Number(Decimal { number: text.into() })
    }

    /// Whether there is nothing here.
    pub const fn is_blank(&self) -> bool {
        matches!(self, Self::Blank)
    }

    /// The value as plain text; `None` where it is blank.
    pub fn as_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Blank => None,
            Self::Flag(flag) => Some(if *flag { "true" } else { "false" }.into()),
            Self::Number(Decimal { number }) => Some(number.into()),
            Self::Text(text) => Some(text.into()),
        }
    }
}

/// Property or field names with their values. A name that is absent was not asked for or does not exist.
pub type Fields = BTreeMap<String, Value>;

/// A record as its CRM last told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which record.
    pub key: RecordKey,
    /// Its values, by property or field name.
    pub fields: Fields,
    /// When it was last modified: `updatedAt` in HubSpot, `SystemModstamp` in Salesforce.
    pub modified_at: Timestamp,
    /// Who modified it last, where the CRM says: Salesforce's `LastModifiedById`.
    pub modified_by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_only_ids_of_its_own_crm() {
        assert!(RecordKey::parse(Kind::HubspotContact, "12").is_ok());
        assert!(RecordKey::parse(Kind::HubspotContact, "00Q4S000002sSac").is_err());
        assert!(RecordKey::parse(Kind::Lead, "00Q4S000002sSac").is_ok());
        assert!(RecordKey::parse(Kind::Lead, "12").is_err());
    }

    #[test]
    fn kinds_and_systems_read_what_they_write() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(System::parse(kind.system().as_str()), Some(kind.system()));
            assert_eq!(Family::parse(kind.family().as_str()), Some(kind.family()));
        }
        assert_eq!(Kind::parse("lead"), None);
    }

    #[test]
    fn values_survive_json() {
        for value in
            [Value::Blank, Value::Flag(true), Value::number("12.50"), Value::text("true"), Value::text("12")]
        {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        }
    }

    #[test]
    fn connection_names_are_plain() {
        assert!(ConnectionName::parse("acme-2").is_some());
        for text in ["", "Acme", "a b", "a_b", &"a".repeat(41)] {
            assert!(ConnectionName::parse(text).is_none(), "{text}");
        }
    }
}
