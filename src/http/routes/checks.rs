//! `/api/runs/{id}/checks`: asked for, looked at, stopped.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::carry_out;
use crate::app::request::CheckRequest;
use crate::app::view::{ChecksView, RoundAccepted};
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{OptionalJsonBody, Query, Segments};

/// Run the checks of a run's items on its work as it is now
///
/// They also run by themselves, once the agent has ended and whenever the branch has moved.
#[utoipa::path(
    post, path = "/api/runs/{id}/checks", tag = "checks", operation_id = "check_run",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content = Option<CheckRequest>),
    responses((status = 202, body = RoundAccepted, description = "The round has begun, or waits for its turn"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn check(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    OptionalJsonBody(request): OptionalJsonBody<CheckRequest>,
) -> Result<(StatusCode, Json<RoundAccepted>), Problem> {
    let round = carry_out(async move { door.app.check(&run, request).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(round)))
}

/// The checks of a run: the round under way, and the newest result of each item
#[utoipa::path(
    get, path = "/api/runs/{id}/checks", tag = "checks", operation_id = "show_checks",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = ChecksView, description = "The checks"), Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn show(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    query: Query,
) -> Result<Json<ChecksView>, Problem> {
    query.finish()?;
    Ok(Json(door.app.checks(&run).await?))
}

/// Stop the round of checks that is under way
///
/// Can be repeated. What was not run is not proven.
#[utoipa::path(
    delete, path = "/api/runs/{id}/checks", tag = "checks", operation_id = "stop_checks",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = ChecksView, description = "The checks as they are then"), Answers<404>, Answers<409>),
)]
pub async fn stop(
    State(door): State<Door>,
    Segments(run): Segments<String>,
) -> Result<Json<ChecksView>, Problem> {
    carry_out(async move { door.app.stop_checks(&run).await })
        .await
        .map(Json)
}
