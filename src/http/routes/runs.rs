//! `/api/runs`: asked for, listed, looked at.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{accepted, carry_out};
use crate::app::request::NewRun;
use crate::app::view::{Accepted, DetailView, GateView, RunPage};
use crate::app::{DiffFormat, DiffView};
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::since::Moment;
use crate::http::read::{JsonBody, Query, Segments, idempotency};
use crate::run::Status;

/// Ask for a run
///
/// Answered once the run is stored, its worktree made and its agent started; never at the agent's end.
#[utoipa::path(
    post, path = "/api/runs", tag = "runs", operation_id = "create_run",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$",
        description = "The same key and body give the first answer again")),
    request_body = NewRun,
    responses(
        (status = 201, body = Accepted, description = "The agent is at work",
            headers(("location" = String, description = "The run"))),
        (status = 202, body = Accepted, description = "No slot is free; the run is queued",
            headers(("location" = String, description = "The run"))),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>,
    ),
)]
pub async fn create(
    State(door): State<Door>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<NewRun>,
) -> Result<Response, Problem> {
    let key = idempotency::key(&headers, &request)?;
    let created = carry_out(async move { door.app.create(request, key).await }).await?;
    Ok(accepted(created, StatusCode::CREATED))
}

/// List runs, the newest first
#[utoipa::path(
    get, path = "/api/runs", tag = "runs", operation_id = "list_runs",
    params(
        ("status" = Option<Vec<Status>>, Query, description = "Of these statuses; may repeat or be a comma list"),
        ("app" = Option<String>, Query, max_length = 512, description = "Of this `kanban_app`"),
        ("since" = inline(Option<Moment>), Query,
            description = "Made at or after: RFC 3339, unix seconds, or an age (`24h`, `7d`)"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 50 if absent"),
        ("cursor" = Option<String>, Query, max_length = 512, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, body = RunPage, description = "One page"), Answers<422>),
)]
pub async fn list(State(door): State<Door>, mut query: Query) -> Result<Json<RunPage>, Problem> {
    let (filter, page) = (query.filter(), query.page());
    query.finish()?;
    Ok(Json(door.app.list(filter, page).await?))
}

/// A run with its items, evidence, gate and attempts
#[utoipa::path(
    get, path = "/api/runs/{id}", tag = "runs", operation_id = "show_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = DetailView, description = "The run"), Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn detail(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    query: Query,
) -> Result<Json<DetailView>, Problem> {
    query.finish()?;
    Ok(Json(door.app.detail(&run).await?))
}

/// May it merge?
#[utoipa::path(
    get, path = "/api/runs/{id}/gate", tag = "runs", operation_id = "show_gate",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = GateView, description = "Whether, and why not"), Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn gate(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    query: Query,
) -> Result<Json<GateView>, Problem> {
    query.finish()?;
    Ok(Json(door.app.gate(&run).await?))
}

/// What the run's branch changes
#[utoipa::path(
    get, path = "/api/runs/{id}/diff", tag = "runs", operation_id = "show_diff",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("format" = inline(Option<DiffFormat>), Query, description = "`patch` if absent"),
    ),
    responses((status = 200, body = DiffView, description = "The diff, in the member of the format's name"),
        Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn diff(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    mut query: Query,
) -> Result<Json<DiffView>, Problem> {
    let format = query.word("format", "`patch`, `stat` or `files`");
    query.finish()?;
    Ok(Json(door.app.diff(&run, format.unwrap_or_default()).await?))
}
