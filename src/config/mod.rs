//! The configuration file: what may stand in it, and what is wrong with it.
//!
//! Unknown keys are refused, with the nearest known one named. Everything else that is wrong is named at once. `config.default.toml`
//! lists every key with its default; a test holds it to these types.

mod error;
pub mod source;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use error::Error;

use crate::domain::SalesforceId;
use crate::http::Role;
use crate::plan::options::SyncOptions;
use source::SecretSource;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the CRMs reach us.
    pub server: Server,
    /// Memory.
    pub database: Database,
    /// Who may ask.
    pub admin: Admin,
    /// How work is done.
    pub worker: Worker,
    /// How long finished things are kept.
    pub retention: Retention,
    /// The pairs of portal and organization.
    pub connections: Vec<Connection>,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where to listen.
    pub listen: String,
    /// The base URL that the CRMs call; HubSpot's signature covers it.
    pub public_url: Option<String>,
    /// How long a stop may take.
    pub shutdown_seconds: u64,
    /// With more records than this waiting for work, nothing more is taken in.
    pub backlog_max: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            shutdown_seconds: 20,
            backlog_max: 1_000_000,
        }
    }
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// Where it is.
    pub url: String,
    /// Whether `serve` applies migrations.
    pub migrate: bool,
    /// With less free disk than this nothing is taken in; on SQLite, whose disk we see.
    pub free_mb_min: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite://hubforce.db".to_owned(), migrate: true, free_mb_min: 100 }
    }
}

/// `[admin]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// A second listener for API and metrics; empty: they share the first.
    pub listen: String,
    /// Who may ask.
    pub tokens: Vec<Token>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// The token.
    pub token: SecretSource,
    /// What it allows.
    pub role: Role,
}

/// `[worker]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// Batches in flight at once, per connection.
    pub concurrency: usize,
    /// The most pairs in a batch.
    pub batch_size: usize,
    /// How often to look when nothing wakes the worker.
    pub poll_seconds: u64,
    /// How long a claim lasts.
    pub lease_seconds: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Self { concurrency: 4, batch_size: 100, poll_seconds: 1, lease_seconds: 30 }
    }
}

/// `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that deliveries are kept.
    pub deliveries_days: u32,
    /// Days that audit rows are kept.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { deliveries_days: 30, audit_days: 365 }
    }
}

/// `[[connections]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Its name.
    pub name: Option<String>,
    /// Whether it writes.
    pub mode: Mode,
    /// Whether HubSpot's own connector with Salesforce may be at work in the same portal.
    pub allow_native_connector: bool,
    /// The portal.
    pub hubspot: Hubspot,
    /// The organization.
    pub salesforce: Salesforce,
    /// What is synchronised.
    pub sync: SyncOptions,
    /// What no message told is looked for.
    pub sweep: Sweep,
}

/// `[connections.sweep]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// How often both CRMs are asked what changed of late; 0 for never.
    pub interval_seconds: u32,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { interval_seconds: 300 }
    }
}

/// Whether a connection writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does.
    #[default]
    Live,
    /// It reads and plans, and writes nothing.
    Shadow,
}

/// `[connections.hubspot]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hubspot {
    /// The account.
    pub portal_id: Option<u64>,
    /// The app, by whose id our own writes come back.
    pub app_id: Option<u64>,
    /// Secrets HubSpot may sign with, newest first.
    pub client_secrets: Vec<SecretSource>,
    /// Where the API is.
    pub api_url: String,
    /// `2026-09`, `2026-03`, or `v3` for the legacy paths.
    pub api_version: String,
    /// Our share of the short allowance.
    pub requests_per_10s: u32,
    /// Our share of the day's allowance.
    pub requests_per_day: u32,
    /// How we get in.
    pub auth: Option<HubspotAuth>,
}

impl Default for Hubspot {
    fn default() -> Self {
        Self {
            portal_id: None,
            app_id: None,
            client_secrets: Vec::new(),
            api_url: "https://api.hubapi.com".to_owned(),
            api_version: "2026-09".to_owned(),
            requests_per_10s: 100,
            requests_per_day: 250_000,
            auth: None,
        }
    }
}

/// `[connections.hubspot.auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum HubspotAuth {
    /// A static token of a private or project app.
    AccessToken {
        /// The token.
        access_token: SecretSource,
    },
}

/// `[connections.salesforce]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Salesforce {
    /// The organization.
    pub org_id: Option<String>,
    /// My Domain.
    pub login_url: String,
    /// `66.0`.
    pub api_version: String,
    /// Our share of the day's allowance.
    pub requests_per_day: u32,
    /// Secret last segments of the endpoint URL, newest first.
    pub path_tokens: Vec<SecretSource>,
    /// The field that holds the HubSpot id; empty where the organization may not add fields.
    pub external_id_field: String,
    /// How we get in.
    pub auth: Option<SalesforceAuth>,
}

impl Default for Salesforce {
    fn default() -> Self {
        Self {
            org_id: None,
            login_url: "https://login.salesforce.com".to_owned(),
            api_version: "66.0".to_owned(),
            requests_per_day: 15_000,
            path_tokens: Vec::new(),
            external_id_field: "Hubforce_HubSpot_Id__c".to_owned(),
            auth: None,
        }
    }
}

impl Salesforce {
    /// The organization; `None` where it is missing or is none.
    fn organization(&self) -> Option<SalesforceId> {
        let id = SalesforceId::parse_organization(self.org_id.as_deref()?).ok()?;
        (id.prefix() == "00D").then_some(id)
    }
}

/// `[connections.salesforce.auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SalesforceAuth {
    /// The app's own credentials, with the user set on the app.
    ClientCredentials {
        /// The consumer key.
        client_id: SecretSource,
        /// The consumer secret.
        client_secret: SecretSource,
    },
}

/// The shortest time between two sweeps.
const SWEEP_SECONDS_MIN: u32 = 10;

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = source::read_file(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks a text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = toml::from_str(text).map_err(|error| Error::from_toml(&error, text))?;
        let wrong = config.what_is_wrong();
        if wrong.is_empty() { Ok(config) } else { Err(Error::Wrong(wrong)) }
    }

    fn what_is_wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.server.public_url.as_deref() {
            None => wrong.push("server.public_url is missing: the base URL that the CRMs call, such as https://sync.example.com".to_owned()),
            Some(url) if !is_public(url) => {
                wrong.push("server.public_url must begin with https:// and not end with a slash (http:// only for this machine)".to_owned());
            }
            Some(_) => {}
        }
        if self.worker.concurrency == 0 || self.worker.batch_size == 0 || self.worker.batch_size > 100 {
            wrong.push("worker.concurrency must be at least 1, worker.batch_size from 1 to 100".to_owned());
        }
        if self.worker.lease_seconds < 5 {
            wrong.push(
                "worker.lease_seconds must be at least 5: a shorter lease would end in the middle of ordinary work".to_owned(),
            );
        }
        if self.worker.poll_seconds == 0 {
            wrong.push(
                "worker.poll_seconds must be at least 1: with 0 the worker would look without a pause"
                    .to_owned(),
            );
        }
        if self.connections.is_empty() {
            wrong.push(
                "there is no [[connections]]: name at least one pair of portal and organization".to_owned(),
            );
        }
        for (place, connection) in self.connections.iter().enumerate() {
            wrong.extend(connection.what_is_wrong(place));
            let twice = self.connections[..place].iter().any(|other| other.name == connection.name);
            if twice && connection.name.is_some() {
                wrong.push(format!(
                    "two connections are named {}",
                    connection.name.as_deref().unwrap_or_default()
                ));
            }
            wrong.extend(self.connections[..place].iter().flat_map(|other| clashes(other, connection)));
        }
        wrong
    }
}

/// Why two connections cannot go side by side: the events of one portal are handed to one of them, and on one organization
/// they would overwrite each other's ids.
fn clashes(one: &Connection, other: &Connection) -> Vec<String> {
    let name = |connection: &Connection| connection.name.clone().unwrap_or_default();
    let both = format!("connections {} and {}", name(one), name(other));
    let mut wrong = Vec::new();
    if let Some(portal) = one.hubspot.portal_id.filter(|portal| Some(*portal) == other.hubspot.portal_id) {
        wrong.push(format!(
            "{both} have the same hubspot.portal_id {portal}: a portal goes with exactly one organization (R-009); remove one of the two"
        ));
    }
    let (one, other) = (&one.salesforce, &other.salesforce);
    let same_field = !one.external_id_field.is_empty() && one.external_id_field == other.external_id_field;
    if same_field && one.organization().is_some() && one.organization() == other.organization() {
        wrong.push(format!("{both} are on one organization and need different external_id_fields"));
    }
    wrong
}

fn is_public(url: &str) -> bool {
    let local =
        ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start));
    (url.starts_with("https://") || local) && !url.ends_with('/')
}

impl Connection {
    fn what_is_wrong(&self, place: usize) -> Vec<String> {
        let name = self.name.clone().unwrap_or_else(|| format!("number {}", place + 1));
        let mut wrong = Vec::new();
        let mut say = |text: &str| wrong.push(format!("connection {name}: {text}"));
        let valid = |name: &String| crate::domain::ConnectionName::parse(name).is_some();
        if !self.name.as_ref().is_some_and(valid) {
            say("name is missing or holds other characters than lower-case letters, digits and hyphens");
        }
        if self.hubspot.portal_id.is_none() {
            say("hubspot.portal_id is missing");
        }
        if self.hubspot.app_id.is_none() {
            say("hubspot.app_id is missing: without it our own writes are not told from others'");
        }
        if self.hubspot.client_secrets.is_empty() {
            say("hubspot.client_secrets is empty: HubSpot's signatures cannot be verified");
        }
        if self.hubspot.auth.is_none() {
            say("hubspot.auth is missing");
        }
        if !["2026-09", "2026-03", "v3"].contains(&self.hubspot.api_version.as_str()) {
            say("hubspot.api_version is none of 2026-09, 2026-03, v3");
        }
        match (&self.salesforce.org_id, self.salesforce.organization()) {
            (None, _) => say("salesforce.org_id is missing"),
            (Some(_), Some(_)) => {}
            (Some(_), None) => {
                say("salesforce.org_id is no organization's id: 15 or 18 characters beginning with 00D");
            }
        }
        if self.salesforce.path_tokens.is_empty() {
            say("salesforce.path_tokens is empty: outbound messages cannot be told from anybody's");
        }
        if self.salesforce.auth.is_none() {
            say("salesforce.auth is missing");
        }
        if (1..SWEEP_SECONDS_MIN).contains(&self.sweep.interval_seconds) {
            say(
                "sweep.interval_seconds must be at least 10, or 0 to look for nothing: a sweep costs calls even where nothing happened",
            );
        }
        wrong
    }
}

#[cfg(test)]
mod tests;
