//! The one HTTP client. It knows limits and nothing of either CRM: no retries, no redirects, no secrets in logs.
//!
//! What carries a request to its CRM stands behind [`Carrier`], so that a simulation can be the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use tracing::debug;

use crate::crm::Error;
use crate::domain::{Secret, System};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole call may take. Salesforce allows ten minutes, but a batch that takes longer than this holds up its connection.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The largest answer read: 2,000 Salesforce records with long texts stay well below it.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Who is told of calls and of what the CRMs say about our allowance.
pub trait Observer: Send + Sync {
    /// A call was answered with this status, or with 0 when it was not.
    fn called(&self, system: System, endpoint: &'static str, status: u16, seconds: f64);

    /// The CRM said how much of the allowance is left.
    fn allowance_left(&self, system: System, left: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn called(&self, _: System, _: &'static str, _: u16, _: f64) {}

    fn allowance_left(&self, _: System, _: u64) {}
}

/// A request, complete but for the journey.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Its headers; the credentials are marked as sensitive.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// What carries a request and brings the answer. Any status is an answer; only silence is an error.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Carries one request.
    async fn carry(&self, request: Request) -> Result<Answer, Error>;
}

/// The one HTTP client; cheap to clone.
#[derive(Clone)]
pub struct Transport {
    carrier: Arc<dyn Carrier>,
    observer: Arc<dyn Observer>,
}

/// A call to make.
pub(crate) struct Call<'a> {
    pub(crate) system: System,
    /// The endpoint's name in metrics: few and fixed.
    pub(crate) endpoint: &'static str,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// What a call carries.
pub(crate) enum Body {
    Nothing,
    Json(Vec<u8>),
    Form(Vec<(&'static str, String)>),
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Transport {
    /// Over the network.
    pub fn new(observer: Arc<dyn Observer>) -> Result<Self, Error> {
        Ok(Self::over(Arc::new(Network::new()?), observer))
    }

    /// Over whatever carries.
    pub fn over(carrier: Arc<dyn Carrier>, observer: Arc<dyn Observer>) -> Self {
        Self { carrier, observer }
    }

    /// The same network, with somebody else told.
    #[must_use]
    pub fn observed_by(&self, observer: Arc<dyn Observer>) -> Self {
        Self { carrier: Arc::clone(&self.carrier), observer }
    }

    /// Tells the observer what is left of an allowance.
    pub(crate) fn tell_allowance(&self, system: System, left: u64) {
        self.observer.allowance_left(system, left);
    }

    /// Makes a call. Any status is an answer; only silence is an error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let started = Instant::now();
        let outcome = self.send_unobserved(&call).await;
        let seconds = started.elapsed().as_secs_f64();
        let status = outcome.as_ref().map_or(0, |answer| answer.status);
        self.observer.called(call.system, call.endpoint, status, seconds);
        let request_id = outcome.as_ref().ok().and_then(|answer| {
            answer
                .header("x-hubspot-correlation-id")
                .or_else(|| answer.header("x-sfdc-request-id"))
                .map(str::to_owned)
        });
        debug!(
            crm.system = %call.system, crm.endpoint = call.endpoint, crm.status = status, crm.request_id = request_id,
            "{} {} answered {status} after {:.0} ms", call.system, call.endpoint, seconds * 1_000.0
        );
        outcome
    }

    async fn send_unobserved(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let url = checked_url(&call.url)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = call.token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::Unexpected { text: format!("a header {name} that cannot be sent") })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let (content_type, body) = match &call.body {
            Body::Nothing => (None, Vec::new()),
            Body::Json(bytes) => (Some("application/json"), bytes.clone()),
            Body::Form(fields) => (Some("application/x-www-form-urlencoded"), form(&url, fields)),
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        self.carrier.carry(Request { method: call.method.clone(), url, headers, body }).await
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, Error> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Error::Unauthorized { reason: "the access token holds characters that no token has".to_owned() }
    })?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// A form as it is sent: written as a query is.
fn form(url: &Url, fields: &[(&'static str, String)]) -> Vec<u8> {
    let mut form = url.clone();
    form.query_pairs_mut().clear().extend_pairs(fields);
    form.query().unwrap_or_default().as_bytes().to_vec()
}

/// The network.
struct Network(Client);

impl Network {
    fn new() -> Result<Self, Error> {
        // Another part of the process may have chosen the same provider before; either choice is ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hubforce/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unreachable)?;
        Ok(Self(client))
    }
}

#[async_trait]
impl Carrier for Network {
    async fn carry(&self, request: Request) -> Result<Answer, Error> {
        let Request { method, url, headers, body } = request;
        let mut sending = self.0.request(method, url).headers(headers);
        if !body.is_empty() {
            sending = sending.body(body);
        }
        let mut response = sending.send().await.map_err(unreachable)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Error::Unexpected {
                    text: format!("an answer of more than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, headers, body })
    }
}

/// Makes calls side by side, at most so many at once; the answers come in the order of the calls.
pub(crate) async fn side_by_side<T: Send>(calls: Vec<BoxFuture<'_, T>>, at_once: usize) -> Vec<T> {
    stream::iter(calls).buffered(at_once).collect().await
}

/// Secrets travel over https; plain http is for emulators on this machine.
fn checked_url(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text)
        .map_err(|_| Error::Unexpected { text: "the CRM's URL cannot be read".to_owned() })?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(Error::Unauthorized { reason: "the CRM's URL must begin with https://".to_owned() }),
    }
}

fn unreachable(error: reqwest::Error) -> Error {
    let status = if error.is_timeout() { "timeout" } else { "connection" };
    // The URL can hold an address or an id; the cause is told without it.
    Error::Unavailable {
        status: status.to_owned(),
        retry_after_ms: None,
        source: Some(Arc::new(error.without_url())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_forms_are() {
        let url = checked_url("https://login.salesforce.com/services/oauth2/token?x=1").unwrap();
        let fields =
            [("grant_type", "client_credentials".to_owned()), ("client_secret", "a b&c=é".to_owned())];
        let written = form(&url, &fields);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "grant_type=client_credentials&client_secret=a+b%26c%3D%C3%A9"
        );
    }

    #[test]
    fn secrets_travel_over_https_only() {
        for url in
            ["https://api.hubapi.com/x", "http://127.0.0.1:9101/x", "http://localhost:1/", "http://[::1]:1/"]
        {
            assert!(checked_url(url).is_ok(), "{url}");
        }
        for url in ["http://api.hubapi.com/", "http://127.0.0.1.example.com/", "ftp://x/", "nonsense"] {
            assert!(checked_url(url).is_err(), "{url}");
        }
    }
}
