//! Logs and metrics of the process.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::crm::transport::Observer;
use crate::domain::System;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs, one object a line.
    Json,
}

/// Seconds by which durations are sorted: a door answers in milliseconds, a CRM in tenths, agreement is reached in seconds.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Sends log lines to standard error; `RUST_LOG` says which. A second call changes nothing.
pub fn log_to_stderr(format: LogFormat, default_level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Failing means that a subscriber is there already, as in tests.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Starts counting; the handle renders what was counted.
pub fn count() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    // Failing means that a recorder is there already, as in tests; this one then renders nothing.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}

/// Counts the calls to a connection's CRMs.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    connection: String,
}

impl CallMetrics {
    /// Of the connection of this name.
    pub fn of(connection: &str) -> Self {
        Self { connection: connection.to_owned() }
    }
}

impl Observer for CallMetrics {
    fn called(&self, system: System, endpoint: &'static str, status: u16, seconds: f64) {
        let system = system.as_str();
        let status = status.to_string();
        metrics::counter!("hubforce_crm_requests_total", "system" => system, "endpoint" => endpoint, "status" => status)
            .increment(1);
        metrics::histogram!("hubforce_crm_request_seconds", "system" => system, "endpoint" => endpoint)
            .record(seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "an allowance is far below 2^52")]
    fn allowance_left(&self, system: System, left: u64) {
        let connection = self.connection.clone();
        metrics::gauge!("hubforce_api_budget_remaining", "connection" => connection, "system" => system.as_str())
            .set(left as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_of_its_connection() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for (connection, left) in [("one", 1), ("two", 2)] {
                CallMetrics::of(connection).allowance_left(System::Hubspot, left);
            }
        });
        let shown = recorder.handle().render();
        for line in ["one\",system=\"hubspot\"} 1", "two\",system=\"hubspot\"} 2"] {
            assert!(
                shown.contains(&format!("hubforce_api_budget_remaining{{connection=\"{line}")),
                "{shown}"
            );
        }
    }
}
