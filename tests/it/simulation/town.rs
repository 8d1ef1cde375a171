//! Everybody and everything in one process: both CRMs with the people at work in them, and the instances of the service.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use fastrand::Rng;
use hubforce::cli::{Outside, assemble_on};
use hubforce::config::Config;
use hubforce::crm::transport::{NoObserver, Transport};
use hubforce::domain::{Clock, TestClock, Timestamp};
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{Answer, EmulatorClock, Outgoing, Vendor};
use hubforce::http;
use hubforce::shutdown::Shutdown;
use hubforce::store::testing::TestDatabase;
use hubforce::store::{self, Store};
use hubforce::worker::Worker;
use tower::ServiceExt;

use crate::harness::{PATH_TOKEN, PUBLIC_URL, SECRET, START, Setup, Skewed, TOKEN};
use crate::oracle::{Evidence, Reads, Settings, Verdict, i_9_every_write_is_explained};
use crate::people_at_work::{People, organization};
use crate::simulation::memory::Memory;
use crate::simulation::network::Network;
use crate::simulation::world::{Instance, World};

/// Where HubSpot is.
pub(crate) const HUBSPOT_PORT: u16 = 9101;

/// A lease and a little more: whoever holds one now has lost it.
const LONGER_THAN_A_LEASE_MS: i64 = 31_000;

/// HubSpot's short window.
const BURST_MS: i64 = 10_000;

/// By how much the clock of an instance may be ahead.
const WRONG_BY_MS: i64 = 60_000;

/// As many calls as anybody could want.
pub(crate) const UNLIMITED: u32 = 1_000_000;

/// How one simulation differs from the next.
#[derive(Clone)]
pub(crate) struct Setting {
    /// What the instances begin with. Where they sweep, messages may be lost for good.
    pub(crate) setup: Setup,
    /// Whether a deleted lead or contact deletes its HubSpot contact.
    pub(crate) deletes: bool,
    /// HubSpot's allowance in ten seconds.
    pub(crate) burst: u32,
    /// How many instances share the database.
    pub(crate) instances: usize,
}

/// An instance of the service.
struct Service {
    worker: Arc<Worker>,
    router: Router,
    store: Arc<dyn Store>,
}

/// What was counted.
#[derive(Default)]
struct Counted {
    acts: usize,
    writes: usize,
    recent: Vec<Timestamp>,
}

/// The town.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) hubspot: Arc<HubspotEmulator>,
    pub(crate) salesforce: Arc<SalesforceEmulator>,
    pub(crate) clock: EmulatorClock,
    /// Those of the instances.
    clocks: Vec<Skewed>,
    pub(crate) setting: Setting,
    people: Mutex<People>,
    services: Mutex<BTreeMap<Instance, Service>>,
    /// Messages on their way, with the place of their sender.
    on_the_way: Mutex<Vec<(usize, Outgoing)>>,
    /// Every message that was delivered.
    delivered: Mutex<Vec<Outgoing>>,
    counted: Mutex<Counted>,
    /// What the instances read, and when.
    reads: Mutex<Reads>,
    /// The records whose resync was asked for one by one.
    asked: Mutex<Vec<(u64, String)>>,
    database: TestDatabase,
}

/// What may happen between two effects of an instance.
#[derive(Clone)]
pub(crate) struct Between(Arc<Town>);

impl Between {
    pub(crate) fn town(&self) -> &Town {
        &self.0
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    /// Life goes on while an instance works.
    pub(crate) async fn happens(&self) {
        let world = self.world();
        if !world.happens(world.weather().interludes) {
            return;
        }
        match world.below(9) {
            0..=3 => self.0.act(1),
            4..=5 => {
                self.0.deliver().await;
            }
            6 => self.0.advance(millis(world.below(4_000))),
            7 => self.0.advance(LONGER_THAN_A_LEASE_MS),
            _ => self.0.set_a_clock(),
        }
    }

    /// The time by which a call that leaves now is counted, however long it is on its way.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn count_call(&self, left_at: Timestamp, to_hubspot: bool, writes: bool) {
        let mut counted = held(&self.0.counted);
        counted.writes += usize::from(writes);
        if !to_hubspot || self.0.setting.burst == UNLIMITED {
            return;
        }
        // They do not arrive in the order in which they left.
        let recent = &mut counted.recent;
        recent.retain(|at| left_at.millis_since(*at) < 10 * BURST_MS);
        recent.insert(recent.partition_point(|at| *at <= left_at), left_at);
        let burst = self.0.setting.burst as usize;
        for began in recent.iter() {
            let within = |at: &&Timestamp| (0..BURST_MS).contains(&at.millis_since(*began));
            let n = recent.iter().filter(within).count();
            assert!(n <= burst, "I6: {n} calls in ten seconds, where {burst} are ours");
        }
    }
}

/// Wakes somebody, and remembers that it did.
struct Woken {
    whom: Waker,
    again: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.again.store(true, Ordering::Relaxed);
        self.whom.wake_by_ref();
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Town {
    pub(crate) fn new(seed: u64, setting: Setting, database: TestDatabase) -> Arc<Self> {
        let clock = EmulatorClock::new(Arc::new(TestClock::at(START)));
        let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
        let instance_url = "http://127.0.0.1:9102".to_owned();
        let options = salesforce::Options { instance_url, calls_max: u64::MAX, ..organization() };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock.clone()));
        hubspot.deliver_to(&format!("{PUBLIC_URL}/webhooks/hubspot"), SECRET);
        salesforce.deliver_to(&format!("{PUBLIC_URL}/webhooks/salesforce/{PATH_TOKEN}"));
        salesforce.refuse_where("FirstName", "v7");
        let mut rng = Rng::with_seed(seed);
        let people = Mutex::new(People::new(&hubspot, &salesforce, rng.fork()));
        Arc::new(Self {
            world: World::new(rng),
            hubspot,
            salesforce,
            clocks: std::iter::repeat_with(|| Skewed::new(&clock)).take(setting.instances).collect(),
            clock,
            setting,
            people,
            services: Mutex::default(),
            on_the_way: Mutex::default(),
            delivered: Mutex::default(),
            counted: Mutex::default(),
            reads: Mutex::default(),
            asked: Mutex::default(),
            database,
        })
    }

    pub(crate) fn instances(&self) -> Vec<Instance> {
        (0..self.setting.instances).collect()
    }

    /// The machine of an instance sets its clock, not always to the right time.
    fn set_a_clock(&self) {
        // Where calls are counted by the second, every clock must be right.
        if self.setting.burst < UNLIMITED {
            return;
        }
        let instance = self.world.below(self.setting.instances);
        let ahead_ms = millis(self.world.below(2)) * WRONG_BY_MS;
        self.clocks[instance].set_ahead_ms(ahead_ms);
        self.world.note(format!("the clock of {instance} is ahead by {ahead_ms} ms"));
    }

    /// From now on every clock is right.
    pub(crate) fn set_the_clocks(&self) {
        for clock in &self.clocks {
            clock.set_ahead_ms(0);
        }
    }

    /// People do so many things.
    pub(crate) fn act(&self, n: usize) {
        held(&self.counted).acts += n;
        for _ in 0..n {
            let said = held(&self.people).act();
            self.world.note(said);
        }
    }

    pub(crate) fn reads(&self) -> std::sync::MutexGuard<'_, Reads> {
        held(&self.reads)
    }

    /// What the settings say that explains anything.
    pub(crate) fn settings(&self) -> Settings {
        held(&self.people).settings(self.setting.deletes)
    }

    /// I9: whatever the service cleared, deleted or took over, somebody or a rule asked for.
    pub(crate) fn i_9_every_write_is_explained(&self, seed: u64) -> Verdict {
        let evidence = Evidence {
            journals: [&self.hubspot.journal(), &self.salesforce.journal()],
            reads: &self.reads(),
            asked: &held(&self.asked),
            settings: &self.settings(),
        };
        i_9_every_write_is_explained(seed, &evidence)
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.clock.advance_millis(millis);
        self.world.note(format!("{millis} ms pass"));
    }

    /// What was written by the service, and done by people.
    pub(crate) fn counted(&self) -> (usize, usize) {
        let counted = held(&self.counted);
        (counted.writes, counted.acts)
    }

    /// Starts the instances that do not run.
    pub(crate) async fn start_all(self: &Arc<Self>) {
        for instance in self.instances() {
            if !held(&self.services).contains_key(&instance) {
                self.world.begins(instance);
                let service = self.started(instance).await;
                held(&self.services).insert(instance, service);
            }
        }
    }

    async fn started(self: &Arc<Self>, instance: Instance) -> Service {
        let urls = (format!("http://127.0.0.1:{HUBSPOT_PORT}"), "http://127.0.0.1:9102".to_owned());
        let text = self.setting.setup.configuration(&self.database, (&urls.0, &urls.1));
        let burst = format!("requests_per_10s = {}", self.setting.burst);
        let text = text.replace("requests_per_10s = 1000000", &burst);
        let config = Config::parse(&text).unwrap();
        let options = store::Options { url: config.database.url.clone(), migrate: true };
        let inner = store::open(&options).await.unwrap();
        let between = Between(Arc::clone(self));
        let memory = Arc::new(Memory { inner: Arc::clone(&inner), instance, between: between.clone() });
        let transport = Transport::over(Arc::new(Network { instance, between }), Arc::new(NoObserver));
        let metrics = hubforce::telemetry::count().unwrap();
        let clock = Arc::new(self.clocks[instance].clone());
        let outside = Outside { clock, metrics, shutdown: Shutdown::default() };
        let assembled = assemble_on(&config, &outside, memory, &transport).unwrap();
        Service { worker: assembled.worker, router: http::router(assembled.state), store: inner }
    }

    /// These instances work side by side until each has nothing more to do or has ended.
    pub(crate) async fn work(&self, instances: &[Instance]) {
        let workers: Vec<(Instance, Arc<Worker>)> = {
            let services = held(&self.services);
            let worker = |instance: &Instance| {
                services.get(instance).map(|service| (*instance, Arc::clone(&service.worker)))
            };
            instances.iter().filter_map(worker).collect()
        };
        self.world.set_at_work(&workers.iter().map(|(instance, _)| *instance).collect::<Vec<_>>());
        let mut drains: Vec<_> = workers
            .iter()
            .map(|(instance, worker)| (*instance, Box::pin(async move { worker.drain().await })))
            .collect();
        std::future::poll_fn(|context| {
            let woken = Arc::new(Woken { whom: context.waker().clone(), again: AtomicBool::new(true) });
            let waker = Waker::from(Arc::clone(&woken));
            loop {
                // Whoever waits for somebody of the same instance goes on before it is decided whose turn it is. Else that would happen
                // during the next effect, which takes as long as the database's threads want.
                if !woken.again.swap(false, Ordering::Relaxed) && !self.world.choose() {
                    return Poll::Pending;
                }
                drains.retain_mut(|(instance, drain)| {
                    let outcome = drain.as_mut().poll(&mut Context::from_waker(&waker));
                    if let Poll::Ready(Err(error)) = &outcome {
                        self.world.note(format!("{instance} gives up: {}", hubforce::domain::Chain(error)));
                    }
                    let goes_on = outcome.is_pending() && !self.world.has_ended(*instance);
                    if !goes_on {
                        self.world.rests(*instance);
                    }
                    goes_on
                });
                if drains.is_empty() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
        self.world.all_rest();
        self.bury();
    }

    /// Instances that have ended leave nothing but what is on disk.
    fn bury(&self) {
        held(&self.services).retain(|instance, _| !self.world.has_ended(*instance));
    }

    /// Delivers what is due, as well as the weather allows.
    pub(crate) async fn deliver(&self) -> usize {
        for (place, vendor) in self.vendors().into_iter().enumerate() {
            let due = vendor.take_due(self.clock.now());
            held(&self.on_the_way).extend(due.into_iter().map(|outgoing| (place, outgoing)));
        }
        let (n, stormy) = (held(&self.on_the_way).len(), self.world.weather().calls > 0);
        for _ in 0..n {
            // Whoever delivers may end in the middle of it; what is on the way stays on the way.
            let waiting = held(&self.on_the_way).len();
            let place = if stormy { self.world.below(waiting) } else { 0 };
            let next = held(&self.on_the_way).get(place).cloned();
            let Some((vendor, outgoing)) = next else { break };
            match self.world.below(10) {
                0 if stormy && self.setting.setup.sweeps => {
                    self.world.note("a message is lost".to_owned());
                    self.arrived(vendor, &outgoing, &told(&outgoing));
                }
                1 if stormy => {}
                2 if stormy => {
                    self.carry(&outgoing).await;
                    let answer = self.carry(&outgoing).await;
                    self.arrived(vendor, &outgoing, &answer);
                }
                _ => {
                    let answer = self.carry(&outgoing).await;
                    self.arrived(vendor, &outgoing, &answer);
                }
            }
        }
        self.bury();
        n
    }

    fn arrived(&self, vendor: usize, outgoing: &Outgoing, answer: &Answer) {
        held(&self.on_the_way).retain(|(place, other)| (*place, other.id) != (vendor, outgoing.id));
        self.vendors()[vendor].settle(outgoing.id, answer, self.clock.now());
    }

    fn vendors(&self) -> [Arc<dyn Vendor>; 2] {
        [Arc::clone(&self.hubspot) as _, Arc::clone(&self.salesforce) as _]
    }

    /// Carries one message to some instance.
    async fn carry(&self, outgoing: &Outgoing) -> Answer {
        let path = outgoing.url.strip_prefix(PUBLIC_URL).unwrap();
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in &outgoing.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(outgoing.body.clone())).unwrap();
        let answer = self.answered_by_somebody(request).await;
        if matches!(answer, Answer::Status(200, _)) {
            held(&self.delivered).push(outgoing.clone());
        }
        answer
    }

    /// An operator asks some instance for a resync, of one record or of a kind.
    pub(crate) async fn ask_for_a_resync(&self) {
        let (id, body) = held(&self.people).resync();
        self.world.note(format!("a resync is asked for: {body}"));
        // It may be carried out although nobody answers.
        let noted = self.clock.noted();
        held(&self.asked).extend(id.map(|id| (noted, id)));
        held(&self.counted).acts += 1;
        let request =
            Request::post("/v1/connections/acme/resync").header("authorization", format!("Bearer {TOKEN}"));
        let answer = self.answered_by_somebody(request.body(Body::from(body)).unwrap()).await;
        assert!(matches!(answer, Answer::Status(202, _) | Answer::Unreachable), "{answer:?}");
    }

    /// The answer of some instance that is alive.
    async fn answered_by_somebody(&self, request: Request<Body>) -> Answer {
        let target = {
            let services = held(&self.services);
            let alive: Vec<(Instance, Router)> = services
                .iter()
                .filter(|(instance, _)| !self.world.has_ended(**instance))
                .map(|(instance, service)| (*instance, service.router.clone()))
                .collect();
            let place = self.world.below(alive.len());
            alive.into_iter().nth(place)
        };
        let Some((instance, router)) = target else { return Answer::Unreachable };
        let answering = async {
            let response = router.oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            Answer::Status(status, body.to_vec())
        };
        let mut answering = pin!(answering);
        let answer = std::future::poll_fn(|context| match answering.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending if self.world.ends_or_wakes(instance, context) => Poll::Ready(Answer::Unreachable),
            Poll::Pending => Poll::Pending,
        })
        .await;
        if matches!(answer, Answer::Unreachable) {
            // If this happened in a turn of the instance that ended, nothing more of that turn happens.
            tokio::task::yield_now().await;
        }
        answer
    }

    /// Delivers everything that was ever delivered once more.
    pub(crate) async fn deliver_everything_again(&self) {
        let delivered = held(&self.delivered).clone();
        for outgoing in &delivered {
            self.carry(outgoing).await;
        }
    }

    /// Somebody to ask.
    pub(crate) fn router(&self) -> Router {
        let services = held(&self.services);
        services.values().next().map(|service| service.router.clone()).unwrap()
    }

    /// Ends everything in order.
    pub(crate) async fn close(&self) {
        let services = std::mem::take(&mut *held(&self.services));
        for service in services.into_values() {
            service.store.close().await;
        }
    }

    /// Lets both CRMs try again at once what they could not deliver.
    pub(crate) fn try_again_now(&self) {
        self.hubspot.try_again_now();
        self.salesforce.try_again_now();
    }
}

pub(crate) fn millis(n: usize) -> i64 {
    i64::try_from(n).unwrap()
}

/// The answer that tells a sender that its message arrived.
fn told(outgoing: &Outgoing) -> Answer {
    let soap = outgoing.body.starts_with(b"<");
    let ack = "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>";
    Answer::Status(200, if soap { ack.as_bytes().to_vec() } else { Vec::new() })
}
