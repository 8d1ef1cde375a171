//! One record: how it stands, and why.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::domain::RecordKey;
use crate::http::api::{List, connection_of, key_of, limit_of, query};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::plan::{
    AssociationDifference, SetAsideField, State as RecordState, differences, set_aside_fields,
};
use crate::store::types::{Conflict, SetAsideQuery};
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
    /// What is not as it should be although the record is linked.
    warnings: Vec<&'static str>,
    set_aside: Vec<SetAsideField>,
}

/// The warning of a record that has fields whose value does not fit the other side.
const SET_ASIDE: &str = "set_aside";

/// A pair with fields that are set aside.
#[derive(Serialize)]
pub(in crate::http) struct AsideShown {
    #[serde(skip)]
    pair_id: i64,
    hubspot: Linked,
    salesforce: Linked,
    set_aside: Vec<SetAsideField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<u32>,
    cursor: Option<i64>,
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
    let set_aside = status.pair.as_ref().map(|pair| set_aside_fields(&pair.base)).unwrap_or_default();
    let warnings = if set_aside.is_empty() { Vec::new() } else { vec![SET_ASIDE] };
    let twin = status.pair.as_ref().map(|pair| twin_of(key, pair.hubspot, pair.salesforce));
    Ok(Json(Shown {
        state: status.state,
        linked_to: twin.map(Linked::from),
        last_synced_at: status.last_synced_at.map(|at| at.to_string()),
        last_error: status.last_error.map(|(_, message)| message).or(stopped),
        pending: status.pending,
        conflicts: state.store().conflicts_of(&connection, &key).await?,
        association_differences,
        warnings,
        set_aside,
    }))
}

/// The pairs that have fields set aside, in the order in which they were linked.
pub(in crate::http) async fn set_aside(
    State(state): State<AppState>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<List<AsideShown>>, Problem> {
    let connection = connection_of(&state, &name)?;
    let asked: Asked = query(&uri)?;
    let limit = limit_of(asked.limit)?;
    let query = SetAsideQuery { connection: &connection, after: asked.cursor, limit };
    let pairs = state.store().set_aside(&query).await?;
    let shown = pairs.into_iter().map(|(pair_id, pair)| AsideShown {
        pair_id,
        hubspot: pair.hubspot.into(),
        salesforce: pair.salesforce.into(),
        set_aside: set_aside_fields(&pair.base),
    });
    Ok(Json(List::page(shown.collect(), limit, |shown| shown.pair_id.to_string())))
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
