//! Memory on PostgreSQL: several instances share one database, and everything acknowledged is on disk.
//!
//! The mirror of `sqlite/`: the same files, the same functions in the same order; comments say where they differ, and
//! `dirty` is the one file that SQLite does not need. Instances meet in the rows. So rows are locked in one order (jobs by connection, kind
//! and record; then pairs, links, records, conflicts, resyncs), and a claim never waits for a lock. One thing leaves that order: a
//! finish marks the records that are to be looked at when it holds all the rest, so that it and whoever marks or finishes those may wait
//! for each other in a ring. The server finds that and ends one of them, which is done again, as is all that loses a race. No session state is relied on, so that a
//! pooler may stand in between (`docs/decisions/0011-postgresql.md`).

mod audit;
mod claims;
mod clock;
mod conditions;
mod connections;
mod deliveries;
mod dirty;
mod erasures;
mod finish;
mod intake;
mod jobs;
mod migrations;
mod pairs;
#[cfg(test)]
mod plans;
mod resyncs;
mod tasks;

use std::borrow::Cow;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{Executor, Postgres};
use uuid::Uuid;

use crate::domain::{ConnectionName, RecordKey, System, Timestamp};
use crate::plan::Pair;
use crate::store::codec::to_json;
use crate::store::migrations::MigrationStatus;
use crate::store::postgres::conditions::{lost_a_race, only_reads};
use crate::store::room::Room;
use crate::store::types::{
    AuditQuery, AuditRow, Cause, Claim, Claimed, Conflict, ConnectionState, Finished, Horizon, Intent, Job,
    JobId, JobQuery, Mark, NewDelivery, QueueFigures, RecordStatus, Reserve, Reserved, Resync, Retention,
    SaidBy, SetAsideQuery, Task, TaskClaim, TaskProgress,
};
use crate::store::{Error, Store};

pub(super) use conditions::blames_statement;
#[cfg(test)]
pub(super) use migrations::MIGRATIONS;

/// Connections of one instance. Small servers allow 25 altogether; an instance rarely does ten things at once.
const CONNECTIONS_MAX: u32 = 10;

/// How long to wait for a connection, a new one included. HubSpot gives up on a webhook after 5 seconds.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a server may take to begin a transaction, which is no work; one that takes longer is not there any more.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one transaction may take. The server ends it earlier by [`BEGIN`]'s limits; this is for a server that is silent.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a transaction is tried that loses a race against another instance.
const ATTEMPTS_MAX: u32 = 5;

/// Begins a transaction with settings of its own, which end with it: a pooler may hand the session to anybody afterwards. Because of
/// the limits, what an instance gave up on, or left when it hung, soon holds no locks.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '15s';
    SET LOCAL idle_in_transaction_session_timeout = '15s';
    -- Questions here take milliseconds; to compile one takes longer.
    SET LOCAL jit = off;
    -- Tables fill and drain within seconds. A plan kept from when they were empty would walk them.
    SET LOCAL plan_cache_mode = force_custom_plan;
    -- What is acknowledged is on disk, whatever the server's default; a stricter one stays.
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// Memory on PostgreSQL.
pub struct PostgresStore {
    pool: PgPool,
    /// Whether prepared statements bear names; not where a pooler gives each transaction another session.
    named: bool,
}

/// A transaction on a connection of its own. One that is neither committed nor rolled back closes its connection, and so does one that
/// met a server that only reads.
struct Transaction {
    connection: PoolConnection<Postgres>,
    named: bool,
    open: bool,
}

impl Transaction {
    /// A statement. Unnamed ones are parsed each time and leave nothing in the session.
    fn query<'q>(&self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).persistent(self.named)
    }

    /// Commits what went well, and gives back what did not.
    async fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        let sql = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.execute(sql).await;
        self.open = ended.is_err();
        if outcome.as_ref().is_err_and(only_reads) {
            self.connection.close_on_drop();
        }
        // Why the work failed says more than why it could not be rolled back.
        let value = outcome?;
        ended?;
        Ok(value)
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Whoever waited is gone, or the server is silent: nobody knows what the session is in the middle of.
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

/// Runs work in a transaction, again where it loses a race, and no longer than is allowed. A macro, because no function can take work
/// that borrows the transaction and may move between threads.
macro_rules! transact {
    ($store:expr, $transaction:ident => $work:expr) => {{
        let mut attempt = 1;
        loop {
            let outcome = in_time(async {
                let mut begun = $store.begin().await?;
                let $transaction = &mut begun;
                let outcome: Result<_, Error> = async { $work }.await;
                begun.end(outcome).await
            });
            match outcome.await {
                Err(error) if attempt < ATTEMPTS_MAX && lost_a_race(&error) => attempt += 1,
                // Once: a new connection leads to whatever server writes now, if one does.
                Err(error) if attempt == 1 && only_reads(&error) => {
                    $store.close_rested();
                    attempt += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}

impl PostgresStore {
    /// Connects, and applies missing migrations or, with `migrate` off, insists on them.
    pub async fn open(url: &str, migrate: bool) -> Result<Self, Error> {
        let store = Self::connect(url).await?;
        store.insist_on_unicode().await?;
        if migrate {
            migrations::apply(&store.pool, store.named).await?;
        } else {
            migrations::insist(&store.pool, store.named).await?;
        }
        Ok(store)
    }

    /// Says which migrations are applied and which are missing, and changes nothing.
    pub async fn migrations(url: &str) -> Result<Vec<MigrationStatus>, Error> {
        let store = Self::connect(url).await?;
        let status = migrations::status(&store.pool, store.named).await;
        store.pool.close().await;
        status
    }

    async fn connect(url: &str) -> Result<Self, Error> {
        let (options, named) = connect_options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Beginning a transaction is test enough.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self { pool, named })
    }

    /// Refuses a database that cannot hold every text.
    async fn insist_on_unicode(&self) -> Result<(), Error> {
        let encoding: String = transact!(self, transaction => {
            let row = transaction.query("SELECT current_setting('server_encoding')").fetch_one(&mut **transaction);
            Ok(sqlx::Row::get(&row.await?, 0))
        })?;
        if encoding == "UTF8" {
            return Ok(());
        }
        Err(Error::Url { text: format!("its database is encoded in {encoding}; create one in UTF8") })
    }

    /// Closes the connections that rest. They were made when that one was whose server only reads now, and lead where it leads: to what a
    /// switchover made a standby, which would begin every transaction and refuse every write.
    fn close_rested(&self) {
        while let Some(mut rested) = self.pool.try_acquire() {
            rested.close_on_drop();
        }
    }

    /// Begins a transaction. A connection that died while it rested is replaced: nothing happened on it yet.
    async fn begin(&self) -> Result<Transaction, Error> {
        let mut tries = 0;
        loop {
            let connection = self.pool.acquire().await?;
            let mut transaction = Transaction { connection, named: self.named, open: true };
            let dead: Error = match tokio::time::timeout(BEGIN_TIMEOUT, transaction.execute(BEGIN)).await {
                Ok(Ok(_)) => return Ok(transaction),
                Ok(Err(error)) => error.into(),
                Err(silent) => Error::Unavailable(Box::new(silent)),
            };
            // All that rested may have died together, as they do when a server fails over.
            tries += 1;
            if tries > CONNECTIONS_MAX {
                return Err(dead);
            }
        }
    }
}

fn connect_options(url: &str) -> Result<(PgConnectOptions, bool), Error> {
    // The causes name a part of the URL, such as its port, never the whole.
    let options = PgConnectOptions::from_str(url).map_err(|error| Error::Url { text: error.to_string() })?;
    let application = options.get_application_name().unwrap_or("hubforce").to_owned();
    let unnamed = url.split(['?', '&']).skip(1).any(|pair| pair == "statement-cache-capacity=0");
    // Poolers refuse settings at the start of a session that they do not know; we read no fractions.
    Ok((options.application_name(&application).extra_float_digits(None), !unnamed))
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(TRANSACTION_TIMEOUT, work).await {
        Ok(outcome) => outcome,
        Err(late) => Err(Error::Unavailable(Box::new(late))),
    }
}

/// Text without U+0000, which PostgreSQL cannot hold; what it stood in is shown to people and never compared.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Rows as one JSON array, which a statement takes apart; their texts without U+0000. JSON within them, written as text, spells that
/// character out and so keeps it.
fn rows(rows: &[Json]) -> Result<String, Error> {
    let json = to_json(&rows)?;
    if !json.contains("\\u0000") {
        return Ok(json);
    }
    let mut rows = rows.to_vec();
    for row in &mut rows {
        let columns: Vec<&mut Json> = match row {
            Json::Array(columns) => columns.iter_mut().collect(),
            Json::Object(columns) => columns.values_mut().collect(),
            _ => Vec::new(),
        };
        for column in columns {
            if let Json::String(column) = column {
                *column = text(column).into_owned();
            }
        }
    }
    to_json(&rows)
}

#[async_trait]
impl Store for PostgresStore {
    async fn accept(&self, deliveries: Arc<[NewDelivery]>) -> Result<(), Error> {
        transact!(self, transaction => intake::store(transaction, &deliveries).await)
    }

    async fn mark(
        &self,
        connection: &ConnectionName,
        marks: &[Mark],
        cause: Cause,
        now: Timestamp,
    ) -> Result<(), Error> {
        transact!(self, transaction => deliveries::mark(transaction, connection, marks, cause, now).await)
    }

    async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Claimed>, Error> {
        // Looking takes no lock that anybody waits for, so nobody need look twice.
        transact!(self, transaction => claims::claim(transaction, claim).await)
    }

    async fn next_due(&self, connection: &ConnectionName) -> Result<Option<Timestamp>, Error> {
        transact!(self, transaction => claims::next_due(transaction, connection).await)
    }

    async fn intend(&self, connection: &ConnectionName, intents: &[Intent]) -> Result<(), Error> {
        transact!(self, transaction => audit::intend(transaction, connection, intents).await)
    }

    async fn finish(
        &self,
        connection: &ConnectionName,
        worker: Uuid,
        finished: &[Finished],
        now: Timestamp,
    ) -> Result<(), Error> {
        transact!(self, transaction => finish::finish(transaction, connection, worker, finished, now).await)
    }

    async fn pairs_of(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<Pair>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        transact!(self, transaction => pairs::pairs_of(transaction, connection, keys).await)
    }

    async fn advance_erasures(&self, connection: &ConnectionName, now: Timestamp) -> Result<bool, Error> {
        transact!(self, transaction => erasures::advance(transaction, connection, now).await)
    }

    async fn erased(&self, connection: &ConnectionName, addresses: &[String]) -> Result<Vec<bool>, Error> {
        transact!(self, transaction => erasures::erased(transaction, connection, addresses).await)
    }

    async fn newest_deliveries(
        &self,
        connection: &ConnectionName,
        source: System,
    ) -> Result<Vec<bytes::Bytes>, Error> {
        transact!(self, transaction => deliveries::newest(transaction, connection, source).await)
    }

    async fn with_open_creates(
        &self,
        connection: &ConnectionName,
        keys: &[RecordKey],
    ) -> Result<Vec<RecordKey>, Error> {
        transact!(self, transaction => audit::with_open_creates(transaction, connection, keys).await)
    }

    async fn renew(&self, worker: Uuid, jobs: &[JobId], lease_until: Timestamp) -> Result<Vec<JobId>, Error> {
        transact!(self, transaction => claims::renew(transaction, worker, jobs, lease_until).await)
    }

    async fn release_all(&self, worker: Uuid) -> Result<(), Error> {
        transact!(self, transaction => claims::release_all(transaction, worker).await)
    }

    async fn record(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Option<RecordStatus>, Error> {
        transact!(self, transaction => pairs::record(transaction, connection, key).await)
    }

    async fn conflicts_of(
        &self,
        connection: &ConnectionName,
        key: &RecordKey,
    ) -> Result<Vec<Conflict>, Error> {
        transact!(self, transaction => pairs::conflicts_of(transaction, connection, key).await)
    }

    async fn set_aside(&self, query: &SetAsideQuery<'_>) -> Result<Vec<(i64, Pair)>, Error> {
        transact!(self, transaction => pairs::set_aside(transaction, query).await)
    }

    async fn jobs(&self, query: &JobQuery<'_>) -> Result<Vec<Job>, Error> {
        transact!(self, transaction => jobs::jobs(transaction, query).await)
    }

    async fn job(&self, id: JobId, now: Timestamp) -> Result<Option<Job>, Error> {
        transact!(self, transaction => jobs::job(transaction, id, now).await)
    }

    async fn retry_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error> {
        transact!(self, transaction => jobs::retry_job(transaction, id, now).await)
    }

    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<bool, Error> {
        transact!(self, transaction => jobs::discard_job(transaction, id, now).await)
    }

    async fn audit(&self, query: &AuditQuery<'_>) -> Result<Vec<AuditRow>, Error> {
        transact!(self, transaction => audit::audit(transaction, query).await)
    }

    async fn connection_state(&self, connection: &ConnectionName) -> Result<ConnectionState, Error> {
        transact!(self, transaction => connections::connection_state(transaction, connection).await)
    }

    async fn set_connection_state(
        &self,
        connection: &ConnectionName,
        state: &ConnectionState,
        said_by: SaidBy,
        now: Timestamp,
    ) -> Result<(), Error> {
        transact!(self, transaction => {
            connections::set_connection_state(transaction, connection, (state, said_by), now).await
        })
    }

    async fn queue_figures(
        &self,
        connection: &ConnectionName,
        now: Timestamp,
    ) -> Result<QueueFigures, Error> {
        transact!(self, transaction => jobs::queue_figures(transaction, connection, now).await)
    }

    async fn bring_forward(&self, connection: &ConnectionName, horizon: &Horizon) -> Result<(), Error> {
        transact!(self, transaction => clock::bring_forward(transaction, connection, horizon).await)
    }

    async fn room(&self, backlog_max: u64) -> Result<Room, Error> {
        let backlog_is_longer =
            transact!(self, transaction => jobs::backlog_is_longer(transaction, backlog_max).await)?;
        Ok(Room { free_bytes: None, backlog_is_longer })
    }

    async fn create_resync(&self, resync: &Resync) -> Result<(), Error> {
        transact!(self, transaction => resyncs::create_resync(transaction, resync).await)
    }

    async fn advance_resync(
        &self,
        resync: &Resync,
        from: Option<&str>,
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<bool, Error> {
        transact!(self, transaction => {
            if !resyncs::stands_at(transaction, resync.id, from).await? {
                return Ok(false);
            }
            // Jobs before resyncs, which is the order in which a finish locks them.
            deliveries::mark(transaction, &resync.connection, marks, resync.cause(), now).await?;
            resyncs::advance_resync(transaction, resync).await?;
            Ok(true)
        })
    }

    async fn resync(&self, id: Uuid) -> Result<Option<Resync>, Error> {
        transact!(self, transaction => resyncs::resync(transaction, id).await)
    }

    async fn open_resyncs(&self, connection: &ConnectionName) -> Result<Vec<Resync>, Error> {
        transact!(self, transaction => resyncs::open_resyncs(transaction, connection).await)
    }

    async fn reserve_calls(&self, reserve: &Reserve<'_>) -> Result<Reserved, Error> {
        transact!(self, transaction => connections::reserve_calls(transaction, reserve).await)
    }

    async fn claim_task(&self, claim: &TaskClaim<'_>) -> Result<Option<Task>, Error> {
        transact!(self, transaction => tasks::claim_task(transaction, claim).await)
    }

    async fn advance_task(&self, progress: &TaskProgress<'_>) -> Result<bool, Error> {
        transact!(self, transaction => tasks::advance_task(transaction, progress).await)
    }

    async fn retain(&self, retention: &Retention) -> Result<u64, Error> {
        transact!(self, transaction => {
            Ok(deliveries::retain(transaction, retention).await? + audit::retain(transaction, retention).await?)
        })
    }

    async fn calls_taken(&self, connection: &ConnectionName, slot: (&str, i64)) -> Result<u64, Error> {
        transact!(self, transaction => connections::calls_taken(transaction, connection, slot).await)
    }

    async fn check(&self, now: Timestamp) -> Result<(), Error> {
        transact!(self, transaction => connections::check(transaction, now).await)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
