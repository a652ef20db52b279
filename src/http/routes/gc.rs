//! Letting go of what is past its time.

use axum::Json;
use axum::extract::State;

use super::carry_out;
use crate::app::request::GcRequest;
use crate::app::view::GcView;
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{OptionalJsonBody, Query};

/// What is past its time, and what is kept until when
#[utoipa::path(
    get, path = "/api/gc", tag = "service", operation_id = "gc_report",
    responses((status = 200, body = GcView, description = "What would go, and what stays"), Answers<422>),
)]
pub async fn report(State(door): State<Door>, query: Query) -> Result<Json<GcView>, Problem> {
    query.finish()?;
    carry_out(async move { door.app.gc(true).await })
        .await
        .map(Json)
}

/// Let go of what is past its time
///
/// Can be repeated. The service does the same at each start and once a day.
#[utoipa::path(
    post, path = "/api/gc", tag = "service", operation_id = "gc",
    request_body(content = Option<GcRequest>),
    responses((status = 200, body = GcView, description = "What went, and what stays"),
        Answers<408>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn gc(
    State(door): State<Door>,
    OptionalJsonBody(request): OptionalJsonBody<GcRequest>,
) -> Result<Json<GcView>, Problem> {
    carry_out(async move { door.app.gc(request.dry_run).await })
        .await
        .map(Json)
}
