//! The oracle on small journals: each violation is seen, and each reason explains.

use hubforce::domain::{System, Timestamp};
use hubforce::emulator::{Author, Change, Entry};

use crate::oracle::rows::Kind;
use crate::oracle::{Evidence, Key, Reads, Settings, Verdict, judge};

const SERVICE: Author = Author::Integration;
const PERSON: Author = Author::Person;
const CRM: Author = Author::Crm;

/// Journals being written; every entry is a second later than the one before unless time is said to pass.
struct Told {
    now: i64,
    entries: Vec<Entry>,
    settings: Settings,
    reads: Reads,
    asked: Vec<(u64, String)>,
}

impl Told {
    fn new() -> Self {
        let owners = vec![("11".to_owned(), "ann".to_owned()), ("12".to_owned(), "bob".to_owned())];
        let settings = Settings {
            delete_in_hubspot: true,
            delete_deals: true,
            owners,
            stages: vec![("closedwon", "Closed Won")],
            ..Settings::default()
        };
        Self { now: 1_000_000, entries: Vec::new(), settings, reads: Reads::default(), asked: Vec::new() }
    }

    fn add(
        &mut self,
        author: Author,
        (object, id): (&'static str, &str),
        change: Change,
        (field, old, new): (&str, &str, &str),
    ) {
        self.now += 1_000;
        let system = if Key::new(object, id).is_hubspot() { System::Hubspot } else { System::Salesforce };
        let [id, field, old, new] = [id, field, old, new].map(str::to_owned);
        let (sequence, at) = (self.noted() + 1, Timestamp::from_millis(self.now));
        self.entries.push(Entry { sequence, at, system, author, object, id, change, field, old, new });
        // Salesforce has one time for the whole record.
        if system == System::Salesforce && matches!(change, Change::Value | Change::Created) {
            let last = self.entries[self.entries.len() - 1].clone();
            let empty = String::new;
            let (sequence, change) = (last.sequence + 1, Change::Touched);
            self.entries.push(Entry { sequence, change, field: empty(), old: empty(), new: empty(), ..last });
        }
    }

    fn noted(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Somebody creates a record with these values.
    fn made(&mut self, author: Author, record: (&'static str, &str), values: &[(&str, &str)]) {
        self.add(author, record, Change::Created, ("", "", ""));
        for (field, value) in values {
            self.set(author, record, (field, value));
        }
    }

    /// A field gets a value.
    fn set(&mut self, author: Author, record: (&'static str, &str), (field, new): (&str, &str)) {
        let last = |entry: &&Entry| {
            (entry.object, entry.id.as_str()) == record
                && entry.field == field
                && entry.change == Change::Value
        };
        let old = self.entries.iter().rev().find(last).map_or_else(String::new, |entry| entry.new.clone());
        self.add(author, record, Change::Value, (field, &old, new));
    }

    fn happens(&mut self, author: Author, record: (&'static str, &str), change: Change, new: &str) {
        self.add(author, record, change, ("", "", new));
    }

    fn judged(&self) -> Verdict {
        let is_hubspot = |entry: &&Entry| entry.system == System::Hubspot;
        let [hubspot, salesforce]: [Vec<Entry>; 2] = [
            self.entries.iter().filter(is_hubspot).cloned().collect(),
            self.entries.iter().filter(|entry| !is_hubspot(entry)).cloned().collect(),
        ];
        judge(&Evidence {
            journals: [&hubspot, &salesforce],
            reads: &self.reads,
            asked: &self.asked,
            settings: &self.settings,
        })
    }

    fn is_violated(&self, kind: Kind) {
        let verdict = self.judged();
        let kinds: Vec<Kind> = verdict.violations.iter().map(|violation| violation.kind).collect();
        assert_eq!(kinds, [kind], "{verdict:?}");
        let told = verdict.violations[0].to_string();
        assert!(
            told.contains(&self.entries[self.entries.len() - 1].id) || told.contains("nearest"),
            "{told}"
        );
    }

    fn is_explained(&self, row: &str) {
        let verdict = self.judged();
        assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        assert!(verdict.explained.contains_key(row), "{row}: {verdict:?}");
    }
}

const H: (&str, &str) = ("contacts", "901");
const H2: (&str, &str) = ("contacts", "902");
const L: (&str, &str) = ("Lead", "00Q1");
const L2: (&str, &str) = ("Lead", "00Q2");
const C: (&str, &str) = ("Contact", "0031");
const C2: (&str, &str) = ("Contact", "0032");
const LEAD_ID: &str = "hubforce_salesforce_lead_id";
const CONTACT_ID: &str = "hubforce_salesforce_contact_id";
const ACCOUNT_ID: &str = "hubforce_salesforce_account_id";
const KEY: &str = "Hubforce_HubSpot_Id__c";

/// A contact and a lead that belong together, both in Rome.
fn linked() -> Told {
    let mut told = Told::new();
    told.made(PERSON, H, &[("email", "a@x.org"), ("city", "Rome")]);
    told.made(SERVICE, L, &[("Email", "a@x.org"), ("City", "Rome"), (KEY, "901")]);
    told.set(SERVICE, H, (LEAD_ID, "00Q1"));
    told
}

/// The same, and a second pair.
fn two_pairs() -> Told {
    let mut told = linked();
    told.made(PERSON, H2, &[("email", "b@x.org"), ("city", "Oslo")]);
    told.made(SERVICE, L2, &[("Email", "b@x.org"), ("City", "Oslo"), (KEY, "902")]);
    told.set(SERVICE, H2, (LEAD_ID, "00Q2"));
    told
}

/// A contact and its company, a Salesforce contact and its account, all linked; and a second company with its account.
fn companies() -> Told {
    let mut told = Told::new();
    for (company, account) in [("801", "0011"), ("802", "0012")] {
        told.made(PERSON, ("companies", company), &[("name", company)]);
        told.made(SERVICE, ("Account", account), &[("Name", company), (KEY, company)]);
        told.set(SERVICE, ("companies", company), (ACCOUNT_ID, account));
    }
    told.made(PERSON, H, &[("email", "a@x.org"), ("associatedcompanyid", "801")]);
    told.made(SERVICE, C, &[("Email", "a@x.org"), ("AccountId", "0011"), (KEY, "901")]);
    told.set(SERVICE, H, (CONTACT_ID, "0031"));
    told
}

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
fn i_9_a_record_whose_counterpart_is_gone_may_go_on_with_another() {
    let mut told = linked();
    told.happens(PERSON, H, Change::Deleted, "");
    told.made(PERSON, H2, &[("email", "a@x.org"), ("city", "Rome")]);
    told.set(SERVICE, L, (KEY, "902"));
    told.set(SERVICE, H2, (LEAD_ID, "00Q1"));
    told.is_explained("the former counterpart is gone");
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
