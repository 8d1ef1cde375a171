//! Signed requests, sent as fast as they are answered: each connection holds one request in flight.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use hubforce::domain::{Clock, SystemClock};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::SECRET;

/// What one load came to.
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Whole HTTP requests with `events` property changes each, over `contacts` contacts in turn.
pub(crate) fn requests(port: u16, n: usize, events: usize, contacts: usize) -> Vec<Vec<u8>> {
    let mut next = 0;
    let mut one = || {
        let now = SystemClock.now().as_millis();
        let event = |id: usize| {
            format!(
                r#"{{"eventId":{id},"subscriptionId":7562680,"portalId":1234567,"appId":998877,"occurredAt":{now},"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":{},"changeSource":"CRM_UI","sourceId":"userId:1001","propertyName":"city","propertyValue":"Bonn"}}"#,
                1_000_000 + id % contacts
            )
        };
        let list: Vec<String> = (next..next + events).map(event).collect();
        next += events;
        let body = format!("[{}]", list.join(","));
        let uri = format!("http://127.0.0.1:{port}/webhooks/hubspot");
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key fits");
        let mac =
            mac.chain_update("POST").chain_update(&uri).chain_update(&body).chain_update(now.to_string());
        format!(
            "POST /webhooks/hubspot HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
             x-hubspot-request-timestamp: {now}\r\nx-hubspot-signature-v3: {}\r\ncontent-length: {}\r\n\r\n{body}",
            BASE64.encode(mac.finalize().into_bytes()),
            body.len()
        )
        .into_bytes()
    };
    (0..n).map(|_| one()).collect()
}

/// Sends requests over so many connections for so long.
pub(crate) fn send(port: u16, requests: &[Vec<u8>], connections: usize, lasting: Duration) -> Figures {
    // One thread of its own: the rest of the machine belongs to the service.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let began = Instant::now();
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let until = began + lasting;
        let each = requests.len() / connections;
        let loads = requests.chunks(each.max(1)).take(connections).map(|own| on_one(port, own, until));
        futures::future::join_all(loads).await.concat()
    });
    let took = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let n = latencies.len() as f64;
    Figures { requests_per_second: n / took, p50: at(50), p99: at(99) }
}

async fn on_one(port: u16, requests: &[Vec<u8>], until: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the service listens");
    stream.set_nodelay(true).expect("a socket has options");
    let mut latencies = Vec::new();
    let mut answer = [0; 4_096];
    for request in requests.iter().cycle() {
        let began = Instant::now();
        if began >= until {
            break;
        }
        stream.write_all(request).await.expect("the service reads");
        let mut filled = 0;
        while !answer[..filled].ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut answer[filled..]).await.expect("the service answers");
            assert!(n > 0, "the service hung up");
            filled += n;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..filled]));
        latencies.push(began.elapsed());
    }
    latencies
}
