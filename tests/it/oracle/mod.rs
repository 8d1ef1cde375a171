//! I9 judged from outside: no write clears, deletes or takes over what no person and no rule asked for.
//!
//! The oracle is a function of both journals and the settings of the run. It knows nothing of the service: neither its explanations nor
//! its audit nor its database. Which records belong together it takes from our own id fields, as the journals have them. Each write
//! of the service that clears or overwrites a value, deletes a record, or changes what belongs together must be explained by a row of
//! [`rows::TABLE`]; what no row explains is a violation.

mod history;
mod links;
pub(crate) mod mappings;
mod reads;
mod rows;
mod tests;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hubforce::emulator::{Author, Change, Entry};

pub(crate) use history::{History, Key};
pub(crate) use mappings::Settings;
use mappings::{DERIVED, KEY, LINKS, normal};
pub(crate) use reads::Reads;
use rows::{Kind, TABLE};

/// Lines of the journals shown with a violation.
const LINES_MAX: usize = 40;

/// What happened in a run.
pub(crate) struct Evidence<'a> {
    /// Both journals.
    pub(crate) journals: [&'a [Entry]; 2],
    /// What the service read, where somebody listened.
    pub(crate) reads: &'a Reads,
    /// The records whose resync an operator asked for one by one, with the number of changes noted before.
    pub(crate) asked: &'a [(u64, String)],
    /// How the service was set up.
    pub(crate) settings: &'a Settings,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many writes each row of the table explained.
    pub(crate) explained: BTreeMap<&'static str, usize>,
    /// The writes that none explained.
    pub(crate) violations: Vec<Violation>,
}

/// A write that nothing explains.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// What it did.
    pub(crate) kind: Kind,
    /// The write.
    pub(crate) entry: Entry,
    /// The row that came nearest, and what it lacks.
    pub(crate) nearest: String,
    /// What the journals say of the records concerned.
    pub(crate) lines: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "I9: {:?} that nothing explains: {}\n  nearest: {}",
            self.kind,
            line(&self.entry),
            self.nearest
        )?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// A write that is to be explained.
pub(crate) struct Write<'a> {
    pub(crate) kind: Kind,
    pub(crate) entry: &'a Entry,
    pub(crate) key: Key,
    /// The HubSpot property that the field is mapped with.
    pub(crate) property: &'static str,
    /// The records that this one belonged to before, and those it belongs to from now on.
    pub(crate) before: Vec<Key>,
    pub(crate) after: Vec<Key>,
    pub(crate) evidence: &'a Evidence<'a>,
}

/// Judges a run.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut all: Vec<&Entry> = evidence.journals.iter().flat_map(|journal| journal.iter()).collect();
    all.sort_by_key(|entry| entry.sequence);
    let mut judge =
        Judge { history: History::new(evidence.settings, &all), evidence, verdict: Verdict::default() };
    let mut judged_links_until = 0;
    for (place, entry) in all.iter().enumerate() {
        if entry.author != Author::Integration {
            judge.history.take(entry, None);
            continue;
        }
        let links = links_of_the_write(&all[place..]);
        let is_link = is_link(entry) && links.first().is_some_and(|(_, field, _)| *field == entry.field);
        judge.history.set_ahead(links.clone());
        if is_link && place >= judged_links_until {
            judged_links_until = place + run(&all[place..]);
            judge.link(entry, &links, &all);
        }
        let copied_from = judge.entry(entry, &all);
        judge.history.set_ahead(Vec::new());
        judge.history.take(entry, copied_from);
    }
    judge.verdict
}

/// How many changes one write made, from the first on.
fn run(all: &[&Entry]) -> usize {
    let first = all[0];
    all.iter()
        .take_while(|entry| {
            entry.author != Author::Person && (entry.object, &entry.id) == (first.object, &first.id)
        })
        .count()
}

/// What a write says from here on about what belongs together. A company is given by a call of its own, ahead of the rest.
fn links_of_the_write(all: &[&Entry]) -> Vec<(Key, String, String)> {
    let first = all[0];
    let of_it = if first.field == "associatedcompanyid" {
        let at_once = all.iter().take_while(|entry| entry.at == first.at);
        let of_it = at_once.filter(|entry| Key::of(entry) == Key::of(first));
        of_it.take_while(|entry| entry.author == Author::Integration).collect::<Vec<_>>()
    } else {
        all[..run(all)].iter().collect()
    };
    let links = of_it.into_iter().filter(|entry| is_link(entry));
    links.map(|entry| (Key::of(entry), entry.field.clone(), entry.new.clone())).collect()
}

fn is_link(entry: &Entry) -> bool {
    entry.change == Change::Value
        && (entry.field == KEY || LINKS.iter().any(|(_, field, _)| *field == entry.field))
}

struct Judge<'a> {
    history: History<'a>,
    evidence: &'a Evidence<'a>,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    /// Judges one change of the service; returns when the value it wrote was given by somebody else.
    fn entry(&mut self, entry: &'a Entry, all: &[&Entry]) -> Option<i64> {
        let key = Key::of(entry);
        match entry.change {
            Change::Deleted | Change::Erased => {
                self.explain(&self.write(Kind::Delete, entry, "", (Vec::new(), Vec::new())), all);
            }
            Change::Associated if !entry.old.is_empty() => {
                self.explain(&self.write(Kind::Detach, entry, "", (Vec::new(), Vec::new())), all);
            }
            Change::Value if !is_link(entry) && !DERIVED.contains(&entry.field.as_str()) => {
                if entry.field == "lifecyclestage" {
                    if !entry.old.is_empty() {
                        self.explain(
                            &self.write(Kind::Stage, entry, "lifecyclestage", (Vec::new(), Vec::new())),
                            all,
                        );
                    }
                    return None;
                }
                let property = self.evidence.settings.property_of(entry.object, &entry.field);
                let name = property.unwrap_or_default();
                let [old, new] = [&entry.old, &entry.new].map(|value| normal(name, value));
                let copied_from = values::origin_of(&self.history, &key, name, &entry.new);
                if !old.is_empty() && old != new {
                    let kind = match (name, new.is_empty()) {
                        ("associatedcompanyid", _) => Kind::Move,
                        (_, true) => Kind::Clear,
                        (_, false) => Kind::Overwrite,
                    };
                    self.explain(&self.write(kind, entry, name, (Vec::new(), Vec::new())), all);
                }
                return copied_from;
            }
            _ => {}
        }
        None
    }

    /// Judges what a write says about what belongs together.
    fn link(&mut self, entry: &'a Entry, links: &[(Key, String, String)], all: &[&Entry]) {
        let key = Key::of(entry);
        let (before, after) = if entry.field == KEY {
            let object =
                LINKS.iter().find(|(.., object)| *object == entry.object).map_or("", |(object, ..)| *object);
            let named = |id: &str| (!id.is_empty()).then(|| Key::new(object, id)).into_iter().collect();
            (named(&entry.old), named(&entry.new))
        } else {
            let of_key = LINKS.iter().filter(|(object, ..)| *object == key.object);
            let after = of_key.filter_map(|(_, field, object)| {
                let written =
                    links.iter().rev().find(|(_, name, _)| name == field).map(|(.., value)| value.as_str());
                let value = written.unwrap_or_else(|| self.history.value(&key, field));
                (!value.is_empty()).then(|| Key::new(object, value))
            });
            (self.history.named_by(&key), after.collect::<Vec<_>>())
        };
        if after.iter().any(|key| !before.contains(key)) {
            self.explain(&self.write(Kind::TakeOver, entry, "", (before.clone(), after.clone())), all);
        }
        if before.iter().any(|key| !after.contains(key)) {
            self.explain(&self.write(Kind::Relink, entry, "", (before, after)), all);
        }
    }

    fn write(
        &self,
        kind: Kind,
        entry: &'a Entry,
        property: &'static str,
        (before, after): (Vec<Key>, Vec<Key>),
    ) -> Write<'a> {
        Write { kind, entry, key: Key::of(entry), property, before, after, evidence: self.evidence }
    }

    fn explain(&mut self, write: &Write<'a>, all: &[&Entry]) {
        let mut nearest = String::new();
        for row in TABLE.iter().filter(|row| row.kinds.contains(&write.kind)) {
            match (row.holds)(&self.history, write) {
                Ok(()) => return *self.verdict.explained.entry(row.name).or_default() += 1,
                Err(lacks) if nearest.is_empty() && !lacks.is_empty() => {
                    nearest = format!("{} ({}), when {}: {lacks}", row.name, row.rule, row.condition);
                }
                Err(_) => {}
            }
        }
        let lines = self.lines(write, all);
        let (kind, entry) = (write.kind, write.entry.clone());
        self.verdict.violations.push(Violation { kind, entry, nearest, lines });
    }

    /// What the journals say up to a write of the records concerned: the field, our id fields, and what happened to the records.
    fn lines(&self, write: &Write<'_>, all: &[&Entry]) -> Vec<String> {
        let mut concerned = self.history.with_predecessors(&write.key);
        for key in self.history.counterparts(&write.key).iter().chain(&write.before).chain(&write.after) {
            concerned.extend(self.history.with_predecessors(key));
        }
        let told = |entry: &&&Entry| {
            let mapped = self.evidence.settings.property_of(entry.object, &entry.field);
            let same_field = !write.property.is_empty() && mapped == Some(write.property);
            let whole = !matches!(entry.change, Change::Value | Change::Touched) || is_link(entry);
            let touched = entry.change == Change::Touched && entry.author != Author::Integration;
            entry.sequence <= write.entry.sequence
                && concerned.contains(&Key::of(entry))
                && (same_field || whole || touched || entry.field == "email" || entry.field == "Email")
        };
        let lines: Vec<String> = all.iter().filter(told).map(|entry| line(entry)).collect();
        lines[lines.len().saturating_sub(LINES_MAX)..].to_vec()
    }
}

/// Holds I9 at the end of a run: whatever nothing explains is shown, and the run fails. With `HUBFORCE_I9=report` it is shown in brief and
/// the run goes on, for whoever wants to count.
pub(crate) fn i_9_every_write_is_explained(seed: u64, evidence: &Evidence<'_>) -> Verdict {
    let verdict = judge(evidence);
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says what comes of a violation")]
    let reports = std::env::var("HUBFORCE_I9").is_ok_and(|text| text == "report");
    if verdict.violations.is_empty() {
        return verdict;
    }
    write_journal(evidence.journals);
    if !reports {
        let all: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
        panic!("seed {seed}: {} writes that nothing explains\n{}", all.len(), all.join("\n"));
    }
    for violation in &verdict.violations {
        let Violation { kind, entry, nearest, .. } = violation;
        say(&format!("I9 seed {seed} {kind:?}: {} | {nearest}", line(entry).trim()));
    }
    verdict
}

/// Writes both journals to the file that `HUBFORCE_JOURNAL` names, for whoever looks into a failure.
pub(crate) fn write_journal(journals: [&[Entry]; 2]) {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where to")]
    let Ok(file) = std::env::var("HUBFORCE_JOURNAL") else { return };
    let mut entries: Vec<&Entry> = journals.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.sequence);
    let lines: Vec<String> = entries.into_iter().map(line).collect();
    std::fs::write(file, lines.join("\n")).unwrap();
}

/// Says something to whoever runs the tests, also where all is well: what tests print is shown of failures only.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Verdict {
    /// Adds what came of another run.
    pub(crate) fn add(&mut self, other: Self) {
        for (row, n) in other.explained {
            *self.explained.entry(row).or_default() += n;
        }
        self.violations.extend(other.violations);
    }

    /// What was explained by what, on one line.
    pub(crate) fn summary(&self) -> String {
        let rows: Vec<String> = self.explained.iter().map(|(row, n)| format!("{row}: {n}")).collect();
        format!("I9: {} violations; explained: {}", self.violations.len(), rows.join(", "))
    }
}

/// An entry on one line.
pub(crate) fn line(entry: &Entry) -> String {
    let mut text =
        format!("{:>6} {} {:?} {} {}", entry.sequence, entry.at, entry.author, entry.object, entry.id);
    let _ = match entry.change {
        Change::Value => write!(text, " {}: {:?} -> {:?}", entry.field, entry.old, entry.new),
        Change::Associated => write!(text, " with {}: {:?} -> {:?}", entry.field, entry.old, entry.new),
        _ => write!(text, " {:?} {}", entry.change, entry.new),
    };
    text
}
