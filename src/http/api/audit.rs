//! The audit: one row for each field written.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{System, Timestamp};
use crate::http::api::{List, connection_of, key_of, limit_of, query, shown};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::store::types::{AuditQuery, AuditRow, Cause};
use crate::worker::Linked;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    system: Option<String>,
    kind: Option<String>,
    id: Option<String>,
    since: Option<String>,
    limit: Option<u32>,
    cursor: Option<Uuid>,
}

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: Uuid,
    at: String,
    #[serde(flatten)]
    record: RecordShown,
    field: String,
    old: Option<String>,
    new: Option<String>,
    rule: String,
    cause: String,
    outcome: &'static str,
}

/// The record written. For a create whose outcome is open, the record that lacked its twin.
#[derive(Serialize)]
struct RecordShown {
    system: System,
    kind: crate::domain::Kind,
    record_id: String,
}

impl From<AuditRow> for Shown {
    fn from(row: AuditRow) -> Self {
        let record = Linked::from(row.created.unwrap_or(row.intent.key));
        let cause = match row.intent.cause {
            Cause::Delivery(id) => format!("delivery {id}"),
            Cause::Resync(id) | Cause::ResyncOne(id) => format!("resync {id}"),
            Cause::Follow(id) => format!("follow {id}"),
            Cause::Sweep(id) => format!("sweep {id}"),
        };
        Self {
            id: row.intent.id,
            at: row.intent.at.to_string(),
            record: RecordShown { system: record.system, kind: record.kind, record_id: record.id },
            field: row.intent.field,
            old: shown(&row.intent.old),
            new: shown(&row.intent.new),
            rule: row.intent.rule,
            cause,
            outcome: match row.written {
                Some(true) => "written",
                Some(false) => "not written",
                None => "open",
            },
        }
    }
}

pub(in crate::http) async fn list(
    State(state): State<AppState>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<List<Shown>>, Problem> {
    let connection = connection_of(&state, &name)?;
    let asked: Asked = query(&uri)?;
    let bad = |text: &str| Problem::BadRequest(text.to_owned());
    let system = asked
        .system
        .as_deref()
        .map(|text| System::parse(text).ok_or_else(|| bad("system is neither hubspot nor salesforce")));
    let key = match (&asked.kind, &asked.id) {
        (Some(kind), Some(id)) => Some(key_of(asked.system.as_deref(), kind, id)?),
        (None, None) => None,
        _ => return Err(bad("kind and id go together")),
    };
    let since = asked
        .since
        .as_deref()
        .map(|text| Timestamp::parse(text).ok_or_else(|| bad("since is no ISO 8601 instant")));
    let limit = limit_of(asked.limit)?;
    let query = AuditQuery {
        connection: &connection,
        system: system.transpose()?,
        key,
        since: since.transpose()?,
        after: asked.cursor,
        limit,
    };
    let rows: Vec<Shown> = state.store().audit(&query).await?.into_iter().map(Shown::from).collect();
    Ok(Json(List::page(rows, limit, |row| row.id.to_string())))
}
