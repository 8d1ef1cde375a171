//! One record: how it stands, and why.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::domain::RecordKey;
use crate::http::api::{connection_of, key_of};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::plan::{AssociationDifference, State as RecordState, differences};
use crate::store::types::Conflict;
use crate::worker::{Explanation, Linked};

type RecordPath = Path<(String, String, String, String)>;

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    state: RecordState,
    linked_to: Option<Linked>,
    last_synced_at: Option<String>,
    last_error: Option<String>,
    pending: bool,
    conflicts: Vec<Conflict>,
    association_differences: Vec<AssociationDifference>,
}

pub(in crate::http) async fn show(
    State(state): State<AppState>,
    Path((name, system, kind, id)): RecordPath,
) -> Result<Json<Shown>, Problem> {
    let connection = connection_of(&state, &name)?;
    let key = key_of(Some(&system), &kind, &id)?;
    let status = state.store().record(&connection, &key).await?;
    let status =
        status.ok_or(Problem::NotFound("nothing was ever heard of this record; a resync asks for it"))?;
    // What rests does not fail; why it rests is what its reader looks for all the same.
    let stopped = status.pair.as_ref().and_then(|pair| pair.stopped.clone());
    let association_differences =
        status.pair.as_ref().map(|pair| differences(&pair.base)).unwrap_or_default();
    let twin = status.pair.as_ref().map(|pair| twin_of(key, pair.hubspot, pair.salesforce));
    Ok(Json(Shown {
        state: status.state,
        linked_to: twin.map(Linked::from),
        last_synced_at: status.last_synced_at.map(|at| at.to_string()),
        last_error: status.last_error.map(|(_, message)| message).or(stopped),
        pending: status.pending,
        conflicts: state.store().conflicts_of(&connection, &key).await?,
        association_differences,
    }))
}

fn twin_of(key: RecordKey, hubspot: RecordKey, salesforce: RecordKey) -> RecordKey {
    if key == hubspot { salesforce } else { hubspot }
}

pub(in crate::http) async fn explain(
    State(state): State<AppState>,
    Path((name, system, kind, id)): RecordPath,
) -> Result<Json<Explanation>, Problem> {
    let connection = connection_of(&state, &name)?;
    let key = key_of(Some(&system), &kind, &id)?;
    Ok(Json(state.worker().explain(&connection, key).await?))
}
