//! `hubforce serve`: receives and works until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tracing::{info, warn};
use uuid::Uuid;

use crate::cli::retention::Retainer;
use crate::cli::{ConfigArgument, DONE, FAILED, Misuse, Outside, assemble};
use crate::config::Config;
use crate::domain::{Chain, SystemClock};
use crate::http::{self, AppState, Audience};
use crate::shutdown::Shutdown;

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

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.load()?;
    let shutdown = Shutdown::default();
    let metrics = crate::telemetry::count().context("metrics cannot be counted")?;
    let outside = Outside { clock: Arc::new(SystemClock), metrics, shutdown: shutdown.clone() };
    let assembled = assemble(&config, &outside).await.map_err(as_misuse)?;
    // Without a connection nothing comes in, and nothing gets old.
    if let Some(connection) = assembled.worker.connections().next() {
        let retainer = Retainer {
            store: Arc::clone(&assembled.store),
            clock: Arc::clone(&outside.clock),
            kept: config.retention.clone(),
            connection: connection.clone(),
            worker: Uuid::now_v7(),
        };
        shutdown.tasks.spawn(retainer.run(shutdown.stop.clone()));
    }
    if arguments.only != Some(Part::Ingress) {
        shutdown.tasks.spawn(Arc::clone(&assembled.worker).run(shutdown.stop.clone()));
    }
    let listeners = listen_on(&config, arguments.only, assembled.state).await?;
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

/// The listeners and whom each answers: the platform in either half, the CRMs only where their webhooks are received.
async fn listen_on(
    config: &Config,
    only: Option<Part>,
    state: AppState,
) -> anyhow::Result<Vec<(TcpListener, Router)>> {
    let mut first = vec![Audience::Platform];
    first.extend((only != Some(Part::Worker)).then_some(Audience::Crms));
    let apart = !config.admin.listen.is_empty();
    first.extend((!apart).then_some(Audience::People));
    let mut listeners = vec![(listen(&config.server.listen).await?, http::router_for(&first, state.clone()))];
    if apart {
        let second = listen(&config.admin.listen).await?;
        listeners.push((second, http::router_for(&[Audience::People], state)));
    }
    Ok(listeners)
}

/// A secret that is not there is a matter of configuration.
pub(super) fn as_misuse(error: anyhow::Error) -> anyhow::Error {
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
