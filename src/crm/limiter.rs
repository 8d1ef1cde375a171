//! The share of a CRM's allowance that is ours: refused here before the CRM refuses (I6).
//!
//! | allowance | window | told by |
//! |---|---|---|
//! | HubSpot, burst | 10 s, rolling, counted by the second | configuration; 429 `TEN_SECONDLY_ROLLING` |
//! | HubSpot, daily | day (UTC; HubSpot's own ends at the account's midnight) | configuration; `X-HubSpot-RateLimit-Daily-Remaining` |
//! | Salesforce, daily | day (UTC; Salesforce's own is the last 24 h) | configuration; `Sforce-Limit-Info` |
//!
//! What is spent is written in a [`Purse`] that all instances share and that outlives them. Calls that wait at the same time take their
//! share together; of a day's allowance some are taken ahead, because it matters little if they are lost with an instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::crm::Error;
use crate::domain::{Clock, System, Timestamp};

/// Seconds in HubSpot's short window.
const BURST_SLOTS: i64 = 10;

/// A second.
const SECOND_MS: i64 = 1_000;

/// Seconds ahead of our clock that still count: an instance may have been held up in the middle of taking its share, or its clock be slow.
/// Those further ahead were written before the clock went back, and would count until it is there again.
const SECONDS_AHEAD: i64 = 120;

/// Days ahead that still count, for the same reasons.
const DAYS_AHEAD: i64 = 1;

/// A day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Calls of a day's allowance taken ahead: with each of them the purse would be opened once more.
const DAY_AHEAD: u32 = 20;

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Calls in ten seconds; `None` where there is no such limit.
    pub per_10s: Option<u32>,
    /// Calls in a day.
    pub per_day: u32,
}

/// What is wanted of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which allowance.
    pub allowance: &'static str,
    /// The present slot of its window.
    pub slot: i64,
    /// The oldest slot that still counts.
    pub oldest_slot: i64,
    /// The newest slot that counts.
    pub newest_slot: i64,
    /// The most calls in all slots that count.
    pub limit: u32,
    /// How many calls are wanted.
    pub calls: u32,
}

/// What was taken of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many calls: what was wanted, or what was left.
    pub calls: u32,
    /// How many are left after them.
    pub left: u32,
}

/// Where all instances write what they spend.
#[async_trait]
pub trait Purse: Send + Sync {
    /// Takes calls out of an allowance.
    async fn take(&self, wanted: &Wanted) -> Result<Taken, Error>;
}

/// Counts calls against an allowance.
pub(crate) struct Limiter {
    names: (&'static str, &'static str),
    allowance: Allowance,
    purse: Arc<dyn Purse>,
    /// Held while the purse is opened, so that those who wait meanwhile take their share together.
    opening: tokio::sync::Mutex<()>,
    hand: Mutex<Hand>,
}

/// What was taken and not spent yet.
#[derive(Default)]
struct Hand {
    /// Calls that wait for their share.
    waiting: u32,
    burst: InHand,
    day: InHand,
    left_today: Option<u32>,
    refused_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Default)]
struct InHand {
    slot: i64,
    calls: u32,
}

impl InHand {
    /// What is in hand counts in its own slot only.
    const fn in_slot(self, slot: i64) -> u32 {
        if self.slot == slot { self.calls } else { 0 }
    }
}

/// A call that waits for its share; it waits no more when this is dropped.
struct Waiting<'a>(&'a Limiter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.hand().waiting -= 1;
    }
}

/// What a CRM's allowances are called where they are counted: of the short window, and of the day.
const fn names(system: System) -> (&'static str, &'static str) {
    match system {
        System::Hubspot => ("hubspot.burst", "hubspot.day"),
        System::Salesforce => ("salesforce.burst", "salesforce.day"),
    }
}

/// The slot in which the calls of a day are counted: what the allowance is called, and the day.
pub fn day_slot(system: System, now: Timestamp) -> (&'static str, i64) {
    (names(system).1, now.as_millis().div_euclid(DAY_MS))
}

impl Limiter {
    pub(crate) fn new(system: System, allowance: Allowance, purse: Arc<dyn Purse>) -> Self {
        let names = names(system);
        Self { names, allowance, purse, opening: tokio::sync::Mutex::default(), hand: Mutex::default() }
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one call, to be made at once, or says when there is one.
    pub(crate) async fn take(&self, clock: &dyn Clock) -> Result<(), Error> {
        let now = clock.now();
        let refused = self.hand().refused_until.filter(|until| *until > now);
        if let Some(until) = refused {
            return Err(used_up("REFUSED_BY_CRM", until));
        }
        self.hand().waiting += 1;
        let _waiting = Waiting(self);
        let _opening = self.opening.lock().await;
        let day = clock.now().as_millis().div_euclid(DAY_MS);
        if self.hand().day.in_slot(day) == 0 {
            self.open_for_the_day(day).await?;
        }
        if let Some(limit) = self.allowance.per_10s {
            self.take_of_the_burst(clock, limit).await?;
        }
        self.hand().day.calls -= 1;
        Ok(())
    }

    /// What is taken in a second is spent in it. Where the purse took longer to open, the call counts again, in the second in which it is
    /// made; this ends with the allowance at the latest.
    async fn take_of_the_burst(&self, clock: &dyn Clock, limit: u32) -> Result<(), Error> {
        let second_of = |now: Timestamp| now.as_millis().div_euclid(SECOND_MS);
        loop {
            let second = second_of(clock.now());
            if self.hand().burst.in_slot(second) == 0 {
                self.open_for_the_burst(second, limit).await?;
            }
            self.hand().burst.calls -= 1;
            if second_of(clock.now()) == second {
                return Ok(());
            }
        }
    }

    async fn open_for_the_day(&self, day: i64) -> Result<(), Error> {
        let calls = self.hand().waiting.max(DAY_AHEAD);
        let limit = self.allowance.per_day;
        let wanted = Wanted {
            allowance: self.names.1,
            slot: day,
            oldest_slot: day,
            newest_slot: day + DAYS_AHEAD,
            limit,
            calls,
        };
        let taken = self.purse.take(&wanted).await?;
        let mut hand = self.hand();
        hand.left_today = Some(taken.left);
        hand.day = InHand { slot: day, calls: taken.calls };
        if taken.calls == 0 {
            return Err(used_up("DAILY", Timestamp::from_millis((day + 1) * DAY_MS)));
        }
        Ok(())
    }

    async fn open_for_the_burst(&self, second: i64, limit: u32) -> Result<(), Error> {
        let wanted = Wanted {
            allowance: self.names.0,
            slot: second,
            // A call late in the oldest second is less than ten seconds old.
            oldest_slot: second - BURST_SLOTS,
            newest_slot: second + SECONDS_AHEAD,
            limit,
            calls: self.hand().waiting,
        };
        let taken = self.purse.take(&wanted).await?;
        self.hand().burst = InHand { slot: second, calls: taken.calls };
        if taken.calls == 0 {
            // Something comes back with each second, if only a little.
            return Err(used_up("TEN_SECONDLY_ROLLING", Timestamp::from_millis((second + 1) * SECOND_MS)));
        }
        Ok(())
    }

    /// The CRM refuses calls until then: ask no more before.
    pub(crate) fn refuse_until(&self, until: Timestamp) {
        self.hand().refused_until = Some(until);
    }

    /// The calls of a day that are ours.
    pub(crate) const fn per_day(&self) -> u32 {
        self.allowance.per_day
    }

    /// What is left of the day's share, with what is in hand.
    pub(crate) fn left_today(&self) -> u64 {
        let hand = self.hand();
        u64::from(hand.left_today.map_or(self.allowance.per_day, |left| left.saturating_add(hand.day.calls)))
    }
}

fn used_up(policy: &str, until: Timestamp) -> Error {
    Error::Quota { policy: policy.to_owned(), until: Some(until) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::TestClock;

    const NOON: i64 = DAY_MS / 2;

    #[derive(Default)]
    struct Book(Mutex<Pages>);

    #[derive(Default)]
    struct Pages {
        /// What is written down, by allowance and slot.
        spent: BTreeMap<(&'static str, i64), u32>,
        /// How often the purse was opened.
        opened: u32,
    }

    #[async_trait]
    impl Purse for Book {
        async fn take(&self, wanted: &Wanted) -> Result<Taken, Error> {
            // Whoever comes meanwhile waits.
            tokio::task::yield_now().await;
            let mut book = self.0.lock().unwrap();
            book.opened += 1;
            let counts = |(allowance, slot): &(&str, i64)| {
                *allowance == wanted.allowance && (wanted.oldest_slot..=wanted.newest_slot).contains(slot)
            };
            let spent: u32 = book.spent.iter().filter(|(place, _)| counts(place)).map(|(_, n)| n).sum();
            let left = wanted.limit.saturating_sub(spent);
            let calls = left.min(wanted.calls);
            *book.spent.entry((wanted.allowance, wanted.slot)).or_default() += calls;
            Ok(Taken { calls, left: left - calls })
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn limiter(per_10s: Option<u32>, per_day: u32, book: &Arc<Book>) -> Limiter {
        Limiter::new(System::Hubspot, Allowance { per_10s, per_day }, Arc::clone(book) as _)
    }

    async fn refused(limiter: &Limiter, now: i64) -> Option<(String, i64)> {
        match limiter.take(&TestClock::at(at(now))).await {
            Ok(()) => None,
            Err(Error::Quota { policy, until: Some(until) }) => Some((policy, until.as_millis())),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn i_6_the_short_window_rolls_and_is_shared() {
        let book = Arc::new(Book::default());
        let (one, other) = (limiter(Some(2), 100, &book), limiter(Some(2), 100, &book));
        let used_up = |until| Some(("TEN_SECONDLY_ROLLING".to_owned(), until));
        assert_eq!(refused(&one, NOON).await, None);
        assert_eq!(refused(&other, NOON + 4_500).await, None);
        assert_eq!(refused(&one, NOON + 9_999).await, used_up(NOON + 10_000));
        assert_eq!(
            refused(&one, NOON + 10_500).await,
            used_up(NOON + 11_000),
            "the first may have been at 999"
        );
        assert_eq!(refused(&one, NOON + 11_000).await, None);
        assert_eq!(refused(&other, NOON + 11_001).await, used_up(NOON + 12_000));
    }

    /// A purse that takes some seconds to open.
    struct Slow(Arc<Book>, TestClock);

    #[async_trait]
    impl Purse for Slow {
        async fn take(&self, wanted: &Wanted) -> Result<Taken, Error> {
            let taken = self.0.take(wanted).await;
            if wanted.allowance == "hubspot.burst" && wanted.slot == NOON / SECOND_MS {
                self.1.advance_millis(3_000);
            }
            taken
        }
    }

    #[tokio::test]
    async fn i_6_a_call_counts_in_the_second_in_which_it_is_made() {
        let (book, clock) = (Arc::new(Book::default()), TestClock::at(at(NOON)));
        let slow = Slow(Arc::clone(&book), clock.clone());
        let allowance = Allowance { per_10s: Some(3), per_day: 100 };
        Limiter::new(System::Hubspot, allowance, Arc::new(slow)).take(&clock).await.unwrap();
        let other = limiter(Some(3), 100, &book);
        let made_at = NOON + 3_000;
        assert_eq!(refused(&other, made_at + 9_000).await, None);
        assert_eq!(refused(&other, made_at + 9_000).await, None, "the first second counts no more");
        let until = made_at + 10_000;
        assert_eq!(
            refused(&other, made_at + 9_999).await,
            Some(("TEN_SECONDLY_ROLLING".to_owned(), until)),
            "the call is not ten seconds old"
        );
    }

    #[tokio::test]
    async fn i_6_the_day_ends_at_midnight_and_survives_a_restart() {
        let book = Arc::new(Book::default());
        let first = limiter(None, DAY_AHEAD + 1, &book);
        assert_eq!(refused(&first, NOON).await, None);
        let second = limiter(None, DAY_AHEAD + 1, &book);
        assert_eq!(refused(&second, NOON + 1).await, None);
        assert_eq!(
            refused(&second, NOON + 2).await,
            Some(("DAILY".to_owned(), DAY_MS)),
            "the rest is the first one's"
        );
        assert_eq!(refused(&first, NOON + 3).await, None);
        assert_eq!(refused(&second, DAY_MS).await, None);
    }

    #[tokio::test]
    async fn those_who_wait_take_their_share_together() {
        let book = Arc::new(Book::default());
        let limiter = limiter(Some(1_000), 1_000, &book);
        let clock = TestClock::at(at(NOON));
        let taken = futures::future::join_all((0..50).map(|_| limiter.take(&clock))).await;
        assert!(taken.iter().all(Result::is_ok));
        let opened = book.0.lock().unwrap().opened;
        assert!(opened <= 4, "fifty calls opened the purse {opened} times");
        assert_eq!(limiter.left_today(), 950);
    }

    #[tokio::test]
    async fn what_the_crm_refuses_is_not_asked_again_before_its_time() {
        let limiter = limiter(None, 100, &Arc::default());
        limiter.refuse_until(at(NOON + 5));
        assert_eq!(refused(&limiter, NOON).await, Some(("REFUSED_BY_CRM".to_owned(), NOON + 5)));
        assert_eq!(refused(&limiter, NOON + 5).await, None);
        assert_eq!(limiter.left_today(), 99);
    }
}
