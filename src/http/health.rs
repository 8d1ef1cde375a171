//! Probes for the platform.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::Chain;
use crate::http::AppState;
use crate::store::door::DoorError;

/// Answers while the process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 when something can be stored; otherwise 503, with the failing part named.
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    match try_all(&state).await {
        Ok(()) => axum::Json(json!({ "status": "ready" })).into_response(),
        Err(error) => {
            let failing = if let DoorError::Full(full) = error { full.part() } else { "store" };
            tracing::error!(error = %Chain(&error), failing, "Not ready: nothing can be stored");
            let body = json!({ "status": "not ready", "failing": failing, "detail": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
        }
    }
}

async fn try_all(state: &AppState) -> Result<(), DoorError> {
    state
        .store()
        .check(state.clock().now())
        .await
        .map_err(|error| DoorError::Unavailable(Arc::new(error)))?;
    state.door().room().await
}
