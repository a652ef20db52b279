//! What evidence holds, as bytes: never shown as a page of this service.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use axum::response::Response;
use tokio_util::io::ReaderStream;

use crate::app::PayloadFile;
use crate::dod::EvidenceKind;
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{Query, Segments};

/// Media types that a browser only ever shows, and never runs.
const HARMLESS: [&str; 7] = [
    "application/json",
    "application/pdf",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
];

/// The bytes of evidence
///
/// A url is never fetched: its payload is the address.
#[utoipa::path(
    get, path = "/api/runs/{id}/evidence/{eid}/payload", tag = "evidence", operation_id = "evidence_payload",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("eid" = String, Path, description = "The evidence's id, or 6 or more characters that begin it"),
    ),
    responses((status = 200, content_type = "*/*", description = "The bytes, as an attachment"),
        Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn payload(
    State(door): State<Door>,
    Segments((run, evidence)): Segments<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    Ok(attachment(door.app.payload(&run, &evidence).await?))
}

fn attachment(payload: PayloadFile) -> Response {
    let evidence = &payload.evidence;
    let kind = match evidence.kind {
        EvidenceKind::Text | EvidenceKind::Url => "text/plain; charset=utf-8",
        EvidenceKind::File => harmless(payload.media_type.as_deref()),
    };
    let name = file_name(evidence.payload_path.as_deref(), &evidence.id);
    let size = evidence.size;
    let words = payload
        .text
        .or_else(|| evidence.payload_url.clone())
        .unwrap_or_default();
    let mut response = match payload.file {
        Some(file) => {
            let mut response = Response::new(Body::from_stream(ReaderStream::new(
                tokio::fs::File::from_std(file),
            )));
            let length = HeaderValue::from(size);
            response.headers_mut().insert(CONTENT_LENGTH, length);
            response
        }
        None => Response::new(Body::from(words)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// The media type that was told, if a browser does nothing with it.
fn harmless(told: Option<&str>) -> &'static str {
    let essence = told
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    HARMLESS
        .into_iter()
        .find(|kind| kind.eq_ignore_ascii_case(essence))
        .unwrap_or("application/octet-stream")
}

/// The last part of the path in plain ASCII, else the evidence's id.
fn file_name(path: Option<&str>, id: &str) -> String {
    let last = path
        .and_then(|p| p.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .unwrap_or(id);
    last.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | ' ' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_media_types_are_kept() {
        assert_eq!(harmless(Some("image/PNG")), "image/png");
        assert_eq!(harmless(Some("text/plain; charset=latin1")), "text/plain");
        for told in [None, Some("text/html"), Some("image/svg+xml"), Some("")] {
            assert_eq!(harmless(told), "application/octet-stream", "{told:?}");
        }
    }

    #[test]
    fn a_file_name_cannot_leave_its_header() {
        assert_eq!(
            file_name(Some("logs/a\"; x=\r\nb.txt"), "id"),
            "a__ x___b.txt"
        );
        assert_eq!(file_name(Some("logs/"), "id"), "id");
    }
}
