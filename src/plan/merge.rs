//! The three-way merge of one mapping.
//!
//! A side *moved* if it differs from what it held when both last agreed. With a base:
//!
//! | rule | HubSpot moved | Salesforce moved | both moved | neither |
//! |---|---|---|---|---|
//! | `two_way` (R-192) | to Salesforce | to HubSpot | by the conflict policy | – |
//! | `prefer_salesforce` (R-190) | Salesforce's value back over it; if Salesforce is blank, to Salesforce | to HubSpot, a blank included | as Salesforce moved | – |
//! | `always_salesforce` (R-191) | Salesforce's value back over it; if Salesforce is blank, – | to HubSpot, a blank included | as Salesforce moved | – |
//! | `prefer_hubspot`, `always_hubspot` | R-190 and R-191 with the sides exchanged | | | – |
//! | `dont_sync` (R-193) | – | – | – | – |
//!
//! That a side moved *to* blank is a deletion and travels; that it never held anything is no deletion: it never moved.
//!
//! Without a base, because the two were just linked:
//!
//! | rule | one side blank | both hold something else |
//! |---|---|---|
//! | `two_way` | filled from the other | by the conflict policy |
//! | `prefer_salesforce` | filled from the other | to HubSpot |
//! | `always_salesforce` | filled if HubSpot's is the blank | to HubSpot |
//! | `prefer_hubspot`, `always_hubspot` | the same with the sides exchanged | to Salesforce |
//!
//! Without a base in a pair that has one otherwise, the mapping is newer than the pair. It does not backfill: what each side
//! holds is remembered, and from then on moves travel. A resync by hand treats it like a first link.

use crate::domain::{System, Timestamp, Value};
use crate::plan::mapping::{ConflictPolicy, Rule};
use crate::plan::{Agreed, Decision};

/// What the merge of one mapping is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// HubSpot's value, in normal form.
    pub hubspot: &'a Value,
    /// Salesforce's value, in normal form.
    pub salesforce: &'a Value,
    /// What they last agreed on.
    pub base: Option<&'a Agreed>,
    /// Whether a mapping without a base is to be merged all the same: a fresh link, or a resync by hand.
    pub first: bool,
    /// The rule, after what can be written at all was taken into account.
    pub rule: Rule,
    /// Who wins when both moved.
    pub conflict: ConflictPolicy,
    /// When somebody gave HubSpot's property its value; `None` where that is not known, or it was us.
    pub hubspot_at: Option<Timestamp>,
    /// When Salesforce's value was first seen; `None` where that is not known.
    pub salesforce_at: Option<Timestamp>,
}

/// What the merge of one mapping answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What passes.
    pub decision: Decision,
    /// Which rule says so.
    pub rule: &'static str,
    /// In words.
    pub text: &'static str,
    /// Whether it depends on which side changed later.
    pub by_time: bool,
}

impl Answer {
    /// An answer that depends on no time.
    pub(super) const fn new(decision: Decision, rule: &'static str, text: &'static str) -> Self {
        Self { decision, rule, text, by_time: false }
    }
}

const fn answer(decision: Decision, rule: &'static str, text: &'static str) -> Answer {
    Answer::new(decision, rule, text)
}

/// Decides one mapping.
pub fn merge(question: &Question<'_>) -> Answer {
    if question.rule == Rule::DontSync {
        return answer(Decision::Keep, "R-193", "the mapping passes nothing");
    }
    if question.hubspot == question.salesforce {
        return answer(Decision::Agree, question.rule.number(), "both sides hold the same");
    }
    match question.base {
        Some(base) => merge_moves(question, base),
        None if question.first => merge_first(question),
        None => answer(
            Decision::Keep,
            "R-196",
            "the mapping is newer than the link: later changes will travel, a resync aligns both sides now",
        ),
    }
}

fn merge_moves(question: &Question<'_>, base: &Agreed) -> Answer {
    let hubspot_moved = question.hubspot != base.hubspot();
    let salesforce_moved = question.salesforce != base.salesforce();
    match (hubspot_moved, salesforce_moved) {
        (false, false) => {
            answer(Decision::Keep, question.rule.number(), "neither side moved since they were left apart")
        }
        (true, false) => match question.rule {
            Rule::TwoWay => answer(Decision::ToSalesforce, "R-192", "only HubSpot's value moved"),
            Rule::DontSync => answer(Decision::Keep, "R-193", "the mapping passes nothing"),
            _ => one_sided(question, System::Hubspot),
        },
        (false, true) => match question.rule {
            Rule::TwoWay => answer(Decision::ToHubspot, "R-192", "only Salesforce's value moved"),
            Rule::DontSync => answer(Decision::Keep, "R-193", "the mapping passes nothing"),
            _ => one_sided(question, System::Salesforce),
        },
        (true, true) => match question.rule {
            Rule::TwoWay => by_policy(question),
            Rule::DontSync => answer(Decision::Keep, "R-193", "the mapping passes nothing"),
            Rule::PreferSalesforce | Rule::AlwaysSalesforce => one_sided(question, System::Salesforce),
            Rule::PreferHubspot | Rule::AlwaysHubspot => one_sided(question, System::Hubspot),
        },
    }
}

/// The rules that name a winner, when `moved` moved (or both did, and the winner is named as the one that moved).
fn one_sided(question: &Question<'_>, moved: System) -> Answer {
    let Some((winner, yields)) = question.rule.winner() else {
        return by_policy(question);
    };
    let (held, towards_loser, towards_winner) = match winner {
        System::Salesforce => (question.salesforce, Decision::ToHubspot, Decision::ToSalesforce),
        System::Hubspot => (question.hubspot, Decision::ToSalesforce, Decision::ToHubspot),
    };
    let number = question.rule.number();
    if moved == winner {
        return answer(towards_loser, number, "the side that the rule prefers moved");
    }
    match (held.is_blank(), yields) {
        (false, _) => answer(towards_loser, number, "the side that the rule prefers keeps its value"),
        (true, true) => {
            answer(towards_winner, number, "the side that the rule prefers holds nothing, so it is filled")
        }
        (true, false) => {
            answer(Decision::Keep, number, "only the other side may write, and it holds nothing")
        }
    }
}

fn merge_first(question: &Question<'_>) -> Answer {
    let number = question.rule.number();
    match question.rule.winner() {
        Some((winner, yields)) => {
            let (held, towards_loser, towards_winner) = match winner {
                System::Salesforce => (question.salesforce, Decision::ToHubspot, Decision::ToSalesforce),
                System::Hubspot => (question.hubspot, Decision::ToSalesforce, Decision::ToHubspot),
            };
            match (held.is_blank(), yields) {
                (false, _) => answer(
                    towards_loser,
                    number,
                    "first agreement: the side that the rule prefers holds a value",
                ),
                (true, true) => answer(
                    towards_winner,
                    number,
                    "first agreement: the side that the rule prefers is filled",
                ),
                (true, false) => {
                    answer(Decision::Keep, number, "only the other side may write, and it holds nothing")
                }
            }
        }
        None if question.hubspot.is_blank() => {
            answer(Decision::ToHubspot, number, "first agreement: HubSpot's blank is filled")
        }
        None if question.salesforce.is_blank() => {
            answer(Decision::ToSalesforce, number, "first agreement: Salesforce's blank is filled")
        }
        None => by_policy(question),
    }
}

/// Who wins where both sides moved.
pub(super) fn by_policy(question: &Question<'_>) -> Answer {
    match question.conflict {
        ConflictPolicy::Salesforce => {
            answer(Decision::ToHubspot, "R-192", "both sides moved; the mapping lets Salesforce win")
        }
        ConflictPolicy::Hubspot => {
            answer(Decision::ToSalesforce, "R-192", "both sides moved; the mapping lets HubSpot win")
        }
        ConflictPolicy::Hold => {
            answer(Decision::Conflict, "R-192", "both sides moved; the mapping lets a person decide")
        }
        ConflictPolicy::Newest => {
            let (decision, text) = if is_later(question.hubspot_at, question.salesforce_at) {
                (Decision::ToSalesforce, "both sides moved; HubSpot's change is the later one")
            } else {
                let text = "both sides moved; Salesforce's change is the later one, or it cannot be told";
                (Decision::ToHubspot, text)
            };
            Answer { by_time: true, ..answer(decision, "R-192", text) }
        }
    }
}

/// Whether HubSpot's change is known to be the later one.
fn is_later(hubspot: Option<Timestamp>, salesforce: Option<Timestamp>) -> bool {
    matches!((hubspot, salesforce), (Some(hubspot), Some(salesforce)) if hubspot > salesforce)
}

impl Rule {
    /// The number under which the rule book has it. HubSpot's preferences are ours (the book says so at its head).
    pub const fn number(self) -> &'static str {
        match self {
            Self::PreferSalesforce | Self::PreferHubspot => "R-190",
            Self::AlwaysSalesforce | Self::AlwaysHubspot => "R-191",
            Self::TwoWay => "R-192",
            Self::DontSync => "R-193",
        }
    }

    /// The side that wins, and whether the other may fill its blanks.
    pub(super) const fn winner(self) -> Option<(System, bool)> {
        match self {
            Self::PreferSalesforce => Some((System::Salesforce, true)),
            Self::AlwaysSalesforce => Some((System::Salesforce, false)),
            Self::PreferHubspot => Some((System::Hubspot, true)),
            Self::AlwaysHubspot => Some((System::Hubspot, false)),
            Self::TwoWay | Self::DontSync => None,
        }
    }

    /// Whether HubSpot's value may ever be written to Salesforce.
    pub const fn writes_salesforce(self) -> bool {
        !matches!(self, Self::AlwaysSalesforce | Self::DontSync)
    }

    /// Whether Salesforce's value may ever be written to HubSpot.
    pub const fn writes_hubspot(self) -> bool {
        !matches!(self, Self::AlwaysHubspot | Self::DontSync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by one letter; `-` is blank, `?` as base is "never agreed".
    fn value(text: &str) -> Value {
        if text == "-" { Value::Blank } else { Value::text(text) }
    }

    struct Case {
        rule: Rule,
        conflict: ConflictPolicy,
        first: bool,
        hubspot_later: bool,
    }

    fn case(rule: Rule) -> Case {
        Case { rule, conflict: ConflictPolicy::Newest, first: true, hubspot_later: false }
    }

    impl Case {
        #[track_caller]
        fn check(&self, base: &str, hubspot: &str, salesforce: &str, expected: Decision) {
            let agreed = Agreed::new(value(base));
            let answer = merge(&Question {
                hubspot: &value(hubspot),
                salesforce: &value(salesforce),
                base: (base != "?").then_some(&agreed),
                first: self.first,
                rule: self.rule,
                conflict: self.conflict,
                hubspot_at: Some(Timestamp::from_millis(if self.hubspot_later { 2 } else { 1 })),
                salesforce_at: Some(Timestamp::from_millis(1)),
            });
            assert_eq!(
                answer.decision, expected,
                "{:?} base {base} hubspot {hubspot} salesforce {salesforce}",
                self.rule
            );
        }
    }

    use Decision::{Agree, Conflict, Keep, ToHubspot, ToSalesforce};

    #[test]
    fn r_190_prefer_salesforce_unless_blank() {
        let rule = case(Rule::PreferSalesforce);
        rule.check("a", "b", "a", ToHubspot); // Salesforce's value overwrites
        rule.check("a", "a", "b", ToHubspot);
        rule.check("a", "b", "c", ToHubspot);
        rule.check("a", "a", "-", ToHubspot); // deleted in Salesforce: deleted in HubSpot
        rule.check("a", "b", "-", ToHubspot);
        rule.check("-", "b", "-", ToSalesforce); // blank in Salesforce: filled from HubSpot
        rule.check("a", "-", "a", ToHubspot); // HubSpot's blank does not delete
        rule.check("?", "b", "-", ToSalesforce);
        rule.check("?", "b", "c", ToHubspot);
        rule.check("?", "-", "c", ToHubspot);
    }

    #[test]
    fn r_191_always_salesforce() {
        let rule = case(Rule::AlwaysSalesforce);
        rule.check("a", "b", "a", ToHubspot);
        rule.check("a", "a", "b", ToHubspot);
        rule.check("a", "a", "-", ToHubspot);
        rule.check("-", "b", "-", Keep); // HubSpot never writes, even if Salesforce is blank
        rule.check("?", "b", "-", Keep);
        rule.check("?", "b", "c", ToHubspot);
    }

    #[test]
    fn r_192_two_way_takes_the_latest() {
        let rule = case(Rule::TwoWay);
        rule.check("a", "b", "a", ToSalesforce);
        rule.check("a", "a", "b", ToHubspot);
        rule.check("a", "-", "a", ToSalesforce); // a deletion on either side deletes on the other
        rule.check("a", "a", "-", ToHubspot);
        rule.check("a", "b", "c", ToHubspot); // equal times: Salesforce
        Case { hubspot_later: true, ..case(Rule::TwoWay) }.check("a", "b", "c", ToSalesforce);
        rule.check("?", "b", "-", ToSalesforce);
        rule.check("?", "-", "c", ToHubspot);
        rule.check("?", "b", "c", ToHubspot);
    }

    #[test]
    fn r_192_conflicts_follow_the_policy_of_the_mapping() {
        let with = |conflict| Case { conflict, hubspot_later: true, ..case(Rule::TwoWay) };
        with(ConflictPolicy::Salesforce).check("a", "b", "c", ToHubspot);
        with(ConflictPolicy::Hubspot).check("a", "b", "c", ToSalesforce);
        with(ConflictPolicy::Hold).check("a", "b", "c", Conflict);
        with(ConflictPolicy::Hold).check("?", "b", "c", Conflict);
        with(ConflictPolicy::Hold).check("a", "b", "a", ToSalesforce);
    }

    #[test]
    fn r_193_dont_sync_passes_nothing() {
        let rule = case(Rule::DontSync);
        rule.check("a", "b", "a", Keep);
        rule.check("a", "a", "-", Keep);
        rule.check("?", "b", "-", Keep);
    }

    #[test]
    fn r_194_hubspots_preferences_mirror_salesforces() {
        let prefer = case(Rule::PreferHubspot);
        prefer.check("a", "a", "b", ToSalesforce);
        prefer.check("a", "-", "a", ToSalesforce);
        prefer.check("-", "-", "b", ToHubspot);
        prefer.check("?", "-", "b", ToHubspot);
        let always = case(Rule::AlwaysHubspot);
        always.check("a", "a", "b", ToSalesforce);
        always.check("-", "-", "b", Keep);
        always.check("?", "-", "b", Keep);
    }

    #[test]
    fn r_195_never_set_is_not_cleared() {
        let rule = case(Rule::PreferSalesforce);
        rule.check("?", "b", "-", ToSalesforce);
        rule.check("-", "b", "-", ToSalesforce);
        rule.check("b", "b", "-", ToHubspot);
    }

    #[test]
    fn r_196_a_new_mapping_does_not_backfill() {
        let rule = Case { first: false, ..case(Rule::TwoWay) };
        rule.check("?", "b", "-", Keep);
        rule.check("?", "b", "c", Keep);
        rule.check("?", "b", "b", Agree);
    }

    #[test]
    fn what_was_left_apart_stays_until_a_side_moves() {
        let apart = Agreed::left_apart(Value::Blank, Value::text("filled"));
        let ask = |hubspot: &str, salesforce: &str| {
            merge(&Question {
                hubspot: &value(hubspot),
                salesforce: &value(salesforce),
                base: Some(&apart),
                first: false,
                rule: Rule::TwoWay,
                conflict: ConflictPolicy::Newest,
                hubspot_at: None,
                salesforce_at: None,
            })
            .decision
        };
        assert_eq!(ask("-", "filled"), Keep);
        assert_eq!(ask("x", "filled"), ToSalesforce);
        assert_eq!(ask("-", "y"), ToHubspot);
    }
}
