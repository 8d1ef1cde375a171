//! What a test may not leave behind: work that is not done, and calls that an emulator does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hubforce::domain::{ConnectionName, Timestamp};
use hubforce::emulator::Control;
use hubforce::store::types::{Job, JobQuery};
use hubforce::store::{self, Options, Store};

/// How long the look into the database may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks at the end of a test whether it left anything behind. It needs no executor, and says nothing of a test that failed.
pub(super) struct Leftovers {
    database: String,
    connection: ConnectionName,
    /// The desks of both emulators; the clock is that of the first.
    desks: [Control; 2],
    /// Whether work may be left.
    work_is_left: AtomicBool,
}

impl Leftovers {
    pub(super) fn new(database: String, connection: ConnectionName, desks: [Control; 2]) -> Self {
        Self { database, connection, desks, work_is_left: AtomicBool::new(false) }
    }

    /// Work may be left from now on.
    pub(super) fn allow_work(&self) {
        self.work_is_left.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        use hubforce::domain::Clock;
        self.desks[0].clock().now()
    }

    /// The jobs that are left, read on a connection and by an executor of its own: the test's may be gone.
    fn jobs(&self) -> Result<Vec<Job>, String> {
        let (database, connection, now) = (self.database.clone(), self.connection.clone(), self.now());
        let (say, said) = mpsc::channel();
        let look = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let jobs = runtime
                .map_err(|error| error.to_string())
                .and_then(|runtime| runtime.block_on(jobs(&database, &connection, now)));
            drop(say.send(jobs));
        };
        let thread = thread::Builder::new().spawn(look).map_err(|error| error.to_string())?;
        let jobs = said.recv_timeout(PATIENCE).map_err(|error| format!("no look was had: {error}"))?;
        drop(thread);
        jobs
    }
}

async fn jobs(database: &str, connection: &ConnectionName, now: Timestamp) -> Result<Vec<Job>, String> {
    let options = Options { url: database.to_owned(), migrate: false };
    let store: Arc<dyn Store> = store::open(&options).await.map_err(|error| error.to_string())?;
    let jobs = store.jobs(&JobQuery { connection, state: None, after: None, limit: 500, now }).await;
    store.close().await;
    jobs.map_err(|error| error.to_string())
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let unknown: Vec<String> = self.desks.iter().flat_map(Control::unknown_calls).collect();
        assert!(unknown.is_empty(), "calls that no emulator knows: {unknown:?}");
        if !self.work_is_left.load(Ordering::Relaxed) {
            let left = self.jobs();
            assert!(matches!(&left, Ok(left) if left.is_empty()), "left over: {left:?}");
        }
    }
}
