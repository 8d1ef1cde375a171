//! What the CRMs call: verify, store, answer. Nothing is answered with success before its commit is on disk.
//!
//! | HubSpot | answer |
//! |---|---|
//! | stored, whatever the events were | 200 |
//! | signature missing, stale or of no configured secret | 401 |
//! | no JSON array | 400 |
//! | larger than [`BODY_BYTES_MAX`] | 413 |
//! | cannot be stored now | 503 and `Retry-After` |
//!
//! | Salesforce | answer |
//! |---|---|
//! | stored | 200 and the acknowledgement |
//! | unknown path token | 404 |
//! | token of another organization than the message's | 403 |
//! | no outbound message | 400 and a fault |
//! | cannot be stored now | 503 and a fault |
//!
//! An event of an account that the fitting secret does not belong to is kept as refused and never acted on.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};
use uuid::Uuid;

use crate::crm::hubspot::webhook::{self as hubspot_webhook, SignedRequest};
use crate::crm::salesforce::webhook::{self as salesforce_webhook, FaultCode};
use crate::domain::{RecordKey, System, Timestamp};
use crate::http::auth::place_of;
use crate::http::{AppState, IngressConnection};
use crate::store::door::{DoorError, RETRY_AFTER_SECONDS};
use crate::store::types::{DeliveryOutcome, Mark, NewDelivery, Unreadable};

/// The largest body read. A hundred Salesforce notifications with long texts stay below it.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes HubSpot's webhooks.
pub(super) async fn hubspot(
    State(state): State<AppState>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let started = Instant::now();
    let outcome = match body {
        Ok(body) => take_hubspot(&state, &uri, &headers, body).await,
        Err(rejection) => Err(Refusal::Body(rejection.status())),
    };
    let status = outcome.as_ref().err().map_or(StatusCode::OK, Refusal::status);
    observe(System::Hubspot, &outcome, started);
    let mut response = status.into_response();
    add_retry_after(&mut response);
    response
}

/// Takes Salesforce's outbound messages.
pub(super) async fn salesforce(
    State(state): State<AppState>,
    path_token: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let started = Instant::now();
    let outcome = match (path_token, body) {
        (Ok(Path(path_token)), Ok(body)) => take_salesforce(&state, &path_token, body).await,
        (Err(_), _) => Err(Refusal::UnknownPath),
        (_, Err(rejection)) => Err(Refusal::Body(rejection.status())),
    };
    observe(System::Salesforce, &outcome, started);
    let (status, text) = match &outcome {
        Ok(_) => (StatusCode::OK, salesforce_webhook::ACK.to_owned()),
        Err(refusal) => {
            let status = refusal.status();
            let code = if status.is_server_error() { FaultCode::Server } else { FaultCode::Client };
            (status, salesforce_webhook::fault(code, refusal.sentence()))
        }
    };
    let mut response = (status, [(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response();
    add_retry_after(&mut response);
    response
}

fn add_retry_after(response: &mut Response) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
}

/// Why a call is not taken.
#[derive(Debug)]
enum Refusal {
    Body(StatusCode),
    NotSigned(hubspot_webhook::VerifyError),
    NotEvents,
    UnknownPath,
    OtherOrganization,
    NotNotifications(salesforce_webhook::EnvelopeError),
    CannotStore(DoorError),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Body(status) => *status,
            Self::NotSigned(_) => StatusCode::UNAUTHORIZED,
            Self::NotEvents | Self::NotNotifications(_) => StatusCode::BAD_REQUEST,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::OtherOrganization => StatusCode::FORBIDDEN,
            Self::CannotStore(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For the sender's administrators.
    const fn sentence(&self) -> &'static str {
        match self {
            Self::Body(_) => "the body could not be read",
            Self::NotSigned(_) => "the signature does not fit",
            Self::NotEvents => "the body is not a JSON array of events",
            Self::UnknownPath => "there is nothing at this path",
            Self::OtherOrganization => "the message comes from another organization than the path belongs to",
            Self::NotNotifications(_) => "the body is not an outbound message",
            Self::CannotStore(_) => "the message could not be stored; send it again",
        }
    }

    /// What exactly was wrong, for our own log: it holds nothing of the call.
    fn reason(&self) -> Option<String> {
        match self {
            Self::NotSigned(error) => Some(error.to_string()),
            Self::NotNotifications(error) => Some(error.to_string()),
            Self::CannotStore(error) => Some(error.to_string()),
            Self::Body(_) | Self::NotEvents | Self::UnknownPath | Self::OtherOrganization => None,
        }
    }

    /// The word under which it is counted.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Body(_) => "unreadable",
            Self::NotSigned(_) => "unsigned",
            Self::NotEvents | Self::NotNotifications(_) => "malformed",
            Self::UnknownPath => "unknown_path",
            Self::OtherOrganization => "other_organization",
            Self::CannotStore(_) => "not_stored",
        }
    }
}

/// What was taken, for the log.
struct Taken {
    delivery: Uuid,
    events: usize,
}

fn observe(source: System, outcome: &Result<Taken, Refusal>, started: Instant) {
    let word = outcome.as_ref().map_or_else(Refusal::outcome, |_| "accepted");
    metrics::counter!("hubforce_deliveries_total", "source" => source.as_str(), "outcome" => word)
        .increment(1);
    metrics::histogram!("hubforce_ingest_seconds", "source" => source.as_str()).record(started.elapsed());
    match outcome {
        Ok(taken) => {
            metrics::counter!("hubforce_events_total", "source" => source.as_str())
                .increment(taken.events as u64);
            info!(delivery.id = %taken.delivery, delivery.source = %source, delivery.events = taken.events, "Stored a delivery of {} events from {source}", taken.events);
        }
        Err(Refusal::CannotStore(error)) => {
            warn!(delivery.source = %source, error = %crate::domain::Chain(error), "Could not store a delivery; its sender will repeat it");
        }
        Err(refusal) => info!(
            delivery.source = %source, delivery.outcome = word, delivery.reason = refusal.reason(),
            delivery.status = refusal.status().as_u16(), "Refused a call: {}", refusal.sentence()
        ),
    }
}

async fn take_hubspot(
    state: &AppState,
    uri: &axum::http::Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Taken, Refusal> {
    let now = state.clock().now();
    let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request = SignedRequest {
        method: "POST",
        url: &format!("{}{path}", state.public_url()),
        body: &body,
        signature: header("x-hubspot-signature-v3"),
        timestamp: header("x-hubspot-request-timestamp"),
    };
    let secrets = state.secrets().iter().map(|(secret, _)| secret);
    let fitting = hubspot_webhook::verify(&request, secrets, now).map_err(Refusal::NotSigned)?;
    let events = hubspot_webhook::parse(&body).map_err(|_| Refusal::NotEvents)?;
    let n_events = events.len();
    let trusted = trusted_by(state, fitting);
    let deliveries = sort_events(state, &trusted, events, &body, now);
    hand_in(state, deliveries, n_events).await
}

/// The connections whose own secret signed: one app can serve several of them.
fn trusted_by(state: &AppState, fitting: usize) -> Vec<usize> {
    let signed = state.secrets()[fitting].0.expose();
    state.secrets().iter().filter(|(secret, _)| secret.expose() == signed).map(|(_, place)| *place).collect()
}

fn sort_events(
    state: &AppState,
    trusted: &[usize],
    events: Vec<Result<hubspot_webhook::Event, hubspot_webhook::BadEvent>>,
    body: &Bytes,
    now: Timestamp,
) -> Vec<NewDelivery> {
    let mut sorted = Sorted::new(System::Hubspot, body, now);
    // An event that cannot be read cannot say whose it is; where the secret serves one connection, it is that one's.
    let own = trusted.first().map(|place| &state.connections()[*place]);
    for event in events {
        match event {
            Err(bad) => sorted
                .of(own, DeliveryOutcome::Accepted)
                .unreadable
                .push(Unreadable { position: bad.position, reason: bad.reason }),
            Ok(event) => {
                let of_portal =
                    state.connections().iter().position(|connection| connection.portal_id == event.portal_id);
                let (connection, outcome) = match of_portal {
                    Some(place) if trusted.contains(&place) => {
                        (Some(&state.connections()[place]), DeliveryOutcome::Accepted)
                    }
                    Some(_) => (None, DeliveryOutcome::Refused),
                    None => (None, DeliveryOutcome::Unknown),
                };
                let delivery = sorted.of(connection, outcome);
                delivery.n_events += 1;
                if connection.is_some_and(|connection| event.is_own_echo(connection.app_id)) {
                    delivery.n_echoes += 1;
                    continue;
                }
                if connection.is_some() {
                    delivery.erased.extend(event.records.iter().filter(|_| event.erases));
                    delivery.marks.extend(event.records.iter().map(|key| Mark {
                        key: *key,
                        occurred_at: event.occurred_at,
                        notification: None,
                        told: None,
                        changed: event.changed.clone(),
                    }));
                }
            }
        }
    }
    sorted.deliveries
}

async fn take_salesforce(state: &AppState, path_token: &str, body: Bytes) -> Result<Taken, Refusal> {
    let now = state.clock().now();
    let place =
        place_of(path_token, state.path_tokens().iter().map(|(hash, _)| hash)).ok_or(Refusal::UnknownPath)?;
    let connection = &state.connections()[state.path_tokens()[place].1];
    let envelope = salesforce_webhook::parse(&body).map_err(Refusal::NotNotifications)?;
    if envelope.organization_id.short() != connection.organization.short() {
        return Err(Refusal::OtherOrganization);
    }
    let n_events = envelope.notifications.len();
    let author = state.worker().salesforce_author(&connection.name);
    let mut sorted = Sorted::new(System::Salesforce, &body, now);
    for notification in envelope.notifications {
        let delivery = sorted.of(Some(connection), DeliveryOutcome::Accepted);
        delivery.n_events += 1;
        match notification {
            Err(bad) => delivery.unreadable.push(Unreadable { position: bad.position, reason: bad.reason }),
            Ok(notification) => delivery.marks.extend(mark_of(notification, author.as_deref(), now)),
        }
    }
    hand_in(state, sorted.deliveries, n_events).await
}

/// The mark a notification makes; none for a kind that is not worked.
fn mark_of(
    notification: salesforce_webhook::Notification,
    author: Option<&str>,
    now: Timestamp,
) -> Option<Mark> {
    let key = RecordKey::parse(notification.kind?, notification.record_id.as_str()).ok()?;
    let occurred_at = notification.changed_at().unwrap_or(now);
    let by_us = notification.author().is_some_and(|told| author == Some(told.as_str()));
    let told = by_us.then_some(notification.fields);
    let notification = Some(notification.id.to_string());
    Some(Mark { notification, told, ..Mark::at(key, occurred_at) })
}

async fn hand_in(state: &AppState, deliveries: Vec<NewDelivery>, events: usize) -> Result<Taken, Refusal> {
    let delivery = deliveries.first().map_or(Uuid::nil(), |delivery| delivery.id);
    let with_echoes = deliveries.iter().filter(|delivery| delivery.n_echoes > 0);
    let echoes: Vec<_> = with_echoes.map(|one| (one.connection.clone(), one.n_echoes)).collect();
    let marked = deliveries.iter().any(|delivery| !delivery.marks.is_empty());
    state.door().accept(deliveries).await.map_err(Refusal::CannotStore)?;
    for (connection, n) in echoes.into_iter().filter_map(|(connection, n)| Some((connection?, n))) {
        metrics::counter!("hubforce_echoes_total", "connection" => connection.to_string())
            .increment(u64::from(n));
    }
    if marked {
        state.worker().wake();
    }
    Ok(Taken { delivery, events })
}

/// One call's events, one delivery for each connection concerned.
struct Sorted<'a> {
    source: System,
    body: &'a Bytes,
    now: Timestamp,
    deliveries: Vec<NewDelivery>,
}

impl<'a> Sorted<'a> {
    const fn new(source: System, body: &'a Bytes, now: Timestamp) -> Self {
        Self { source, body, now, deliveries: Vec::new() }
    }

    fn of(&mut self, connection: Option<&IngressConnection>, outcome: DeliveryOutcome) -> &mut NewDelivery {
        let name = connection.map(|connection| &connection.name);
        let known =
            self.deliveries.iter().position(|one| one.connection.as_ref() == name && one.outcome == outcome);
        let place = known.unwrap_or_else(|| {
            self.deliveries.push(NewDelivery {
                id: Uuid::now_v7(),
                connection: name.cloned(),
                source: self.source,
                received_at: self.now,
                body: self.body.clone(),
                outcome,
                n_events: 0,
                n_echoes: 0,
                marks: Vec::new(),
                erased: Vec::new(),
                unreadable: Vec::new(),
            });
            self.deliveries.len() - 1
        });
        &mut self.deliveries[place]
    }
}
