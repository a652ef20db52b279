//! What changes a run's life: merge, abort, restore, follow-ups.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{accepted, carry_out};
use crate::app::Merged;
use crate::app::request::{MergeRequest, is_blank};
use crate::app::view::{AbortedView, Accepted, MergeView, MergedView, RunView};
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{JsonBody, OptionalJsonBody, Segments};

/// The longest message, in bytes: as long as words as evidence can be.
const MAX_MESSAGE: usize = 1024 * 1024;

/// What the agent is told next: words, or the conflict of its work with the base, or both.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewMessage {
    /// The words; not blank, at most 1 MiB. Needed unless `conflict` is true.
    #[schema(
        min_length = 1,
        max_length = 1_048_576,
        pattern = r"[^\s\u0000-\u001f\u007f-\u009f]"
    )]
    text: Option<String>,
    /// Tell the agent with which commit of the base and in which files its work conflicts, and how to resolve that.
    conflict: bool,
}

/// Calls that need no words take an empty object, for clients that always send one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Land the run's branch on its base
///
/// Only with an open gate: every required item has validated evidence for the work as it is.
#[utoipa::path(
    post, path = "/api/runs/{id}/merge", tag = "life", operation_id = "merge_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content = Option<MergeRequest>),
    responses((status = 200, body = MergedView, description = "It has landed, or would"),
        (status = 202, body = MergeView, description = "It waits for its turn, or checks run on the result of the merge",
            headers(("location" = String, description = "The merge"))),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn merge(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    OptionalJsonBody(request): OptionalJsonBody<MergeRequest>,
) -> Result<Response, Problem> {
    let merged = carry_out(async move { door.app.merge(&run, request).await }).await?;
    Ok(match merged {
        Merged::Done(view) => Json(view).into_response(),
        Merged::UnderWay(view) => {
            let location = format!("/api/runs/{}/merge", view.run_id);
            (StatusCode::ACCEPTED, [(LOCATION, location)], Json(view)).into_response()
        }
    })
}

/// The merge that is under way, or how the last one ended
#[utoipa::path(
    get, path = "/api/runs/{id}/merge", tag = "life", operation_id = "show_merge",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = MergeView, description = "The merge"), Answers<404>, Answers<409>),
)]
pub async fn merge_under_way(
    State(door): State<Door>,
    Segments(run): Segments<String>,
) -> Result<Json<MergeView>, Problem> {
    Ok(Json(door.app.merge_under_way(&run).await?))
}

/// Cancel a merge that waits or whose result is checked
///
/// The run is at rest again. Too late once its base is being moved.
#[utoipa::path(
    delete, path = "/api/runs/{id}/merge", tag = "life", operation_id = "cancel_merge",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = MergeView, description = "It is cancelled"), Answers<404>, Answers<409>),
)]
pub async fn cancel_merge(
    State(door): State<Door>,
    Segments(run): Segments<String>,
) -> Result<Json<MergeView>, Problem> {
    carry_out(async move { door.app.cancel_merge(&run).await })
        .await
        .map(Json)
}

/// End the agent, keep the work aside, remove worktree and branch
///
/// Can be repeated: an aborted run is answered as it is.
#[utoipa::path(
    post, path = "/api/runs/{id}/abort", tag = "life", operation_id = "abort_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content = Option<Nothing>),
    responses((status = 200, body = AbortedView, description = "The aborted run"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn abort(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    _: OptionalJsonBody<Nothing>,
) -> Result<Json<AbortedView>, Problem> {
    carry_out(async move { door.app.abort(&run).await })
        .await
        .map(Json)
}

/// Bring an aborted run's branch and worktree back
#[utoipa::path(
    post, path = "/api/runs/{id}/restore", tag = "life", operation_id = "restore_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content = Option<Nothing>),
    responses((status = 200, body = RunView, description = "The run, at rest"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn restore(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    _: OptionalJsonBody<Nothing>,
) -> Result<Json<RunView>, Problem> {
    carry_out(async move { door.app.restore(&run).await })
        .await
        .map(Json)
}

/// Continue the agent's session in the same worktree
#[utoipa::path(
    post, path = "/api/runs/{id}/messages", tag = "life", operation_id = "message_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body = NewMessage,
    responses(
        (status = 200, body = Accepted, description = "The agent is at work again",
            headers(("location" = String, description = "The run"))),
        (status = 202, body = Accepted, description = "No slot is free; the run is queued",
            headers(("location" = String, description = "The run"))),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>,
    ),
)]
pub async fn message(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    JsonBody(message): JsonBody<NewMessage>,
) -> Result<Response, Problem> {
    let NewMessage { text, conflict } = message;
    let fits = |text: &String| !is_blank(text) && text.len() <= MAX_MESSAGE;
    if !text.as_ref().map_or(conflict, fits) {
        let detail = format!("write 1 to {MAX_MESSAGE} bytes, not only spaces");
        return Err(Problem::field("/text", detail));
    }
    let created = carry_out(async move {
        match (text, conflict) {
            (Some(text), false) => door.app.message(&run, text).await,
            (text, _) => door.app.send_conflict(&run, text).await,
        }
    })
    .await?;
    Ok(accepted(created, StatusCode::OK))
}

/// Start the agent afresh in the same worktree
#[utoipa::path(
    post, path = "/api/runs/{id}/retry", tag = "life", operation_id = "retry_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content = Option<Nothing>),
    responses(
        (status = 200, body = Accepted, description = "The agent is at work again",
            headers(("location" = String, description = "The run"))),
        (status = 202, body = Accepted, description = "No slot is free; the run is queued",
            headers(("location" = String, description = "The run"))),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>,
    ),
)]
pub async fn retry(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    _: OptionalJsonBody<Nothing>,
) -> Result<Response, Problem> {
    let created = carry_out(async move { door.app.retry(&run).await }).await?;
    Ok(accepted(created, StatusCode::OK))
}
