//! Where deliveries are stored: a thread of its own with a connection of its own.
//!
//! The door commits more rows than all else together, one after the other, and nothing may come between its rows and the disk. On
//! this thread a row is one prepared statement, bound and stepped in place; through the pool it would be a message to another
//! thread and back, or JSON to be written and read (`docs/decisions/0009-intake-thread.md` has the figures).

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::domain::{ConnectionName, RecordKey, Timestamp};
use crate::store::Error;
use crate::store::codec::{changed_json, outcome_text, to_json};
use crate::store::sqlite::deliveries::{INSERT_DELIVERY, INSERT_NOTIFICATION, UPSERT_JOB};
use crate::store::sqlite::erasures::INSERT_ERASURE;
use crate::store::sqlite::{BUSY_TIMEOUT, CHECKPOINT_PAGES, blames_statement};
use crate::store::types::{Mark, NewDelivery, Unreadable};

/// Groups that may wait: the door hands in one after the other.
const WAITING_MAX: usize = 4;

/// Prepared statements kept.
const STATEMENTS_MAX: usize = 8;

/// The thread; it ends when this is closed or dropped, after what was handed in.
pub(super) struct Intake {
    groups: std::sync::Mutex<Option<mpsc::Sender<Group>>>,
}

struct Group {
    deliveries: Arc<[NewDelivery]>,
    answer: oneshot::Sender<Result<(), Error>>,
}

/// The store is closed.
#[derive(Debug, thiserror::Error)]
#[error("the thread that stores deliveries has ended")]
struct Ended;

impl Intake {
    /// Opens the file a second time. `turn` is taken for each transaction, so that this connection and the pool's never meet.
    pub(super) fn open(file: &Path, turn: Arc<Mutex<()>>) -> Result<Self, Error> {
        let mut connection = connect(file).map_err(failed)?;
        let (groups, mut waiting) = mpsc::channel::<Group>(WAITING_MAX);
        let work = move || {
            while let Some(Group { deliveries, answer }) = waiting.blocking_recv() {
                let _turn = turn.blocking_lock();
                let outcome = store(&mut connection, &deliveries);
                // Whoever asked may be gone; what was handed in is stored all the same.
                let _ = answer.send(outcome);
            }
        };
        let named = thread::Builder::new().name("intake".to_owned());
        named.spawn(work).map_err(|source| Error::Unavailable(Box::new(source)))?;
        Ok(Self { groups: std::sync::Mutex::new(Some(groups)) })
    }

    /// Stores a group of deliveries and marks their records, all or nothing.
    pub(super) async fn store(&self, deliveries: Arc<[NewDelivery]>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let ended = || Error::Unavailable(Box::new(Ended));
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(ended)?;
        groups.send(Group { deliveries, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn failed(error: rusqlite::Error) -> Error {
    match &error {
        rusqlite::Error::SqliteFailure(failure, _) if !blames_statement(failure.extended_code) => {
            Error::Unavailable(Box::new(error))
        }
        _ => Error::Statement(Box::new(error)),
    }
}

fn store(connection: &mut Connection, deliveries: &[NewDelivery]) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let mut statements = Statements::prepare(&transaction).map_err(failed)?;
    for delivery in deliveries {
        statements.insert(delivery).map_err(failed)?;
        let Some(name) = &delivery.connection else { continue };
        for mark in &delivery.marks {
            let told = mark.told.as_ref().map(to_json).transpose()?;
            let changed = changed_json(&mark.changed)?;
            if statements.is_fresh(name, mark, delivery.received_at).map_err(failed)? {
                statements
                    .upsert((delivery, name), mark, (told.as_deref(), changed.as_deref()))
                    .map_err(failed)?;
            }
        }
        for key in &delivery.erased {
            statements.erase((delivery, name), key).map_err(failed)?;
        }
        for part in &delivery.unreadable {
            statements.park((delivery, name), part).map_err(failed)?;
        }
    }
    drop(statements);
    transaction.commit().map_err(failed)
}

/// Looked up once a group.
struct Statements<'c> {
    delivery: CachedStatement<'c>,
    notification: CachedStatement<'c>,
    job: CachedStatement<'c>,
    erasure: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(transaction: &'c Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            delivery: transaction.prepare_cached(INSERT_DELIVERY)?,
            notification: transaction.prepare_cached(INSERT_NOTIFICATION)?,
            job: transaction.prepare_cached(UPSERT_JOB)?,
            erasure: transaction.prepare_cached(INSERT_ERASURE)?,
        })
    }

    fn insert(&mut self, delivery: &NewDelivery) -> rusqlite::Result<usize> {
        self.delivery.execute(params![
            delivery.id.as_bytes(),
            delivery.connection.as_ref().map(ConnectionName::as_str),
            delivery.source.as_str(),
            delivery.received_at.as_millis(),
            outcome_text(delivery.outcome),
            delivery.n_events,
            delivery.n_echoes,
            &*delivery.body,
        ])
    }

    /// Whether a mark's notification was not seen before, in this group or earlier. A repeated one marks nothing.
    fn is_fresh(&mut self, name: &ConnectionName, mark: &Mark, now: Timestamp) -> rusqlite::Result<bool> {
        let Some(notification) = &mark.notification else { return Ok(true) };
        let inserted = self.notification.execute(params![name.as_str(), notification, now.as_millis()])?;
        Ok(inserted == 1)
    }

    fn upsert(
        &mut self,
        (delivery, name): (&NewDelivery, &ConnectionName),
        mark: &Mark,
        (told, changed): (Option<&str>, Option<&str>),
    ) -> rusqlite::Result<usize> {
        self.job.execute(params![
            name.as_str(),
            mark.key.kind().family().as_str(),
            mark.key.kind().as_str(),
            mark.key.id().to_string(),
            "due",
            delivery.received_at.as_millis(),
            mark.occurred_at.as_millis(),
            None::<&str>,
            None::<&str>,
            "delivery",
            delivery.id.as_bytes(),
            told,
            changed,
        ])
    }

    fn erase(
        &mut self,
        (delivery, name): (&NewDelivery, &ConnectionName),
        key: &RecordKey,
    ) -> rusqlite::Result<usize> {
        let (kind, id) = (key.kind().as_str(), key.id().to_string());
        self.erasure.execute(params![name.as_str(), kind, id, delivery.received_at.as_millis()])
    }

    /// Keeps an unreadable part as a parked job, for a person to see.
    fn park(
        &mut self,
        (delivery, name): (&NewDelivery, &ConnectionName),
        part: &Unreadable,
    ) -> rusqlite::Result<usize> {
        let now = delivery.received_at.as_millis();
        self.job.execute(params![
            name.as_str(),
            "",
            "part",
            format!("{}#{}", delivery.id, part.position),
            "parked",
            now,
            now,
            "unreadable",
            part.reason,
            "delivery",
            delivery.id.as_bytes(),
            None::<&str>,
            None::<&str>,
        ])
    }
}
