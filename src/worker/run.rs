//! When rounds happen: on being woken, when something becomes due, and every now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::crm;
use crate::domain::{Chain, Family};
use crate::plan::retry::WAIT_MAX_MS;
use crate::store::types::{ConnectionState, Horizon, SaidBy};
use crate::worker::connection::Live;
use crate::worker::sweep::STEP_LEASE_MS;
use crate::worker::{Error, Worker};

/// How long a connection rests after a CRM or the database could not be reached outside a record's own work.
const REST_AFTER_FAILURE_MS: i64 = 5_000;

/// How long a connection without access, or with settings that do not fit, rests before it tries again; long enough not to lock the user
/// out.
pub(super) const REST_WITHOUT_ACCESS_MS: i64 = 3 * 60 * 1_000;

/// The most turns of each connection that one [`Worker::drain`] takes before it reports that work does not end.
const DRAIN_TURNS_MAX: usize = 10_000;

impl Worker {
    /// Works until `stop`; then finishes the round in hand and gives back its leases.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        for live in self.connections.values() {
            let (worker, live, stop) = (Arc::clone(&self), Arc::clone(live), stop.clone());
            tracker.spawn(async move { worker.run_connection(&live, &stop).await });
        }
        tracker.close();
        tracker.wait().await;
        if let Err(error) = self.store.release_all(self.id).await {
            warn!(error = %Chain(&error), "Could not give back leases; they end by themselves");
        }
    }

    async fn run_connection(&self, live: &Live, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            // Registered before the queue is looked at, so that what becomes due in between is not missed.
            let due = self.due.notified();
            tokio::pin!(due);
            due.as_mut().enable();
            let Turn::Idle { rest_ms } = self.turn(live).await else { continue };
            tokio::select! {
                () = stop.cancelled() => {}
                () = due => {}
                () = tokio::time::sleep(Duration::from_millis(rest_ms)) => {}
            }
        }
    }

    /// Does whatever is due for a connection, and notes what keeps it from that.
    async fn turn(&self, live: &Live) -> Turn {
        match self.try_turn(live).await {
            Ok(turn) => turn,
            Err(error) => {
                self.note_failure(live, &error).await;
                Turn::Idle { rest_ms: REST_AFTER_FAILURE_MS.unsigned_abs() }
            }
        }
    }

    async fn try_turn(&self, live: &Live) -> Result<Turn, Error> {
        // Needs no CRM, so it goes on however the connection stands.
        let erased = self.store.advance_erasures(&live.settings.name, self.clock.now()).await?;
        match self.work_turn(live).await? {
            Turn::Idle { .. } if erased => Ok(Turn::Worked),
            turn => Ok(turn),
        }
    }

    async fn work_turn(&self, live: &Live) -> Result<Turn, Error> {
        self.begin_turn(live).await?;
        match self.store.connection_state(&live.settings.name).await? {
            ConnectionState::Running => live.is_accepted(),
            ConnectionState::Unauthorized(_) | ConnectionState::Refused(_)
                if live.is_to_be_tried(self.clock.now()) =>
            {
                return self.try_again(live).await;
            }
            // A person may let it go on by another instance.
            ConnectionState::Paused | ConnectionState::Unauthorized(_) | ConnectionState::Refused(_) => {
                return Ok(Turn::Idle { rest_ms: self.options.poll_ms });
            }
        }
        let rest_ms = live.rest_ms(self.clock.now());
        if rest_ms > 0 {
            return Ok(Turn::Idle { rest_ms });
        }
        let mut worked = 0;
        for family in Family::ALL {
            worked += self.round(live, family).await?;
        }
        // Live changes go ahead of resyncs and sweeps: a page is taken only when the round was not full.
        if worked < self.round_limit()
            && (self.advance_resyncs(live).await? || self.advance_sweeps(live).await?)
        {
            return Ok(Turn::Worked);
        }
        if worked > 0 {
            return Ok(Turn::Worked);
        }
        let now = self.clock.now();
        let next = self.store.next_due(&live.settings.name).await?;
        let until_next = next.map_or(i64::MAX, |next| next.millis_since(now).max(1));
        Ok(Turn::Idle { rest_ms: self.options.poll_ms.min(until_next.unsigned_abs()) })
    }

    /// What comes before anything else, whether the connection works or not.
    async fn begin_turn(&self, live: &Live) -> Result<(), Error> {
        let now = self.clock.now();
        // The same at the start, when nobody knows what the clock showed before; a sweep comes first then.
        if live.clock_went_back(now) {
            let horizon = Horizon {
                now,
                leased_until: now.plus_millis(self.options.lease_ms),
                waits_until: now.plus_millis(WAIT_MAX_MS),
                task_leased_until: now.plus_millis(self.options.lease_ms.max(STEP_LEASE_MS)),
            };
            self.store.bring_forward(&live.settings.name, &horizon).await?;
        }
        self.begin_sweeps(live).await
    }

    /// A connection without access, or with settings that do not fit, comes back by itself when both are mended.
    async fn try_again(&self, live: &Live) -> Result<Turn, Error> {
        let now = self.clock.now();
        live.try_at(now.plus_millis(REST_WITHOUT_ACCESS_MS));
        live.forget_rules();
        match live.resolve(now).await {
            Ok(resolved) if resolved.refusal().is_none() => {}
            Ok(_) | Err(Error::Crm { .. }) => return Ok(Turn::Idle { rest_ms: self.options.poll_ms }),
            Err(error) => return Err(error),
        }
        let (name, running) = (&live.settings.name, ConnectionState::Running);
        self.store.set_connection_state(name, &running, SaidBy::Worker, self.clock.now()).await?;
        Ok(Turn::Worked)
    }

    async fn note_failure(&self, live: &Live, error: &Error) {
        let connection = &live.settings.name;
        error!(%connection, error = %Chain(error), "Work rests for {REST_AFTER_FAILURE_MS} ms");
        let now = self.clock.now();
        // Being woken does not end the rest.
        live.rest_until(now.plus_millis(REST_AFTER_FAILURE_MS));
        let state = match error {
            Error::Crm { source: crm::Error::Unauthorized { reason }, system } => {
                ConnectionState::Unauthorized(format!("{system}: {reason}"))
            }
            Error::Settings(reason) => ConnectionState::Refused(reason.clone()),
            Error::Crm { .. } | Error::Store(_) | Error::UnknownConnection | Error::UnknownList => return,
        };
        live.try_at(now.plus_millis(REST_WITHOUT_ACCESS_MS));
        if let Err(error) = self.store.set_connection_state(connection, &state, SaidBy::Worker, now).await {
            error!(%connection, error = %Chain(&error), "Could not record how the connection stands");
        }
    }

    /// Takes turns until every connection is idle at the present instant, for tests, the demo and benches. What fails is noted as
    /// ever: the connection rests. An error says only that the work does not end.
    pub async fn drain(&self) -> Result<(), Error> {
        for _ in 0..DRAIN_TURNS_MAX {
            let mut worked = false;
            for live in self.connections.values() {
                worked |= matches!(self.turn(live).await, Turn::Worked);
            }
            if !worked {
                return Ok(());
            }
        }
        Err(Error::Settings(format!("work did not end within {DRAIN_TURNS_MAX} turns")))
    }
}

/// What a turn came to.
enum Turn {
    /// Something was done: look again at once.
    Worked,
    /// Nothing is due.
    Idle {
        /// How long to rest if nothing wakes the worker.
        rest_ms: u64,
    },
}
