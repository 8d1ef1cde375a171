//! The values of one mapping on their way between the two sides: which may pass at all, their normal form, and their translation.

use crate::domain::{Kind, Record, System, Value};
use crate::plan::mapping::{Mapping, Rule, Target};
use crate::plan::normal::{Unfit, common_type, for_target, normal};
use crate::plan::{Decision, FieldSchema, FieldType};

impl Mapping {
    /// The Salesforce field for a kind of record.
    pub fn target(&self, kind: Kind) -> Option<&Target> {
        match kind {
            Kind::Lead => self.lead.as_ref(),
            Kind::Contact => self.contact.as_ref(),
            Kind::HubspotContact => None,
        }
    }

    /// Whether this is the address, by which people are known.
    pub fn is_address(&self) -> bool {
        self.property == "email"
    }

    /// The rule after what can be written at all: formula and read-only fields flow one way.
    pub fn effective_rule(&self, target: &Target) -> Rule {
        let writable = |schema: &FieldSchema| schema.updateable && !schema.calculated;
        match (writable(&self.property_schema), writable(&target.schema)) {
            (true, true) => self.rule,
            (true, false) if self.rule.writes_hubspot() => Rule::AlwaysSalesforce,
            (false, true) if self.rule.writes_salesforce() => Rule::AlwaysHubspot,
            _ => Rule::DontSync,
        }
    }

    /// Says where R-212 keeps a value from passing.
    pub(super) fn explain_keep(&self, target: &Target) -> Option<(&'static str, &'static str)> {
        let changed = self.effective_rule(target) != self.rule;
        changed.then_some(("R-212", "one side computes the value or does not let us write it"))
    }

    /// An address is never cleared by a blank: the side that lost it gets it back.
    pub(super) fn address_decision(&self, hubspot: &Value, salesforce: &Value) -> Option<Decision> {
        match (self.is_address(), hubspot.is_blank(), salesforce.is_blank()) {
            (true, false, true) => Some(Decision::ToSalesforce),
            (true, true, false) => Some(Decision::ToHubspot),
            _ => None,
        }
    }

    pub(super) fn values_of(
        &self,
        hubspot: &Record,
        salesforce: &Record,
        target: &Target,
    ) -> Result<(Value, Value), Unfit> {
        Ok((self.value_of(hubspot, target)?, self.value_of(salesforce, target)?))
    }

    /// The normal form of what a record holds, in HubSpot's words.
    pub(super) fn value_of(&self, record: &Record, target: &Target) -> Result<Value, Unfit> {
        let name = match record.key.system() {
            System::Hubspot => &self.property,
            System::Salesforce => &target.field,
        };
        let raw = record.fields.get(name).unwrap_or(&Value::Blank);
        self.normal_of(raw, record.key.system(), target)
    }

    /// The normal form of a raw value of one of the two sides, in HubSpot's words.
    pub(super) fn normal_of(&self, raw: &Value, system: System, target: &Target) -> Result<Value, Unfit> {
        let field_type = common_type(self.property_schema.field_type, target.schema.field_type);
        let field_type = if self.is_address() { FieldType::Email } else { field_type };
        let value = normal(raw, field_type)?;
        if system == System::Hubspot || self.values.is_empty() {
            return Ok(value);
        }
        self.translated(&value, |hubspot, salesforce| (salesforce, hubspot))
    }

    /// What is written to a side for a value in normal form.
    pub(super) fn write_form(&self, value: &Value, target: &Target, system: System) -> Result<Value, Unfit> {
        match system {
            System::Hubspot => for_target(value, &self.property_schema, system),
            System::Salesforce => {
                let translated = self.translated(value, |hubspot, salesforce| (hubspot, salesforce))?;
                for_target(&translated, &target.schema, system)
            }
        }
    }

    /// Translates every choice of a value under `values`; `order` says which way.
    fn translated<'v>(
        &'v self,
        value: &Value,
        order: impl Fn(&'v str, &'v str) -> (&'v str, &'v str),
    ) -> Result<Value, Unfit> {
        let Some(text) = value.as_text().filter(|_| !self.values.is_empty()) else {
            return Ok(value.clone());
        };
        let translate = |choice: &str| {
            let pairs = self.values.iter().map(|(hubspot, salesforce)| order(hubspot, salesforce));
            pairs.into_iter().find(|(from, _)| *from == choice).map(|(_, to)| to)
        };
        let translated: Option<Vec<&str>> = text.split(';').map(translate).collect();
        let mut translated = translated.ok_or(Unfit::NotTranslated)?;
        translated.sort_unstable();
        Ok(Value::text(translated.join(";")))
    }
}

impl Unfit {
    /// The rule under which a value is set aside.
    pub(super) const fn rule(&self) -> &'static str {
        match self {
            Self::NotListed | Self::NotTranslated => "R-210",
            Self::NotA(_) | Self::TooLong(_) | Self::Required => "R-295",
        }
    }
}
