//! Stopping: first softly, then not.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// What must stop together, and the word to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when it is time to stop.
    pub stop: CancellationToken,
    /// Every background task of the process.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Waits for SIGTERM or SIGINT and passes the word on.
    pub async fn on_signal(self) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => info!("Stopping: SIGTERM"),
            _ = interrupt.recv() => info!("Stopping: SIGINT"),
            () = self.stop.cancelled() => {}
        }
        self.stop.cancel();
        Ok(())
    }

    /// Waits for the tasks to end by themselves, but no longer than `patience`. Returns whether they did.
    pub async fn finish(self, patience: Duration) -> bool {
        self.tasks.close();
        let ended = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        if !ended {
            warn!("Some work did not end in time; its leases run out by themselves");
        }
        ended
    }
}
