//! The values of one mapping on their way between the two sides: which may pass at all, their normal form, and their translation.
//!
//! Plain values are compared in HubSpot's words. References (owners, companies, stages) are compared in Salesforce's, because a message
//! of Salesforce must be told from an echo without asking anybody; what has no counterpart there keeps its own name after `hubspot:`, so
//! that a change of it is still seen.

use crate::domain::{Kind, Record, System, Value};
use crate::plan::links::Links;
use crate::plan::mapping::{Mapping, Meaning, Rule, Target};
use crate::plan::normal::{Unfit, common_type, day_in, for_target, normal, rounded};
use crate::plan::pairing::address_of;
use crate::plan::people::filled_in;
use crate::plan::rules::{LIFECYCLE_PROPERTY, PIPELINE_PROPERTY};
use crate::plan::{Agreed, Decision, FieldSchema, FieldType, Rules};

/// Marks a reference that only HubSpot knows.
const ONLY_IN_HUBSPOT: &str = "hubspot:";

/// Marks a value that only Salesforce knows.
const ONLY_IN_SALESFORCE: &str = "salesforce:";

/// What is needed to say one CRM's references in the other's words.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) rules: &'a Rules,
    pub(super) links: &'a Links,
}

impl Mapping {
    /// The Salesforce field for a kind of record.
    pub fn target(&self, kind: Kind) -> Option<&Target> {
        self.targets.get(&kind)
    }

    /// Whether this is the address, by which people are known.
    pub fn is_address(&self) -> bool {
        self.property == "email"
    }

    /// The rule after what can be written at all: formula and read-only fields flow one way. HubSpot's mirrors of companies
    /// and of the opt-out are read-only themselves and written by calls of their own.
    pub fn effective_rule(&self, target: &Target) -> Rule {
        let writable = |schema: &FieldSchema| schema.updateable && !schema.calculated;
        let mirrored = matches!(self.meaning, Meaning::Company | Meaning::OptOut);
        match (mirrored || writable(&self.property_schema), writable(&target.schema)) {
            (true, true) => self.rule,
            (true, false) if self.rule.writes_hubspot() => Rule::AlwaysSalesforce,
            (false, true) if self.rule.writes_salesforce() => Rule::AlwaysHubspot,
            _ => Rule::DontSync,
        }
    }

    /// Whether a lead's company or a person's last name is what we fill in where HubSpot holds none. A filled value never travels back.
    pub(super) fn is_filled_in(&self, value: &Value, record: &Record) -> bool {
        let field = self.target(record.key.kind()).map(|target| target.field.as_str());
        let (Some(address), Some(held)) = (address_of(record), value.as_text()) else { return false };
        let (last_name, company) = filled_in(&address);
        (field == Some("LastName") && held == last_name) || (field == Some("Company") && held == company)
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

    /// A stage goes back in HubSpot by being cleared and then set. Where only the first was done, the blank is no word of anybody's: it
    /// does not outdo the stage that Salesforce moved to.
    pub(super) fn stage_decision(
        &self,
        hubspot: &Value,
        salesforce: &Value,
        base: Option<&Agreed>,
    ) -> Option<Decision> {
        let was_cleared = hubspot.is_blank() && base.is_some_and(|base| !base.hubspot().is_blank());
        let moved = !salesforce.is_blank() && base.is_some_and(|base| salesforce != base.salesforce());
        (self.property == LIFECYCLE_PROPERTY && was_cleared && moved).then_some(Decision::ToHubspot)
    }

    /// What a record holds, for the merge. A value that cannot be told in the other side's words stands for itself, so that a change of it, or
    /// of the other side, is still seen; with why it does not pass.
    pub(super) fn read(&self, record: &Record, target: &Target, words: Words<'_>) -> (Value, Option<Unfit>) {
        match self.value_of(record, target, words) {
            Ok(value) => (value, None),
            Err(unfit) => {
                let (mark, field) = match record.key.system() {
                    System::Hubspot => (ONLY_IN_HUBSPOT, &self.property),
                    System::Salesforce => (ONLY_IN_SALESFORCE, &target.field),
                };
                let held = record.fields.get(field).and_then(Value::as_text).unwrap_or_default();
                (Value::text(format!("{mark}{held}")), Some(unfit))
            }
        }
    }

    /// The normal form of what a record holds.
    pub(super) fn value_of(
        &self,
        record: &Record,
        target: &Target,
        words: Words<'_>,
    ) -> Result<Value, Unfit> {
        let held = |name: &str| record.fields.get(name).unwrap_or(&Value::Blank);
        match record.key.system() {
            System::Hubspot if self.meaning == Meaning::Stage => {
                let text = |value: &Value| value.as_text().unwrap_or_default().into_owned();
                Ok(stage_named(&text(held(PIPELINE_PROPERTY)), &text(held(&self.property)), words))
            }
            System::Hubspot => self.normal_of(held(&self.property), System::Hubspot, target, words),
            System::Salesforce => self.normal_of(held(&target.field), System::Salesforce, target, words),
        }
    }

    /// The normal form of a raw value of one of the two sides.
    pub(super) fn normal_of(
        &self,
        raw: &Value,
        system: System,
        target: &Target,
        words: Words<'_>,
    ) -> Result<Value, Unfit> {
        let salesforces = |known: Option<&str>, own: &str| {
            Value::text(known.map_or_else(|| format!("{ONLY_IN_HUBSPOT}{own}"), str::to_owned))
        };
        match (self.meaning, system, raw.as_text()) {
            (Meaning::Value | Meaning::OptOut, ..) => self.plain(raw, system, target, words),
            (Meaning::Owner, System::Hubspot, Some(id)) => {
                Ok(salesforces(words.rules.owners.user_of(&id), &id))
            }
            (Meaning::Company, System::Hubspot, Some(id)) => {
                Ok(salesforces(words.links.account_of(&id), &id))
            }
            (Meaning::Owner | Meaning::Company | Meaning::Stage, ..) => normal(raw, FieldType::Reference),
        }
    }

    fn plain(&self, raw: &Value, system: System, target: &Target, words: Words<'_>) -> Result<Value, Unfit> {
        let (property, field) = (self.property_schema.field_type, target.schema.field_type);
        let field_type = if self.is_address() { FieldType::Email } else { common_type(property, field) };
        let is_instant = |side: FieldType| side == FieldType::Instant;
        let own_type = if system == System::Hubspot { property } else { field };
        if field_type == FieldType::Date && is_instant(own_type) {
            return day_in(raw, &words.rules.time_zone);
        }
        let value = rounded(normal(raw, field_type)?, target.schema.scale);
        if system == System::Hubspot || self.values.is_empty() {
            return Ok(value);
        }
        self.translated(&value, |hubspot, salesforce| (salesforce, hubspot))
    }

    /// What is written to a side for a value in normal form.
    pub(super) fn write_form(
        &self,
        value: &Value,
        target: &Target,
        system: System,
        words: Words<'_>,
    ) -> Result<Value, Unfit> {
        if self.meaning != Meaning::Value {
            return self.reference_form(value, target, system, words);
        }
        let listed = self.property_schema.field_type == FieldType::Choice && self.values.is_empty();
        match system {
            System::Hubspot => {
                for_target(value, &self.property_schema, (system, false), &words.rules.time_zone)
            }
            System::Salesforce => {
                let translated = self.translated(value, |hubspot, salesforce| (hubspot, salesforce))?;
                for_target(&translated, &target.schema, (system, listed), &words.rules.time_zone)
            }
        }
    }

    /// What is written for a reference; the error says who or what is not known on that side.
    fn reference_form(
        &self,
        value: &Value,
        target: &Target,
        system: System,
        words: Words<'_>,
    ) -> Result<Value, Unfit> {
        let Some(text) = value.as_text() else {
            let required =
                system == System::Salesforce && (target.schema.required || self.meaning == Meaning::Owner);
            return if required { Err(Unfit::Required) } else { Ok(Value::Blank) };
        };
        let in_salesforce = !text.starts_with(ONLY_IN_HUBSPOT);
        let fit = match (self.meaning, system) {
            (Meaning::Value | Meaning::OptOut, _) => return Ok(value.clone()),
            (Meaning::Owner, System::Salesforce)
                if in_salesforce && words.rules.owners.is_active_user(&text) =>
            {
                Some(text.as_ref())
            }
            (Meaning::Owner, System::Salesforce) => return Err(Unfit::NoUser),
            (Meaning::Owner, System::Hubspot) => {
                Some(words.rules.owners.owner_of(&text).ok_or(Unfit::NoOwner)?)
            }
            (Meaning::Company, System::Salesforce) => {
                (in_salesforce && words.links.is_open(&text)).then_some(text.as_ref())
            }
            (Meaning::Stage, System::Salesforce) => in_salesforce.then_some(text.as_ref()),
            (Meaning::Company, System::Hubspot) => words.links.company_of(&text),
            (Meaning::Stage, System::Hubspot) => {
                let deals = &words.rules.deals;
                deals.stages.stage_of(&text, None, &deals.pipelines).map(|(_, stage)| stage)
            }
        };
        let unfit = if self.meaning == Meaning::Company { Unfit::Waiting } else { Unfit::NoStage };
        fit.map(Value::text).ok_or(unfit)
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

/// A stage in Salesforce's words.
fn stage_named(pipeline: &str, stage: &str, words: Words<'_>) -> Value {
    match words.rules.deals.stages.name_of(pipeline, stage) {
        Some(name) => Value::text(name),
        None if stage.is_empty() => Value::Blank,
        None => Value::text(format!("{ONLY_IN_HUBSPOT}{pipeline}/{stage}")),
    }
}

impl Unfit {
    /// What is wrong with the value, in one word.
    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::NotA(_) => "wrong_type",
            Self::TooLong(_) => "too_long",
            Self::NotListed => "not_listed",
            Self::NotTranslated => "not_translated",
            Self::Required => "required",
            Self::NoUser => "no_user",
            Self::NoOwner => "no_owner",
            Self::Waiting => "waiting",
            Self::NoStage => "no_stage",
            Self::NotStored => "accepted_not_stored",
        }
    }

    /// The rule under which a value is set aside.
    pub(super) const fn rule(&self) -> &'static str {
        match self {
            Self::NotListed | Self::NotTranslated | Self::NoStage => "R-210",
            Self::NotA(_) | Self::TooLong(_) | Self::Required => "R-295",
            Self::NoUser => "R-173",
            Self::NoOwner => "R-172",
            Self::Waiting => "R-291",
            Self::NotStored => "R-297",
        }
    }
}
