//! Resyncs: asking for records to be brought into agreement now.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Kind;
use crate::http::api::{body, connection_of, key_of};
use crate::http::{AppState, Problem};

/// The most records named in one request; more is a resync of all, or several requests.
const IDS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    system: Option<String>,
    kind: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
pub(in crate::http) struct Started {
    id: Uuid,
    queued: u64,
}

pub(in crate::http) async fn start(
    State(state): State<AppState>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let connection = connection_of(&state, &name)?;
    let asked: Asked = body(&bytes)?;
    let bad = |text: &str| Problem::BadRequest(text.to_owned());
    if asked.all != asked.ids.is_empty() {
        return Err(bad("name records under `ids`, or ask for `all` of a kind: one of the two"));
    }
    if asked.ids.len() > IDS_MAX {
        return Err(Problem::BadRequest(format!("at most {IDS_MAX} ids in one request")));
    }
    let keys: Result<Vec<_>, Problem> =
        asked.ids.iter().map(|id| key_of(asked.system.as_deref(), &asked.kind, id)).collect();
    let all_of = if asked.all {
        Some(Kind::parse(&asked.kind).ok_or_else(|| bad("kind is none of contact, Lead, Contact"))?)
    } else {
        None
    };
    let mut keys = keys?;
    keys.sort_unstable();
    keys.dedup();
    let resync = state.worker().resync(&connection, keys, all_of, asked.dry_run).await?;
    Ok((StatusCode::ACCEPTED, Json(Started { id: resync.id, queued: resync.total })))
}

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    state: &'static str,
    total: u64,
    done: u64,
    failed: u64,
    dry_run: bool,
    preview: BTreeMap<String, u64>,
}

pub(in crate::http) async fn show(
    State(state): State<AppState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Shown>, Problem> {
    let connection = connection_of(&state, &name)?;
    let missing = Problem::NotFound("there is no such resync");
    let id: Uuid = id.parse().map_err(|_| missing.clone())?;
    let resync =
        state.store().resync(id).await?.filter(|resync| resync.connection == connection).ok_or(missing)?;
    let finished = resync.complete && resync.done + resync.failed >= resync.total;
    Ok(Json(Shown {
        state: if finished { "finished" } else { "running" },
        total: resync.total,
        done: resync.done,
        failed: resync.failed,
        dry_run: resync.dry_run,
        preview: resync.preview,
    }))
}
