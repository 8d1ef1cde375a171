//! Carries an emulator's messages over HTTP until told to stop. The emulators' only client.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::domain::Clock;
use crate::emulator::{Answer, Outgoing, Vendor};

/// How often to look for messages: as quick as a vendor at its best.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Deliveries at once; HubSpot's default for one target.
const AT_ONCE: usize = 10;

/// How long a target may take to answer; HubSpot waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries messages until `stop`.
pub async fn carry(vendor: Arc<dyn Vendor>, stop: CancellationToken) -> Result<(), reqwest::Error> {
    // Another part of the process may have chosen the same provider before; either choice is ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
    while !stop.is_cancelled() {
        let due = vendor.take_due(vendor.desk().clock().now());
        if due.is_empty() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            continue;
        }
        let deliver = |outgoing: Outgoing| {
            let (client, vendor) = (client.clone(), Arc::clone(&vendor));
            async move {
                let id = outgoing.id;
                let answer = send(&client, outgoing).await;
                vendor.settle(id, &answer, vendor.desk().clock().now());
            }
        };
        stream::iter(due.into_iter().map(deliver)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
    Ok(())
}

async fn send(client: &reqwest::Client, outgoing: Outgoing) -> Answer {
    let mut request = client.post(&outgoing.url).body(outgoing.body);
    for (name, value) in outgoing.headers {
        request = request.header(name, value);
    }
    let Ok(response) = request.send().await else { return Answer::Unreachable };
    let status = response.status().as_u16();
    match response.bytes().await {
        Ok(body) => Answer::Status(status, body.to_vec()),
        Err(_) => Answer::Unreachable,
    }
}
