//! The world around simulated instances: whose turn it is, who ends in the middle of what, and what was seen.
//!
//! Everything an instance does to the outside is an *effect*: one transaction of the store or one call of a CRM. Effects happen one at a
//! time. When one is over and everybody waits for the next, the seed decides whose is next. That makes the interleaving of several
//! instances, and the point at which one of them ends, a function of the seed alone, although the database has threads of its own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use fastrand::Rng;

/// How bad the network is: chances in a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// That a call fails.
    pub(crate) calls: usize,
    /// That something else happens between two effects of a drain.
    pub(crate) interludes: usize,
}

/// Names an instance.
pub(crate) type Instance = usize;

#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rng: Option<Rng>,
    weather: Weather,
    /// The instances at work side by side.
    at_work: BTreeSet<Instance>,
    /// Whether an effect is under way.
    busy: bool,
    /// The effects that wait for their turn, in the order in which they came.
    waiting: BTreeMap<u64, Waker>,
    last_ticket: u64,
    /// Whose turn it is.
    granted: Option<u64>,
    /// Those who wait for an instance to answer or to end.
    watching: Vec<Waker>,
    /// After how many more effects an instance ends.
    ends_in: BTreeMap<Instance, usize>,
    ended: BTreeSet<Instance>,
    /// What was to be written, by record, field and value: every write must be among it (I7).
    intended: HashSet<(String, String, String)>,
    trace: Vec<String>,
}

impl World {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { state: Mutex::new(State { rng: Some(rng), ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number below `n`, by the seed.
    pub(crate) fn below(&self, n: usize) -> usize {
        self.state().rng.as_mut().unwrap().usize(..n.max(1))
    }

    /// Whether something happens that has so many chances in a hundred.
    pub(crate) fn happens(&self, chances: usize) -> bool {
        self.below(100) < chances
    }

    pub(crate) fn weather(&self) -> Weather {
        self.state().weather
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Lets an instance end after so many more effects.
    pub(crate) fn end_after(&self, instance: Instance, effects: usize) {
        self.state().ends_in.insert(instance, effects);
    }

    /// Whether an instance has ended; whoever asks is woken when it does.
    pub(crate) fn ends_or_wakes(&self, instance: Instance, context: &std::task::Context<'_>) -> bool {
        let mut state = self.state();
        let ended = state.ended.contains(&instance);
        if !ended {
            state.watching.push(context.waker().clone());
        }
        ended
    }

    pub(crate) fn has_ended(&self, instance: Instance) -> bool {
        self.state().ended.contains(&instance)
    }

    /// An instance begins again.
    pub(crate) fn begins(&self, instance: Instance) {
        let mut state = self.state();
        state.ended.remove(&instance);
        state.ends_in.remove(&instance);
    }

    /// Notes something for whoever reads the trace; it is part of what two runs of a seed have in common.
    pub(crate) fn note(&self, text: String) {
        self.state().trace.push(text);
    }

    /// The last so many effects.
    pub(crate) fn last(&self, n: usize) -> String {
        let state = self.state();
        let from = state.trace.len().saturating_sub(n);
        state.trace[from..].join("\n")
    }

    /// Everything that happened.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// What is about to be written.
    pub(crate) fn intend(&self, record: String, field: String, value: String) {
        self.state().intended.insert((record, field, value));
    }

    /// Whether a write was recorded before it is made (I7).
    pub(crate) fn is_intended(&self, record: &str, field: &str, value: &str) -> bool {
        let place = (record.to_owned(), field.to_owned(), value.to_owned());
        self.state().intended.contains(&place)
    }

    /// These instances work side by side from now on.
    pub(crate) fn set_at_work(&self, instances: &[Instance]) {
        self.state().at_work = instances.iter().copied().collect();
    }

    /// Nobody works any more; whoever waited waits in vain.
    pub(crate) fn all_rest(&self) {
        let mut state = self.state();
        state.at_work.clear();
        state.waiting.clear();
        (state.busy, state.granted) = (false, None);
    }

    /// An instance has nothing more to do; what it waited for is not to happen.
    pub(crate) fn rests(&self, instance: Instance) {
        self.state().at_work.remove(&instance);
    }

    /// Decides whose turn it is, once everybody waits. Returns whether somebody's is.
    pub(crate) fn choose(&self) -> bool {
        let mut state = self.state();
        if state.busy || state.granted.is_some() || state.waiting.is_empty() {
            return false;
        }
        let n = state.waiting.len();
        let place = if n == 1 { 0 } else { state.rng.as_mut().unwrap().usize(..n) };
        let ticket = state.waiting.keys().nth(place).copied();
        state.granted = ticket;
        if let Some(waker) = ticket.and_then(|ticket| state.waiting.get(&ticket)) {
            waker.wake_by_ref();
        }
        true
    }

    /// Does something to the outside, in its turn; ends the instance before or after it, if its time has come.
    pub(crate) async fn effect<T>(
        &self,
        instance: Instance,
        name: &str,
        between: impl Future<Output = ()>,
        what: impl Future<Output = T>,
    ) -> T {
        // A message is taken in whenever it comes, also in the middle of somebody's turn.
        let has_turns = !matches!(name, "room" | "accept");
        if has_turns {
            self.turn(instance).await;
            between.await;
        }
        let last_words = self.count_down(instance);
        if last_words == Some(LastWords::Before) {
            return self.end(instance, name, "before").await;
        }
        self.note(format!("{instance} {name}"));
        let outcome = what.await;
        if last_words == Some(LastWords::After) {
            return self.end(instance, name, "after").await;
        }
        if has_turns {
            self.state().busy = false;
        }
        outcome
    }

    /// Nothing of the instance goes on from here.
    async fn end<T>(&self, instance: Instance, name: &str, when: &str) -> T {
        self.note(format!("{instance} ends {when} {name}"));
        self.state().has_ended(instance);
        std::future::pending().await
    }

    fn count_down(&self, instance: Instance) -> Option<LastWords> {
        let mut state = self.state();
        if state.ended.contains(&instance) {
            return Some(LastWords::Before);
        }
        let left = state.ends_in.get_mut(&instance)?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        state.ends_in.remove(&instance);
        let before = state.rng.as_mut().unwrap().bool();
        Some(if before { LastWords::Before } else { LastWords::After })
    }

    /// Waits for its turn. Whoever works alone, as an operator's question does, waits for nobody.
    async fn turn(&self, instance: Instance) {
        let mut place = Place { world: self, ticket: None };
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if !state.at_work.contains(&instance) {
                return Poll::Ready(());
            }
            let ticket = *place.ticket.get_or_insert_with(|| {
                state.last_ticket += 1;
                state.last_ticket
            });
            if state.granted == Some(ticket) {
                state.granted = None;
                state.busy = true;
                return Poll::Ready(());
            }
            state.waiting.insert(ticket, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A place among those who wait; given up when this is dropped.
struct Place<'a> {
    world: &'a World,
    ticket: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if let Some(ticket) = self.ticket {
            state.waiting.remove(&ticket);
            if state.granted == Some(ticket) {
                state.granted = None;
            }
        }
    }
}

impl State {
    fn has_ended(&mut self, instance: Instance) {
        self.ended.insert(instance);
        self.busy = false;
        self.watching.drain(..).for_each(Waker::wake);
    }
}

/// How an instance ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastWords {
    /// The effect does not happen any more.
    Before,
    /// It happens, and nobody learns of it.
    After,
}
