//! How far a sweep has come: pure bookkeeping, kept by the store as the cursor of a task.
//!
//! A sweep is made of *strands*, one for each stream it follows. What a strand saw within the time that the next sweep will look at
//! again is remembered by a fingerprint, so that it is not looked at twice. It is one of the record's id, time and values and of the pair that
//! they were compared with: a later edit within the same second has other values, or goes back to values that were written over meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::crm::{Asked, Deed, Place, Stream, Trace};
use crate::domain::{Family, System, Timestamp};
use crate::plan::Pair;
use crate::worker::connection::RULES_FRESH_MS;

/// How far back a sweep looks in HubSpot: its search index lags behind by seconds, seldom by half a minute.
pub(super) const OVERLAP_HUBSPOT_MS: i64 = 2 * 60 * 1_000;

/// How far back a sweep looks in Salesforce: a row is stamped when it is saved and seen when its transaction ends, which takes ten
/// minutes at most.
pub(super) const OVERLAP_SALESFORCE_MS: i64 = 15 * 60 * 1_000;

/// The most fingerprints that a strand remembers. Beyond it, what is seen again is compared again; only records without a twin cost a
/// read then.
pub(super) const SEEN_MAX: usize = 2_000;

/// The most pages of deleted records that one sweep asks for, all kinds together: with them an idle sweep stays within ten calls. Where
/// more are in the recycling bin, the next sweep goes on.
pub(super) const DELETED_PAGES_MAX: u32 = 5;

/// The most pages of a list's members that one sweep asks for. A list is walked once from its beginning; after that, one page a sweep
/// tells who joined.
pub(super) const JOINED_PAGES_MAX: u32 = 40;

/// The most deleted records with a twin whose return a strand watches for.
pub(super) const GONE_MAX: usize = 2_000;

/// A sweep, and what the next one must know of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Names it: what it finds bears this as its cause.
    pub(super) id: Uuid,
    /// When it began; `None` between sweeps.
    pub(super) began_at: Option<Timestamp>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Traces it looked at.
    pub(super) n_traces: u64,
    /// Records that it found worth a look.
    pub(super) n_found: u64,
    /// By the names of their streams.
    strands: BTreeMap<String, Strand>,
}

/// How far a sweep has come in one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Strand {
    /// Where the next page begins.
    pub(super) place: Place,
    /// When the stream was taken up: what happened before is not ours.
    pub(super) floor: Timestamp,
    /// Where this sweep's look at it begins.
    pub(super) window: Timestamp,
    /// Whether this sweep is through with it.
    pub(super) done: bool,
    /// How many pages this sweep asked for.
    pages: u32,
    /// Fingerprints of the last sweep.
    seen: Vec<u64>,
    /// Fingerprints of this one.
    fresh: Vec<u64>,
    /// Ids of deleted records with a twin, as of the last walk through the deleted.
    gone: BTreeSet<String>,
    /// The same as of this walk, as far as it has come.
    still_gone: BTreeSet<String>,
    /// What was mapped and out of our reach when the last sweep began, and since when; without a time where it always was. `None` where no
    /// sweep took note of it yet.
    #[serde(default)]
    unreachable: Option<BTreeMap<String, Option<Timestamp>>>,
}

/// What a stream is called in the cursor.
pub(super) fn name_of(stream: &Stream) -> String {
    match stream {
        Stream::Changed(kind) => format!("changed:{kind}"),
        Stream::Deleted(kind) => format!("deleted:{kind}"),
        Stream::Joined(list) => format!("joined:{list}"),
        Stream::Roles => "roles".to_owned(),
    }
}

const fn overlap_ms(stream: &Stream) -> i64 {
    match stream {
        Stream::Changed(kind) => match kind.system() {
            System::Hubspot => OVERLAP_HUBSPOT_MS,
            System::Salesforce => OVERLAP_SALESFORCE_MS,
        },
        Stream::Roles => OVERLAP_SALESFORCE_MS,
        Stream::Deleted(_) | Stream::Joined(_) => 0,
    }
}

impl Sweep {
    /// A connection's first: it looks at nothing and begins at the present.
    pub(super) fn first(wanted: &[Stream], now: Timestamp) -> Self {
        let mut sweep = Self::default();
        sweep.follow(wanted, now);
        sweep
    }

    /// Goes on with the sweep under way, or begins the next one: with what is out of our reach in each family by now.
    pub(super) fn go_on(
        &mut self,
        wanted: &[Stream],
        unreachable: impl Fn(Family) -> BTreeSet<String>,
        now: Timestamp,
    ) {
        if self.began_at.is_some() {
            return;
        }
        let strands = std::mem::take(&mut self.strands);
        *self = Self { id: Uuid::now_v7(), began_at: Some(now), strands, ..Self::default() };
        self.follow(wanted, now);
        for stream in wanted {
            if let (Stream::Changed(kind), Some(strand)) = (stream, self.strand(stream)) {
                strand.look_back(unreachable(kind.family()));
            }
        }
        for strand in self.strands.values_mut() {
            strand.come_back_to(whole_second(now));
            strand.window = strand.place.since;
            strand.done = false;
            strand.pages = 0;
        }
    }

    /// Follows these streams and no others. One that is new begins now: what was there before it does not come by itself.
    fn follow(&mut self, wanted: &[Stream], now: Timestamp) {
        let now = whole_second(now);
        let names: BTreeSet<String> = wanted.iter().map(name_of).collect();
        self.strands.retain(|name, _| names.contains(name));
        for name in names {
            let fresh = || Strand { place: Place::since(now), floor: now, ..Strand::default() };
            self.strands.entry(name).or_insert_with(fresh);
        }
    }

    /// The pages to ask for in this step, one of each stream that is not done.
    pub(super) fn to_ask(&self, wanted: &[Stream]) -> Vec<Asked> {
        let mut deleted_left = DELETED_PAGES_MAX.saturating_sub(self.deleted_pages(wanted));
        let mut asked = Vec::new();
        for stream in wanted {
            let Some(strand) = self.strands.get(&name_of(stream)).filter(|strand| !strand.done) else {
                continue;
            };
            if let Stream::Deleted(_) = stream {
                if deleted_left == 0 {
                    continue;
                }
                deleted_left -= 1;
            }
            asked.push(Asked { stream: stream.clone(), place: strand.place.clone() });
        }
        asked
    }

    fn deleted_pages(&self, wanted: &[Stream]) -> u32 {
        let deleted = wanted.iter().filter(|stream| matches!(stream, Stream::Deleted(_)));
        deleted.filter_map(|stream| self.strands.get(&name_of(stream))).map(|strand| strand.pages).sum()
    }

    /// The strand of a stream that it follows.
    pub(super) fn strand(&mut self, stream: &Stream) -> Option<&mut Strand> {
        self.strands.get_mut(&name_of(stream))
    }

    /// Takes note of a page: the strand goes on behind it, or is done.
    pub(super) fn turn_page(&mut self, stream: &Stream, next: Option<Place>) {
        let began_at = self.began_at.unwrap_or_default();
        let Some(strand) = self.strand(stream) else { return };
        strand.pages += 1;
        match (stream, next) {
            (Stream::Joined(_), Some(next)) => {
                // Only the last page is ever asked for again.
                strand.fresh.clear();
                strand.place = next;
                strand.done = strand.pages >= JOINED_PAGES_MAX;
            }
            (_, Some(next)) => strand.place = next,
            // Who joins next stands at the end of the last page: it is asked for again.
            (Stream::Joined(_), None) => strand.end(strand.place.clone()),
            (Stream::Deleted(_), None) => {
                strand.gone = std::mem::take(&mut strand.still_gone);
                strand.end(Place::since(began_at));
            }
            (Stream::Changed(_) | Stream::Roles, None) => strand.end_before(stream, began_at),
        }
    }

    /// Leaves a stream to the next sweep, which goes on where this one could not.
    pub(super) fn skip(&mut self, stream: &Stream) {
        let began_at = self.began_at.unwrap_or_default();
        let Some(strand) = self.strand(stream) else { return };
        // What the last sweep saw and this one did not reach comes again.
        strand.fresh.splice(..0, std::mem::take(&mut strand.seen));
        match stream {
            Stream::Changed(_) | Stream::Roles => {
                let reached = strand.place.since;
                strand.end_before(stream, began_at);
                strand.place.since = strand.place.since.min(reached);
            }
            Stream::Deleted(_) | Stream::Joined(_) => strand.end(strand.place.clone()),
        }
    }

    /// Ends the sweep, once nothing is left to ask.
    pub(super) fn end(&mut self) {
        self.began_at = None;
    }
}

impl Strand {
    /// A strand that is ahead of the clock, which was set back, begins again where the clock is.
    fn come_back_to(&mut self, now: Timestamp) {
        self.floor = self.floor.min(now);
        if self.place.since > now {
            self.place.since = now.plus_millis(-OVERLAP_SALESFORCE_MS).max(self.floor);
        }
    }

    /// Goes back to when the first of those fields was hidden that are not any more: what changed since then did not travel.
    fn look_back(&mut self, unreachable: BTreeSet<String>) {
        let hidden_since = self.place.since.plus_millis(-RULES_FRESH_MS);
        let known = self.unreachable.take();
        let shown = known.iter().flatten().filter(|(name, _)| !unreachable.contains(*name));
        if let Some(since) = shown.filter_map(|(_, since)| *since).min() {
            self.place = Place::since(whole_second(since.min(self.place.since)).max(self.floor));
        }
        let since = |name: &String| {
            known.as_ref().and_then(|known| known.get(name).copied().unwrap_or(Some(hidden_since)))
        };
        self.unreachable = Some(unreachable.into_iter().map(|name| (name.clone(), since(&name))).collect());
    }

    fn end(&mut self, place: Place) {
        self.place = place;
        self.done = true;
        self.remember();
    }

    /// The next sweep looks back behind the beginning of this one.
    fn end_before(&mut self, stream: &Stream, began_at: Timestamp) {
        let since = whole_second(began_at.plus_millis(-overlap_ms(stream))).max(self.floor);
        self.end(Place::since(since));
    }

    /// What was seen is what the next sweep has seen.
    fn remember(&mut self) {
        self.forget_the_oldest();
        self.seen = std::mem::take(&mut self.fresh);
    }

    /// Keeps to the limit: the oldest leave the next sweep's look first.
    fn forget_the_oldest(&mut self) {
        let surplus = self.fresh.len().saturating_sub(SEEN_MAX);
        self.fresh.drain(..surplus);
    }

    /// The traces that neither this sweep nor the last one saw, each with the pair that its record is in.
    pub(super) fn unseen(
        &mut self,
        stream: &Stream,
        traces: Vec<(Trace, Option<Pair>)>,
        began_at: Timestamp,
    ) -> Vec<(Trace, Option<Pair>)> {
        let again_from = whole_second(began_at.plus_millis(-overlap_ms(stream)));
        let comes_again =
            |trace: &Trace| matches!(stream, Stream::Joined(_)) || trace.record.modified_at >= again_from;
        let mut fresh: BTreeSet<u64> = self.fresh.iter().copied().collect();
        let seen: BTreeSet<u64> = self.seen.iter().copied().collect();
        let mut unseen = Vec::new();
        for (trace, pair) in traces.into_iter().filter(|(trace, _)| trace.record.modified_at >= self.floor) {
            let fingerprint = fingerprint(&trace, pair.as_ref());
            let is_fresh = fresh.insert(fingerprint);
            if is_fresh && comes_again(&trace) {
                self.fresh.push(fingerprint);
            }
            if is_fresh && !seen.contains(&fingerprint) {
                unseen.push((trace, pair));
            }
        }
        self.forget_the_oldest();
        unseen
    }

    /// Takes note of a deleted record that has a twin.
    pub(super) fn is_gone(&mut self, id: String) {
        if self.still_gone.len() < GONE_MAX || self.gone.contains(&id) {
            self.still_gone.insert(id);
        }
    }

    /// Those that were gone when the last walk ended and that this one, which ends now, did not see: they came back.
    pub(super) fn returned(&self) -> Vec<String> {
        self.gone.difference(&self.still_gone).cloned().collect()
    }
}

/// The beginning of a second. Salesforce's times have no more: what happened within a second bears the second's beginning.
const fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(1_000) * 1_000)
}

/// A trace, and what it is compared with if it is one of a change, in eight bytes.
fn fingerprint(trace: &Trace, pair: Option<&Pair>) -> u64 {
    let record = &trace.record;
    let pair = pair.filter(|_| trace.deed == Deed::Changed);
    let fields = serde_json::to_string(&record.fields).unwrap_or_default();
    let text = format!("{} {} {:?} {fields} {pair:?}", record.key, record.modified_at, trace.deed);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
