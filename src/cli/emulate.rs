//! `hubforce emulate`: both CRMs as emulators, alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tracing::warn;

use crate::cli::serve::listen;
use crate::cli::{DONE, Misuse, say};
use crate::domain::{Chain, Clock, SystemClock};
use crate::emulator::hubspot::HubspotEmulator;
use crate::emulator::salesforce::SalesforceEmulator;
use crate::emulator::{EmulatorClock, Vendor, courier, hubspot, router, salesforce};
use crate::shutdown::Shutdown;

/// What `emulate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the emulated HubSpot listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9101")]
    hubspot: String,
    /// Where the emulated Salesforce listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9102")]
    salesforce: String,
    /// Records to begin with, as JSON.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
}

/// How long a stop may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let shutdown = Shutdown::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listeners = (listen(&arguments.hubspot).await?, listen(&arguments.salesforce).await?);
    let emulated = start(listeners, &clock, &shutdown)?;
    if let Some(path) = &arguments.seed {
        let n = seed(path, &emulated)?;
        say(format!("{n} records to begin with"));
    }
    say(format!(
        "HubSpot     {}   tokens: pat-integration, pat-person (somebody at work)",
        emulated.hubspot_url
    ));
    say(format!(
        "Salesforce  {}   client: integration-client / integration-secret, person: person@example.com / person-password",
        emulated.salesforce_url
    ));
    say(
        "GET /_control/state and /_control/calls on either port; POST /_control/webhooks says where messages go",
    );
    shutdown.clone().on_signal().await.context("signals cannot be heard")?;
    shutdown.finish(PATIENCE).await;
    Ok(DONE)
}

/// Both emulators, listening.
pub(super) struct Emulated {
    pub(super) hubspot: Arc<HubspotEmulator>,
    pub(super) salesforce: Arc<SalesforceEmulator>,
    pub(super) hubspot_url: String,
    pub(super) salesforce_url: String,
}

/// Starts both emulators and their couriers.
pub(super) fn start(
    (hubspot_listener, salesforce_listener): (TcpListener, TcpListener),
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
) -> anyhow::Result<Emulated> {
    let hubspot_url = format!("http://{}", hubspot_listener.local_addr()?);
    let salesforce_url = format!("http://{}", salesforce_listener.local_addr()?);
    let clock = EmulatorClock::new(Arc::clone(clock));
    let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
    let options =
        salesforce::Options { instance_url: salesforce_url.clone(), ..salesforce::Options::default() };
    let salesforce = Arc::new(SalesforceEmulator::new(options, clock));
    let vendors: [(TcpListener, Arc<dyn Vendor>); 2] =
        [(hubspot_listener, Arc::clone(&hubspot) as _), (salesforce_listener, Arc::clone(&salesforce) as _)];
    for (listener, vendor) in vendors {
        let (stop, carried) = (shutdown.stop.clone(), Arc::clone(&vendor));
        shutdown.tasks.spawn(async move {
            if let Err(error) = courier::carry(carried, stop).await {
                warn!(error = %Chain(&error), "An emulator cannot send its messages");
            }
        });
        let stop = shutdown.stop.clone();
        shutdown.tasks.spawn(async move {
            let served = axum::serve(listener, router(vendor)).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                warn!(error = %Chain(&error), "An emulator's listener failed");
            }
        });
    }
    Ok(Emulated { hubspot, salesforce, hubspot_url, salesforce_url })
}

fn seed(path: &Path, emulated: &Emulated) -> anyhow::Result<usize> {
    let text = crate::config::source::read_file(path)
        .map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
    let seed: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
    let n = emulated.hubspot.seed(&seed).map_err(|text| anyhow!(Misuse(text)))?;
    Ok(n + emulated.salesforce.seed(&seed).map_err(|text| anyhow!(Misuse(text)))?)
}
