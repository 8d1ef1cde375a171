//! The group commit at the door: concurrent deliveries share one transaction, each answered only after it.
//!
//! The group forms by itself: while one commit runs, arrivals queue; the next takes them all, up to a named limit. Nothing waits for
//! a timer, so a quiet door commits at once.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::domain::Clock;
use crate::store::room::{Full, Known, Limits};
use crate::store::types::NewDelivery;
use crate::store::{Error, Store};

/// The most requests in one transaction; beyond it a commit would take longer than the next one's fsync saves.
const GROUP_REQUESTS_MAX: usize = 512;

/// The most bytes of bodies in one transaction, so that a burst of large bodies is not held in memory twice.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests that may wait for the door. Beyond it callers are turned away and try again: memory stays bounded.
const WAITING_MAX: usize = 4_096;

/// How long a caller that was turned away should wait.
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// Why deliveries were not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DoorError {
    /// The database cannot store at the moment: try again later.
    #[error("the store failed")]
    Unavailable(#[source] Arc<Error>),
    /// Too many requests wait already: try again later.
    #[error("too many requests wait to be stored")]
    Busy,
    /// There is no room for more: try again later.
    #[error(transparent)]
    Full(#[from] Full),
    /// The service is stopping: try again elsewhere or later.
    #[error("the service is stopping")]
    Closed,
}

/// Where ingress hands in deliveries.
#[derive(Clone)]
pub struct Door {
    waiting: mpsc::Sender<Request>,
    behind: Arc<Behind>,
}

/// What is behind the door.
struct Behind {
    store: Arc<dyn Store>,
    room: Known,
    clock: Arc<dyn Clock>,
}

impl Behind {
    async fn room(&self) -> Result<(), DoorError> {
        match self.room.full(&*self.store, self.clock.now()).await {
            Ok(full) => full.map_or(Ok(()), |full| Err(full.into())),
            Err(error) => Err(DoorError::Unavailable(Arc::new(error))),
        }
    }
}

struct Request {
    deliveries: Vec<NewDelivery>,
    answer: oneshot::Sender<Result<(), DoorError>>,
}

impl Door {
    /// A door and the task behind it, which ends after the last clone of the door is gone and everything handed in is answered.
    pub fn open(
        store: Arc<dyn Store>,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (waiting, requests) = mpsc::channel(WAITING_MAX);
        let behind = Arc::new(Behind { store, room: Known::new(limits), clock });
        (Self { waiting, behind: Arc::clone(&behind) }, keep(behind, requests))
    }

    /// Whether there is room for more.
    pub async fn room(&self) -> Result<(), DoorError> {
        self.behind.room().await
    }

    /// Stores deliveries; they are on disk when it returns.
    pub async fn accept(&self, deliveries: Vec<NewDelivery>) -> Result<(), DoorError> {
        let (answer, answered) = oneshot::channel();
        self.waiting.try_send(Request { deliveries, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DoorError::Busy,
            mpsc::error::TrySendError::Closed(_) => DoorError::Closed,
        })?;
        answered.await.map_err(|_| DoorError::Closed)?
    }
}

async fn keep(behind: Arc<Behind>, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.recv().await {
        let mut group = Group::default();
        group.add(first);
        // Those whose answers just went out, and whose next requests are being read, come along: one turn of the scheduler, no timer.
        tokio::task::yield_now().await;
        while group.has_room() {
            match requests.try_recv() {
                Ok(request) => group.add(request),
                Err(_) => break,
            }
        }
        match behind.room().await {
            Ok(()) => group.commit(&*behind.store).await,
            Err(error) => group.answer_all(&Err(error)),
        }
    }
}

#[derive(Default)]
struct Group {
    deliveries: Vec<NewDelivery>,
    answers: Vec<(usize, oneshot::Sender<Result<(), DoorError>>)>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, request: Request) {
        self.bytes += request.deliveries.iter().map(|delivery| delivery.body.len()).sum::<usize>();
        self.answers.push((request.deliveries.len(), request.answer));
        self.deliveries.extend(request.deliveries);
    }

    const fn has_room(&self) -> bool {
        self.answers.len() < GROUP_REQUESTS_MAX && self.bytes < GROUP_BYTES_MAX
    }

    async fn commit(mut self, store: &dyn Store) {
        let deliveries: Arc<[NewDelivery]> = std::mem::take(&mut self.deliveries).into();
        match store.accept(Arc::clone(&deliveries)).await {
            Ok(()) => self.answer_all(&Ok(())),
            // One delivery that the database cannot take must not fail its neighbours; alone, each gets its own answer.
            Err(Error::Statement(_)) if self.answers.len() > 1 => {
                self.commit_singly(&deliveries, store).await;
            }
            Err(error) => self.answer_all(&Err(DoorError::Unavailable(Arc::new(error)))),
        }
    }

    fn answer_all(self, outcome: &Result<(), DoorError>) {
        for (_, answer) in self.answers {
            // A caller that went away needs no answer: what it sent is stored all the same, and its sender repeats it.
            let _ = answer.send(outcome.clone());
        }
    }

    async fn commit_singly(self, mut rest: &[NewDelivery], store: &dyn Store) {
        for (n, answer) in self.answers {
            let (own, others) = rest.split_at(n);
            rest = others;
            let outcome =
                store.accept(own.into()).await.map_err(|error| DoorError::Unavailable(Arc::new(error)));
            let _ = answer.send(outcome);
        }
    }
}
