//! `/api/runs/{id}/may-end`: what an agent asks before it ends.

use axum::Json;
use axum::extract::{Extension, State};

use crate::app::request::Ending;
use crate::app::view::MayEnd;
use crate::http::Door;
use crate::http::caller::Caller;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{JsonBody, Segments};

/// Whether the agent of this run may end
///
/// For a hook of the agent, with the token of its run. It is told what it could still bring, at most as often as its
/// workflow says; what is missing then is for others to judge.
#[utoipa::path(
    post, path = "/api/runs/{id}/may-end", tag = "agent", operation_id = "may_end",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body = Ending,
    responses((status = 200, body = MayEnd, description = "Whether it may"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn may_end(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    Extension(caller): Extension<Caller>,
    JsonBody(ending): JsonBody<Ending>,
) -> Result<Json<MayEnd>, Problem> {
    caller.own_run()?;
    Ok(Json(door.app.may_end(&run, &ending).await?))
}
