//! Errors as RFC 9457 has them: `application/problem+json`.
//!
//! A `Problem` is the only error that a handler answers with. On its way out it is an empty response that
//! carries the problem aside; the outermost layer (`http::finish`) writes the body, because only there the
//! request's id and path are known. What is behind an `internal` problem is logged there and never sent.

mod code;
mod of_refused;

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::FieldProblem;
use crate::gate::Blocker;

pub use code::Code;

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which a client that was turned away may come back.
const RETRY_AFTER_S: u16 = 1;

/// Why a request is not answered as it was hoped.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    members: Box<Members>,
    cause: Option<Arc<anyhow::Error>>,
}

/// What some problems say beyond their words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Members {
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub errors: Option<Vec<FieldProblem>>,
    /// Why the gate is shut.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub blockers: Option<Vec<Blocker>>,
    /// The files in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub paths: Option<Vec<String>>,
    /// The run that is going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run_id: Option<String>,
    /// The modes there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub modes: Option<Vec<String>>,
    /// Bytes that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub free_bytes: Option<u64>,
    /// Bytes that must be free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub needed_bytes: Option<u64>,
}

/// A problem as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:agent_runner_api:problem:` and the code; a name, not an address.
    #[serde(rename = "type")]
    kind: String,
    /// The same few words for each code.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, and what to do.
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// The stable name.
    code: Code,
    /// The id of the request, as in the header `x-request-id`.
    request_id: String,
    #[serde(flatten)]
    members: Members,
}

impl Problem {
    /// This problem, told in one sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            code,
            detail: detail.into(),
            members: Box::default(),
            cause: None,
        }
    }

    /// Fields that are wrong.
    #[must_use]
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = errors
            .iter()
            .map(|field| format!("{}: {}", field.pointer, field.detail))
            .collect::<Vec<_>>()
            .join("; ");
        Problem::new(Code::Invalid, detail).with(|m| m.errors = Some(errors))
    }

    /// One field that is wrong.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem::invalid(vec![FieldProblem::new(pointer, detail)])
    }

    /// Something of ours that failed; the cause is logged, not sent.
    #[must_use]
    pub fn internal(cause: anyhow::Error) -> Self {
        Problem {
            cause: Some(Arc::new(cause)),
            ..Problem::new(
                Code::Internal,
                "something failed inside the service; the log has it under this request_id",
            )
        }
    }

    fn with(mut self, set: impl FnOnce(&mut Members)) -> Self {
        set(&mut self.members);
        self
    }

    /// Its name.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What some problems say beyond their words.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// What happened this time.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What is behind it, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.cause.as_deref()
    }

    /// The problem that an error response of a library stands for.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (Code::NotFound, "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => (
                Code::MethodNotAllowed,
                "the header `Allow` names the methods of this path",
            ),
            StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the body did not come in time"),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::TooLarge, "the body is too large"),
            StatusCode::URI_TOO_LONG => (Code::UriTooLong, "the address is too long"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                Code::UnsupportedMediaType,
                "this media type is not taken here",
            ),
            StatusCode::UNPROCESSABLE_ENTITY => (Code::Invalid, "the request is wrong"),
            status if status.is_server_error() => {
                return Problem::internal(anyhow::anyhow!("a library answered {status}"));
            }
            _ => (Code::BadRequest, "the request cannot be read"),
        };
        Problem::new(code, detail)
    }

    /// What is sent for it.
    pub(super) fn body(&self, instance: &str, request_id: &str) -> ProblemBody {
        let name = serde_json::to_value(self.code).unwrap_or_default();
        ProblemBody {
            kind: format!(
                "urn:agent_runner_api:problem:{}",
                name.as_str().unwrap_or_default()
            ),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            code: self.code,
            request_id: request_id.to_owned(),
            members: Members::clone(&self.members),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = status.into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // What cannot be read now cannot be read in a second.
        if status == StatusCode::SERVICE_UNAVAILABLE && self.code != Code::Unreadable {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::new(Code::BadRequest, rejection.body_text())
    }
}
