//! Putting a service together from its configuration: the same way for `serve`, `demo`, benches and tests.

use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{self, Config, HubspotAuth, SalesforceAuth};
use crate::crm::hubspot::{self, HubspotClient};
use crate::crm::limiter::{Allowance, Purse};
use crate::crm::salesforce::{self, ClientCredentials, SalesforceClient};
use crate::crm::transport::{NoObserver, Transport};
use crate::domain::{Clock, ConnectionName, SalesforceId, Secret};
use crate::http::{AdminToken, AppState, IngressConnection, Parts};
use crate::shutdown::Shutdown;
use crate::store::door::Door;
use crate::store::room::Limits;
use crate::store::{self, Store};
use crate::telemetry::CallMetrics;
use crate::worker::{Connection, Mode, Options, SharedPurse, Worker};

/// What a service takes from around it.
pub struct Outside {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are read.
    pub metrics: PrometheusHandle,
    /// What stops together.
    pub shutdown: Shutdown,
}

/// A service, ready to listen and work.
pub struct Assembled {
    /// Memory.
    pub store: Arc<dyn Store>,
    /// The worker; it does nothing until it is run or drained.
    pub worker: Arc<Worker>,
    /// What the handlers share.
    pub state: AppState,
}

/// Puts a service together; the door's keeper runs already.
pub async fn assemble(config: &Config, outside: &Outside) -> anyhow::Result<Assembled> {
    let options = store::Options { url: config.database.url.clone(), migrate: config.database.migrate };
    let store = store::open(&options).await.context("the database cannot be opened; check database.url")?;
    let transport = Transport::new(Arc::new(NoObserver)).context("the HTTP client cannot be built")?;
    assemble_on(config, outside, store, &transport)
}

/// The same on this memory and over this network.
pub fn assemble_on(
    config: &Config,
    outside: &Outside,
    store: Arc<dyn Store>,
    transport: &Transport,
) -> anyhow::Result<Assembled> {
    let limits = Limits {
        free_bytes_min: config.database.free_mb_min.saturating_mul(1024 * 1024),
        backlog_max: config.server.backlog_max,
    };
    let (door, keeper) = Door::open(Arc::clone(&store), limits, Arc::clone(&outside.clock));
    outside.shutdown.tasks.spawn(keeper);
    let (mut connections, mut ingress) = (Vec::new(), Vec::new());
    for connection in &config.connections {
        let (working, listening) = connect(connection, config, (transport, &store), &outside.clock)?;
        connections.push(working);
        ingress.push(listening);
    }
    let worker_options = Options {
        concurrency: config.worker.concurrency,
        batch_size: config.worker.batch_size,
        poll_ms: config.worker.poll_seconds * 1_000,
        lease_ms: i64::try_from(config.worker.lease_seconds).unwrap_or(i64::MAX / 1_000) * 1_000,
    };
    let worker = Worker::new(Arc::clone(&store), connections, Arc::clone(&outside.clock), worker_options);
    let state = AppState::new(Parts {
        store: Arc::clone(&store),
        door,
        worker: Arc::clone(&worker),
        connections: ingress,
        public_url: config.server.public_url.clone().unwrap_or_default(),
        tokens: admin_tokens(config)?,
        clock: Arc::clone(&outside.clock),
        metrics: outside.metrics.clone(),
    });
    Ok(Assembled { store, worker, state })
}

fn admin_tokens(config: &Config) -> Result<Vec<AdminToken>, config::Error> {
    let token = |token: &config::Token| {
        Ok(AdminToken { name: token.name.clone(), token: token.token.resolve()?, role: token.role })
    };
    config.admin.tokens.iter().map(token).collect()
}

fn connect(
    connection: &config::Connection,
    config: &Config,
    (transport, store): (&Transport, &Arc<dyn Store>),
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Connection, IngressConnection)> {
    let name = connection
        .name
        .as_deref()
        .and_then(ConnectionName::parse)
        .context("a connection has no valid name")?;
    let organization = connection.salesforce.org_id.as_deref().unwrap_or_default();
    let organization = SalesforceId::parse_organization(organization).context("salesforce.org_id")?;
    let portal_id = connection.hubspot.portal_id.context("hubspot.portal_id is missing")?;
    let app_id = connection.hubspot.app_id.context("hubspot.app_id is missing")?;
    let hubspot = hubspot_options(&connection.hubspot, (portal_id, app_id), config.worker.concurrency)?;
    let salesforce = salesforce_options(&connection.salesforce, organization, config.worker.concurrency)?;
    let transport = transport.observed_by(Arc::new(CallMetrics::of(name.as_str())));
    let purse: Arc<dyn Purse> = Arc::new(SharedPurse::new(Arc::clone(store), name.clone()));
    let external_id = connection.salesforce.external_id_field.clone();
    let working = Connection {
        name: name.clone(),
        mode: match connection.mode {
            config::Mode::Live => Mode::Live,
            config::Mode::Shadow => Mode::Shadow,
        },
        hubspot: Arc::new(HubspotClient::new(
            hubspot,
            transport.clone(),
            Arc::clone(clock),
            Arc::clone(&purse),
        )),
        salesforce: Arc::new(SalesforceClient::new(salesforce, transport, Arc::clone(clock), purse)),
        sync: connection.sync.clone(),
        allow_native_connector: connection.allow_native_connector,
        external_id_field: Some(external_id).filter(|field| !field.is_empty()),
        sweep_interval_ms: i64::from(connection.sweep.interval_seconds) * 1_000,
    };
    let resolve = |sources: &[config::source::SecretSource]| {
        sources.iter().map(config::source::SecretSource::resolve).collect()
    };
    let hubspot_secrets: Result<Vec<Secret>, config::Error> = resolve(&connection.hubspot.client_secrets);
    let path_tokens: Result<Vec<Secret>, config::Error> = resolve(&connection.salesforce.path_tokens);
    let (hubspot_secrets, path_tokens) = (hubspot_secrets?, path_tokens?);
    Ok((working, IngressConnection { name, portal_id, app_id, hubspot_secrets, organization, path_tokens }))
}

fn hubspot_options(
    settings: &config::Hubspot,
    ids: (u64, u64),
    calls_in_flight: usize,
) -> anyhow::Result<hubspot::Options> {
    let Some(HubspotAuth::AccessToken { access_token }) = &settings.auth else {
        anyhow::bail!("hubspot.auth is missing")
    };
    Ok(hubspot::Options {
        api_url: settings.api_url.trim_end_matches('/').to_owned(),
        api_version: settings.api_version.clone(),
        portal_id: ids.0,
        app_id: ids.1,
        access_token: access_token.resolve()?,
        allowance: Allowance { per_10s: Some(settings.requests_per_10s), per_day: settings.requests_per_day },
        calls_in_flight,
    })
}

fn salesforce_options(
    settings: &config::Salesforce,
    organization: SalesforceId,
    calls_in_flight: usize,
) -> anyhow::Result<salesforce::Options> {
    let Some(SalesforceAuth::ClientCredentials { client_id, client_secret }) = &settings.auth else {
        anyhow::bail!("salesforce.auth is missing")
    };
    Ok(salesforce::Options {
        login_url: settings.login_url.trim_end_matches('/').to_owned(),
        organization,
        api_version: settings.api_version.clone(),
        credentials: ClientCredentials {
            client_id: client_id.resolve()?,
            client_secret: client_secret.resolve()?,
        },
        allowance: Allowance { per_10s: None, per_day: settings.requests_per_day },
        calls_in_flight,
    })
}
