//! Room for more: whether the door may take deliveries in, or turns them away before disk or queue are full.
//!
//! Both CRMs repeat what is turned away, for a day; a full disk is mended by a person, perhaps at night. So the door closes while
//! what is stored already can still be worked.

use std::sync::{Mutex, PoisonError};

use crate::domain::Timestamp;
use crate::store::{Error, Store};

/// How old the knowledge of the room may be. At the rates that a disk takes, less than a hundred megabytes arrive meanwhile.
const KNOWN_FOR_MS: u64 = 1_000;

/// What must be left.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Free bytes on the disk of the database, where we see it.
    pub free_bytes_min: u64,
    /// The most records that wait for work.
    pub backlog_max: u64,
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free bytes on the disk of the database; `None` where a server keeps it, which says so itself when it is full.
    pub free_bytes: Option<u64>,
    /// Whether more records wait for work than asked about.
    pub backlog_is_longer: bool,
}

/// What there is no room in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The disk: make room, or move the database.
    #[error("the disk of the database has less free space than database.free_mb_min; make room on it")]
    Disk,
    /// The queue: find out why work does not get done.
    #[error("more records wait for work than server.backlog_max; see why their work does not get done")]
    Queue,
}

impl Full {
    /// The failing part, for the platform's probe.
    pub const fn part(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Queue => "queue",
        }
    }
}

impl Limits {
    /// What there is no room in, if anything.
    fn full(&self, room: Room) -> Option<Full> {
        if room.free_bytes.is_some_and(|free| free < self.free_bytes_min) {
            return Some(Full::Disk);
        }
        room.backlog_is_longer.then_some(Full::Queue)
    }
}

/// What is known of the room, asked anew once it is too old.
#[derive(Debug)]
pub(super) struct Known {
    limits: Limits,
    last: Mutex<Option<(Timestamp, Option<Full>)>>,
}

impl Known {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, last: Mutex::new(None) }
    }

    /// What there is no room in, if anything.
    pub(super) async fn full(&self, store: &dyn Store, now: Timestamp) -> Result<Option<Full>, Error> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that went back makes knowledge old as well.
        if let Some((at, full)) = last
            && now.millis_since(at).unsigned_abs() < KNOWN_FOR_MS
        {
            return Ok(full);
        }
        let full = self.limits.full(store.room(self.limits.backlog_max).await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, full));
        Ok(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(Some(99), false, Some(Full::Disk))]
    #[case(Some(100), false, None)]
    #[case(Some(99), true, Some(Full::Disk))]
    #[case(None, true, Some(Full::Queue))]
    #[case(None, false, None)]
    fn room_is_what_the_limits_leave(
        #[case] free_bytes: Option<u64>,
        #[case] backlog_is_longer: bool,
        #[case] full: Option<Full>,
    ) {
        let limits = Limits { free_bytes_min: 100, backlog_max: 7 };
        assert_eq!(limits.full(Room { free_bytes, backlog_is_longer }), full);
    }
}
