//! What is attested of a run.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::view::AttestationView;
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{Query, Segments};

/// Shapes of an attestation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttestationFormat {
    /// An object with the statements.
    #[default]
    Json,
    /// A statement a line: the very text of the note.
    Bundle,
}

/// What is attested of a run
///
/// In-toto Statements: one for each check that counts, one for what was accepted by whom, one for the gate. Of a merged
/// run they are those of the note on its merge commit; before a merge they are what would be attested now.
#[utoipa::path(
    get, path = "/api/runs/{id}/attestation", tag = "runs", operation_id = "show_attestation",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("format" = inline(Option<AttestationFormat>), Query, description = "`json` if absent"),
    ),
    responses(
        (status = 200, description = "The statements", content(
            (AttestationView = "application/json"), (String = "application/vnd.in-toto.bundle"))),
        Answers<404>, Answers<409>, Answers<422>,
    ),
)]
pub async fn attestation(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    mut query: Query,
) -> Result<Response, Problem> {
    let format = query.word("format", "`json` or `bundle`");
    query.finish()?;
    let attestation = door.app.attestation(&run).await?;
    Ok(match format.unwrap_or_default() {
        AttestationFormat::Json => Json(attestation).into_response(),
        AttestationFormat::Bundle => {
            let header = [(CONTENT_TYPE, "application/vnd.in-toto.bundle")];
            (header, attestation.bundle()).into_response()
        }
    })
}
