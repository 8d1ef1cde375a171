//! What `/_control/` offers: counts of calls, faults, the clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::domain::{Clock, Timestamp};
use crate::emulator::{Asked, Vendor};

/// Who calls an emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// The service.
    Integration,
    /// Somebody at work.
    Person,
    /// Nobody the emulator knows.
    Unknown,
}

impl Caller {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Integration => "integration",
            Self::Person => "person",
            Self::Unknown => "unknown",
        }
    }
}

/// A clock that `POST /_control/clock` moves ahead of another.
#[derive(Clone, Debug)]
pub struct EmulatorClock {
    base: Arc<dyn Clock>,
    ahead_ms: Arc<AtomicI64>,
    sequence: Arc<AtomicU64>,
}

impl EmulatorClock {
    /// A clock that shows what `base` shows.
    pub fn new(base: Arc<dyn Clock>) -> Self {
        Self { base, ahead_ms: Arc::default(), sequence: Arc::default() }
    }

    /// Moves it on.
    pub fn advance_millis(&self, millis: i64) {
        self.ahead_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// The number of changes that the journals of all emulators on this clock have noted.
    pub fn noted(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub(super) fn sequence(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sequence)
    }
}

impl Clock for EmulatorClock {
    fn now(&self) -> Timestamp {
        self.base.now().plus_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// Something that goes wrong with the next calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only calls of this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls whose path contains this.
    #[serde(default)]
    pub path: String,
    /// How many calls pass before it begins.
    #[serde(default)]
    pub skip: u32,
    /// How many calls it concerns.
    #[serde(default = "once")]
    pub times: u32,
    /// Answered instead of carrying out the call.
    #[serde(default)]
    pub status: Option<u16>,
    /// The body that goes with it.
    #[serde(default)]
    pub body: Option<String>,
    /// Waited before anything happens.
    #[serde(default)]
    pub delay_ms: u64,
    /// The call is carried out, and the connection breaks instead of an answer.
    #[serde(default)]
    pub applied_but_unanswered: bool,
}

const fn once() -> u32 {
    1
}

/// Counts, faults and clock of an emulator; cheap to clone.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    clock: EmulatorClock,
    calls: Mutex<Counts>,
    parts: Mutex<Counts>,
    faults: Mutex<Vec<Fault>>,
    latency_ms: AtomicU64,
    acts: Mutex<Vec<(String, Act)>>,
    unknown: Mutex<Vec<String>>,
}

/// How many there were, by method, endpoint and caller.
type Counts = BTreeMap<(String, &'static str, Caller), u64>;

/// What somebody does right before a call is carried out.
type Act = Box<dyn FnOnce() + Send>;

impl Control {
    /// A desk with that clock.
    pub fn new(clock: EmulatorClock) -> Self {
        Self(Arc::new(Inner {
            clock,
            calls: Mutex::default(),
            parts: Mutex::default(),
            faults: Mutex::default(),
            latency_ms: AtomicU64::new(0),
            acts: Mutex::default(),
            unknown: Mutex::default(),
        }))
    }

    /// The emulator's clock.
    pub fn clock(&self) -> &EmulatorClock {
        &self.0.clock
    }

    /// Lets every call take this much longer.
    pub fn set_latency_ms(&self, millis: u64) {
        self.0.latency_ms.store(millis, Ordering::SeqCst);
    }

    pub(super) fn latency_ms(&self) -> u64 {
        self.0.latency_ms.load(Ordering::SeqCst)
    }

    pub(super) fn count(&self, method: &str, endpoint: &'static str, caller: Caller) {
        let mut calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((method.to_owned(), endpoint, caller)).or_default() += 1;
    }

    /// Counts a part of a call that is several in one; the call itself is counted besides.
    pub(super) fn count_part(&self, method: &str, endpoint: &'static str, caller: Caller) {
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        *parts.entry((method.to_owned(), endpoint, caller)).or_default() += 1;
    }

    /// How many calls somebody made.
    pub fn total(&self, caller: Caller) -> u64 {
        let calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|((_, _, who), _)| *who == caller).map(|(_, n)| n).sum()
    }

    /// How many calls the service made to one endpoint, parts of other calls included.
    pub fn calls_to(&self, endpoint: &str) -> u64 {
        let of = |counts: &Mutex<Counts>| -> u64 {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted =
                counts.iter().filter(|((_, name, who), _)| *name == endpoint && *who == Caller::Integration);
            wanted.map(|(_, n)| n).sum()
        };
        of(&self.0.calls) + of(&self.0.parts)
    }

    /// Runs `act` once, right before the next call of the service whose path contains this text is carried out. A call that a fault
    /// answers is not carried out.
    pub fn before_next_call(&self, path: &str, act: impl FnOnce() + Send + 'static) {
        let mut acts = self.0.acts.lock().unwrap_or_else(PoisonError::into_inner);
        acts.push((path.to_owned(), Box::new(act)));
    }

    /// Does what was to be done before this call. Acts may call the emulator; none of its locks is held.
    pub(super) fn act_before(&self, path: &str, caller: Caller) {
        if caller != Caller::Integration {
            return;
        }
        let due: Vec<(String, Act)> = {
            let mut acts = self.0.acts.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, later) =
                std::mem::take(&mut *acts).into_iter().partition(|(part, _)| path.contains(part));
            *acts = later;
            due
        };
        for (_, act) in due {
            act();
        }
    }

    pub(super) fn note_unknown(&self, method: &str, path: &str) {
        let mut unknown = self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.push(format!("{method} {path}"));
    }

    /// The calls that the emulator does not know, by method and path. `reset` does not forget them.
    pub fn unknown_calls(&self) -> Vec<String> {
        self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn calls(&self) -> Json {
        let calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |((method, endpoint, caller), n): (&(String, &'static str, Caller), &u64)| json!({ "method": method, "endpoint": endpoint, "caller": caller.as_str(), "count": n });
        json!({ "total": calls.values().sum::<u64>(), "calls": calls.iter().map(line).collect::<Vec<_>>() })
    }

    /// Lets something go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(super) fn take_fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let concerns = |fault: &Fault| {
            fault.method.as_deref().is_none_or(|wanted| wanted == method) && path.contains(&fault.path)
        };
        let place = faults.iter().position(|fault| fault.times > 0 && concerns(fault))?;
        if faults[place].skip > 0 {
            faults[place].skip -= 1;
            return None;
        }
        faults[place].times -= 1;
        let fault = faults[place].clone();
        faults.retain(|fault| fault.times > 0);
        Some(fault)
    }

    /// Forgets calls, faults and what was to be done before calls; not the unknown calls.
    pub fn reset(&self) {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.acts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

/// Answers `/_control/NAME`.
pub(super) fn answer(vendor: &dyn Vendor, name: &str, asked: &Asked<'_>) -> Response {
    let desk = vendor.desk();
    let outcome = match (asked.method, name) {
        ("GET", "calls") => Ok(desk.calls()),
        ("POST", "faults") => read(asked.body).map(|fault| {
            desk.add_fault(fault);
            json!({})
        }),
        ("POST", "clock") => read(asked.body).map(|Advance { advance_ms }| {
            desk.clock().advance_millis(advance_ms);
            json!({ "now": desk.clock().now().to_string() })
        }),
        ("POST", "reset") => {
            desk.reset();
            vendor.control("reset", b"").unwrap_or_else(|| Ok(json!({})))
        }
        ("GET", "state" | "journal") | ("POST", _) => {
            vendor.control(name, asked.body).unwrap_or_else(|| Err(format!("there is no control {name}")))
        }
        _ => Err(format!("there is no control {name} for {}", asked.method)),
    };
    match outcome {
        Ok(body) => axum::Json(body).into_response(),
        Err(text) => (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": text }))).into_response(),
    }
}

/// Reads a control's body, saying what is wrong with it.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
