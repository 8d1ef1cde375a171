//! Resyncs: asking for records to be brought into agreement now.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::RecordKey;
use crate::http::api::{KINDS, body, connection_of, key_of, kind_of};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::store::types::AllOf;

/// The most records named in one request; more is a resync of all, or several requests.
const IDS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    list_id: Option<String>,
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
    bytes: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    let connection = connection_of(&state, &name)?;
    let asked: Asked = body(&bytes?)?;
    let (keys, all_of) = asked.meant()?;
    let resync = state.worker().resync(&connection, keys, all_of, asked.dry_run).await?;
    Ok((StatusCode::ACCEPTED, Json(Started { id: resync.id, queued: resync.total })))
}

impl Asked {
    /// The records meant: named, or all of a kind or list.
    fn meant(&self) -> Result<(Vec<RecordKey>, Option<AllOf>), Problem> {
        let bad = |text: &str| Problem::BadRequest(text.to_owned());
        if self.ids.len() > IDS_MAX {
            return Err(Problem::BadRequest(format!("at most {IDS_MAX} ids in one request")));
        }
        let kind = || {
            let kind = self.kind.as_deref();
            kind.ok_or_else(|| Problem::BadRequest(format!("`kind` is missing: one of {KINDS}")))
        };
        match (self.ids.as_slice(), self.all, self.list_id.as_deref().map(str::trim)) {
            ([], false, Some("")) => Err(bad("`list_id` is empty: it is the number in the list's address")),
            ([], false, Some(_)) if self.kind.as_deref().is_some_and(|kind| kind != "contact") => {
                Err(bad("a list holds HubSpot contacts: leave out `kind`, or set it to contact"))
            }
            ([], false, Some(list)) => Ok((Vec::new(), Some(AllOf::List(list.to_owned())))),
            ([], true, None) => Ok((Vec::new(), Some(AllOf::Kind(kind_of(kind()?)?)))),
            ([_, ..], false, None) => {
                let key = |id: &String| key_of(self.system.as_deref(), kind()?, id);
                let mut keys = self.ids.iter().map(key).collect::<Result<Vec<_>, Problem>>()?;
                keys.sort_unstable();
                keys.dedup();
                Ok((keys, None))
            }
            _ => Err(bad(
                "name records under `ids`, ask for `all` of a kind, or name a `list_id`: one of the three",
            )),
        }
    }
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
