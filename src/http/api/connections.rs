//! Connections: how they stand, and stopping and starting them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::domain::System;
use crate::http::api::{List, connection_of};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::store::types::{ConnectionState, SaidBy};
use crate::worker;

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    name: String,
    state: &'static str,
    reason: Option<String>,
    queue: std::collections::BTreeMap<&'static str, u64>,
    oldest_due_seconds: Option<i64>,
    api_use: Vec<ApiUse>,
}

/// What a connection uses of a CRM's daily calls.
#[derive(Serialize)]
struct ApiUse {
    system: System,
    used_today: u64,
    per_day: u32,
}

pub(in crate::http) async fn list(State(state): State<AppState>) -> Result<Json<List<Shown>>, Problem> {
    let now = state.clock().now();
    let mut items = Vec::new();
    for connection in state.connections() {
        let figures = state.store().queue_figures(&connection.name, now).await?;
        let (word, reason) = match state.store().connection_state(&connection.name).await? {
            ConnectionState::Running => ("running", None),
            ConnectionState::Paused => ("paused", None),
            ConnectionState::Unauthorized(reason) => ("unauthorized", Some(reason)),
            ConnectionState::Refused(reason) => ("refused", Some(reason)),
        };
        let api_use = state.worker().api_use(&connection.name).await?;
        let api_use = api_use.map(|worker::ApiUse { system, used_today, per_day }| ApiUse {
            system,
            used_today,
            per_day,
        });
        items.push(Shown {
            name: connection.name.to_string(),
            state: word,
            reason,
            queue: figures.jobs,
            api_use: api_use.into(),
            oldest_due_seconds: figures.oldest_due.map(|due| now.millis_since(due).max(0) / 1_000),
        });
    }
    Ok(Json(List { items, next_cursor: None }))
}

pub(in crate::http) async fn pause(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    change(&state, &name, ConnectionState::Paused, "paused").await
}

pub(in crate::http) async fn resume(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    change(&state, &name, ConnectionState::Running, "running").await
}

#[derive(Serialize)]
pub(in crate::http) struct Changed {
    name: String,
    state: &'static str,
}

async fn change(
    state: &AppState,
    name: &str,
    to: ConnectionState,
    word: &'static str,
) -> Result<Json<Changed>, Problem> {
    let connection = connection_of(state, name)?;
    state.store().set_connection_state(&connection, &to, SaidBy::Person, state.clock().now()).await?;
    state.worker().wake();
    Ok(Json(Changed { name: connection.to_string(), state: word }))
}
