//! Probes for the platform.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::Chain;
use crate::http::AppState;

/// Answers while the process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 when something can be stored; otherwise 503, with the failing part named.
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    match state.store().check(state.clock().now()).await {
        Ok(()) => axum::Json(json!({ "status": "ready" })).into_response(),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "Not ready: the store cannot store");
            let body = json!({ "status": "not ready", "failing": "store", "detail": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
        }
    }
}
