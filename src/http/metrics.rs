//! Metrics as Prometheus reads them. What is counted as it happens is there already; what is a state is asked for now.

use axum::extract::State;

use crate::http::{AppState, Problem};

pub(super) async fn metrics(State(state): State<AppState>) -> Result<String, Problem> {
    let now = state.clock().now();
    for connection in state.connections() {
        let figures = state.store().queue_figures(&connection.name, now).await?;
        let name = connection.name.to_string();
        let parked = figures.jobs.get("parked").copied().unwrap_or_default();
        metrics::gauge!("hubforce_parked", "connection" => name.clone()).set(as_f64(parked));
        for (job_state, n) in figures.jobs {
            metrics::gauge!("hubforce_jobs", "connection" => name.clone(), "state" => job_state)
                .set(as_f64(n));
        }
        metrics::gauge!("hubforce_set_aside", "connection" => name.clone()).set(as_f64(figures.set_aside));
        let oldest = figures.oldest_due.map_or(0, |due| now.millis_since(due).max(0));
        metrics::gauge!("hubforce_oldest_due_seconds", "connection" => name)
            .set(as_f64(oldest.unsigned_abs()) / 1_000.0);
    }
    Ok(state.metrics().render())
}

#[expect(clippy::cast_precision_loss, reason = "a count of jobs or milliseconds is far below 2^52")]
fn as_f64(n: u64) -> f64 {
    n as f64
}
