//! The oracle on small journals: each violation is seen, and each reason explains.

use hubforce::domain::{System, Timestamp};
use hubforce::emulator::{Author, Change, Entry};

use crate::oracle::rows::Kind;
use crate::oracle::{Evidence, Key, Reads, Settings, Verdict, judge};

mod records;
mod values;

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
