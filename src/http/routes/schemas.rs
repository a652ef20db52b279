//! `/api/schemas`: what can be written, for programs that check it before they send it.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::schema;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::Query;

/// The JSON Schema of a Definition of Done
///
/// Of a list of items, as `dod` of a workflow and of a request takes it; a file in `.agent_runner/dod/` has each as
/// `[[item]]`.
#[utoipa::path(
    get, path = "/api/schemas/dod", tag = "workflows", operation_id = "dod_schema",
    responses((status = 200, content_type = "application/schema+json", description = "JSON Schema 2020-12"), Answers<422>),
)]
pub async fn dod(query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let text = schema::dod().to_string();
    Ok(([(CONTENT_TYPE, "application/schema+json")], text).into_response())
}
