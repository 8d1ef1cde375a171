//! Jobs: what is due, waits, runs or needs a person.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::http::api::{List, connection_of, limit_of, query};
use crate::http::extract::Path;
use crate::http::{AppState, Problem};
use crate::store::types::{Job, JobId, JobQuery, JobState};
use crate::worker::Linked;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<i64>,
}

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: JobId,
    connection: String,
    record: Option<Linked>,
    part: Option<Part>,
    state: JobState,
    attempts: u32,
    due_at: String,
    dirty_since: String,
    category: Option<&'static str>,
    message: Option<String>,
}

/// An unreadable part of a delivery.
#[derive(Serialize)]
struct Part {
    delivery: uuid::Uuid,
    position: u32,
}

impl From<Job> for Shown {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            connection: job.connection.to_string(),
            record: job.key.map(Linked::from),
            part: job.part.map(|(delivery, position)| Part { delivery, position }),
            state: job.state,
            attempts: job.attempts,
            due_at: job.due_at.to_string(),
            dirty_since: job.dirty_since.to_string(),
            category: job.error.as_ref().map(|(category, _)| category.as_str()),
            message: job.error.map(|(_, message)| message),
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
    let wanted = asked.state.map(|text| {
        JobState::parse(&text)
            .ok_or_else(|| Problem::BadRequest("state is none of due, running, waiting, parked".to_owned()))
    });
    let limit = limit_of(asked.limit)?;
    let query = JobQuery {
        connection: &connection,
        state: wanted.transpose()?,
        after: asked.cursor.map(JobId),
        limit,
        now: state.clock().now(),
    };
    let jobs: Vec<Shown> = state.store().jobs(&query).await?.into_iter().map(Shown::from).collect();
    Ok(Json(List::page(jobs, limit, |job| job.id.0.to_string())))
}

const MISSING: Problem = Problem::NotFound("there is no such job; a job that is done is gone");

pub(in crate::http) async fn show(
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Json<Shown>, Problem> {
    let job = state.store().job(JobId(id), state.clock().now()).await?;
    Ok(Json(job.ok_or(MISSING)?.into()))
}

pub(in crate::http) async fn retry(
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Json<Shown>, Problem> {
    let now = state.clock().now();
    let job = state.store().job(JobId(id), now).await?.ok_or(MISSING)?;
    if job.part.is_some() {
        return Err(Problem::Conflict(
            "a part that cannot be read cannot be worked; discard it when it has been looked at",
        ));
    }
    if !state.store().retry_job(JobId(id), now).await? {
        return Err(Problem::Conflict("the job is due or running already"));
    }
    state.worker().wake();
    let job = state.store().job(JobId(id), now).await?;
    Ok(Json(job.ok_or(MISSING)?.into()))
}

pub(in crate::http) async fn discard(
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    let now = state.clock().now();
    state.store().job(JobId(id), now).await?.ok_or(MISSING)?;
    if state.store().discard_job(JobId(id), now).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::Conflict("the job is being worked on; try again in a moment"))
}
