//! Which company a contact or deal belongs to: a move is followed, a removal is not.
//!
//! | HubSpot | Salesforce | what follows | rule |
//! |---|---|---|---|
//! | holds what Salesforce holds | | nothing | R-121 |
//! | blank, never agreed otherwise | holds one | to HubSpot | R-121 |
//! | holds one | blank, never agreed otherwise | to Salesforce | R-121 |
//! | both hold another one, first agreement | | to HubSpot: the contact's account decides | R-121, R-125 |
//! | moved to another one | not moved, or removed | to Salesforce | R-124 |
//! | not moved, or removed | moved to another one | to HubSpot | R-124 |
//! | moved to another one | moved to another one | by the mapping's conflict policy | R-192 |
//! | removed | not moved | nothing is written: a difference for a person to decide | R-192 |
//! | not moved | removed | likewise | R-192 |
//!
//! A company that was deleted takes its associations along, and nobody asked for that: an association that is gone is never read as a
//! value that somebody cleared. R-192 is kept with this difference for references.

use serde::Serialize;

use crate::domain::{System, Value};
use crate::plan::merge::{Answer, Question, by_policy};
use crate::plan::rules::{ACCOUNT_FIELD, COMPANY_PROPERTY};
use crate::plan::{Agreed, Base, Decision};

/// What one association comes to.
pub(super) struct Verdict {
    pub(super) answer: Answer,
    /// The side where the association was removed while the other kept it.
    pub(super) removed_in: Option<System>,
}

/// What associates a contact with an opportunity in Salesforce.
const CONTACT_ROLE: &str = "OpportunityContactRole";

/// Decides one association; the values are in Salesforce's words.
pub(super) fn decide(question: &Question<'_>) -> Verdict {
    let Question { hubspot, salesforce, .. } = *question;
    let follows =
        |decision, rule, text| Verdict { answer: Answer::new(decision, rule, text), removed_in: None };
    let number = question.rule.number();
    let (may_hubspot, may_salesforce) = (question.rule.writes_hubspot(), question.rule.writes_salesforce());
    let Some(base) = question.base else {
        return match (hubspot.is_blank(), salesforce.is_blank()) {
            (_, false) if may_hubspot => {
                follows(Decision::ToHubspot, "R-121", "first agreement: Salesforce's account decides")
            }
            (false, true) if may_salesforce => {
                follows(Decision::ToSalesforce, "R-121", "first agreement: Salesforce has no account")
            }
            _ => follows(Decision::Keep, number, "the mapping does not write the other side"),
        };
    };
    let moved_to = |value: &Value, before: &Value| !value.is_blank() && value != before;
    match (moved_to(hubspot, base.hubspot()), moved_to(salesforce, base.salesforce())) {
        (true, true) => match question.rule.winner() {
            Some((System::Salesforce, _)) => {
                follows(Decision::ToHubspot, number, "both sides moved; the side that the rule prefers wins")
            }
            Some((System::Hubspot, _)) => follows(
                Decision::ToSalesforce,
                number,
                "both sides moved; the side that the rule prefers wins",
            ),
            None => Verdict { answer: by_policy(question), removed_in: None },
        },
        (true, false) if may_salesforce && !yields_to_salesforce(question) => {
            follows(Decision::ToSalesforce, "R-124", "it moved to another company in HubSpot")
        }
        // Where Salesforce's side decides, its account goes back over what HubSpot moved to.
        (true, false) if may_hubspot && !salesforce.is_blank() => {
            follows(Decision::ToHubspot, number, "the side that the rule prefers keeps its account")
        }
        (true, false) if may_salesforce => follows(
            Decision::ToSalesforce,
            number,
            "the side that the rule prefers has no account, so it is filled",
        ),
        (false, true) if may_hubspot => {
            follows(Decision::ToHubspot, "R-124", "it moved to another account in Salesforce")
        }
        _ => kept(question, base),
    }
}

/// Whether the rule lets Salesforce's account win over a move in HubSpot: a deal follows its opportunity's account.
fn yields_to_salesforce(question: &Question<'_>) -> bool {
    question.rule.winner().is_some_and(|(winner, _)| winner == System::Salesforce)
}

/// Neither side names another company than before: what is missing on one of them was removed there.
fn kept(question: &Question<'_>, base: &Agreed) -> Verdict {
    let removed_in = match (question.hubspot.is_blank(), question.salesforce.is_blank()) {
        (true, false) if !base.hubspot().is_blank() => Some(System::Hubspot),
        (false, true) if !base.salesforce().is_blank() => Some(System::Salesforce),
        (true, false) | (false, true) => base.removed_in,
        _ => None,
    };
    let text = match removed_in {
        Some(System::Hubspot) => {
            "the association was removed in HubSpot: Salesforce keeps its account, and a person decides"
        }
        Some(System::Salesforce) => {
            "the account was removed in Salesforce: HubSpot keeps its company, and a person decides"
        }
        None => "neither side moved since they were left apart",
    };
    let answer = Answer::new(Decision::Keep, question.rule.number(), text);
    Verdict { answer, removed_in }
}

/// An association that one side has and the other had removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssociationDifference {
    /// What is associated: the HubSpot property of the mapping, or `contact ID` for a deal's contact.
    pub property: String,
    /// What holds the same in Salesforce: `AccountId`, or the object `OpportunityContactRole`.
    pub field: &'static str,
    /// The CRM in which the association was removed.
    pub removed_in: System,
    /// What a person can do about it.
    pub text: &'static str,
}

/// The associations of a pair that a person has to decide about.
pub fn differences(base: &Base) -> Vec<AssociationDifference> {
    let difference = |(property, agreed): (&String, &Agreed)| {
        let removed_in = agreed.removed_in?;
        let text = match removed_in {
            System::Hubspot => {
                "removed in HubSpot and kept in Salesforce: associate it again, or remove it there too"
            }
            System::Salesforce => {
                "removed in Salesforce and kept in HubSpot: set it again, or remove it there too"
            }
        };
        let field = if property == COMPANY_PROPERTY { ACCOUNT_FIELD } else { CONTACT_ROLE };
        Some(AssociationDifference { property: property.clone(), field, removed_in, text })
    };
    base.iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mapping::{ConflictPolicy, Rule};

    fn value(text: &str) -> Value {
        Value::text(text)
    }

    #[test]
    fn r_121_and_r_124_every_case_of_the_table() {
        use Decision::{Keep, ToHubspot, ToSalesforce};
        // The last agreement (HubSpot's and Salesforce's), both values now, what follows, and where it was removed.
        let cases = [
            (None, "", "A", ToHubspot, None),
            (None, "A", "", ToSalesforce, None),
            (None, "A", "B", ToHubspot, None),
            (Some(("", "")), "A", "", ToSalesforce, None),
            (Some(("", "")), "", "A", ToHubspot, None),
            (Some(("A", "A")), "B", "A", ToSalesforce, None),
            (Some(("A", "A")), "A", "B", ToHubspot, None),
            (Some(("A", "A")), "B", "", ToSalesforce, None),
            (Some(("A", "A")), "", "B", ToHubspot, None),
            (Some(("A", "A")), "B", "C", ToHubspot, None),
            (Some(("A", "A")), "", "A", Keep, Some(System::Hubspot)),
            (Some(("A", "A")), "A", "", Keep, Some(System::Salesforce)),
            (Some(("", "A")), "", "A", Keep, None),
            (Some(("", "A")), "", "B", ToHubspot, None),
            (Some(("", "A")), "B", "A", ToSalesforce, None),
            (Some(("A", "")), "A", "B", ToHubspot, None),
        ];
        for (base, hubspot, salesforce, decision, removed_in) in cases {
            let agreed =
                base.map(|(hubspot, salesforce)| Agreed::left_apart(value(hubspot), value(salesforce)));
            let verdict = decide(&Question {
                hubspot: &value(hubspot),
                salesforce: &value(salesforce),
                base: agreed.as_ref(),
                first: true,
                rule: Rule::TwoWay,
                conflict: ConflictPolicy::Newest,
                hubspot_at: None,
                salesforce_at: None,
            });
            let came = (verdict.answer.decision, verdict.removed_in);
            assert_eq!(came, (decision, removed_in), "{base:?} {hubspot:?} {salesforce:?}");
        }
    }

    #[test]
    fn a_difference_stays_one_until_a_side_moves() {
        let agreed =
            Agreed { removed_in: Some(System::Hubspot), ..Agreed::left_apart(value(""), value("A")) };
        let question = Question {
            hubspot: &value(""),
            salesforce: &value("A"),
            base: Some(&agreed),
            first: true,
            rule: Rule::TwoWay,
            conflict: ConflictPolicy::Newest,
            hubspot_at: None,
            salesforce_at: None,
        };
        assert_eq!(decide(&question).removed_in, Some(System::Hubspot));
    }

    #[test]
    fn r_151_a_deal_follows_its_opportunitys_account_and_takes_none_from_it() {
        let agreed = Agreed::new(value("A"));
        let ask = |hubspot: &str, salesforce: &str| {
            decide(&Question {
                hubspot: &value(hubspot),
                salesforce: &value(salesforce),
                base: Some(&agreed),
                first: true,
                rule: Rule::PreferSalesforce,
                conflict: ConflictPolicy::Newest,
                hubspot_at: None,
                salesforce_at: None,
            })
            .answer
            .decision
        };
        assert_eq!(ask("B", "A"), Decision::ToHubspot);
        assert_eq!(ask("B", ""), Decision::ToSalesforce);
        assert_eq!(ask("", "A"), Decision::Keep);
        assert_eq!(ask("A", ""), Decision::Keep);
    }
}
