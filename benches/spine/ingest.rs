//! Durable ingest on SQLite beside a handler that only verifies and answers.

use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use comfy_table::Table;
use hubforce::crm::hubspot::webhook::{SignedRequest, verify};
use hubforce::domain::{Clock, Secret, SystemClock};
use hubforce::emulator::free_port;

use crate::service::SECRET;
use crate::{VERIFY_ONLY, load, service};

/// How long each cell is loaded.
const LASTING: Duration = Duration::from_secs(3);

/// The contacts that events are about. More than a group holds, fewer than a run sends: most marks fall on records that are dirty
/// already, as they do in a burst.
const CONTACTS: usize = 50_000;

/// Requests made before a cell begins; they are sent again and again.
const REQUEST_BYTES: usize = 16_000_000;

/// Where the handler of this process listens; set for it alone.
const PORT_VARIABLE: &str = "HUBFORCE_BENCH_PORT";

/// Serves the handler that only verifies and answers.
pub(crate) async fn only_verify() {
    let port: u16 = service_port();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let router = Router::new().route("/webhooks/hubspot", post(verified));
    axum::serve(listener, router).await.expect("the listener works");
}

#[expect(clippy::disallowed_methods, reason = "a process of the bench's own, which has no configuration")]
fn service_port() -> u16 {
    std::env::var(PORT_VARIABLE).expect("the bench says where").parse().expect("a port is a number")
}

async fn verified(uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or_default();
    let request = SignedRequest {
        method: "POST",
        url: &format!("http://{host}{uri}"),
        body: &body,
        signature: header("x-hubspot-signature-v3"),
        timestamp: header("x-hubspot-request-timestamp"),
    };
    let secret = Secret::new(SECRET);
    match verify(&request, std::iter::once(&secret), SystemClock.now()) {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}

/// Prints one line a cell.
pub(crate) fn run() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    println!(
        "Ingest: durable on SQLite (WAL, synchronous=FULL), beside a handler that only verifies and answers"
    );
    let mut table = Table::new();
    table.set_header([
        "events a request",
        "connections",
        "verify only, requests/s",
        "stored, requests/s",
        "ratio",
        "stored, events/s",
        "p50",
        "p99",
    ]);
    let mut highest = None;
    for events in [1_u16, 10, 100] {
        for connections in [1, 16, 64] {
            let port = free_port().expect("a port is free");
            let executable = std::env::current_exe().expect("this program is somewhere");
            let mut command = Command::new(executable);
            command.arg(VERIFY_ONLY).env(PORT_VARIABLE, port.to_string());
            let handler = service::start(command, port);
            let n = REQUEST_BYTES / (300 + 300 * usize::from(events));
            let verifying =
                load::send(port, &load::requests(port, n, events.into(), CONTACTS), connections, LASTING);
            drop(handler);

            let port = free_port().expect("a port is free");
            let nowhere = ["http://127.0.0.1:9"; 2].map(str::to_owned);
            let cell = directory.path().join(format!("{events}-{connections}"));
            std::fs::create_dir(&cell).expect("a directory can be made");
            let service =
                service::serve(&cell, port, &service::sqlite(&cell), &nowhere, &["--only", "ingress"]);
            let storing =
                load::send(port, &load::requests(port, n, events.into(), CONTACTS), connections, LASTING);
            highest = service.resident_mib();
            drop(service);

            table.add_row([
                events.to_string(),
                connections.to_string(),
                format!("{:.0}", verifying.requests_per_second),
                format!("{:.0}", storing.requests_per_second),
                format!("{:.2}", storing.requests_per_second / verifying.requests_per_second),
                format!("{:.0}", storing.requests_per_second * f64::from(events)),
                format!("{:.1?}", storing.p50),
                format!("{:.1?}", storing.p99),
            ]);
        }
    }
    println!("{table}");
    if let Some((_, highest)) = highest {
        println!("Resident memory of the last service at its highest: {highest:.1} MiB\n");
    }
}
