//! Contacts brought into agreement end to end: emulated CRM, signed webhook, store, worker, calls, other CRM.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::Table;
use hubforce::domain::SystemClock;
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{Caller, EmulatorClock, Vendor, courier, router};
use hubforce::shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::service::{self, PATH_TOKEN, Process, SECRET};

/// Contacts in a burst.
const CONTACTS: usize = 10_000;

/// How often agreement is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a burst may take; a bound, not a measure.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a service rests before its memory counts as idle.
const REST: Duration = Duration::from_secs(2);

struct Bench {
    hubspot: Arc<HubspotEmulator>,
    salesforce: Arc<SalesforceEmulator>,
    service: Process,
    shutdown: Shutdown,
}

/// Prints one line a burst.
pub(crate) async fn run() {
    println!("Agreement: {CONTACTS} contacts in a burst, against the emulated CRMs");
    let mut table = Table::new();
    table.set_header(["CRM latency", "burst", "contacts/s", "calls", "calls per 1,000"]);
    for latency_ms in [0, 50] {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let bench = Bench::start(directory.path(), latency_ms).await;
        tokio::time::sleep(REST).await;
        let idle = bench.service.resident_mib();
        for (burst, (seconds, calls)) in [
            ("born in HubSpot", bench.births().await),
            ("edited in HubSpot", bench.edits_in_hubspot().await),
            ("edited in Salesforce", bench.edits_in_salesforce().await),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let (contacts, calls) = (CONTACTS as f64, calls as f64);
            table.add_row([
                format!("{latency_ms} ms"),
                burst.to_owned(),
                format!("{:.0}", contacts / seconds),
                format!("{calls:.0}"),
                format!("{:.1}", calls * 1_000.0 / contacts),
            ]);
        }
        if let (Some((idle, _)), Some((_, loaded))) = (idle, bench.service.resident_mib()) {
            println!(
                "Resident memory at {latency_ms} ms: {idle:.1} MiB idle, {loaded:.1} MiB at its highest"
            );
        }
        drop(bench.service);
        bench.shutdown.stop.cancel();
        assert!(bench.shutdown.finish(PATIENCE).await, "the emulators did not stop");
    }
    println!("{table}");
}

impl Bench {
    async fn start(directory: &Path, latency_ms: u64) -> Self {
        let shutdown = Shutdown::default();
        let clock = EmulatorClock::new(Arc::new(SystemClock));
        let mut listeners = Vec::new();
        for _ in 0..2 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"));
        }
        let urls: Vec<String> = listeners
            .iter()
            .map(|listener| format!("http://{}", listener.local_addr().expect("a listener has an address")))
            .collect();
        let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
        let options = salesforce::Options {
            instance_url: urls[1].clone(),
            calls_max: 1_000_000,
            ..salesforce::Options::default()
        };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock));
        let port = service::free_port();
        hubspot.deliver_to(&format!("http://127.0.0.1:{port}/webhooks/hubspot"), SECRET);
        salesforce.deliver_to(&format!("http://127.0.0.1:{port}/webhooks/salesforce/{PATH_TOKEN}"));
        hubspot.control().set_latency_ms(latency_ms);
        salesforce.control().set_latency_ms(latency_ms);
        let vendors: [Arc<dyn Vendor>; 2] = [Arc::clone(&hubspot) as _, Arc::clone(&salesforce) as _];
        for (listener, vendor) in listeners.into_iter().zip(vendors) {
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
        let service = service::serve(directory, port, (&urls[0], &urls[1]), &[]);
        Self { hubspot, salesforce, service, shutdown }
    }

    fn calls(&self) -> u64 {
        [self.hubspot.control(), self.salesforce.control()]
            .map(|desk| desk.total(Caller::Integration))
            .iter()
            .sum()
    }

    /// Makes changes and waits until everything changed agrees; returns seconds and calls.
    async fn burst<T>(&self, change: impl FnOnce() -> Vec<T>, agrees: impl Fn(&T) -> bool) -> (f64, u64) {
        let (began, before) = (Instant::now(), self.calls());
        let mut open = change();
        let look = async {
            while !open.is_empty() {
                open.retain(|changed| !agrees(changed));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, look).await.is_ok(), "{} do not agree", open.len());
        let seconds = began.elapsed().as_secs_f64();
        // Echoes come after agreement; what they cost counts too.
        while self.hubspot.pending() + self.salesforce.pending() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(REST).await;
        (seconds, self.calls() - before)
    }

    async fn births(&self) -> (f64, u64) {
        let create = |n: usize| {
            let (address, name) = (format!("p{n}@example.com"), format!("P{n}"));
            self.hubspot.create(&[("email", &address), ("lastname", &name)]).expect("a contact can be made")
        };
        let linked = |contact: &u64| self.hubspot.property(*contact, "hubforce_salesforce_lead_id").is_some();
        self.burst(|| (0..CONTACTS).map(create).collect(), linked).await
    }

    async fn edits_in_hubspot(&self) -> (f64, u64) {
        let edit = || {
            let edit = |contact: &u64| self.hubspot.update(*contact, &[("city", "Bonn")]);
            self.hubspot.ids().iter().try_for_each(edit).expect("a contact can be edited");
            self.salesforce.ids("Lead")
        };
        self.burst(edit, |lead| self.salesforce.field("Lead", lead, "City").as_deref() == Some("Bonn")).await
    }

    async fn edits_in_salesforce(&self) -> (f64, u64) {
        let edit = || {
            let edit = |lead: &String| self.salesforce.update("Lead", lead, &[("City", "Rome")]);
            self.salesforce.ids("Lead").iter().try_for_each(edit).expect("a lead can be edited");
            self.hubspot.ids()
        };
        self.burst(edit, |contact| self.hubspot.property(*contact, "city").as_deref() == Some("Rome")).await
    }
}
