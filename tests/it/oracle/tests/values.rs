//! Values that are cleared and written over.

use crate::oracle::rows::Kind;
use crate::oracle::tests::*;

#[test]
fn i_9_a_value_cleared_by_a_person_or_a_flow_clears_the_other() {
    for author in [PERSON, CRM] {
        let mut told = linked();
        told.set(author, H, ("city", ""));
        told.set(SERVICE, L, ("City", ""));
        told.is_explained("cleared on the other side");
    }
}

#[test]
fn i_9_a_value_that_nobody_cleared_stays() {
    let mut told = linked();
    told.set(SERVICE, L, ("City", ""));
    told.is_violated(Kind::Clear);
}

#[test]
fn i_9_a_value_given_after_the_other_was_cleared_stays() {
    let mut told = linked();
    told.set(PERSON, H, ("city", ""));
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(SERVICE, L, ("City", ""));
    told.is_violated(Kind::Clear);
}

#[test]
fn i_9_a_conversion_without_a_value_clears_nothing() {
    let mut told = linked();
    told.made(PERSON, C, &[("Email", "a@x.org")]);
    told.happens(PERSON, L, Change::Converted, "0031");
    told.set(SERVICE, H, (LEAD_ID, ""));
    told.set(SERVICE, H, (CONTACT_ID, "0031"));
    told.is_explained("it goes on with the successor");
    told.set(SERVICE, H, ("city", ""));
    told.is_violated(Kind::Clear);
}

#[test]
fn i_9_a_merge_without_a_value_clears_nothing_even_if_the_master_was_once_cleared() {
    let mut told = linked();
    told.made(PERSON, L2, &[("Email", "a@x.org"), ("City", "Oslo")]);
    told.set(PERSON, L2, ("City", ""));
    told.happens(PERSON, L, Change::Deleted, "");
    told.happens(PERSON, L, Change::Merged, "00Q2");
    told.set(SERVICE, H, (LEAD_ID, "00Q2"));
    told.is_explained("it goes on with the successor");
    told.set(SERVICE, H, ("city", ""));
    told.is_violated(Kind::Clear);
}

#[test]
fn i_9_the_later_value_wins() {
    let mut told = linked();
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(SERVICE, L, ("City", "Kiel"));
    told.is_explained("the other side's value is not older");
}

#[test]
fn i_9_the_earlier_value_does_not() {
    let mut told = linked();
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(SERVICE, L, ("City", "Kiel"));
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_a_later_edit_of_another_field_makes_a_value_later_in_salesforce_only() {
    let mut told = linked();
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(PERSON, L, ("Phone", "1"));
    told.set(SERVICE, H, ("city", "Bonn"));
    told.is_explained("the other side's value is not older");
    let mut told = linked();
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(PERSON, H, ("phone", "1"));
    told.set(SERVICE, L, ("City", "Kiel"));
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_our_own_write_makes_nothing_later() {
    let mut told = linked();
    told.set(PERSON, L, ("City", "Bonn"));
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(SERVICE, L, ("Phone", "1"));
    told.set(SERVICE, H, ("city", "Bonn"));
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_a_value_out_of_nowhere_and_a_field_that_is_not_mapped_are_violations() {
    let mut told = linked();
    told.set(SERVICE, L, ("City", "Bonn"));
    told.is_violated(Kind::Overwrite);
    let mut told = linked();
    told.set(PERSON, L, ("Rating", "Hot"));
    told.set(SERVICE, L, ("Rating", "Cold"));
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_what_was_typed_between_our_read_and_our_write_is_a_race() {
    let mut told = linked();
    told.set(PERSON, H, ("city", "Kiel"));
    told.reads.note(0, (told.noted(), told.noted()), br#"{"records":[{"attributes":{},"Id":"00Q1"}]}"#);
    told.set(PERSON, L, ("City", "Bonn"));
    let before = told.noted();
    told.set(SERVICE, L, ("City", "Kiel"));
    told.is_violated(Kind::Overwrite);
    // What is told of an association is no reading of its ends.
    let association = br#"{"results":[{"from":{"id":"00Q1"},"to":[]}]}"#;
    told.reads.note(0, (before, before), association);
    told.reads.note(0, (before, told.noted()), b"");
    told.is_explained("race");
}

#[test]
fn i_9_what_was_read_before_it_is_written_over_is_no_race() {
    let mut told = linked();
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(PERSON, L, ("City", "Bonn"));
    told.reads.note(0, (told.noted(), told.noted()), br#"{"records":[{"attributes":{},"Id":"00Q1"}]}"#);
    let before = told.noted();
    told.set(SERVICE, L, ("City", "Kiel"));
    told.reads.note(0, (before, told.noted()), b"");
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_salesforces_owner_wins_once() {
    let mut told = Told::new();
    told.made(PERSON, L, &[("Email", "a@x.org"), ("OwnerId", "ann")]);
    told.made(PERSON, H, &[("email", "a@x.org"), ("hubspot_owner_id", "12")]);
    told.set(SERVICE, H, (LEAD_ID, "00Q1"));
    told.set(SERVICE, H, ("hubspot_owner_id", "11"));
    told.is_explained("Salesforce decides at the first agreement");
    told.set(PERSON, H, ("hubspot_owner_id", "12"));
    told.set(SERVICE, H, ("hubspot_owner_id", "11"));
    told.is_violated(Kind::Overwrite);
}

#[test]
fn i_9_an_owner_whom_salesforce_does_not_know_is_reset() {
    let mut told = linked();
    told.set(PERSON, L, ("OwnerId", "ann"));
    told.set(SERVICE, H, ("hubspot_owner_id", "11"));
    told.set(PERSON, H, ("hubspot_owner_id", "99"));
    told.set(SERVICE, H, ("hubspot_owner_id", "11"));
    told.is_explained("an owner that Salesforce does not know is reset");
}

#[test]
fn i_9_an_opt_out_ends_only_where_the_person_says_so() {
    let out = |ends: Author| {
        let mut told = linked();
        told.set(PERSON, H, ("hs_email_optout", "true"));
        told.set(SERVICE, L, ("HasOptedOutOfEmail", "true"));
        told.set(ends, H, ("hs_email_optout", ""));
        told.set(SERVICE, L, ("HasOptedOutOfEmail", "false"));
        told
    };
    out(PERSON).is_explained("cleared on the other side");
    out(CRM).is_violated(Kind::Clear);
}

#[test]
fn i_9_what_came_of_a_merge_in_hubspot_keeps_the_times_of_its_values() {
    let mut told = linked();
    told.set(PERSON, H, ("city", "Kiel"));
    told.set(PERSON, L, ("City", "Bonn"));
    told.made(PERSON, H2, &[("email", "b@x.org")]);
    told.made(PERSON, ("contacts", "903"), &[]);
    told.happens(PERSON, H, Change::Deleted, "");
    told.happens(PERSON, H, Change::Merged, "903");
    told.set(PERSON, ("contacts", "903"), ("city", "Kiel"));
    told.set(PERSON, ("contacts", "903"), (LEAD_ID, "00Q1"));
    told.set(SERVICE, ("contacts", "903"), ("city", "Bonn"));
    told.is_explained("the other side's value is not older");
}

#[test]
fn every_row_explains_something_and_says_when() {
    for row in crate::oracle::rows::TABLE {
        assert!(!row.name.is_empty() && !row.condition.is_empty() && !row.kinds.is_empty());
        assert!(row.name == "race" || row.rule.starts_with("R-"), "{} names no rule", row.name);
    }
}

#[test]
fn i_9_what_the_service_wrote_for_an_earlier_counterpart_yields_when_two_first_meet() {
    let told = |author| {
        let mut told = linked();
        told.made(PERSON, C2, &[("Email", "a@x.org"), ("MailingCity", "Oslo")]);
        told.set(PERSON, L, ("City", "Bonn"));
        told.set(author, H, ("city", "Bonn"));
        told.happens(PERSON, L, Change::Deleted, "");
        told.set(SERVICE, H, (LEAD_ID, ""));
        told.set(SERVICE, H, (CONTACT_ID, "0032"));
        told.set(SERVICE, H, ("city", "Oslo"));
        told
    };
    told(SERVICE).is_explained("it cannot be told which is later");
    told(PERSON).is_violated(Kind::Overwrite);
}

#[test]
fn i_9_a_value_that_was_changed_and_given_back_moved_nothing() {
    let told = |passed_on: bool| {
        let mut told = linked();
        told.set(PERSON, L, ("City", "Bonn"));
        told.set(PERSON, H, ("city", "Oslo"));
        if passed_on {
            told.set(SERVICE, L, ("City", "Oslo"));
        }
        told.set(PERSON, H, ("city", "Rome"));
        told.set(SERVICE, H, ("city", "Bonn"));
        told
    };
    told(false).is_explained("the other side's value is not older");
    told(true).is_violated(Kind::Overwrite);
}
