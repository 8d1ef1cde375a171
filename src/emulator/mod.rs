//! Both CRMs as emulators, so that everything can be tried without an account.
//!
//! They implement the vendors' published contracts on their own: nothing here names the clients in `crm`, so that a misreading
//! on one side cannot cancel itself out on the other. An unknown call is an error.
//!
//! An emulator is a function from a request to a reply ([`Vendor::answer`]) over state in memory, and a queue of messages it wants
//! to send ([`Vendor::take_due`]); [`router`] and [`courier::carry`] connect both to the network.

pub mod control;
pub mod courier;
pub mod hubspot;
mod journal;
mod outbox;
mod port;
pub mod salesforce;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

pub use control::{Caller, Control, EmulatorClock, Fault};
pub use journal::{Author, Change, ENTRIES_MAX, Entry};
pub use outbox::{Answer, Outgoing};
pub use port::free_port;

use crate::domain::Timestamp;

/// A request as an emulator sees it.
pub struct Asked<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, decoded, in its order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl Asked<'_> {
    /// The path's segments.
    fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// A part of a call that is several in one.
pub struct Part {
    /// The method, in capitals.
    pub method: String,
    /// The path.
    pub path: String,
}

/// What an emulator answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The endpoint's name, under which the call is counted.
    pub endpoint: &'static str,
    /// The status.
    pub status: u16,
    /// The headers besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    fn json(endpoint: &'static str, status: u16, body: &serde_json::Value) -> Self {
        Self { endpoint, status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    fn empty(endpoint: &'static str, status: u16) -> Self {
        Self { endpoint, status, headers: Vec::new(), body: Vec::new() }
    }
}

/// The endpoint under which a call is counted that the emulator does not know.
const UNKNOWN: &str = "(unknown)";

/// A CRM, emulated.
pub trait Vendor: Send + Sync {
    /// Who calls.
    fn caller(&self, asked: &Asked<'_>) -> Caller;

    /// Answers a call of the vendor's API.
    fn answer(&self, asked: &Asked<'_>, caller: Caller) -> Reply;

    /// The parts of a call that is several in one: faults and acts concern them as they would concern calls of their own.
    fn parts(&self, asked: &Asked<'_>) -> Vec<Part> {
        let _ = asked;
        Vec::new()
    }

    /// Answers a call below `/_control/` that is the vendor's own; `None` where there is none.
    fn control(&self, name: &str, body: &[u8]) -> Option<Result<serde_json::Value, String>>;

    /// The messages to be sent now.
    fn take_due(&self, now: Timestamp) -> Vec<Outgoing>;

    /// Says how a message was answered.
    fn settle(&self, id: u64, answer: &Answer, now: Timestamp);

    /// How many messages wait, due or not.
    fn pending(&self) -> usize;

    /// Counts, faults and clock.
    fn desk(&self) -> &Control;
}

/// The largest body an emulator reads.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An emulator's HTTP side.
pub fn router(vendor: Arc<dyn Vendor>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(vendor)
}

async fn handle(
    State(vendor): State<Arc<dyn Vendor>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = decode_query(uri.query().unwrap_or_default());
    let asked = Asked { method: method.as_str(), path: uri.path(), query, headers: &headers, body: &body };
    if let Some(name) = uri.path().strip_prefix("/_control/") {
        return control::answer(&*vendor, name, &asked);
    }
    let caller = vendor.caller(&asked);
    let desk = vendor.desk();
    let parts = vendor.parts(&asked);
    let of_parts = || parts.iter().find_map(|part| desk.take_fault(&part.method, &part.path));
    let fault = desk.take_fault(asked.method, asked.path).or_else(of_parts);
    let delay_ms = desk.latency_ms() + fault.as_ref().map_or(0, |fault| fault.delay_ms);
    if delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(delay_ms)).await;
    }
    if let Some(status) = fault.as_ref().and_then(|fault| fault.status) {
        desk.count(asked.method, "(fault)", caller);
        return respond(Reply {
            endpoint: "(fault)",
            status,
            headers: Vec::new(),
            body: fault.and_then(|fault| fault.body).unwrap_or_default().into_bytes(),
        });
    }
    for path in parts.iter().map(|part| part.path.as_str()).chain([asked.path]) {
        desk.act_before(path, caller);
    }
    let reply = vendor.answer(&asked, caller);
    desk.count(asked.method, reply.endpoint, caller);
    if reply.endpoint == UNKNOWN {
        desk.note_unknown(asked.method, asked.path);
    }
    if fault.is_some_and(|fault| fault.applied_but_unanswered) {
        return unanswered();
    }
    respond(reply)
}

fn decode_query(query: &str) -> Vec<(String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(decode_pair).collect()
}

fn decode_pair(pair: &str) -> (String, String) {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode(key), decode(value))
}

fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = if reply.body.starts_with(b"<") {
        "text/xml;charset=UTF-8"
    } else {
        "application/json;charset=utf-8"
    };
    let mut response = (status, [("content-type", content_type)], reply.body).into_response();
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The call was carried out, and its caller never learns: the connection breaks within the answer.
fn unanswered() -> Response {
    let broken = futures::stream::once(async {
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(broken).into_response()
}
