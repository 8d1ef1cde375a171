//! Opting out of all mail: HubSpot's mirror of the address with Salesforce's box.
//!
//! | HubSpot | Salesforce | last agreed | what follows | rule |
//! |---|---|---|---|---|
//! | in | in, or out | the same | nothing | R-216 |
//! | out | in | anything but out | Salesforce's box is ticked | R-216 |
//! | in | out | anything but out | HubSpot's address is opted out | R-216 |
//! | out | in | out: the box was unticked | a conflict; only the person can opt in again | R-217 |
//! | in | out | out, and the address is another one now | the new address is opted out, too | R-219 |
//! | in | out | out: the person opted in again | Salesforce's box is unticked | R-217 |

use crate::domain::Value;
use crate::plan::merge::Answer;
use crate::plan::{Agreed, Decision};

const OUT: Value = Value::Flag(true);

/// Decides whose opt-out travels. `address_moved` says that HubSpot's address is another one than both sides agreed on.
pub(super) fn decide(
    (hubspot, salesforce): (&Value, &Value),
    base: Option<&Agreed>,
    address_moved: bool,
) -> Answer {
    let was_out = base.is_some_and(|base| *base.hubspot() == OUT && *base.salesforce() == OUT);
    let (decision, rule, text) = match (*hubspot == OUT, *salesforce == OUT, was_out) {
        (true, true, _) | (false, false, _) => (Decision::Agree, "R-216", "both sides hold the same"),
        (true, false, true) => {
            let text = "the box was unticked in Salesforce; only the person can opt in again, by themselves";
            (Decision::Conflict, "R-217", text)
        }
        (true, false, false) => (Decision::ToSalesforce, "R-216", "the address is opted out in HubSpot"),
        (false, true, true) if !address_moved => {
            (Decision::ToSalesforce, "R-217", "the person opted in again")
        }
        (false, true, true) => {
            (Decision::ToHubspot, "R-219", "the opt-out goes with the person to the new address")
        }
        (false, true, false) => (Decision::ToHubspot, "R-216", "the box is ticked in Salesforce"),
    };
    Answer::new(decision, rule, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_215_to_r_219_every_case_of_the_table() {
        let cases = [
            (false, false, None, false, Decision::Agree, "R-216"),
            (true, true, Some(false), false, Decision::Agree, "R-216"),
            (true, false, None, false, Decision::ToSalesforce, "R-216"),
            (true, false, Some(false), false, Decision::ToSalesforce, "R-216"),
            (false, true, None, false, Decision::ToHubspot, "R-216"),
            (false, true, Some(false), false, Decision::ToHubspot, "R-216"),
            (true, false, Some(true), false, Decision::Conflict, "R-217"),
            (false, true, Some(true), true, Decision::ToHubspot, "R-219"),
            (false, true, Some(true), false, Decision::ToSalesforce, "R-217"),
        ];
        for (hubspot, salesforce, base, moved, decision, rule) in cases {
            let base = base.map(|base| Agreed::new(Value::Flag(base)));
            let answer = decide((&Value::Flag(hubspot), &Value::Flag(salesforce)), base.as_ref(), moved);
            assert_eq!((answer.decision, answer.rule), (decision, rule), "{hubspot} {salesforce} {base:?}");
        }
    }
}
