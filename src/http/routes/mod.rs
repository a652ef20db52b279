//! The table of routes; each handler says in its `utoipa::path` what it is in the OpenAPI document.

mod checks;
mod evidence;
mod gc;
mod health;
mod life;
mod own;
mod payload;
mod proof;
mod runs;
mod schemas;
mod stats;
mod stream;
mod workflows;

use std::panic;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Problem};
use super::{Door, docs, mcp};
use crate::app::{Created, Refused};

/// Every route there is.
pub(super) fn all() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::doctor))
        .routes(routes!(health::fix))
        .routes(routes!(gc::report, gc::gc))
        .routes(routes!(stats::stats))
        .routes(routes!(health::metrics))
        .routes(routes!(runs::list, runs::create))
        .routes(routes!(runs::detail))
        .routes(routes!(runs::gate))
        .routes(routes!(runs::diff))
        .routes(routes!(proof::attestation))
        .routes(routes!(stream::run))
        .routes(routes!(stream::all))
        .routes(routes!(stream::output))
        .routes(routes!(evidence::list, evidence::attach))
        .routes(routes!(evidence::validate))
        .routes(routes!(evidence::reject))
        .routes(routes!(payload::payload))
        .routes(routes!(checks::check, checks::show, checks::stop))
        .routes(routes!(
            life::merge,
            life::merge_under_way,
            life::cancel_merge
        ))
        .routes(routes!(life::abort))
        .routes(routes!(life::restore))
        .routes(routes!(life::message))
        .routes(routes!(life::retry))
        .routes(routes!(own::may_end))
        .routes(routes!(mcp::post))
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::one, workflows::put, workflows::delete))
        .routes(routes!(schemas::dod))
        .routes(routes!(docs::document))
        .routes(routes!(docs::page))
        .routes(routes!(docs::script))
}

/// Does it to its end, also when the client hangs up in the middle.
async fn carry_out<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(Problem::from),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::Draining, "the service is stopping")),
        },
    }
}

/// 202 if the run waits for a slot, else `started`.
fn accepted(created: Created, started: StatusCode) -> Response {
    let status = if created.queued {
        StatusCode::ACCEPTED
    } else {
        started
    };
    let location = format!("/api/runs/{}", created.accepted.run_id);
    (status, [(LOCATION, location)], Json(created.accepted)).into_response()
}
