//! What passes between the two records of a pair, mapping by mapping.

use std::borrow::Cow;

use crate::domain::{Family, Kind, Record, RecordKey, System, Value};
use crate::plan::base::Seen;
use crate::plan::defaults::{ADDRESS, OPT_OUT};
use crate::plan::draft::{Both, Draft, address_in, names_stranger};
use crate::plan::mapping::{Mapping, Meaning, Rule, Target};
use crate::plan::merge::{Answer, Question, merge};
use crate::plan::normal::Unfit;
use crate::plan::rules::{PIPELINE_PROPERTY, RECORD_TYPE_FIELD};
use crate::plan::values::Words;
use crate::plan::{Agreed, Around, Category, Change, Decision, Message, Side, Step, association};

/// Both values of a mapping and what was agreed.
struct Sides<'a> {
    mapping: &'a Mapping,
    target: &'a Target,
    base: Option<Agreed>,
    /// Whether something was to pass before and never arrived.
    pending: bool,
    /// When a value of Salesforce that was not agreed on was first seen.
    seen: Option<Box<Seen>>,
    hubspot: Value,
    salesforce: Value,
    /// Why HubSpot's value, and Salesforce's, cannot be told in the words of the other side.
    unfit: [Option<Unfit>; 2],
}

impl Sides<'_> {
    /// Salesforce's value and the record's time when it was first seen: by us, or in a message. What a message claims counts up to the
    /// record's own time.
    fn first_seen(&self, pair: &Both<'_>, around: &Around, words: Words<'_>) -> Seen {
        let known = self.seen.as_deref().filter(|seen| seen.value == self.salesforce).map(|seen| seen.at);
        let field = &self.target.field;
        let value = |message: &Message| {
            let raw = message.fields.get(field)?;
            let value = self.mapping.normal_of(raw, System::Salesforce, self.target, words).ok()?;
            Some((message.at, value == self.salesforce))
        };
        // The last messages in a row that told this value; one that does not carry the field tells nothing of it.
        let newest_first = around.messages.iter().rev().filter_map(value);
        let told = newest_first.take_while(|(_, same)| *same).map(|(at, _)| at).min();
        let own = pair.salesforce.modified_at;
        let at = known.into_iter().chain(told).min().map_or(own, |at| at.min(own));
        Seen { value: self.salesforce.clone(), at }
    }
}

impl<'a> Draft<'a> {
    pub(super) const fn words(&self) -> Words<'a> {
        Words { rules: self.rules, links: &self.view.around.links }
    }

    pub(super) fn merge_mapping(&mut self, pair: &Both<'_>, mapping: &Mapping, target: &Target) {
        let (hubspot, of_hubspot) = mapping.read(pair.hubspot, target, self.words());
        let (salesforce, of_salesforce) = mapping.read(pair.salesforce, target, self.words());
        let agreed = self.base.get(&mapping.property);
        if hubspot != salesforce && pair.successor_holds_nothing(mapping, (&hubspot, &salesforce), agreed) {
            // What was agreed with the record before says nothing of this one, which never had a value.
            self.base.insert(&mapping.property, Agreed::pending());
        }
        let known = self.base.get(&mapping.property).cloned();
        let pending = known.as_ref().is_some_and(|base| base.pending);
        let seen = known.as_ref().and_then(|base| base.seen.clone());
        let base = known.filter(|base| !base.pending);
        let unfit = [of_hubspot, of_salesforce];
        let sides = Sides { mapping, target, base, pending, seen, hubspot, salesforce, unfit };
        let Answer { decision, rule, text, .. } = self.decide(pair, &sides);
        let answer = (decision, rule, text);
        let first_seen = sides.first_seen(pair, &self.view.around, self.words());
        self.carry_out(pair, sides, answer);
        if decision != Decision::Agree {
            self.remember_seen(mapping, first_seen);
        }
    }

    /// Does what was decided for one mapping.
    fn carry_out(
        &mut self,
        pair: &Both<'_>,
        sides: Sides<'_>,
        answer: (Decision, &'static str, &'static str),
    ) {
        let (mapping, target) = (sides.mapping, sides.target);
        let (decision, rule, text) = answer;
        match decision {
            Decision::Agree => {
                let Sides { base, hubspot, .. } = sides;
                let kept = base.map_or_else(
                    || Agreed::new(hubspot.clone()),
                    |base| Agreed {
                        value: hubspot.clone(),
                        apart: None,
                        removed_in: None,
                        seen: None,
                        ..base
                    },
                );
                self.base.insert(&mapping.property, kept);
                self.say_of(mapping, rule, decision, text);
            }
            Decision::ToHubspot | Decision::ToSalesforce => self.pass(pair, sides, answer),
            Decision::Conflict => {
                self.conflict(vec![pair.hubspot.key, pair.salesforce.key], mapping, (rule, text));
            }
            Decision::Keep | Decision::SetAside | Decision::Record => {
                if mapping.effective_rule(target) != Rule::DontSync && decision != Decision::Record {
                    self.leave_apart(&sides);
                    self.stays_aside(mapping);
                }
                let (rule, text) = mapping.explain_keep(target).unwrap_or((rule, text));
                let decision = if decision == Decision::Record { Decision::Keep } else { decision };
                self.say_of(mapping, rule, decision, text);
            }
        }
    }

    fn decide(&mut self, pair: &Both<'_>, sides: &Sides<'_>) -> Answer {
        let answer = self.decide_by_rule(pair, sides);
        let goes = |decision: Decision| answer.decision == decision;
        // Nothing of a contact that does not take part goes to Salesforce, and only blanks of it are filled.
        let fills = goes(Decision::ToHubspot) && sides.hubspot.is_blank();
        if self.takes_no_part() && (goes(Decision::ToSalesforce) || goes(Decision::ToHubspot) && !fills) {
            self.remains_open(sides.mapping);
            let text = "the contact is not in the inclusion list: what it holds stays as it is";
            return Answer::new(Decision::Record, "R-021", text);
        }
        answer
    }

    /// Whether the HubSpot contact is outside the inclusion list.
    pub(super) fn takes_no_part(&self) -> bool {
        self.family == Family::People && self.view.around.included == Some(false)
    }

    fn decide_by_rule(&mut self, pair: &Both<'_>, sides: &Sides<'_>) -> Answer {
        let Sides { mapping, target, base, pending, hubspot, salesforce, .. } = sides;
        let rule = mapping.effective_rule(target);
        if mapping.meaning == Meaning::OptOut && rule != Rule::DontSync {
            return super::optout::decide((hubspot, salesforce), base.as_ref(), self.address_moved(pair));
        }
        let around = &self.view.around;
        if mapping.meaning == Meaning::Owner && pair.first_sight && hubspot != salesforce {
            return self.first_owner(pair, (hubspot, salesforce));
        }
        if let Some(decision) = mapping.address_decision(hubspot, salesforce)
            && rule != Rule::DontSync
        {
            return Answer::new(decision, "R-076", "an address is never cleared: it is written back");
        }
        if let Some(decision) = mapping.stage_decision(hubspot, salesforce, base.as_ref())
            && rule == Rule::TwoWay
        {
            let text = "the stage was cleared on its way back to Salesforce's: it is set";
            return Answer::new(decision, "R-205", text);
        }
        if base.is_none() && mapping.is_filled_in(salesforce, pair.salesforce) && rule != Rule::DontSync {
            let decision = if hubspot.is_blank() { Decision::Keep } else { Decision::ToSalesforce };
            let text =
                "Salesforce holds what is filled in where nothing is known: it is no value of anybody's";
            return Answer::new(decision, "R-202", text);
        }
        let times = around.hubspot_times.as_ref();
        let question = Question {
            hubspot,
            salesforce,
            base: base.as_ref(),
            first: pair.first_sight || around.asked.by_resync() || *pending || self.base.is_empty(),
            rule,
            conflict: mapping.conflict,
            hubspot_at: times.and_then(|times| times.get(&mapping.property)).copied(),
            salesforce_at: Some(sides.first_seen(pair, around, self.words()).at),
        };
        let answer = if mapping.meaning == Meaning::Company && hubspot != salesforce && rule != Rule::DontSync
        {
            self.decide_association(sides, &question)
        } else {
            merge(&question)
        };
        if times.is_none() && answer.by_time {
            self.contested.push(mapping.property.clone());
        }
        answer
    }

    /// What an association comes to; one that was removed on one side is remembered as a difference.
    fn decide_association(&mut self, sides: &Sides<'_>, question: &Question<'_>) -> Answer {
        let association::Verdict { answer, removed_in } = association::decide(question);
        if removed_in.is_some() {
            let apart = Agreed::left_apart(sides.hubspot.clone(), sides.salesforce.clone());
            self.base.insert(&sides.mapping.property, Agreed { removed_in, ..apart });
        }
        answer
    }

    /// Remembers when a value of Salesforce that is not agreed on was first seen, for whoever decides a conflict later.
    fn remember_seen(&mut self, mapping: &Mapping, seen: Seen) {
        if let Some(agreed) = self.base.get(&mapping.property)
            && (agreed.pending || *agreed.salesforce() != seen.value)
        {
            let agreed = Agreed { seen: Some(Box::new(seen)), ..agreed.clone() };
            self.base.insert(&mapping.property, agreed);
        }
    }

    /// Salesforce's owner wins when the two first meet, unless records can no longer be given to that user. It does not win
    /// either where nobody chose it: on a record that we created, where the process ended before that was recorded.
    fn first_owner(&self, pair: &Both<'_>, (hubspot, salesforce): (&Value, &Value)) -> Answer {
        let rule = if self.family == Family::Companies { "R-181" } else { "R-177" };
        let active =
            |user: &Value| user.as_text().is_some_and(|user| self.rules.owners.is_active_user(&user));
        if !active(salesforce) && active(hubspot) {
            let text = "first agreement: Salesforce's owner is not active, HubSpot's is";
            return Answer::new(Decision::ToSalesforce, rule, text);
        }
        let mut candidates = self.view.around.candidates.iter();
        let is_made_by_us = candidates.any(|one| one.keyed && one.record.key == pair.salesforce.key);
        if is_made_by_us && self.is_our_user(salesforce) && active(hubspot) {
            let text = "nobody gave the new record an owner in Salesforce; HubSpot's is taken";
            return Answer::new(Decision::ToSalesforce, "R-178", text);
        }
        Answer::new(Decision::ToHubspot, rule, "first agreement: Salesforce's owner wins")
    }

    /// Whether the HubSpot address is another one than both sides agreed on.
    fn address_moved(&self, pair: &Both<'_>) -> bool {
        let agreed = self.view.pair.as_ref().and_then(|known| known.base.get(ADDRESS));
        agreed
            .is_some_and(|agreed| agreed.hubspot().as_text().map(Cow::into_owned) != address_in(pair.hubspot))
    }

    /// Remembers what both sides hold without agreeing on it.
    fn leave_apart(&mut self, sides: &Sides<'_>) {
        let Sides { mapping, base, hubspot, salesforce, .. } = sides;
        let known = self.base.get(&mapping.property).is_some_and(|agreed| agreed.removed_in.is_some());
        if !known && base.as_ref().is_none_or(|base| !base.holds(hubspot, salesforce)) {
            let apart = Agreed::left_apart(hubspot.clone(), salesforce.clone());
            self.base.insert(&mapping.property, apart);
        }
    }

    /// Remembers that a value is to pass, whatever becomes of it now.
    pub(super) fn remains_open(&mut self, mapping: &Mapping) {
        if self.base.get(&mapping.property).is_none() {
            self.base.insert(&mapping.property, Agreed::pending());
        }
    }

    fn conflict(&mut self, records: Vec<RecordKey>, mapping: &Mapping, (rule, text): (&'static str, &str)) {
        self.remains_open(mapping);
        self.steps.push(Step::Conflict {
            records,
            property: mapping.property.clone(),
            text: text.to_owned(),
        });
        self.say_of(mapping, rule, Decision::Conflict, text);
    }

    /// Lets a value pass to the other side, unless something stands in its way.
    fn pass(&mut self, pair: &Both<'_>, sides: Sides<'_>, verdict: (Decision, &'static str, &str)) {
        let (decision, rule, text) = verdict;
        let mapping = sides.mapping;
        let to_hubspot = decision == Decision::ToHubspot;
        if to_hubspot && let Some(holder) = self.holder_of(mapping, pair.hubspot.key) {
            let text = "Salesforce moved to an address that another HubSpot contact has";
            return self.conflict(vec![pair.hubspot.key, holder], mapping, ("R-075", text));
        }
        let [of_hubspot, of_salesforce] = sides.unfit.clone();
        let (value, unfit, system) = if to_hubspot {
            (sides.salesforce.clone(), of_salesforce, System::Hubspot)
        } else {
            (sides.hubspot.clone(), of_hubspot, System::Salesforce)
        };
        let written =
            unfit.map_or_else(|| mapping.write_form(&value, sides.target, system, self.words()), Err);
        let written = match written {
            Ok(written) => written,
            Err(unfit) => return self.cannot_pass(pair, sides, (decision, &unfit)),
        };
        let now = self.view.around.now;
        let mut next = sides
            .base
            .as_ref()
            .map_or_else(|| Agreed::new(value.clone()), |base| base.followed_by(value.clone(), system, now));
        if self.view.around.asked.by_resync() {
            next = Agreed { flips: 0, flipped_at: None, ..next };
        }
        if next.loops() {
            let text = "the value keeps returning to the one before: something changes it back each time";
            self.steps
                .push(Step::Hold { category: Category::Loop, text: format!("{}: {text}", mapping.property) });
            return self.say_of(mapping, rule, Decision::Conflict, text);
        }
        self.remains_open(mapping);
        let (field, record) = if to_hubspot {
            (&mapping.property, pair.hubspot)
        } else {
            (&sides.target.field, pair.salesforce)
        };
        let change = Change {
            field: field.clone(),
            old: record.fields.get(field).cloned().unwrap_or(Value::Blank),
            new: written,
            rule,
            agrees: Some((mapping.property.clone(), next)),
        };
        self.say_of(mapping, rule, decision, text);
        match (to_hubspot, mapping.meaning) {
            (false, _) => self.to_salesforce.push(change),
            (true, Meaning::Company) => self.relate_company(pair.hubspot, change),
            (true, Meaning::OptOut) => self.opt_out(pair.hubspot, change),
            (true, Meaning::Stage) => {
                let changes = self.stage_changes(&value, Some(pair.hubspot), change);
                self.to_hubspot.extend(changes);
            }
            (true, Meaning::Value | Meaning::Owner) => self.to_hubspot.push(change),
        }
    }

    /// A reference that the other side does not know: an owner goes back to Salesforce's, anything else waits.
    fn cannot_pass(&mut self, pair: &Both<'_>, sides: Sides<'_>, (decision, unfit): (Decision, &Unfit)) {
        let mapping = sides.mapping;
        let lacking = if decision == Decision::ToHubspot { System::Hubspot } else { System::Salesforce };
        let back = || mapping.write_form(&sides.salesforce, sides.target, System::Hubspot, self.words());
        match unfit {
            // Somebody whom the directory does not have may have joined since it was read: nothing is decided about them yet.
            Unfit::NoUser | Unfit::NoOwner if names_stranger(self.view, self.rules) => {
                self.remains_open(mapping);
                self.say_of(mapping, unfit.rule(), Decision::Keep, unfit.to_string());
            }
            Unfit::Required
                if decision == Decision::ToSalesforce && !sides.salesforce.is_blank() && back().is_ok() =>
            {
                let text = "Salesforce requires a value: it is written back";
                self.pass(pair, sides, (Decision::ToHubspot, "R-295", text));
            }
            Unfit::NoUser if !sides.salesforce.is_blank() && back().is_ok() => {
                let text = "Salesforce does not know HubSpot's owner: reset to Salesforce's";
                self.pass(pair, sides, (Decision::ToHubspot, "R-174", text));
            }
            Unfit::NoUser | Unfit::NoOwner => {
                self.leave_apart(&sides);
                let owners = (&sides.hubspot, &sides.salesforce);
                self.name_owners_aside((mapping, sides.target), (unfit, lacking), owners);
                self.say_of(mapping, unfit.rule(), Decision::Keep, unfit.to_string());
            }
            Unfit::Waiting => {
                // An account on its way to HubSpot keeps its own name when it arrives: nothing is agreed, so that it still counts
                // as moved then. A company on its way to Salesforce gets another name.
                let holds = |base: &Agreed| base.holds(&sides.hubspot, &sides.salesforce);
                if sides.base.as_ref().is_none_or(|base| !holds(base)) {
                    self.look_at_companies(pair, &sides);
                }
                if decision == Decision::ToSalesforce {
                    self.leave_apart(&sides);
                } else {
                    self.remains_open(mapping);
                }
                self.name_aside((mapping, sides.target), (unfit, lacking));
                self.say_of(mapping, unfit.rule(), Decision::Keep, unfit.to_string());
            }
            _ => self.set_aside((mapping, sides.target), (unfit, lacking)),
        }
    }

    /// The company and the account of a contact or deal may be about to find each other.
    fn look_at_companies(&mut self, pair: &Both<'_>, sides: &Sides<'_>) {
        let named = |record: &Record, field: &str, kind: Kind| {
            let id = record.fields.get(field).and_then(Value::as_text)?;
            RecordKey::parse(kind, &id).ok()
        };
        let company = named(pair.hubspot, &sides.mapping.property, Kind::Company);
        let account = named(pair.salesforce, &sides.target.field, Kind::Account);
        let keys = company.into_iter().chain(account);
        self.steps.extend(keys.map(|key| Step::Look { key }));
    }

    /// The other HubSpot contact that has the address, if this mapping is the address.
    fn holder_of(&self, mapping: &Mapping, own: RecordKey) -> Option<RecordKey> {
        self.view.around.address_holder.filter(|holder| mapping.is_address() && *holder != own)
    }

    /// Moves a HubSpot record to another company. The former one stays associated and is not the primary one any more.
    fn relate_company(&mut self, record: &Record, change: Change) {
        let company = change.new.as_text().and_then(|id| RecordKey::parse(Kind::Company, &id).ok());
        if let Some(to) = company {
            self.steps.push(Step::Relate { from: record.key, to, change });
        }
    }

    /// Opts an address out. Where the address moves with this plan, nothing is opted out yet: HubSpot may refuse the new one, and then it
    /// would be somebody else's. The next look does it.
    fn opt_out(&mut self, record: &Record, change: Change) {
        if let Some(address) = address_in(record).filter(|_| !self.moves_address()) {
            self.steps.push(Step::OptOut { key: record.key, address, change });
        }
    }

    /// HubSpot's opt-out belongs to the address: when that moves, it is to go with the person to the new one. Nothing of it is agreed
    /// on until then, so that the new address, which is in, does not look like somebody who opted in again.
    pub(super) fn carry_opt_out(&mut self, pair: &Both<'_>) {
        let ticked = |held: Option<&Value>| held.and_then(Value::as_text).as_deref() == Some("true");
        let in_salesforce = self.rules.mappings(self.family).iter().find_map(|mapping| {
            let target = mapping.target(pair.salesforce.key.kind())?;
            (mapping.meaning == Meaning::OptOut).then(|| pair.salesforce.fields.get(&target.field))
        });
        let is_out = ticked(pair.hubspot.fields.get(OPT_OUT)) || ticked(in_salesforce.flatten());
        if self.moves_address() && is_out {
            self.say("R-219", "the opt-out goes with the person to the new address, once that has moved");
            self.base.insert(OPT_OUT, Agreed::pending());
            for change in &mut self.to_salesforce {
                change.agrees.take_if(|(property, _)| property == OPT_OUT);
            }
            self.steps.push(Step::Look { key: pair.hubspot.key });
        }
    }

    /// Whether this plan moves HubSpot's address.
    fn moves_address(&self) -> bool {
        self.to_hubspot.iter().any(|change| change.field == ADDRESS)
    }

    /// The pipeline of the opportunity's record type, where that has one of its own.
    fn pipeline_of_record_type(&self) -> Option<&'a str> {
        let Side::Present(opportunity) = &self.view.salesforce else { return None };
        let record_type = opportunity.fields.get(RECORD_TYPE_FIELD).and_then(Value::as_text)?;
        self.rules.deals.stages.pipeline_of(&record_type)
    }

    /// The stage together with its pipeline, which HubSpot wants told where it is another one.
    pub(super) fn stage_changes(&self, name: &Value, deal: Option<&Record>, change: Change) -> Vec<Change> {
        let deals = &self.rules.deals;
        let held = deal.and_then(|deal| deal.fields.get(PIPELINE_PROPERTY)).cloned().unwrap_or(Value::Blank);
        let own = held.as_text();
        let preferred = own.as_deref().or_else(|| self.pipeline_of_record_type());
        let name = name.as_text().unwrap_or_default();
        let Some((pipeline, stage)) = deals.stages.stage_of(&name, preferred, &deals.pipelines) else {
            return vec![change];
        };
        let rule = change.rule;
        let new = Value::text(pipeline);
        let moved = (held != new).then(|| Change {
            field: PIPELINE_PROPERTY.to_owned(),
            old: held.clone(),
            new,
            rule,
            agrees: None,
        });
        moved.into_iter().chain([Change { new: Value::text(stage), ..change }]).collect()
    }
}

impl Agreed {
    /// Whether the sides hold exactly what they held.
    fn holds(&self, hubspot: &Value, salesforce: &Value) -> bool {
        self.hubspot() == hubspot && self.salesforce() == salesforce
    }
}
