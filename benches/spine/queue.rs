//! The queue alone: pairs claimed and finished, in batches as a worker takes them, beside plain statements for the same rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Table;
use hubforce::domain::{ConnectionName, Family, HubspotId, RecordKey, SalesforceId, Timestamp, Value};
use hubforce::plan::{Agreed, Base, Pair, State};
use hubforce::store::testing::{
    Durability, PostgresDatabase, TestDatabase, TestServer, given_server, pass_over,
};
use hubforce::store::types::{Cause, Claim, Claimed, Finished, Mark, Outcome};
use hubforce::store::{Options, Store, open};
use uuid::Uuid;

use crate::raw::Raw;

/// Pairs that are dirty at the beginning of a measurement.
const PAIRS: u32 = 20_000;

/// Pairs in a batch, as `worker.batch_size` has it.
pub(crate) const BATCH: usize = 100;

/// How often each measurement is taken; the one in the middle counts.
const TURNS: usize = 5;

/// Fields that a pair agrees on: as many as the default mappings of a contact.
const FIELDS: usize = 20;

/// The present instant; nothing here depends on it.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// When leases end: after every measurement.
const LATER: Timestamp = NOW.plus_millis(600_000);

struct Bench {
    store: Arc<dyn Store>,
    raw: Raw,
    name: ConnectionName,
    /// The last so many pairs were dirtied this often; each time something else is agreed on.
    round: u32,
}

/// Prints one line for each database and number of workers.
pub(crate) async fn run() {
    println!(
        "Queue: {PAIRS} pairs claimed and finished, {BATCH} at a time, beside plain statements for the same rows"
    );
    let mut table = Table::new();
    table.set_header([
        "database",
        "workers",
        "pairs/s",
        "plain statements, pairs/s",
        "ratio",
        "a claim",
        "a finish",
    ]);
    let directory = TestDatabase::Sqlite(tempfile::tempdir().expect("a temporary directory can be made"));
    measure(&mut table, "SQLite", &directory).await;
    match server() {
        Ok((url, _server)) => {
            let database = PostgresDatabase::create(&url).await.expect("the server takes a database");
            measure(&mut table, "PostgreSQL", &TestDatabase::Postgres(database)).await;
        }
        Err(reason) => pass_over(&format!("{reason:#}")),
    }
    println!("{table}");
}

/// The server to measure: the one that is named, or a private one, whose data is on disk.
fn server() -> anyhow::Result<(String, Option<TestServer>)> {
    if let Some(url) = given_server() {
        return Ok((url, None));
    }
    let server = TestServer::start(Durability::Full)?;
    Ok((server.url(), Some(server)))
}

async fn measure(table: &mut Table, label: &str, database: &TestDatabase) {
    let mut bench = Bench::open(&database.url()).await;
    bench.pair_up().await;
    for workers in [1, 4] {
        let (mut through_store, mut plain) = (Vec::new(), Vec::new());
        // By turns, so that what else the machine does falls on both.
        for _ in 0..TURNS {
            bench.dirty().await;
            through_store.push(bench.work(workers).await);
            bench.dirty().await;
            plain.push(bench.raw.work(workers).await);
        }
        through_store.sort_by_key(Spent::all);
        plain.sort();
        let shares = u32::try_from(workers).expect("few workers");
        let (spent, plain) = (&through_store[TURNS / 2], rate(plain[TURNS / 2]));
        let through_store = rate(spent.all() / shares);
        table.add_row([
            label.to_owned(),
            workers.to_string(),
            format!("{through_store:.0}"),
            format!("{plain:.0}"),
            format!("{:.2}", through_store / plain),
            of_a_batch(spent.claims),
            of_a_batch(spent.finishes),
        ]);
    }
    bench.store.close().await;
    bench.raw.close().await;
}

fn rate(took: Duration) -> f64 {
    f64::from(PAIRS) / took.as_secs_f64()
}

/// The mean time of a step of a batch.
fn of_a_batch(all: Duration) -> String {
    let n_batches = f64::from(PAIRS) / 100.0;
    format!("{:.1} ms", all.as_secs_f64() * 1_000.0 / n_batches)
}

impl Bench {
    async fn open(url: &str) -> Self {
        let options = Options { url: url.to_owned(), migrate: true };
        let store = open(&options).await.expect("the database opens");
        let name = ConnectionName::parse("bench").expect("a name");
        Self { store, raw: Raw::open(url).await, name, round: 0 }
    }

    async fn pair_up(&mut self) {
        self.dirty().await;
        self.work(1).await;
    }

    /// Marks every contact.
    async fn dirty(&mut self) {
        self.round += 1;
        let marks: Vec<Mark> = (0..PAIRS).map(|n| Mark::at(contact(n), NOW)).collect();
        for marks in marks.chunks(1_000) {
            let cause = Cause::Sweep(Uuid::now_v7());
            self.store.mark(&self.name, marks, cause, NOW).await.expect("marks are stored");
        }
        self.raw.settle().await;
    }

    /// Claims and finishes until nothing is due; says what that took, of all workers together.
    async fn work(&self, workers: usize) -> Spent {
        let agreed = base(self.round);
        let work = |_| work_as(Arc::clone(&self.store), self.name.clone(), agreed.clone());
        let tasks: Vec<_> = (0..workers).map(work).map(tokio::spawn).collect();
        let (mut done, mut all) = (0, Spent::default());
        for task in tasks {
            let (worked, spent) = task.await.expect("a worker works");
            done += worked;
            all = Spent { claims: all.claims + spent.claims, finishes: all.finishes + spent.finishes };
        }
        assert_eq!(done, PAIRS as usize, "every pair was worked once");
        all
    }
}

/// Time within the store. What a worker makes of its claims is not its business.
#[derive(Default)]
struct Spent {
    claims: Duration,
    finishes: Duration,
}

impl Spent {
    fn all(&self) -> Duration {
        self.claims + self.finishes
    }
}

async fn work_as(store: Arc<dyn Store>, name: ConnectionName, agreed: Base) -> (usize, Spent) {
    let worker = Uuid::now_v7();
    let (mut done, mut spent) = (0, Spent::default());
    loop {
        let claim = Claim {
            connection: &name,
            family: Family::People,
            worker,
            now: NOW,
            lease_until: LATER,
            limit: BATCH,
        };
        let began = Instant::now();
        let claimed = store.claim(&claim).await.expect("pairs are claimed");
        spent.claims += began.elapsed();
        if claimed.is_empty() {
            return (done, spent);
        }
        done += claimed.len();
        let finished: Vec<Finished> = claimed.iter().map(|claimed| finished(claimed, &agreed)).collect();
        let began = Instant::now();
        store.finish(&name, worker, &finished, NOW).await.expect("pairs are finished");
        spent.finishes += began.elapsed();
    }
}

fn finished(claimed: &Claimed, agreed: &Base) -> Finished {
    let hubspot = claimed.jobs[0].key;
    let salesforce = match &claimed.pair {
        Some(pair) => pair.salesforce,
        None => lead_of(&hubspot),
    };
    Finished {
        jobs: claimed.jobs.iter().map(|job| (job.id, job.dirty)).collect(),
        outcome: Outcome::Done,
        states: vec![(hubspot, State::Linked), (salesforce, State::Linked)],
        pair: Some(Pair { hubspot, salesforce, stopped: None, base: agreed.clone() }),
        released: Vec::new(),
        conflicts: Vec::new(),
        conflicts_settled: vec![hubspot],
        settled: Vec::new(),
        looks: Vec::new(),
        cause: claimed.jobs[0].cause.id(),
    }
}

/// What both sides agree on after a round.
pub(crate) fn base(round: u32) -> Base {
    let field =
        |n: usize| (format!("property_{n}"), Agreed::new(Value::text(format!("value {n} of {round}"))));
    (0..FIELDS).map(field).collect()
}

fn contact(n: u32) -> RecordKey {
    RecordKey::hubspot_contact(HubspotId::new(u64::from(n) + 1))
}

fn lead_of(contact: &RecordKey) -> RecordKey {
    let id = format!("00Q{:0>12}", contact.id().to_string());
    RecordKey::lead(SalesforceId::parse(&id).expect("an id"))
}
