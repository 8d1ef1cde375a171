//! The share of a CRM's allowance that is ours: refused here before the CRM refuses (I6).
//!
//! | allowance | window | told by |
//! |---|---|---|
//! | HubSpot, burst | 10 s, rolling | configuration; 429 `TEN_SECONDLY_ROLLING` |
//! | HubSpot, daily | day (UTC; HubSpot's own ends at the account's midnight) | configuration; `X-HubSpot-RateLimit-Daily-Remaining` |
//! | Salesforce, daily | day (UTC; Salesforce's own is the last 24 h) | configuration; `Sforce-Limit-Info` |

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::crm::Error;
use crate::domain::Timestamp;

/// HubSpot's short window.
const BURST_WINDOW_MS: i64 = 10_000;

/// A day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Calls in ten seconds; `None` where there is no such limit.
    pub per_10s: Option<u32>,
    /// Calls in a day.
    pub per_day: u32,
}

/// Counts calls against an allowance.
pub(crate) struct Limiter {
    allowance: Allowance,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    recent: VecDeque<Timestamp>,
    day: i64,
    today: u32,
    refused_until: Option<Timestamp>,
}

impl Limiter {
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self { allowance, spent: Mutex::default() }
    }

    /// Takes one call, or says when there is one.
    pub(crate) fn take(&self, now: Timestamp) -> Result<(), Error> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent
            .take(self.allowance, now)
            .map_err(|(policy, until)| Error::Quota { policy: policy.to_owned(), until: Some(until) })
    }

    /// The CRM refuses calls until then: ask no more before.
    pub(crate) fn refuse_until(&self, until: Timestamp) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).refused_until = Some(until);
    }

    /// What is left of the day's share.
    pub(crate) fn left_today(&self) -> u64 {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        u64::from(self.allowance.per_day.saturating_sub(spent.today))
    }
}

impl Spent {
    fn take(&mut self, allowance: Allowance, now: Timestamp) -> Result<(), (&'static str, Timestamp)> {
        if let Some(until) = self.refused_until.filter(|until| *until > now) {
            return Err(("REFUSED_BY_CRM", until));
        }
        let day = now.as_millis().div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        if self.today >= allowance.per_day {
            return Err(("DAILY", Timestamp::from_millis((day + 1) * DAY_MS)));
        }
        if let Some(per_10s) = allowance.per_10s {
            while self.recent.front().is_some_and(|at| now.millis_since(*at) >= BURST_WINDOW_MS) {
                self.recent.pop_front();
            }
            if self.recent.len() >= per_10s as usize {
                let oldest = self.recent.front().copied().unwrap_or(now);
                return Err(("TEN_SECONDLY_ROLLING", oldest.plus_millis(BURST_WINDOW_MS)));
            }
            self.recent.push_back(now);
        }
        self.today += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = DAY_MS / 2;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn i_6_the_short_window_rolls() {
        let allowance = Allowance { per_10s: Some(2), per_day: 100 };
        let mut spent = Spent::default();
        assert_eq!(spent.take(allowance, at(NOON)), Ok(()));
        assert_eq!(spent.take(allowance, at(NOON + 4_000)), Ok(()));
        assert_eq!(spent.take(allowance, at(NOON + 9_999)), Err(("TEN_SECONDLY_ROLLING", at(NOON + 10_000))));
        assert_eq!(spent.take(allowance, at(NOON + 10_000)), Ok(()));
        assert_eq!(
            spent.take(allowance, at(NOON + 10_001)),
            Err(("TEN_SECONDLY_ROLLING", at(NOON + 14_000)))
        );
    }

    #[test]
    fn i_6_the_day_ends_at_midnight() {
        let allowance = Allowance { per_10s: None, per_day: 1 };
        let mut spent = Spent::default();
        assert_eq!(spent.take(allowance, at(NOON)), Ok(()));
        assert_eq!(spent.take(allowance, at(NOON + 1)), Err(("DAILY", at(DAY_MS))));
        assert_eq!(spent.take(allowance, at(DAY_MS)), Ok(()));
    }

    #[test]
    fn what_the_crm_refuses_is_not_asked_again_before_its_time() {
        let limiter = Limiter::new(Allowance { per_10s: None, per_day: 10 });
        limiter.refuse_until(at(NOON + 5));
        assert!(
            matches!(limiter.take(at(NOON)), Err(Error::Quota { until: Some(until), .. }) if until == at(NOON + 5))
        );
        assert!(limiter.take(at(NOON + 5)).is_ok());
        assert_eq!(limiter.left_today(), 9);
    }
}
