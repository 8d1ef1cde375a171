//! Both journals replayed: what every record held and when, who set it, and which records belonged together at any time.

use std::collections::{BTreeSet, HashMap};

use hubforce::domain::System;
use hubforce::emulator::{Author, Change, Entry};

use crate::oracle::Reads;
use crate::oracle::mappings::{KEY, LINKS, Settings, normal};

/// A record of either CRM; objects are spelled differently on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) object: &'static str,
    pub(crate) id: String,
}

impl Key {
    pub(crate) fn new(object: &'static str, id: &str) -> Self {
        Self { object, id: id.to_owned() }
    }

    pub(crate) fn of(entry: &Entry) -> Self {
        Self::new(entry.object, &entry.id)
    }

    pub(crate) fn is_hubspot(&self) -> bool {
        matches!(self.object, "contacts" | "companies" | "deals")
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.object, self.id)
    }
}

/// A value that a field held.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) sequence: u64,
    pub(crate) value: String,
    pub(crate) author: Author,
    /// When somebody other than the service gave this value, here or where it was copied from.
    pub(crate) since: i64,
    /// The latest time by which the vendor can tell it.
    pub(crate) until: i64,
    /// Whether it goes back to somebody other than the service.
    pub(crate) has_origin: bool,
}

/// A record's past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) is_live: bool,
    /// Every deletion: when, by whom, and when it was undone.
    pub(crate) deletions: Vec<(u64, Author, Option<u64>)>,
    pub(crate) successor: Option<Key>,
    pub(crate) fields: HashMap<String, Vec<Version>>,
    /// When somebody other than the service modified it.
    pub(crate) modified: Vec<(u64, i64)>,
    /// When somebody other than the service last edited it. A merge of accounts moves their contacts and touches them: that edits nobody.
    pub(crate) edited: Vec<(u64, i64)>,
}

impl Past {
    /// Whether the service wrote over everything that an edit gave, without having read it. The edit is after the first number, up to the
    /// second.
    fn is_written_over(&self, (before, edit): (u64, u64), last_read: impl Fn(u64) -> Option<u64>) -> bool {
        let ours = |version: &&Version| version.author == Author::Integration && version.sequence > edit;
        let given = |version: &Version| {
            version.author != Author::Integration && (before + 1..=edit).contains(&version.sequence)
        };
        let unread = |write: Option<u64>| write.and_then(&last_read).is_some_and(|read| read < edit);
        let first = |versions: &Vec<Version>| versions.iter().find(ours).map(|version| version.sequence);
        let mut fields = self.fields.values().filter(|versions| versions.iter().any(given)).peekable();
        // An edit that gave no value, such as a merge, left the name of its author only: any write takes that away.
        if fields.peek().is_none() {
            return unread(self.fields.values().filter_map(first).min());
        }
        fields.all(|versions| unread(first(versions)))
    }
}

/// Everything up to some change.
pub(crate) struct History<'a> {
    pub(crate) settings: &'a Settings,
    records: HashMap<Key, Past>,
    /// The records that hold a value in one of our own id fields.
    holders: HashMap<(String, String), BTreeSet<Key>>,
    predecessors: HashMap<Key, Vec<Key>>,
    /// Links that the write under way makes, where its fields come in another order.
    ahead: Vec<(Key, String, String)>,
    /// What the service lets each HubSpot record name, and when: it writes to Salesforce first.
    names_later: HashMap<Key, Vec<(u64, Key)>>,
    now: u64,
    /// The contact that the last entry moved to another account.
    moved: Option<Key>,
}

impl<'a> History<'a> {
    pub(crate) fn new(settings: &'a Settings, all: &[&Entry]) -> Self {
        let (records, holders, predecessors, ahead) = Default::default();
        let mut names_later: HashMap<Key, Vec<(u64, Key)>> = HashMap::new();
        for entry in all.iter().filter(|entry| entry.author == Author::Integration && !entry.new.is_empty()) {
            if let Some((.., object)) = LINKS.iter().find(|(_, field, _)| *field == entry.field) {
                let named = Key::new(object, &entry.new);
                names_later.entry(Key::of(entry)).or_default().push((entry.sequence, named));
            }
        }
        Self { settings, records, holders, predecessors, ahead, names_later, now: 0, moved: None }
    }

    pub(crate) fn past(&self, key: &Key) -> Option<&Past> {
        self.records.get(key)
    }

    pub(crate) fn records(&self, object: &str) -> impl Iterator<Item = (&Key, &Past)> {
        self.records.iter().filter(move |(key, past)| key.object == object && past.is_live)
    }

    /// The HubSpot contacts, also those that are gone.
    pub(crate) fn contacts(&self) -> impl Iterator<Item = &Key> {
        self.records.keys().filter(|key| key.object == "contacts")
    }

    /// The roles of contacts on opportunities, also those that are gone.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &Key> {
        self.records.keys().filter(|key| key.object == "OpportunityContactRole")
    }

    pub(crate) fn is_live(&self, key: &Key) -> bool {
        self.past(key).is_some_and(|past| past.is_live)
    }

    pub(crate) fn versions(&self, key: &Key, field: &str) -> &[Version] {
        self.past(key).and_then(|past| past.fields.get(field)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn held(&self, key: &Key, field: &str) -> Option<&Version> {
        self.versions(key, field).last()
    }

    pub(crate) fn value(&self, key: &Key, field: &str) -> &str {
        self.held(key, field).map_or("", |version| version.value.as_str())
    }

    /// A record and all that it continued as.
    pub(crate) fn chain(&self, key: &Key) -> Vec<Key> {
        let mut chain = vec![key.clone()];
        while let Some(next) = self.past(&chain[chain.len() - 1]).and_then(|past| past.successor.clone()) {
            if chain.contains(&next) {
                break;
            }
            chain.push(next);
        }
        chain
    }

    /// What a record is now.
    pub(crate) fn resolved(&self, key: &Key) -> Key {
        self.chain(key).pop().unwrap_or_else(|| key.clone())
    }

    /// A record and all that were merged or converted into it.
    pub(crate) fn with_predecessors(&self, key: &Key) -> Vec<Key> {
        let mut all = vec![key.clone()];
        let mut place = 0;
        while place < all.len() {
            let of = self.predecessors.get(&all[place]).cloned().unwrap_or_default();
            all.extend(of.into_iter().filter(|key| !all.contains(key)).collect::<Vec<_>>());
            place += 1;
        }
        all
    }

    /// The live HubSpot records whose own property names this record.
    pub(crate) fn holders_of(&self, key: &Key) -> Vec<Key> {
        let fields = LINKS.iter().filter(|(_, _, object)| *object == key.object);
        let held =
            fields.filter_map(|(_, field, _)| self.holders.get(&((*field).to_owned(), key.id.clone())));
        held.flatten().filter(|holder| self.is_live(holder)).cloned().collect()
    }

    /// The Salesforce records that a HubSpot record's own properties name.
    pub(crate) fn named_by(&self, key: &Key) -> Vec<Key> {
        let fields = LINKS.iter().filter(|(object, ..)| *object == key.object);
        let held = fields.map(|(_, field, object)| Key::new(object, self.value(key, field)));
        held.filter(|key| !key.id.is_empty()).collect()
    }

    /// The Salesforce records that bear a HubSpot record's id, also those that are gone.
    pub(crate) fn made_for(&self, key: &Key) -> Vec<Key> {
        let bearing = self.holders.get(&(KEY.to_owned(), key.id.clone())).into_iter().flatten();
        let of_its =
            |made: &&Key| LINKS.iter().any(|(of, _, object)| *of == key.object && *object == made.object);
        bearing.filter(of_its).cloned().collect()
    }

    /// The records that belong to this one by our own id fields, and what they continued as; never by what the service says.
    pub(crate) fn counterparts(&self, key: &Key) -> Vec<Key> {
        let mut found = if key.is_hubspot() { self.of_hubspot(key) } else { self.of_salesforce(key) };
        let mut seen = BTreeSet::new();
        found.retain(|key| seen.insert(key.clone()));
        found
    }

    fn of_hubspot(&self, key: &Key) -> Vec<Key> {
        let mut named = self.named_by(key);
        for (of, field, value) in &self.ahead {
            let object = LINKS.iter().find(|(_, name, _)| name == field).map(|(.., object)| *object);
            match object {
                Some(object) if of == key && !value.is_empty() => named.push(Key::new(object, value)),
                None if field == KEY && key.id == *value => named.push(of.clone()),
                _ => {}
            }
        }
        if named.is_empty() {
            named.extend(self.with_predecessors(key).iter().flat_map(|key| self.made_for(key)));
        }
        named.iter().flat_map(|key| self.chain(key)).collect()
    }

    fn of_salesforce(&self, key: &Key) -> Vec<Key> {
        let object = LINKS.iter().find(|(.., object)| *object == key.object).map(|(object, ..)| *object);
        let Some(object) = object else { return Vec::new() };
        let mut found = Vec::new();
        for (of, field, value) in &self.ahead {
            if of == key && field == KEY && !value.is_empty() {
                found.extend(self.chain(&Key::new(object, value)));
            } else if *value == key.id && LINKS.iter().any(|(_, name, _)| name == field) {
                found.push(of.clone());
            }
        }
        found.extend(self.holders_of(key));
        if found.is_empty() {
            let next = self.names_later.keys().filter(|of| self.named_next(of) == Some(key));
            found.extend(next.filter(|of| self.is_live(of)).cloned());
        }
        if found.is_empty() {
            let named = self.value(key, KEY);
            // It was made for a record that may have been merged since that was read.
            let named = (!named.is_empty()).then(|| self.chain(&Key::new(object, named)));
            found.extend(named.into_iter().flatten());
        }
        for former in self.with_predecessors(key).iter().skip(1) {
            found.extend(self.holders_of(former));
        }
        found
    }

    /// What the service lets a HubSpot record name next.
    pub(crate) fn named_next(&self, key: &Key) -> Option<&Key> {
        let later = self.names_later.get(key)?;
        later.iter().find(|(sequence, _)| *sequence > self.now).map(|(_, named)| named)
    }

    /// Since when two records belong together; the HubSpot record may be one of a merge.
    pub(crate) fn linked_since(&self, one: &Key, other: &Key) -> Option<u64> {
        self.links(one, other).into_iter().min()
    }

    /// When two records were last linked: now, where the write that is judged links them.
    pub(crate) fn linked_again(&self, one: &Key, other: &Key) -> Option<u64> {
        let (hubspot, salesforce) = if one.is_hubspot() { (one, other) } else { (other, one) };
        let links = |(of, _, value): &(Key, String, String)| {
            (of == hubspot && *value == salesforce.id) || (of == salesforce && *value == hubspot.id)
        };
        let begins = self.ahead.iter().any(links) && !self.named_by(hubspot).contains(salesforce);
        if begins { Some(self.now + 1) } else { self.links(one, other).into_iter().max() }
    }

    /// Whenever a field of one record began to name the other.
    fn links(&self, one: &Key, other: &Key) -> Vec<u64> {
        let (hubspot, salesforce) = if one.is_hubspot() { (one, other) } else { (other, one) };
        let mut since = Vec::new();
        for of in self.with_predecessors(hubspot) {
            for (_, field, object) in LINKS {
                let named = self.versions(&of, field).iter();
                since.extend(
                    named
                        .filter(|version| *object == salesforce.object && version.value == salesforce.id)
                        .map(|version| version.sequence),
                );
            }
            let keyed = self.versions(salesforce, KEY).iter();
            since.extend(keyed.filter(|version| version.value == of.id).map(|version| version.sequence));
        }
        since
    }

    /// The latest time by which Salesforce or HubSpot can tell a version: Salesforce has one time for a whole record.
    pub(crate) fn known_until(&self, key: &Key, versions: &[Version], place: usize) -> i64 {
        let version = &versions[place];
        if key.is_hubspot() {
            return version.until;
        }
        let next = versions.get(place + 1).map_or(u64::MAX, |next| next.sequence);
        let modified = self.past(key).map_or(&[][..], |past| past.modified.as_slice());
        let later = modified.iter().filter(|(sequence, _)| (version.sequence..next).contains(sequence));
        later.map(|(_, at)| *at).chain([version.until]).max().unwrap_or(version.until)
    }

    /// When somebody other than the service modified a record last.
    pub(crate) fn modified_at(&self, key: &Key) -> i64 {
        self.past(key).and_then(|past| past.modified.iter().map(|(_, at)| *at).max()).unwrap_or_default()
    }

    /// Whether the service wrote to a record after everybody else.
    pub(crate) fn is_ours(&self, key: &Key) -> bool {
        let Some(past) = self.past(key) else { return false };
        let others = past.modified.iter().map(|(sequence, _)| *sequence).max().unwrap_or_default();
        let versions = past.fields.values().flatten();
        versions
            .filter(|version| version.author == Author::Integration)
            .any(|version| version.sequence > others)
    }

    /// When somebody other than the service last edited the record itself, so that this can be told. Salesforce names the last writer alone:
    /// of an edit that the service had not read when it wrote over every value that it gave, nothing is left.
    pub(crate) fn edited_at(&self, reads: &Reads, key: &Key) -> i64 {
        let Some(past) = self.past(key) else { return 0 };
        let mut before = 0;
        let mut last = 0;
        for (sequence, at) in &past.edited {
            if !past.is_written_over((before, *sequence), |write| reads.last_read(write, &key.id)) {
                last = last.max(*at);
            }
            before = *sequence;
        }
        last
    }

    pub(crate) fn set_ahead(&mut self, ahead: Vec<(Key, String, String)>) {
        self.ahead = ahead;
    }

    /// Takes an entry in; `copied_from` is when the value that the service wrote was given by somebody else, if it was.
    pub(crate) fn take(&mut self, entry: &Entry, copied_from: Option<i64>) {
        self.now = entry.sequence;
        let (key, at) = (Key::of(entry), entry.at.as_millis());
        let others = entry.author != Author::Integration;
        if others && matches!(entry.change, Change::Touched | Change::Restored) {
            let past = self.records.entry(key.clone()).or_default();
            past.modified.push((entry.sequence, at));
            if self.moved.as_ref() != Some(&key) {
                past.edited.push((entry.sequence, at));
            }
        }
        self.moved = (entry.field == "AccountId").then(|| key.clone());
        match entry.change {
            Change::Created => self.records.entry(key).or_default().is_live = true,
            Change::Deleted | Change::Erased => {
                let past = self.records.entry(key).or_default();
                past.is_live = false;
                past.deletions.push((entry.sequence, entry.author, None));
            }
            Change::Restored => {
                let past = self.records.entry(key.clone()).or_default();
                past.is_live = true;
                // A merge is undone; a conversion never is.
                past.successor.take_if(|successor| successor.object == key.object);
                if let Some(last) = past.deletions.last_mut() {
                    last.2 = Some(entry.sequence);
                }
            }
            Change::Merged | Change::Converted => {
                let object = if entry.change == Change::Converted { "Contact" } else { entry.object };
                let successor = Key::new(object, &entry.new);
                let predecessors = self.predecessors.entry(successor.clone()).or_default();
                predecessors.push(key.clone());
                self.records.entry(key).or_default().successor = Some(successor);
            }
            Change::Value => self.take_value(entry, &key, copied_from),
            Change::Touched | Change::Associated => {}
        }
    }

    fn take_value(&mut self, entry: &Entry, key: &Key, copied_from: Option<i64>) {
        let at = entry.at.as_millis();
        let is_link = entry.field == KEY || LINKS.iter().any(|(_, field, _)| *field == entry.field);
        if is_link {
            let old = (entry.field.clone(), entry.old.clone());
            self.holders.entry(old).or_default().remove(key);
            if !entry.new.is_empty() {
                let new = (entry.field.clone(), entry.new.clone());
                self.holders.entry(new).or_default().insert(key.clone());
            }
        }
        // What came of a merge in HubSpot has the values of the first record, with their times.
        let inherited = self.predecessors.get(key).filter(|_| entry.system == System::Hubspot);
        let inherited = inherited.into_iter().flatten().find_map(|from| {
            self.held(from, &entry.field).filter(|held| held.value == entry.new).map(|held| held.since)
        });
        // Who belonged to a record that was merged belongs to what came of it, since when it did.
        let follows = !entry.old.is_empty() && {
            let object = if entry.system == System::Hubspot { "companies" } else { "Account" };
            let belongs = matches!(entry.field.as_str(), "associatedcompanyid" | "AccountId");
            belongs && self.resolved(&Key::new(object, &entry.old)).id == entry.new
        };
        let inherited =
            inherited.or_else(|| self.held(key, &entry.field).filter(|_| follows).map(|held| held.since));
        let by_us = entry.author == Author::Integration;
        let version = Version {
            sequence: entry.sequence,
            value: entry.new.clone(),
            author: entry.author,
            since: if by_us {
                copied_from.unwrap_or(at)
            } else {
                inherited.map_or(at, |since| since.min(at))
            },
            until: if by_us { copied_from.unwrap_or(at) } else { at },
            has_origin: !by_us || copied_from.is_some(),
        };
        let past = self.records.entry(key.clone()).or_default();
        past.fields.entry(entry.field.clone()).or_default().push(version);
    }

    /// Whether a property and a field hold the same.
    pub(crate) fn same(&self, field: &str, (hubspot, salesforce): (&str, &str)) -> bool {
        match field {
            "associatedcompanyid" => {
                let company = self.resolved(&Key::new("companies", hubspot));
                let account = Key::new("Account", salesforce);
                !hubspot.is_empty()
                    && (self.counterparts(&company).contains(&account)
                        || self.counterparts(&account).contains(&company))
            }
            "hubspot_owner_id" => self.settings.is_same_owner(hubspot, salesforce),
            "dealstage" => self.settings.is_same_stage(hubspot, salesforce),
            _ => normal(field, hubspot) == normal(field, salesforce),
        }
    }
}
