//! Deletions, relinks, associations and stages.

use crate::oracle::rows::Kind;
use crate::oracle::tests::*;

#[test]
fn i_9_a_company_that_is_taken_away_takes_no_account() {
    let mut told = companies();
    told.set(PERSON, H, ("associatedcompanyid", ""));
    told.set(SERVICE, C, ("AccountId", ""));
    told.is_violated(Kind::Move);
}

#[test]
fn i_9_a_company_that_is_moved_moves_the_account_and_nothing_else_does() {
    let mut told = companies();
    told.set(PERSON, H, ("associatedcompanyid", "802"));
    told.set(SERVICE, C, ("AccountId", "0012"));
    told.is_explained("the other side's value is not older");
    let mut told = companies();
    told.set(SERVICE, C, ("AccountId", "0012"));
    told.is_violated(Kind::Move);
}

#[test]
fn i_9_the_account_decides_at_the_first_agreement_and_the_company_does_not() {
    let strangers = || {
        let mut told = companies();
        told.made(PERSON, C2, &[("Email", "b@x.org"), ("AccountId", "0011")]);
        told.made(PERSON, H2, &[("email", "b@x.org"), ("associatedcompanyid", "802")]);
        told.set(SERVICE, C2, (KEY, "902"));
        told.set(SERVICE, H2, (CONTACT_ID, "0032"));
        told
    };
    let mut told = strangers();
    told.set(SERVICE, H2, ("associatedcompanyid", "801"));
    told.is_explained("Salesforce decides at the first agreement");
    let mut told = strangers();
    told.set(SERVICE, C2, ("AccountId", "0012"));
    told.is_violated(Kind::Move);
}

#[test]
fn i_9_stages_move_forward_and_for_a_reason() {
    let with_stage = |of_contact: &str| {
        let mut told = companies();
        told.set(PERSON, ("companies", "801"), ("lifecyclestage", "lead"));
        told.set(PERSON, H, ("lifecyclestage", of_contact));
        told
    };
    let mut told = with_stage("customer");
    told.set(SERVICE, ("companies", "801"), ("lifecyclestage", "customer"));
    told.is_explained("a stage moves forward");
    let mut told = with_stage("customer");
    told.happens(PERSON, H, Change::Deleted, "");
    told.set(SERVICE, ("companies", "801"), ("lifecyclestage", "customer"));
    told.is_explained("a stage moves forward");
    let mut told = with_stage("subscriber");
    told.set(SERVICE, ("companies", "801"), ("lifecyclestage", "subscriber"));
    told.is_violated(Kind::Stage);
    let mut told = with_stage("opportunity");
    told.set(SERVICE, ("companies", "801"), ("lifecyclestage", "customer"));
    told.is_violated(Kind::Stage);
}

#[test]
fn i_9_a_won_opportunity_makes_a_customer_of_whoever_has_a_role() {
    let mut told = companies();
    told.set(PERSON, H, ("lifecyclestage", "lead"));
    told.made(PERSON, ("Opportunity", "0061"), &[("StageName", "Closed Won")]);
    let role = [("OpportunityId", "0061"), ("ContactId", "0031")];
    told.made(PERSON, ("OpportunityContactRole", "00K1"), &role);
    told.set(SERVICE, H, ("lifecyclestage", "customer"));
    told.is_explained("a stage moves forward");
}

#[test]
fn i_9_a_contact_is_never_taken_off_a_deal() {
    for role_goes in [true, false] {
        let mut told = companies();
        told.made(PERSON, ("Opportunity", "0061"), &[("StageName", "Closed Won")]);
        let role = [("OpportunityId", "0061"), ("ContactId", "0031")];
        told.made(PERSON, ("OpportunityContactRole", "00K1"), &role);
        told.made(SERVICE, ("deals", "701"), &[("hubforce_salesforce_opportunity_id", "0061")]);
        told.add(SERVICE, ("deals", "701"), Change::Associated, ("contacts", "", "901"));
        if role_goes {
            told.happens(PERSON, ("OpportunityContactRole", "00K1"), Change::Deleted, "");
        }
        told.add(SERVICE, ("deals", "701"), Change::Associated, ("contacts", "901", ""));
        told.is_violated(Kind::Detach);
    }
}

#[test]
fn i_9_a_deal_follows_its_opportunitys_account() {
    let told = || {
        let mut told = companies();
        told.made(PERSON, ("Opportunity", "0061"), &[("StageName", "Closed Won"), ("AccountId", "0011")]);
        told.made(SERVICE, ("deals", "701"), &[("hubforce_salesforce_opportunity_id", "0061")]);
        told.set(SERVICE, ("deals", "701"), ("associatedcompanyid", "801"));
        told.set(PERSON, ("deals", "701"), ("associatedcompanyid", "802"));
        told
    };
    let mut back = told();
    back.set(SERVICE, ("deals", "701"), ("associatedcompanyid", "801"));
    back.is_explained("a deal follows its opportunity's account");
    let mut elsewhere = told();
    elsewhere.set(SERVICE, ("deals", "701"), ("associatedcompanyid", "803"));
    elsewhere.is_violated(Kind::Move);
}

#[test]
fn i_9_a_deleted_lead_deletes_its_contact_where_that_is_set() {
    let deleted = |told: &mut Told| {
        told.happens(PERSON, L, Change::Deleted, "");
        told.happens(SERVICE, H, Change::Deleted, "");
    };
    let mut told = linked();
    deleted(&mut told);
    told.is_explained("the counterpart was deleted");
    told.settings.delete_in_hubspot = false;
    told.is_violated(Kind::Delete);
}

#[test]
fn i_9_no_contact_is_deleted_whose_counterpart_is_there_or_whose_address_another_has() {
    let mut told = linked();
    told.happens(SERVICE, H, Change::Deleted, "");
    told.is_violated(Kind::Delete);
    let mut told = linked();
    told.happens(PERSON, L, Change::Deleted, "");
    told.happens(PERSON, L, Change::Restored, "");
    told.happens(SERVICE, H, Change::Deleted, "");
    told.is_violated(Kind::Delete);
    let mut told = linked();
    told.made(PERSON, C, &[("Email", "A@x.org")]);
    told.happens(PERSON, L, Change::Deleted, "");
    told.happens(SERVICE, H, Change::Deleted, "");
    told.is_violated(Kind::Delete);
    // Another one that is entered after the contact was read is seen too late.
    let mut told = linked();
    told.happens(PERSON, L, Change::Deleted, "");
    told.reads.note(0, (told.noted(), told.noted()), br#"{"results":[{"id":"901","properties":{}}]}"#);
    told.made(PERSON, C, &[("Email", "A@x.org")]);
    let before = told.noted();
    told.happens(SERVICE, H, Change::Deleted, "");
    told.is_violated(Kind::Delete);
    told.reads.note(0, (before, told.noted()), b"");
    told.is_explained("the counterpart was deleted");
}

#[test]
fn i_9_a_lead_that_was_merged_into_one_with_a_contact_takes_its_own_along() {
    let merged = |into: &str| {
        let mut told = two_pairs();
        told.made(PERSON, ("Lead", "00Q3"), &[("Email", "c@x.org")]);
        told.happens(PERSON, L, Change::Deleted, "");
        told.happens(PERSON, L, Change::Merged, into);
        told.happens(SERVICE, H, Change::Deleted, "");
        told
    };
    merged("00Q2").is_explained("the counterpart was merged away");
    merged("00Q3").is_violated(Kind::Delete);
}

#[test]
fn i_9_nobody_takes_over_what_another_has() {
    // The loser's contact does not get the master.
    let mut told = two_pairs();
    told.happens(PERSON, L2, Change::Deleted, "");
    told.happens(PERSON, L2, Change::Merged, "00Q1");
    told.set(SERVICE, L, (KEY, "902"));
    let kinds: Vec<Kind> = told.judged().violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [Kind::TakeOver, Kind::Relink]);
    // Nor does somebody who meets a record for the first time.
    let mut told = linked();
    told.made(PERSON, H2, &[("email", "a@x.org")]);
    told.set(SERVICE, H2, (LEAD_ID, "00Q1"));
    told.is_violated(Kind::TakeOver);
}

#[test]
fn i_9_a_record_goes_on_with_another_for_a_reason() {
    let with_rival = |rival_is_later: bool, address: &str| {
        let mut told = linked();
        told.made(PERSON, L2, &[("Email", address)]);
        told.set(PERSON, if rival_is_later { L2 } else { L }, ("Phone", "1"));
        told.set(SERVICE, H, (LEAD_ID, "00Q2"));
        told
    };
    with_rival(true, "a@x.org").is_explained("the most recently modified with the address");
    with_rival(false, "a@x.org").is_violated(Kind::Relink);
    with_rival(true, "c@x.org").is_violated(Kind::Relink);
    let mut told = with_rival(false, "a@x.org");
    told.asked.push((0, "901".to_owned()));
    told.is_explained("a person asked for it");
}

#[test]
fn i_9_a_merge_that_gave_no_value_cannot_be_told_once_it_is_written_over_unread() {
    for (read_before, explained) in [(true, true), (false, false)] {
        let mut told = linked();
        told.made(PERSON, L2, &[("Email", "a@x.org")]);
        let (noted, lead) = (told.noted(), br#"{"records":[{"attributes":{},"Id":"00Q1"}]}"#);
        if read_before {
            told.reads.note(0, (noted, noted), lead);
        }
        told.happens(PERSON, L, Change::Touched, "");
        let before = told.noted();
        if !read_before {
            told.reads.note(0, (before, before), lead);
        }
        told.set(SERVICE, L, ("Phone", ""));
        told.reads.note(0, (before, told.noted()), b"");
        told.set(SERVICE, H, (LEAD_ID, "00Q2"));
        if explained {
            told.is_explained("the most recently modified with the address");
        } else {
            told.is_violated(Kind::Relink);
        }
    }
}

#[test]
fn i_9_a_record_whose_counterpart_is_gone_may_go_on_with_another() {
    let mut told = linked();
    told.happens(PERSON, H, Change::Deleted, "");
    told.made(PERSON, H2, &[("email", "a@x.org"), ("city", "Rome")]);
    told.set(SERVICE, L, (KEY, "902"));
    told.set(SERVICE, H2, (LEAD_ID, "00Q1"));
    told.is_explained("the former counterpart is gone");
}

#[test]
fn i_9_a_lead_that_was_converted_stays_so_when_it_is_restored() {
    let mut told = linked();
    told.made(PERSON, C, &[("Email", "a@x.org")]);
    told.happens(PERSON, L, Change::Converted, "0031");
    told.happens(PERSON, L, Change::Deleted, "");
    told.happens(PERSON, L, Change::Restored, "");
    told.set(SERVICE, H, (LEAD_ID, ""));
    told.set(SERVICE, H, (CONTACT_ID, "0031"));
    told.is_explained("it goes on with the successor");
}
