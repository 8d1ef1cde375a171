//! What the service read and when: whatever people did to a record between its reading and a write of it is a race that nobody can
//! avoid.

use std::collections::HashMap;

use serde_json::Value as Json;

/// The calls of one run, in the order in which the CRMs carried them out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// By instance and record: how many changes had been noted when it was read.
    read: HashMap<(usize, String), Vec<u64>>,
    /// The changes that a call made: after the first number, up to the second; and whose call it was.
    calls: Vec<(u64, u64, usize)>,
}

impl Reads {
    /// A call was carried out: it was this instance's, these many changes had been noted before and after, and this was answered.
    pub(crate) fn note(&mut self, instance: usize, (before, after): (u64, u64), answer: &[u8]) {
        if after > before {
            self.calls.push((before, after, instance));
            return;
        }
        let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
        self.note_ids(&answer, (instance, before));
    }

    fn note_ids(&mut self, answer: &Json, (instance, noted): (usize, u64)) {
        match answer {
            Json::Array(all) => all.iter().for_each(|one| self.note_ids(one, (instance, noted))),
            Json::Object(fields) => {
                // Of an association, only the ids of its two ends are told.
                let is_record = ["properties", "attributes"].iter().any(|name| fields.contains_key(*name));
                for (name, value) in fields {
                    match value.as_str() {
                        Some(id) if is_record && (name == "id" || name == "Id") => {
                            self.read.entry((instance, id.to_owned())).or_default().push(noted);
                        }
                        _ => self.note_ids(value, (instance, noted)),
                    }
                }
            }
            _ => {}
        }
    }

    /// How many changes had been noted when whoever wrote this change had last read the record before; `None` where that is not
    /// known.
    pub(crate) fn last_read(&self, sequence: u64, id: &str) -> Option<u64> {
        let place = self.calls.partition_point(|(_, last, _)| *last < sequence);
        let (first, _, instance) = self.calls.get(place).filter(|(first, ..)| *first < sequence)?;
        let read = self.read.get(&(*instance, id.to_owned()))?;
        read[..read.partition_point(|noted| noted <= first)].last().copied()
    }
}
