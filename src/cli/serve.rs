//! `hubforce serve`: receives and works until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::{ConfigArgument, DONE, FAILED, Misuse, Outside, assemble};
use crate::config::Config;
use crate::domain::{Chain, Clock, SystemClock};
use crate::http;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::types::Retention;

/// What `serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only receives, or only works, to run the two apart.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// One half of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Receives what the CRMs send.
    Ingress,
    /// Works the queue.
    Worker,
}

/// How often finished things that were kept long enough are deleted.
const RETENTION_EVERY: Duration = Duration::from_hours(1);

/// At most this many rows go in one transaction, so that the door never waits long for it.
const RETENTION_ROWS_MAX: u32 = 1_000;

/// Salesforce repeats a notification for a day; twice that is on the safe side.
const NOTIFICATIONS_KEPT_MS: i64 = 48 * 3_600_000;

const DAY_MS: i64 = 86_400_000;

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.load()?;
    let shutdown = Shutdown::default();
    let metrics = crate::telemetry::count().context("metrics cannot be counted")?;
    let outside = Outside { clock: Arc::new(SystemClock), metrics, shutdown: shutdown.clone() };
    let assembled = assemble(&config, &outside).await.map_err(as_misuse)?;
    shutdown.tasks.spawn(retain(Arc::clone(&assembled.store), config.clone(), shutdown.stop.clone()));
    if arguments.only != Some(Part::Ingress) {
        shutdown.tasks.spawn(Arc::clone(&assembled.worker).run(shutdown.stop.clone()));
    }
    let mut listeners = Vec::new();
    let state = assembled.state;
    let public = arguments.only != Some(Part::Worker);
    if config.admin.listen.is_empty() {
        let router = if public { http::router(state) } else { http::admin_router(state) };
        listeners.push((listen(&config.server.listen).await?, router));
    } else {
        if public {
            listeners.push((listen(&config.server.listen).await?, http::public_router(state.clone())));
        }
        listeners.push((listen(&config.admin.listen).await?, http::admin_router(state)));
    }
    for (listener, router) in listeners {
        info!("Listening on {}", listener.local_addr().context("a listener has no address")?);
        let stop = shutdown.stop.clone();
        shutdown.tasks.spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                warn!(error = %Chain(&error), "A listener failed");
            }
        });
    }
    shutdown.clone().on_signal().await.context("signals cannot be heard")?;
    let ended = shutdown.finish(Duration::from_secs(config.server.shutdown_seconds)).await;
    assembled.store.close().await;
    Ok(if ended { DONE } else { FAILED })
}

/// A secret that is not there is a matter of configuration.
fn as_misuse(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<crate::config::Error>() {
        Ok(error) => Misuse::from(error).into(),
        Err(error) => error,
    }
}

pub(super) async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another instance running there? choose another address under `listen`")
    })
}

/// Deletes what was kept long enough, a little at a time.
async fn retain(store: Arc<dyn Store>, config: Config, stop: CancellationToken) {
    loop {
        let now = SystemClock.now();
        let retention = Retention {
            deliveries_before: now.plus_millis(-i64::from(config.retention.deliveries_days) * DAY_MS),
            audit_before: now.plus_millis(-i64::from(config.retention.audit_days) * DAY_MS),
            notifications_before: now.plus_millis(-NOTIFICATIONS_KEPT_MS),
            rows_max: RETENTION_ROWS_MAX,
        };
        let outcome = store.retain(&retention).await;
        if let Err(error) = &outcome {
            warn!(error = %Chain(error), "Old rows could not be deleted; tried again later");
        }
        let rest = if outcome.is_ok_and(|gone| gone > 0) { Duration::ZERO } else { RETENTION_EVERY };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}
