//! Both emulated CRMs, served from this process.

use std::sync::Arc;
use std::time::Duration;

use hubforce::domain::SystemClock;
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{Caller, EmulatorClock, Vendor, courier, router};
use hubforce::shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::service::{PATH_TOKEN, SECRET};

/// How long they may take to end; a bound, not a measure.
const PATIENCE: Duration = Duration::from_mins(2);

/// Both CRMs.
pub(crate) struct Crms {
    pub(crate) hubspot: Arc<HubspotEmulator>,
    pub(crate) salesforce: Arc<SalesforceEmulator>,
    /// Where they are.
    pub(crate) urls: [String; 2],
    shutdown: Shutdown,
}

impl Crms {
    /// Serves both; they send to a service on this port.
    pub(crate) async fn start(port: u16) -> Self {
        let shutdown = Shutdown::default();
        let clock = EmulatorClock::new(Arc::new(SystemClock));
        let (for_hubspot, hubspot_url) = listen().await;
        let (for_salesforce, salesforce_url) = listen().await;
        let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
        let options = salesforce::Options {
            instance_url: salesforce_url.clone(),
            calls_max: 1_000_000,
            ..salesforce::Options::default()
        };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock));
        hubspot.deliver_to(&format!("http://127.0.0.1:{port}/webhooks/hubspot"), SECRET);
        salesforce.deliver_to(&format!("http://127.0.0.1:{port}/webhooks/salesforce/{PATH_TOKEN}"));
        let vendors: [(TcpListener, Arc<dyn Vendor>); 2] =
            [(for_hubspot, Arc::clone(&hubspot) as _), (for_salesforce, Arc::clone(&salesforce) as _)];
        for (listener, vendor) in vendors {
            let (carried, stop) = (Arc::clone(&vendor), shutdown.stop.clone());
            shutdown
                .tasks
                .spawn(async move { courier::carry(carried, stop).await.expect("a courier works") });
            let stop = shutdown.stop.clone();
            shutdown.tasks.spawn(async move {
                let served =
                    axum::serve(listener, router(vendor)).with_graceful_shutdown(stop.cancelled_owned());
                served.await.expect("the listener works");
            });
        }
        Self { hubspot, salesforce, urls: [hubspot_url, salesforce_url], shutdown }
    }

    /// From now on every call takes this long.
    pub(crate) fn set_latency_ms(&self, millis: u64) {
        self.hubspot.control().set_latency_ms(millis);
        self.salesforce.control().set_latency_ms(millis);
    }

    /// The calls that the service made so far.
    pub(crate) fn calls(&self) -> u64 {
        let desks = [self.hubspot.control(), self.salesforce.control()];
        desks.map(|desk| desk.total(Caller::Integration)).iter().sum()
    }

    /// Messages that are not delivered yet.
    pub(crate) fn pending(&self) -> usize {
        self.hubspot.pending() + self.salesforce.pending()
    }

    /// Creates contacts in HubSpot.
    pub(crate) fn create_contacts(&self, n: usize) -> Vec<u64> {
        let create = |n: usize| {
            let (address, name) = (format!("p{n}@example.com"), format!("P{n}"));
            self.hubspot.create(&[("email", &address), ("lastname", &name)]).expect("a contact can be made")
        };
        (0..n).map(create).collect()
    }

    /// Whether a contact has a lead, and knows of it.
    pub(crate) fn is_linked(&self, contact: u64) -> bool {
        self.hubspot.property(contact, "hubforce_salesforce_lead_id").is_some()
    }

    /// Edits every contact in HubSpot; returns the leads that are to follow.
    pub(crate) fn move_contacts_to(&self, city: &str) -> Vec<String> {
        let edit = |contact: &u64| self.hubspot.update(*contact, &[("city", city)]);
        self.hubspot.ids().iter().try_for_each(edit).expect("a contact can be edited");
        self.salesforce.ids("Lead")
    }

    /// Whether a lead is in this city.
    pub(crate) fn lead_is_in(&self, lead: &str, city: &str) -> bool {
        self.salesforce.field("Lead", lead, "City").as_deref() == Some(city)
    }

    /// Ends both.
    pub(crate) async fn end(self) {
        self.shutdown.stop.cancel();
        assert!(self.shutdown.finish(PATIENCE).await, "the emulators did not stop");
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
    (listener, url)
}
