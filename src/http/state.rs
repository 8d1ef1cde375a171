//! What every handler can reach.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::domain::{Clock, ConnectionName, SalesforceId, Secret};
use crate::http::AdminToken;
use crate::http::auth::{KnownToken, hash};
use crate::store::Store;
use crate::store::door::Door;
use crate::worker::Worker;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// What a state is made of.
pub struct Parts {
    /// Memory.
    pub store: Arc<dyn Store>,
    /// Where deliveries are handed in.
    pub door: Door,
    /// The worker, to be woken and asked.
    pub worker: Arc<Worker>,
    /// Connections, as far as the door is concerned.
    pub connections: Vec<IngressConnection>,
    /// The base URL that the CRMs call, without a slash at the end.
    pub public_url: String,
    /// Tokens of people and programs.
    pub tokens: Vec<AdminToken>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are read.
    pub metrics: PrometheusHandle,
}

/// A connection, as far as the door is concerned.
#[derive(Clone, Debug)]
pub struct IngressConnection {
    /// Its name.
    pub name: ConnectionName,
    /// The HubSpot account.
    pub portal_id: u64,
    /// The HubSpot app.
    pub app_id: u64,
    /// Secrets that HubSpot may sign with.
    pub hubspot_secrets: Vec<Secret>,
    /// The Salesforce organization.
    pub organization: SalesforceId,
    /// Secret last segments of the path that Salesforce calls.
    pub path_tokens: Vec<Secret>,
}

struct Inner {
    parts: Parts,
    /// Every HubSpot secret with the place of its connection.
    secrets: Vec<(Secret, usize)>,
    /// The hash of every path token, and the place of its connection.
    path_tokens: Vec<([u8; 32], usize)>,
    tokens: Vec<KnownToken>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let (mut secrets, mut path_tokens) = (Vec::new(), Vec::new());
        for (place, connection) in parts.connections.iter().enumerate() {
            secrets.extend(connection.hubspot_secrets.iter().map(|secret| (secret.clone(), place)));
            path_tokens.extend(connection.path_tokens.iter().map(|token| (hash(token.expose()), place)));
        }
        let tokens = parts.tokens.iter().map(KnownToken::from).collect();
        Self(Arc::new(Inner { parts, secrets, path_tokens, tokens }))
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }

    pub(super) fn door(&self) -> &Door {
        &self.0.parts.door
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.0.parts.worker
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.parts.clock
    }

    pub(super) fn metrics(&self) -> &PrometheusHandle {
        &self.0.parts.metrics
    }

    pub(super) fn public_url(&self) -> &str {
        &self.0.parts.public_url
    }

    pub(super) fn connections(&self) -> &[IngressConnection] {
        &self.0.parts.connections
    }

    pub(super) fn secrets(&self) -> &[(Secret, usize)] {
        &self.0.secrets
    }

    pub(super) fn path_tokens(&self) -> &[([u8; 32], usize)] {
        &self.0.path_tokens
    }

    pub(super) fn tokens(&self) -> &[KnownToken] {
        &self.0.tokens
    }

    /// The configured connection of that name.
    pub(super) fn connection(&self, name: &str) -> Option<&IngressConnection> {
        self.connections().iter().find(|connection| connection.name.as_str() == name)
    }
}
