//! The last hand on every response: the request's id, the headers that each answer has, the body of a problem.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::problem::{MEDIA_TYPE, Problem};

/// The header with the id of a request, in requests and answers.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client's own that is taken over into answers and the log.
const MAX_REQUEST_ID: usize = 64;

/// The longest path with its query.
const MAX_URI: usize = 8 * 1024;

/// The layer around everything else.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let instance = request.uri().path().to_owned();
    let length = request
        .uri()
        .path_and_query()
        .map_or(0, |p| p.as_str().len());
    let mut response = if length > MAX_URI {
        Problem::of_status(axum::http::StatusCode::URI_TOO_LONG).into_response()
    } else {
        next.run(request).await
    };
    tracing::debug!(%method, path = %instance, status = response.status().as_u16(), request_id = %id, "answered");
    if let Some(problem) = problem_of(&mut response) {
        if let Some(cause) = problem.cause() {
            tracing::error!(%method, path = %instance, request_id = %id, "{cause:#}");
        }
        write(&mut response, &problem, &instance, &id);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}

/// The problem that this response stands for: a handler's own, or the one behind an error that a library wrote.
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    let foreign = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    (foreign && (status.is_client_error() || status.is_server_error()))
        .then(|| Problem::of_status(status))
}

fn write(response: &mut Response, problem: &Problem, instance: &str, id: &str) {
    let json = serde_json::to_vec(&problem.body(instance, id)).unwrap_or_default();
    *response.status_mut() = problem.code().status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    *response.body_mut() = Body::from(json);
}

/// The client's own id if it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=MAX_REQUEST_ID).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        })
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
