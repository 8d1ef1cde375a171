//! A backlog that one instance works, and one that two work side by side: on PostgreSQL, which they share.

use std::cell::Cell;
use std::time::{Duration, Instant};

use comfy_table::Table;
use hubforce::emulator::free_port;
use hubforce::store::testing::{Durability, PostgresDatabase, TestServer, pass_over};

use crate::crms::Crms;
use crate::raw::Raw;
use crate::service::{self, Process, TOKEN};

/// Dirty pairs in the backlog.
const PAIRS: usize = 10_000;

/// How often each is measured; the one in the middle counts.
const TURNS: usize = 5;

/// How long each call to a CRM takes while the backlog is worked.
const LATENCY_MS: u64 = 50;

/// How often agreement is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a backlog may take; a bound, not a measure.
const PATIENCE: Duration = Duration::from_mins(3);

/// Records in the queue, worked on or not.
const JOBS: &str = "hubforce_jobs{";

/// Calls made to CRMs.
const CALLS: &str = "hubforce_crm_requests_total{";

/// Prints one line for each number of instances.
pub(crate) async fn run() {
    let server = match TestServer::start(Durability::Full) {
        Ok(server) => server,
        Err(error) => return pass_over(&format!("instances: {error:#}")),
    };
    println!(
        "Instances: a backlog of {PAIRS} dirty pairs on PostgreSQL, CRMs that take {LATENCY_MS} ms a call"
    );
    let mut table = Table::new();
    table.set_header(["instances", "seconds", "pairs/s", "against one", "calls of each"]);
    let mut turns: [Vec<(Duration, Vec<u64>)>; 2] = Default::default();
    // By turns, so that what else the machine does falls on both.
    for _ in 0..TURNS {
        for (turns, n) in turns.iter_mut().zip(1..) {
            turns.push(backlog(&server, n).await);
        }
    }
    let mut alone = None;
    for (mut turns, n) in turns.into_iter().zip(1..) {
        turns.sort();
        let (took, calls) = turns.swap_remove(TURNS / 2);
        let seconds = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let rate = PAIRS as f64 / seconds;
        let alone = *alone.get_or_insert(seconds);
        table.add_row([
            n.to_string(),
            format!("{seconds:.2}"),
            format!("{rate:.0}"),
            format!("{:.2}", alone / seconds),
            calls.iter().map(u64::to_string).collect::<Vec<_>>().join(" and "),
        ]);
    }
    println!("{table}");
}

/// Makes a backlog and has it worked; returns how long that takes, and the calls of each instance.
async fn backlog(server: &TestServer, instances: usize) -> (Duration, Vec<u64>) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let database = PostgresDatabase::create(&server.url()).await.expect("a database can be made");
    let port = free_port().expect("a port is free");
    let crms = Crms::start(port).await;
    let serve = |name: &str, port: u16, more: &[&str]| {
        let directory = directory.path().join(name);
        std::fs::create_dir(&directory).expect("a directory can be made");
        service::serve(&directory, port, &database.url, &crms.urls, more)
    };
    let everything = serve("first", port, &[]);
    let contacts = crms.create_contacts(PAIRS);
    until(async || contacts.iter().all(|contact| crms.is_linked(*contact)) && crms.pending() == 0).await;
    // What it has in hand when it ends would rest until its leases do.
    until(async || figure(port, JOBS).await == 0).await;
    drop(everything);
    let ingress = serve("ingress", port, &["--only", "ingress"]);
    let leads = crms.move_contacts_to("Bonn");
    until(async || crms.pending() == 0).await;
    drop(ingress);
    let raw = Raw::open(&database.url).await;
    raw.settle().await;
    raw.close().await;
    crms.set_latency_ms(LATENCY_MS);
    let began = Instant::now();
    let workers: Vec<(u16, Process)> = (0..instances)
        .map(|n| {
            let port = free_port().expect("a port is free");
            (port, serve(&format!("worker-{n}"), port, &["--only", "worker"]))
        })
        .collect();
    // Those that are there are not looked at again: looking takes time from what is measured.
    let there = Cell::new(0);
    until(async || {
        let more = leads[there.get()..].iter().take_while(|lead| crms.lead_is_in(lead, "Bonn")).count();
        there.set(there.get() + more);
        there.get() == leads.len()
    })
    .await;
    let took = began.elapsed();
    let mut calls = Vec::new();
    for (port, _) in &workers {
        calls.push(figure(*port, CALLS).await);
    }
    drop(workers);
    crms.end().await;
    (took, calls)
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, look).await.is_ok(), "it does not come to an end");
}

/// What an instance says of itself: the sum of a metric.
async fn figure(port: u16, metric: &str) -> u64 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "this is not the service's client")]
    let asked =
        reqwest::Client::new().get(format!("http://127.0.0.1:{port}/metrics")).bearer_auth(TOKEN).send();
    let text = asked.await.expect("an instance answers").text().await.expect("an answer can be read");
    let rows = text.lines().filter_map(|line| line.strip_prefix(metric)?.rsplit_once(' '));
    rows.map(|(_, n)| n.parse::<u64>().expect("a count")).sum()
}
