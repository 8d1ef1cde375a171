//! Both CRMs, on this machine, and the configuration of a service between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use hubforce::domain::SystemClock;
use hubforce::emulator::hubspot::{self, HubspotEmulator};
use hubforce::emulator::salesforce::{self, SalesforceEmulator};
use hubforce::emulator::{EmulatorClock, Vendor, router};

const SECRET: &str = "chaos-secret";
const PATH_TOKEN: &str = "chaos-path-token";

/// Both CRMs and a directory.
pub(crate) struct Town {
    pub(crate) hubspot: Arc<HubspotEmulator>,
    pub(crate) salesforce: Arc<SalesforceEmulator>,
    pub(crate) directory: tempfile::TempDir,
    urls: (String, String),
}

impl Town {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let clock = EmulatorClock::new(Arc::new(SystemClock));
        let hubspot = Arc::new(HubspotEmulator::new(hubspot::Options::default(), clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let instance_url = format!("http://{}", listener.local_addr()?);
        let options = salesforce::Options { instance_url, calls_max: u64::MAX, ..salesforce::Options::default() };
        let salesforce = Arc::new(SalesforceEmulator::new(options, clock));
        let salesforce_url = open(listener, Arc::clone(&salesforce) as _)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let hubspot_url = open(listener, Arc::clone(&hubspot) as _)?;
        let directory = tempfile::tempdir()?;
        Ok(Self { hubspot, salesforce, directory, urls: (hubspot_url, salesforce_url) })
    }

    /// Writes the configuration of a service that listens on a port and remembers in a database; HubSpot sends there.
    pub(crate) fn configure(&self, port: u16, database: &str) -> anyhow::Result<PathBuf> {
        let base = format!("http://127.0.0.1:{port}");
        self.hubspot.deliver_to(&format!("{base}/webhooks/hubspot"), SECRET);
        let (hubspot, salesforce) = &self.urls;
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:{port}"
            public_url = "{base}"
            shutdown_seconds = 5
            [database]
            url = "{database}"
            [worker]
            lease_seconds = 5
            [[connections]]
            name = "chaos"
            [connections.hubspot]
            portal_id = 1234567
            app_id = 998877
            client_secrets = ["{SECRET}"]
            api_url = "{hubspot}"
            requests_per_10s = 1000000
            requests_per_day = 100000000
            auth = {{ type = "access_token", access_token = "pat-integration" }}
            [connections.salesforce]
            org_id = "00D000000000001"
            login_url = "{salesforce}"
            requests_per_day = 100000000
            path_tokens = ["{PATH_TOKEN}"]
            auth = {{ type = "client_credentials", client_id = "integration-client", client_secret = "integration-secret" }}
            "#
        );
        let path = self.path("hubforce.toml");
        std::fs::write(&path, text).context("the configuration cannot be written")?;
        Ok(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn open(listener: tokio::net::TcpListener, vendor: Arc<dyn Vendor>) -> anyhow::Result<String> {
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router(vendor)).await });
    Ok(url)
}
