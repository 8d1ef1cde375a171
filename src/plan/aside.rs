//! What cannot travel is named on its record until it can: a field whose value the other side does not take (I3, R-210, R-295).

use serde::{Deserialize, Serialize};

use crate::domain::{System, Timestamp, Value};
use crate::plan::draft::Draft;
use crate::plan::mapping::{Mapping, Target};
use crate::plan::normal::Unfit;
use crate::plan::{Base, Decision};

/// A value that was set aside, as the base remembers it. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The Salesforce field.
    #[serde(rename = "f")]
    field: String,
    /// The CRM that lacks the value.
    #[serde(rename = "l")]
    lacking: System,
    /// What is wrong with the value, in one word.
    #[serde(rename = "c")]
    class: String,
    /// The same for people, with what to do.
    #[serde(rename = "m")]
    reason: String,
    /// The rule that sets it aside.
    #[serde(rename = "r")]
    rule: String,
    /// Since when.
    #[serde(rename = "t")]
    since: Timestamp,
}

impl SetAside {
    /// A value of a target that does not pass. Since when is told from the first time on.
    pub(super) fn of(
        target: &Target,
        (unfit, lacking): (&Unfit, System),
        known: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let class = unfit.class();
        let known = known.filter(|known| known.class == class && known.lacking == lacking);
        Self {
            field: target.field.clone(),
            lacking,
            class: class.to_owned(),
            reason: unfit.to_string(),
            rule: unfit.rule().to_owned(),
            since: known.map_or(now, |known| known.since),
        }
    }
}

/// A field of a pair that holds something else on both sides, because the value of one does not fit the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAsideField {
    /// The HubSpot property.
    pub hubspot: String,
    /// The Salesforce field.
    pub salesforce: String,
    /// The CRM that lacks the value.
    pub lacking: System,
    /// What is wrong with the value: `wrong_type`, `too_long`, `not_listed`, `not_translated`, `required`, `no_user`, `no_owner`, `waiting`,
    /// `no_stage` or `accepted_not_stored`.
    pub class: String,
    /// The same for people, with what to do.
    pub reason: String,
    /// The rule that sets it aside.
    pub rule: String,
    /// Since when.
    pub since: String,
}

/// The fields of a pair that are set aside.
pub fn set_aside_fields(base: &Base) -> Vec<SetAsideField> {
    let shown = |(property, aside): (&String, &SetAside)| SetAsideField {
        hubspot: property.clone(),
        salesforce: aside.field.clone(),
        lacking: aside.lacking,
        class: aside.class.clone(),
        reason: aside.reason.clone(),
        rule: aside.rule.clone(),
        since: aside.since.to_string(),
    };
    base.set_aside().map(shown).collect()
}

impl Draft<'_> {
    /// Sets a value aside: nothing of it passes, whatever the other fields do.
    pub(super) fn set_aside(
        &mut self,
        (mapping, target): (&Mapping, &Target),
        (unfit, lacking): (&Unfit, System),
    ) {
        self.remains_open(mapping);
        self.name_aside((mapping, target), (unfit, lacking));
        self.say_of(mapping, unfit.rule(), Decision::SetAside, unfit.to_string());
    }

    /// Names a value that does not pass on its record; since when is told from the first time on.
    pub(super) fn name_aside(
        &mut self,
        (mapping, target): (&Mapping, &Target),
        (unfit, lacking): (&Unfit, System),
    ) {
        let known = self.known_asides.get(&mapping.property);
        let aside = SetAside::of(target, (unfit, lacking), known, self.view.around.now);
        self.base.put_aside(&mapping.property, Some(aside));
    }

    /// Lists the owners of two records that cannot be made the same. It is no difference that our own user owns a record for which nobody
    /// chose an owner (R-179).
    pub(super) fn name_owners_aside(
        &mut self,
        about: (&Mapping, &Target),
        (unfit, lacking): (&Unfit, System),
        (hubspot, salesforce): (&Value, &Value),
    ) {
        let nobody = *unfit == Unfit::NoOwner && hubspot.is_blank() && self.is_our_user(salesforce);
        if !nobody {
            self.name_aside(about, (unfit, lacking));
        }
    }

    /// Whether an owner in Salesforce is the user that we are.
    pub(super) fn is_our_user(&self, owner: &Value) -> bool {
        let ours = self.rules.salesforce_author.as_deref();
        ours.is_some() && owner.as_text().as_deref() == ours
    }

    /// What was set aside stays so while both sides are left apart.
    pub(super) fn stays_aside(&mut self, mapping: &Mapping) {
        if let Some(known) = self.known_asides.get(&mapping.property) {
            self.base.put_aside(&mapping.property, Some(known.clone()));
        }
    }
}
