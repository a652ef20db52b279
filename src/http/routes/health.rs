//! Whether the service is well: for programs, for people, for Prometheus.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::carry_out;
use crate::app::request::FixRequest;
use crate::app::view::{DoctorView, FixView, HealthView};
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{OptionalJsonBody, Query};

/// Clients count on an answer within 3 s; what is left is for the way there and back.
const PATIENCE: Duration = Duration::from_millis(2500);

/// What is known when the service does not answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct DegradedView {
    /// `degraded`.
    status: &'static str,
    /// Where this door is.
    port: u16,
    /// What is wrong with the database, or the word that it did not answer.
    db: String,
}

/// Whether the service is well
#[utoipa::path(
    get, path = "/api/health", tag = "service", operation_id = "health",
    responses(
        (status = 200, body = HealthView, description = "It is"),
        (status = 503, body = DegradedView, description = "It is not"),
    ),
)]
pub async fn health(State(door): State<Door>) -> Response {
    let port = door.guard.port();
    // On a task of its own, so that nothing in there can hold up the answer.
    let asked = tokio::spawn(async move { door.app.health().await });
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(health)) if health.status == "ok" => Json(health).into_response(),
        Ok(Ok(health)) => (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response(),
        Ok(Err(_)) | Err(_) => {
            let degraded = DegradedView {
                status: "degraded",
                port,
                db: "no answer".to_owned(),
            };
            (StatusCode::SERVICE_UNAVAILABLE, Json(degraded)).into_response()
        }
    }
}

/// What is in the way, and what to do about it
#[utoipa::path(
    get, path = "/api/doctor", tag = "service", operation_id = "doctor",
    params(("deep" = Option<bool>, Query,
        description = "Whether to look at the whole history and every byte of evidence; no if absent: its cost grows with them")),
    responses((status = 200, body = DoctorView, description = "Everything that was looked at"), Answers<422>),
)]
pub async fn doctor(
    State(door): State<Door>,
    mut query: Query,
) -> Result<Json<DoctorView>, Problem> {
    let deep = query.one("deep", "`true` or `false`").unwrap_or(false);
    query.finish()?;
    Ok(Json(door.app.doctor(deep).await))
}

/// Mend what can be mended without a decision of a person
///
/// Can be repeated. Work that belongs to no known run is kept under a ref before its place is removed.
#[utoipa::path(
    post, path = "/api/doctor/fix", tag = "service", operation_id = "fix",
    request_body(content = Option<FixRequest>),
    responses((status = 200, body = FixView, description = "What was mended, and what is left"),
        Answers<408>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn fix(
    State(door): State<Door>,
    OptionalJsonBody(request): OptionalJsonBody<FixRequest>,
) -> Result<Json<FixView>, Problem> {
    carry_out(async move { door.app.fix(request.dry_run).await })
        .await
        .map(Json)
}

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, content_type = "text/plain", body = String, description = "Prometheus text")),
)]
pub async fn metrics(State(door): State<Door>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], door.app.metrics().await).into_response()
}
