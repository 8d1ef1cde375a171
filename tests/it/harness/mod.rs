//! A service with both emulators around it, on a clock that stands still until it is moved.
//!
//! Calls to the CRMs go over HTTP on this machine; webhooks are carried by hand, so that a test decides when they arrive. At its end
//! a test that did not say otherwise must have left nothing to do, and no test may have led to a call that an emulator does not know.

mod left;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use hubforce::cli::{Assembled, Outside, assemble};
use hubforce::config::Config;
use hubforce::domain::{Clock, ConnectionName, TestClock, Timestamp};
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{Answer, Caller, EmulatorClock, Fault, Outgoing, Vendor, router};
use hubforce::http;
use hubforce::plan::inclusion::SETTLE_MS;
use hubforce::shutdown::Shutdown;
use hubforce::store::testing::TestDatabase;
use hubforce::store::types::{Job, JobQuery, JobState};
use hubforce::store::{Database, Store};
use hubforce::worker::Worker;
use tower::ServiceExt;

use left::Leftovers;

/// Where the service is said to be; only signatures care.
pub(crate) const PUBLIC_URL: &str = "https://sync.example.com";

/// What the emulated HubSpot signs with.
pub(crate) const SECRET: &str = "client-secret";

/// The path that the emulated Salesforce calls.
pub(crate) const PATH_TOKEN: &str = "path-token";

/// An active list of the emulated portal: the contacts that hold `IN_LIST`.
const LIST: &str = "77";

/// What makes a contact a member of the portal's active list. No mapping carries it.
pub(crate) const IN_LIST: (&str, &str) = ("hs_lead_status", "CONNECTED");

/// What takes a contact out of that list.
pub(crate) const NOT_IN_LIST: (&str, &str) = ("hs_lead_status", "BAD_TIMING");

/// The operator's token.
pub(crate) const TOKEN: &str = "operator-token";

/// The viewer's token.
pub(crate) const VIEWER: &str = "viewer-token";

/// How often a service sweeps that does.
const SWEEP_MS: i64 = 300_000;

/// A clock that is fast or slow.
#[derive(Clone, Debug)]
pub(crate) struct Skewed {
    right: EmulatorClock,
    ahead_ms: Arc<AtomicI64>,
}

impl Skewed {
    /// A clock that shows the right time.
    pub(crate) fn new(right: &EmulatorClock) -> Self {
        Self { right: right.clone(), ahead_ms: Arc::default() }
    }

    /// From now on it is ahead of the right time by so much.
    pub(crate) fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.right.now().plus_millis(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// An instant to begin with.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// A service with both emulators around it.
pub(crate) struct TestApp {
    pub(crate) hubspot: Arc<HubspotEmulator>,
    pub(crate) salesforce: Arc<SalesforceEmulator>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) router: Router,
    pub(crate) clock: EmulatorClock,
    /// The service's own clock.
    pub(crate) own_clock: Skewed,
    pub(crate) name: ConnectionName,
    pub(crate) hubspot_url: String,
    pub(crate) salesforce_url: String,
    shutdown: Shutdown,
    config: Config,
    /// Whether the service has an inclusion list: changes that concern it wait until HubSpot recomputed it.
    has_list: bool,
    /// Looks into the database when it goes, which must be before the database does.
    leftovers: Leftovers,
    database: TestDatabase,
}

/// What a story begins with.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// The lines under `[connections.sync.contacts]`, and whatever tables follow.
    pub(crate) contacts: String,
    /// Further lines of the connection itself.
    pub(crate) connection: String,
    /// The portal.
    pub(crate) portal: hubspot::Options,
    /// The organization.
    pub(crate) organization: salesforce::Options,
    /// The field that holds the HubSpot id, where it is not the usual one.
    pub(crate) external_id_field: Option<&'static str>,
    /// Whether the service sweeps.
    pub(crate) sweeps: bool,
    /// Further lines under `[server]`.
    pub(crate) server: &'static str,
    /// The free disk below which nothing is taken in; little, because tests share a disk with everything else.
    pub(crate) free_mb_min: u64,
}

impl Setup {
    /// These lines under `[connections.sync.contacts]`, and nothing out of the ordinary.
    pub(crate) fn with(contacts: &str) -> Self {
        Self { contacts: contacts.to_owned(), ..Self::default() }
    }

    /// The configuration of a service between two emulators.
    pub(crate) fn configuration(
        &self,
        database: &TestDatabase,
        (hubspot, salesforce): (&str, &str),
    ) -> String {
        let Self { contacts, connection, server, free_mb_min, .. } = self;
        let key = self.external_id_field.unwrap_or("Hubforce_HubSpot_Id__c");
        let sweep_s = if self.sweeps { SWEEP_MS / 1_000 } else { 0 };
        format!(
            r#"
        [server]
        listen = "127.0.0.1:0"
        public_url = "{PUBLIC_URL}"
        {server}
        [database]
        url = "{}"
        free_mb_min = {free_mb_min}
        [admin]
        tokens = [
            {{ name = "ops", token = "{TOKEN}", role = "operator" }},
            {{ name = "eyes", token = "{VIEWER}", role = "viewer" }},
        ]
        [[connections]]
        name = "acme"
        {connection}
        [connections.hubspot]
        portal_id = 1234567
        app_id = 998877
        client_secrets = ["older-secret", "{SECRET}"]
        api_url = "{hubspot}"
        requests_per_10s = 1000000
        requests_per_day = 1000000
        auth = {{ type = "access_token", access_token = "pat-integration" }}
        [connections.salesforce]
        org_id = "00D000000000001"
        login_url = "{salesforce}"
        requests_per_day = 1000000
        external_id_field = "{key}"
        path_tokens = ["{PATH_TOKEN}"]
        auth = {{ type = "client_credentials", client_id = "integration-client", client_secret = "integration-secret" }}
        [connections.sweep]
        interval_seconds = {sweep_s}
        [connections.sync.contacts]
        {contacts}
        "#,
            database.url()
        )
    }
}

/// Names the database that stories are told on where they do not choose themselves: `sqlite` or `postgres`.
const STORE_VARIABLE: &str = "HUBFORCE_TEST_STORE";

/// The database that whoever runs the tests chose.
pub(crate) fn chosen() -> Database {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says on what")]
    match std::env::var(STORE_VARIABLE).as_deref() {
        Ok("postgres") => Database::Postgres,
        Ok("sqlite" | "") | Err(_) => Database::Sqlite,
        Ok(other) => panic!("{STORE_VARIABLE} is sqlite or postgres, not {other}"),
    }
}

/// A database of the chosen kind.
pub(crate) async fn database() -> TestDatabase {
    database_on(chosen()).await
}

/// A database of this kind. What was asked for is not passed over.
pub(crate) async fn database_on(store: Database) -> TestDatabase {
    let database = TestDatabase::new(store).await.unwrap();
    assert!(database.is_some(), "{STORE_VARIABLE} names a database that this machine does not have");
    database.unwrap()
}

/// Serves an emulator on a free port; returns its address.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    vendor: Arc<dyn Vendor>,
    shutdown: &Shutdown,
) -> String {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = shutdown.stop.clone();
    shutdown.tasks.spawn(async move {
        axum::serve(listener, router(vendor)).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
    });
    url
}

/// So many calls to a path are answered with a status and not carried out.
pub(crate) fn failing(path: &str, status: u16, times: u32) -> Fault {
    Fault {
        method: None,
        path: path.to_owned(),
        skip: 0,
        times,
        status: Some(status),
        body: None,
        delay_ms: 0,
        applied_but_unanswered: false,
    }
}

/// The next call of this kind to a path is carried out, and its answer lost.
pub(crate) fn unanswered(method: &str, path: &str) -> Fault {
    let method = Some(method.to_owned());
    Fault { method, status: None, applied_but_unanswered: true, ..failing(path, 0, 1) }
}

impl TestApp {
    /// A service with default settings.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A service with these lines under `[connections.sync.contacts]`.
    pub(crate) async fn with(contacts: &str) -> Self {
        Self::set_up(Setup::with(contacts)).await
    }

    /// The same with a portal of another kind.
    pub(crate) async fn in_portal(contacts: &str, portal: hubspot::Options) -> Self {
        Self::set_up(Setup { portal, ..Setup::with(contacts) }).await
    }

    /// The same with an organization of another kind.
    pub(crate) async fn in_organization(contacts: &str, organization: salesforce::Options) -> Self {
        Self::set_up(Setup { organization, ..Setup::with(contacts) }).await
    }

    /// The same on a database of a story's own choice; `None` where this machine has no server for it.
    pub(crate) async fn on(database: Database, contacts: &str) -> Option<Self> {
        Self::on_in(database, contacts, salesforce::Options::default()).await
    }

    /// The same with an organization of another kind.
    pub(crate) async fn on_in(
        database: Database,
        contacts: &str,
        organization: salesforce::Options,
    ) -> Option<Self> {
        let database = TestDatabase::new(database).await.unwrap()?;
        Some(Self::set_up_on(database, Setup { organization, ..Setup::with(contacts) }).await)
    }

    /// A service that sweeps every five minutes; its first sweep, which looks at nothing, has been.
    pub(crate) async fn sweeping(contacts: &str) -> Self {
        Self::sweeping_in(contacts, salesforce::Options::default()).await
    }

    /// The same with an organization of another kind.
    pub(crate) async fn sweeping_in(contacts: &str, organization: salesforce::Options) -> Self {
        let app = Self::unswept(contacts, organization).await;
        app.settle().await;
        app.forget_calls();
        app
    }

    /// The same before its first sweep.
    pub(crate) async fn unswept(contacts: &str, organization: salesforce::Options) -> Self {
        Self::set_up(Setup { organization, sweeps: true, ..Setup::with(contacts) }).await
    }

    /// A service that begins with all this.
    pub(crate) async fn set_up(setup: Setup) -> Self {
        Self::set_up_on(database().await, setup).await
    }

    async fn set_up_on(database: TestDatabase, setup: Setup) -> Self {
        let shutdown = Shutdown::default();
        let clock = EmulatorClock::new(Arc::new(TestClock::at(START)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance_url = format!("http://{}", listener.local_addr().unwrap());
        let organization = setup.organization.clone();
        let options = salesforce::Options { instance_url, calls_max: 1_000_000, ..organization };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock.clone()));
        let salesforce_url = serve(listener, Arc::clone(&salesforce) as _, &shutdown).await;
        salesforce.deliver_to(&format!("{PUBLIC_URL}/webhooks/salesforce/{PATH_TOKEN}"));
        Self::around(database, &setup, (salesforce, salesforce_url, clock), shutdown).await
    }

    /// A service of its own for another portal on the same organization; it must end first.
    pub(crate) async fn beside(&self, setup: &Setup) -> Self {
        let organization = (Arc::clone(&self.salesforce), self.salesforce_url.clone(), self.clock.clone());
        Self::around(database().await, setup, organization, Shutdown::default()).await
    }

    async fn around(
        database: TestDatabase,
        setup: &Setup,
        (salesforce, salesforce_url, clock): (Arc<SalesforceEmulator>, String, EmulatorClock),
        shutdown: Shutdown,
    ) -> Self {
        let hubspot = Arc::new(HubspotEmulator::new(setup.portal.clone(), clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hubspot_url = serve(listener, Arc::clone(&hubspot) as _, &shutdown).await;
        hubspot.deliver_to(&format!("{PUBLIC_URL}/webhooks/hubspot"), SECRET);
        hubspot.set_active_list(LIST, &[IN_LIST]);
        let config = Config::parse(&setup.configuration(&database, (&hubspot_url, &salesforce_url))).unwrap();
        let metrics = hubforce::telemetry::count().unwrap();
        let own_clock = Skewed::new(&clock);
        let outside = Outside { clock: Arc::new(own_clock.clone()), metrics, shutdown: shutdown.clone() };
        let assembled = assemble(&config, &outside).await.unwrap();
        let router = http::router(assembled.state);
        let name = ConnectionName::parse("acme").unwrap();
        let desks = [hubspot.control().clone(), salesforce.control().clone()];
        let leftovers = Leftovers::new(database.url(), name.clone(), desks);
        Self {
            hubspot,
            salesforce,
            store: assembled.store,
            worker: assembled.worker,
            router,
            clock,
            own_clock,
            name,
            hubspot_url,
            salesforce_url,
            shutdown,
            config,
            has_list: setup.contacts.contains("inclusion_list_id = \"77\""),
            leftovers,
            database,
        }
    }

    /// Another instance of the service, on the same memory; it must go before the test ends.
    pub(crate) async fn another(&self) -> Assembled {
        let metrics = hubforce::telemetry::count().unwrap();
        let clock = Arc::new(self.own_clock.clone());
        assemble(&self.config, &Outside { clock, metrics, shutdown: self.shutdown.clone() }).await.unwrap()
    }

    /// Another instance on the same memory with other lines under `[connections.sync.contacts]`; it must go before the test ends.
    pub(crate) async fn another_with(&self, contacts: &str) -> Assembled {
        let urls = (self.hubspot_url.as_str(), self.salesforce_url.as_str());
        let config = Config::parse(&Setup::with(contacts).configuration(&self.database, urls)).unwrap();
        let metrics = hubforce::telemetry::count().unwrap();
        let clock = Arc::new(self.own_clock.clone());
        assemble(&config, &Outside { clock, metrics, shutdown: self.shutdown.clone() }).await.unwrap()
    }

    /// Moves the clock on to the next sweep, and works until that and all that comes of it is done.
    pub(crate) async fn sweep(&self) {
        self.clock.advance_millis(SWEEP_MS);
        // Searches have an allowance for each second.
        for _ in 0..10 {
            self.settle_at_once().await;
            self.clock.advance_millis(1_000);
        }
        self.settle().await;
    }

    /// Sweeps until nothing of what happened so far is of interest any more.
    pub(crate) async fn quiet(&self) {
        self.sweep().await;
        self.sweep().await;
        self.forget_calls();
    }

    /// Nothing that happens from now on is told, on either side.
    pub(crate) fn lose_messages(&self) {
        self.hubspot.drop_events(u32::MAX);
        self.salesforce.drop_notifications(u32::MAX);
    }

    /// What happens from now on is told again.
    pub(crate) fn tell_messages(&self) {
        self.hubspot.drop_events(0);
        self.salesforce.drop_notifications(0);
    }

    /// Sends a request; returns status and body.
    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, Bytes) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap())
    }

    /// Asks the API as the operator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, serde_json::Value) {
        self.ask_as(TOKEN, method, path, body).await
    }

    /// Asks the API with a token.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, serde_json::Value) {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let (status, body) = self.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Carries one message to the service; returns how it was answered.
    pub(crate) async fn carry(&self, outgoing: &Outgoing) -> Answer {
        let path = outgoing.url.strip_prefix(PUBLIC_URL).unwrap();
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in &outgoing.headers {
            request = request.header(*name, value);
        }
        let (status, body) = self.send(request.body(Body::from(outgoing.body.clone())).unwrap()).await;
        Answer::Status(status.as_u16(), body.to_vec())
    }

    /// Carries every message that is due; returns how many there were.
    pub(crate) async fn deliver(&self) -> usize {
        let mut n = 0;
        let vendors: [Arc<dyn Vendor>; 2] =
            [Arc::clone(&self.hubspot) as _, Arc::clone(&self.salesforce) as _];
        for vendor in vendors {
            for outgoing in vendor.take_due(self.clock.now()) {
                n += 1;
                let answer = self.carry(&outgoing).await;
                assert!(matches!(answer, Answer::Status(200, _)), "{answer:?}");
                vendor.settle(outgoing.id, &answer, self.clock.now());
            }
        }
        n
    }

    /// Delivers and works until nothing more happens.
    pub(crate) async fn settle(&self) {
        self.settle_at_once().await;
        if self.has_list {
            self.clock.advance_millis(SETTLE_MS);
            self.settle_at_once().await;
        }
    }

    /// The same at the present instant: HubSpot gets no time to recompute the inclusion list.
    pub(crate) async fn settle_at_once(&self) {
        loop {
            let delivered = self.deliver().await;
            self.worker.drain().await.unwrap();
            if delivered == 0 {
                return;
            }
        }
    }

    /// Moves the clock on and settles.
    pub(crate) async fn settle_after(&self, millis: i64) {
        self.clock.advance_millis(millis);
        self.settle().await;
    }

    /// Calls of the service to both CRMs so far.
    pub(crate) fn calls(&self) -> u64 {
        self.hubspot.control().total(Caller::Integration)
            + self.salesforce.control().total(Caller::Integration)
    }

    /// Forgets calls.
    pub(crate) fn forget_calls(&self) {
        self.hubspot.control().reset();
        self.salesforce.control().reset();
    }

    /// Calls of the service that write.
    pub(crate) fn writes(&self) -> u64 {
        let of_hubspot =
            ["batch/create", "batch/update"].map(|endpoint| self.hubspot.control().calls_to(endpoint));
        let of_salesforce = ["update", "upsert", "insert"]
            .map(|verb| self.salesforce.control().calls_to(&format!("composite/sobjects/{verb}")));
        of_hubspot.iter().sum::<u64>() + of_salesforce.iter().sum::<u64>()
    }

    /// The jobs in a state.
    pub(crate) async fn jobs(&self, state: Option<JobState>) -> Vec<Job> {
        let query =
            JobQuery { connection: &self.name, state, after: None, limit: 500, now: self.clock.now() };
        self.store.jobs(&query).await.unwrap()
    }

    /// Says that the test leaves work on purpose.
    pub(crate) fn leaves_work(&self) {
        self.leftovers.allow_work();
    }

    /// Ends the test: nothing may be left to do.
    pub(crate) async fn end(self) {
        let left = self.jobs(None).await;
        assert!(left.is_empty(), "left over: {left:?}");
        self.stop().await;
    }

    /// Ends a test that leaves work on purpose.
    pub(crate) async fn stop(self) {
        self.leaves_work();
        self.shutdown.stop.cancel();
        let Self { store, worker, router, shutdown, leftovers, .. } = self;
        drop((worker, router));
        store.close().await;
        assert!(shutdown.finish(std::time::Duration::from_secs(10)).await);
        drop(leftovers);
    }

    /// The only lead's id.
    pub(crate) fn lead(&self) -> String {
        let ids = self.salesforce.ids("Lead");
        assert_eq!(ids.len(), 1, "{ids:?}");
        ids[0].clone()
    }

    /// A lead's field.
    pub(crate) fn lead_field(&self, id: &str, field: &str) -> Option<String> {
        self.salesforce.field("Lead", id, field)
    }
}
