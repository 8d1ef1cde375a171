//! The real process, killed without warning (I1, I5): every acknowledged event is worked, every record has exactly one twin.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hubforce::domain::SystemClock;
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{EmulatorClock, Vendor, courier, free_port};
use hubforce::shutdown::Shutdown;
use hubforce::store::Database;
use hubforce::store::testing::TestDatabase;
use rstest::rstest;

use crate::harness::{self, PATH_TOKEN, PUBLIC_URL, SECRET, Setup, serve};

/// How many contacts are born while the process is killed.
const CONTACTS: usize = 300;

/// How often it is killed.
const KILLS: usize = 6;

/// How long everything may take; a bound, not a measure.
const PATIENCE: Duration = Duration::from_mins(2);

struct Outside {
    hubspot: Arc<HubspotEmulator>,
    salesforce: Arc<SalesforceEmulator>,
    configuration: std::path::PathBuf,
    port: u16,
    shutdown: Shutdown,
    _directory: tempfile::TempDir,
    _database: TestDatabase,
}

/// The process; it does not outlive its test.
struct Process(Child);

impl Process {
    /// Ends it without warning.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Outside {
    async fn start(database: TestDatabase) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        let clock = EmulatorClock::new(Arc::new(SystemClock));
        let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance_url = format!("http://{}", listener.local_addr().unwrap());
        let options = salesforce::Options { instance_url, ..salesforce::Options::default() };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock.clone()));
        let salesforce_url = serve(listener, Arc::clone(&salesforce) as _, &shutdown).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hubspot_url = serve(listener, Arc::clone(&hubspot) as _, &shutdown).await;
        let port = free_port().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        hubspot.deliver_to(&format!("{base}/webhooks/hubspot"), SECRET);
        salesforce.deliver_to(&format!("{base}/webhooks/salesforce/{PATH_TOKEN}"));
        for vendor in [Arc::clone(&hubspot) as Arc<dyn Vendor>, Arc::clone(&salesforce) as _] {
            let stop = shutdown.stop.clone();
            shutdown.tasks.spawn(async move { courier::carry(vendor, stop).await.unwrap() });
        }
        let text = Setup::default()
            .configuration(&database, (&hubspot_url, &salesforce_url))
            .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
            .replace(PUBLIC_URL, &base)
            .replace("[[connections]]", "[worker]\nlease_seconds = 5\n[[connections]]");
        let path = directory.path().join("hubforce.toml");
        std::fs::write(&path, text).unwrap();
        Self {
            hubspot,
            salesforce,
            configuration: path,
            port,
            shutdown,
            _directory: directory,
            _database: database,
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.configuration.with_extension("log")
    }

    fn spawn(&self) -> Process {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_hubforce"))
            .args(["serve", "--config"])
            .arg(&self.configuration)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Process(process.unwrap())
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let look = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came_about = tokio::time::timeout(PATIENCE, look).await.is_ok();
        let log = || std::fs::read_to_string(self.log()).unwrap();
        assert!(came_about, "never came about: {what}; the process said:\n{}", log());
    }

    async fn until_it_listens(&self) {
        self.until("it listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()).await;
        // What could not be delivered comes again at once; HubSpot would take a minute. Only now, as HubSpot does not try forever.
        self.hubspot.try_again_now();
    }

    /// The HubSpot ids that leads bear, and whether any stands twice.
    fn twins(&self) -> (BTreeSet<String>, bool) {
        let ids = self.salesforce.ids("Lead");
        let borne: Vec<String> =
            ids.iter().filter_map(|id| self.salesforce.field("Lead", id, "Hubforce_HubSpot_Id__c")).collect();
        let distinct: BTreeSet<String> = borne.iter().cloned().collect();
        let doubled = distinct.len() != ids.len();
        (distinct, doubled)
    }
}

async fn killed_at_random(database: TestDatabase, seed: u64) {
    let outside = Outside::start(database).await;
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut process = outside.spawn();
    outside.until_it_listens().await;
    let mut born = BTreeSet::new();
    let kill_at: BTreeSet<usize> = (0..KILLS).map(|_| chance.usize(0..CONTACTS)).collect();
    for n in 0..CONTACTS {
        let contact =
            outside.hubspot.create(&[("email", &format!("p{n}@example.com")), ("lastname", "P")]).unwrap();
        born.insert(contact.to_string());
        if kill_at.contains(&n) {
            tokio::time::sleep(Duration::from_millis(chance.u64(0..60))).await;
            process.kill();
            process = outside.spawn();
            outside.until_it_listens().await;
        }
    }
    let agreed = || {
        outside.twins().0 == born
            && outside
                .hubspot
                .ids()
                .iter()
                .all(|id| outside.hubspot.property(*id, "hubforce_salesforce_lead_id").is_some())
    };
    outside.until("every contact has its lead", agreed).await;
    assert!(!outside.twins().1, "seed {seed}: a record was created twice");
    assert_eq!(outside.hubspot.ids().len(), CONTACTS, "seed {seed}");
    process.kill();
    outside.shutdown.stop.cancel();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_1_and_i_5_killed_at_random_moments_of_300_creates(
    #[values(Database::Sqlite, Database::Postgres)] on: Database,
) {
    for seed in [1, 2, 3] {
        let Some(database) = TestDatabase::new(on).await.unwrap() else { return };
        killed_at_random(database, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_1_killed_right_after_its_200() {
    let outside = Outside::start(harness::database().await).await;
    let mut process = outside.spawn();
    outside.until_it_listens().await;
    // Salesforce does not answer for a while, so that nothing is worked before the kill.
    outside.salesforce.control().set_latency_ms(5_000);
    let contact = outside.hubspot.create(&[("email", "a@example.com"), ("lastname", "A")]).unwrap();
    outside.until("it is acknowledged", || outside.hubspot.pending() == 0).await;
    process.kill();
    outside.salesforce.control().set_latency_ms(0);
    assert!(outside.salesforce.ids("Lead").is_empty());
    let mut process = outside.spawn();
    outside
        .until("it is worked after the restart", || outside.twins().0.contains(&contact.to_string()))
        .await;
    process.kill();
    outside.shutdown.stop.cancel();
}
