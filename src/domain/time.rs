//! Instants and the clock. Only [`SystemClock`] reads the machine's time; everything else is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

/// An instant in milliseconds since 1970-01-01T00:00:00Z, the one form in which both databases store time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `millis`, which may be negative.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant; negative if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads ISO 8601 with an offset, as both CRMs write it: `2026-03-12T07:33:46.615Z`, `2026-05-01T07:25:37.000+0000`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(Self(instant.as_millisecond()));
        }
        // Salesforce writes its offset without a colon; not every reader of ISO 8601 takes that.
        let (head, offset) = text.split_at_checked(text.len().checked_sub(4)?)?;
        let (hours, minutes) = offset.split_at_checked(2)?;
        let instant = format!("{head}{hours}:{minutes}").parse::<jiff::Timestamp>().ok()?;
        Some(Self(instant.as_millisecond()))
    }
}

/// Prints ISO 8601 in UTC with milliseconds: `2026-03-12T07:33:46.615Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{}", instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Something that knows what time it is.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
        let now = jiff::Timestamp::now();
        Timestamp(now.as_millisecond())
    }
}

/// A clock that stands still until it is moved. For tests and for the emulators' `POST /_control/clock`.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_millis())))
    }

    /// Moves the clock on.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vendors_forms_are_read() {
        let expected = Timestamp::from_millis(1_777_620_337_000);
        for text in [
            "2026-05-01T07:25:37Z",
            "2026-05-01T07:25:37.000Z",
            "2026-05-01T07:25:37.000+0000",
            "2026-05-01T09:25:37.000+02:00",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "x", "2026-05-01", "ö", "1777620337000"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn printing_keeps_the_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_777_620_337_045).to_string(), "2026-05-01T07:25:37.045Z");
    }
}
