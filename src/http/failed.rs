//! Notes each answer that is the service's fault, so that the doctor tells of it.
//!
//! What is merely not possible for now (503, 507) says so to its client and is no fault.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::finish::X_REQUEST_ID;
use crate::app::App;

/// The layer around all others.
pub(super) async fn note(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let for_now = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::INSUFFICIENT_STORAGE,
    ];
    if status.is_server_error() && !for_now.contains(&status) {
        let id = response.headers().get(X_REQUEST_ID);
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        app.note_failure(method.as_str(), &path, id, status.as_u16());
    }
    response
}
