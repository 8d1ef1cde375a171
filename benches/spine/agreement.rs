//! Contacts brought into agreement end to end: emulated CRM, signed webhook, store, worker, calls, other CRM.

use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::Table;
use hubforce::emulator::free_port;

use crate::crms::Crms;
use crate::service::{self, Process};

/// Contacts in a burst.
const CONTACTS: usize = 10_000;

/// How often agreement is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a burst may take; a bound, not a measure.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a service rests before its memory counts as idle.
const REST: Duration = Duration::from_secs(2);

struct Bench {
    crms: Crms,
    service: Process,
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
        bench.crms.end().await;
    }
    println!("{table}");
}

impl Bench {
    async fn start(directory: &Path, latency_ms: u64) -> Self {
        let port = free_port().expect("a port is free");
        let crms = Crms::start(port).await;
        crms.set_latency_ms(latency_ms);
        let service = service::serve(directory, port, &service::sqlite(directory), &crms.urls, &[]);
        Self { crms, service }
    }

    /// Makes changes and waits until everything changed agrees; returns seconds and calls.
    async fn burst<T>(&self, change: impl FnOnce() -> Vec<T>, agrees: impl Fn(&T) -> bool) -> (f64, u64) {
        let (began, before) = (Instant::now(), self.crms.calls());
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
        while self.crms.pending() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(REST).await;
        (seconds, self.crms.calls() - before)
    }

    async fn births(&self) -> (f64, u64) {
        self.burst(|| self.crms.create_contacts(CONTACTS), |contact| self.crms.is_linked(*contact)).await
    }

    async fn edits_in_hubspot(&self) -> (f64, u64) {
        self.burst(|| self.crms.move_contacts_to("Bonn"), |lead| self.crms.lead_is_in(lead, "Bonn")).await
    }

    async fn edits_in_salesforce(&self) -> (f64, u64) {
        let Crms { hubspot, salesforce, .. } = &self.crms;
        let edit = || {
            let edit = |lead: &String| salesforce.update("Lead", lead, &[("City", "Rome")]);
            salesforce.ids("Lead").iter().try_for_each(edit).expect("a lead can be edited");
            hubspot.ids()
        };
        self.burst(edit, |contact| hubspot.property(*contact, "city").as_deref() == Some("Rome")).await
    }
}
