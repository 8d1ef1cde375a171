//! When to try again: pure functions from what happened to what to do next.
//!
//! | what happened | what follows |
//! |---|---|
//! | a CRM answers no question of a whole round | the connection rests 2 s, 4 s, 8 s ... at most 1 min; no job counts an attempt, however long it takes |
//! | the CRM is busy, locked or unreachable for one record | again after 2 s, 4 s, 8 s ... at most 15 min, jittered, or when the CRM asks; parked after 12 attempts |
//! | the allowance is used up | again when it is there; does not count as an attempt |
//! | the answer is not what the documentation promises | as unreachable, parked after 5 attempts: it may be a bug of ours |
//! | the record is refused for what changed after our look | again at once; parked after 4 attempts: then it did not change, it stands in the way |
//! | a field is refused that the schemas still showed | again after a minute, when the schemas are read anew; parked after 3 attempts |
//! | the record is refused | parked: trying again would be refused again |
//! | our credentials are refused | the connection rests; the job is given back |

use crate::domain::Timestamp;
use crate::plan::Category;

/// The first wait.
pub const WAIT_FIRST_MS: i64 = 2_000;

/// The longest wait: a CRM that is back must not wait longer for us than that.
pub const WAIT_MAX_MS: i64 = 15 * 60 * 1_000;

/// The longest rest of a connection whose CRM does not answer: work must go on soon after it is back.
pub const REST_MAX_MS: i64 = 60 * 1_000;

/// Attempts before a job is parked; with the waits above that is a little over an hour and a half.
pub const ATTEMPTS_MAX: u32 = 12;

/// Attempts before a job is parked whose answers make no sense.
pub const ATTEMPTS_UNEXPECTED_MAX: u32 = 5;

/// Attempts before a job is parked that something came in the way of. One is for what came between our look and our write, the others
/// for failures of another kind, which count as well.
pub const ATTEMPTS_OVERTAKEN_MAX: u32 = 4;

/// How long to wait for schemas that may be read again: those that are younger are believed.
pub const SCHEMAS_WAIT_MS: i64 = 60 * 1_000;

/// Attempts before a job is parked whose field is refused although the schemas show it.
pub const ATTEMPTS_HIDDEN_MAX: u32 = 3;

/// How long to wait for an allowance when the CRM does not say: HubSpot's short window.
pub const QUOTA_WAIT_MS: i64 = 10_000;

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The CRM is busy, locked or unreachable.
    Unavailable {
        /// How long it asked us to wait.
        retry_after_ms: Option<i64>,
    },
    /// The allowance is used up.
    Quota {
        /// When it is there again, where that is known.
        until: Option<Timestamp>,
    },
    /// Our credentials are refused.
    Unauthorized,
    /// The record is refused, for something that another look would have found if it is new.
    Overtaken(Category),
    /// A field is refused, which may have been hidden since the schemas were read.
    Hidden(Category),
    /// The record is refused.
    Refused(Category),
    /// The answer is not what the documentation promises.
    Unexpected,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    RetryAt {
        /// When.
        at: Timestamp,
        /// The heading under which the job waits.
        category: Category,
        /// Whether it counts as an attempt.
        counts: bool,
    },
    /// Wait for a person.
    Park(Category),
    /// Nothing of this connection can work until its credentials do.
    PauseConnection,
}

/// Decides what follows a failure, after `attempts` earlier ones. `jitter` is a random number from 0 to 1.
pub fn next(failure: &Failure, attempts: u32, now: Timestamp, jitter: f64) -> Next {
    match failure {
        Failure::Unavailable { retry_after_ms } => again(
            attempts,
            ATTEMPTS_MAX,
            Category::Unavailable,
            now.plus_millis(wait_ms(*retry_after_ms, attempts, jitter)),
        ),
        Failure::Unexpected => again(
            attempts,
            ATTEMPTS_UNEXPECTED_MAX,
            Category::Unexpected,
            now.plus_millis(wait_ms(None, attempts, jitter)),
        ),
        Failure::Quota { until } => {
            // No jitter: what waits for the same allowance comes back together, and shares its calls.
            let at = until.filter(|until| *until > now).unwrap_or_else(|| now.plus_millis(QUOTA_WAIT_MS));
            Next::RetryAt { at, category: Category::Quota, counts: false }
        }
        Failure::Overtaken(category) => again(attempts, ATTEMPTS_OVERTAKEN_MAX, *category, now),
        Failure::Hidden(category) => {
            again(attempts, ATTEMPTS_HIDDEN_MAX, *category, now.plus_millis(SCHEMAS_WAIT_MS))
        }
        Failure::Refused(category) => Next::Park(*category),
        Failure::Unauthorized => Next::PauseConnection,
    }
}

/// How long a connection rests after so many rounds in a row in which a CRM answered nothing.
pub fn rest_ms(rounds: u32) -> i64 {
    doubled(rounds.saturating_sub(1)).min(REST_MAX_MS)
}

fn again(attempts: u32, attempts_max: u32, category: Category, at: Timestamp) -> Next {
    if attempts + 1 >= attempts_max {
        Next::Park(category)
    } else {
        Next::RetryAt { at, category, counts: true }
    }
}

/// What the CRM asks for, or twice as long for each attempt; half of it is left to chance, so that jobs do not come back in step.
fn wait_ms(asked_ms: Option<i64>, attempts: u32, jitter: f64) -> i64 {
    if let Some(asked) = asked_ms {
        return asked.clamp(0, WAIT_MAX_MS);
    }
    let wait = doubled(attempts).min(WAIT_MAX_MS);
    wait / 2 + scaled(wait / 2, jitter)
}

/// The first wait, doubled so many times.
fn doubled(times: u32) -> i64 {
    WAIT_FIRST_MS.saturating_mul(1_i64.checked_shl(times.min(30)).unwrap_or(i64::MAX))
}

/// A share of a wait; whole milliseconds are exact enough.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "waits are far below 2^52 milliseconds"
)]
fn scaled(wait_ms: i64, share: f64) -> i64 {
    (wait_ms as f64 * share.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn wait_after(attempts: u32, jitter: f64) -> i64 {
        match next(&Failure::Unavailable { retry_after_ms: None }, attempts, NOW, jitter) {
            Next::RetryAt { at, counts: true, .. } => at.millis_since(NOW),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_rests_longer_each_time_and_never_long() {
        let rests: Vec<i64> = (1..9).map(rest_ms).collect();
        assert_eq!(rests, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(rest_ms(u32::MAX), REST_MAX_MS);
    }

    #[test]
    fn r_283_waits_double_up_to_a_quarter_of_an_hour() {
        assert_eq!((wait_after(0, 0.0), wait_after(0, 1.0)), (1_000, 2_000));
        assert_eq!((wait_after(3, 0.0), wait_after(3, 1.0)), (8_000, 16_000));
        assert_eq!(wait_after(10, 1.0), WAIT_MAX_MS);
        assert_eq!(
            next(&Failure::Unavailable { retry_after_ms: None }, 11, NOW, 0.5),
            Next::Park(Category::Unavailable)
        );
    }

    #[test]
    fn what_the_crm_asks_for_is_honoured() {
        let asked = Failure::Unavailable { retry_after_ms: Some(7_000) };
        let at = NOW.plus_millis(7_000);
        assert_eq!(
            next(&asked, 0, NOW, 0.9),
            Next::RetryAt { at, category: Category::Unavailable, counts: true }
        );
    }

    #[test]
    fn waiting_for_an_allowance_is_no_attempt() {
        let until = NOW.plus_millis(60_000);
        let quota = Failure::Quota { until: Some(until) };
        assert_eq!(
            next(&quota, 500, NOW, 0.0),
            Next::RetryAt { at: until, category: Category::Quota, counts: false }
        );
        let unknown = Failure::Quota { until: None };
        let at = NOW.plus_millis(QUOTA_WAIT_MS);
        assert_eq!(
            next(&unknown, 0, NOW, 0.0),
            Next::RetryAt { at, category: Category::Quota, counts: false }
        );
    }

    #[test]
    fn what_came_in_the_way_is_looked_at_a_few_times() {
        let overtaken = Failure::Overtaken(Category::Duplicate);
        for attempts in 0..ATTEMPTS_OVERTAKEN_MAX - 1 {
            let again = Next::RetryAt { at: NOW, category: Category::Duplicate, counts: true };
            assert_eq!(next(&overtaken, attempts, NOW, 0.5), again);
        }
        let last = next(&overtaken, ATTEMPTS_OVERTAKEN_MAX - 1, NOW, 0.5);
        assert_eq!(last, Next::Park(Category::Duplicate));
    }

    #[test]
    fn a_refused_record_waits_for_a_person() {
        assert_eq!(
            next(&Failure::Refused(Category::Validation), 0, NOW, 0.5),
            Next::Park(Category::Validation)
        );
        assert_eq!(next(&Failure::Unauthorized, 0, NOW, 0.5), Next::PauseConnection);
        assert_eq!(next(&Failure::Unexpected, 4, NOW, 0.5), Next::Park(Category::Unexpected));
    }
}
