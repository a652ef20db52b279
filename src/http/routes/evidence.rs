//! `/api/runs/{id}/evidence`: attached, listed, accepted, turned down.

use axum::Json;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::carry_out;
use crate::app::FieldProblem;
use crate::app::request::{NewEvidence, is_blank};
use crate::app::view::{EvidenceView, ItemView};
use crate::http::Door;
use crate::http::caller::Caller;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::upload::{self, EvidenceForm};
use crate::http::read::{JsonBody, Query, Segments};

/// The longest name of somebody who validates, in characters.
const MAX_NAME: usize = 200;
/// The longest reason, in characters.
const MAX_REASON: usize = 4000;

/// The evidence of a run.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvidenceList {
    /// In the order in which it was attached.
    evidence: Vec<EvidenceView>,
}

/// Who accepts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValidation {
    /// Their name: 1 to 200 characters, not blank, none of them a control character.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    validated_by: String,
    /// Why it is accepted in the place of the item's check: an operator's word against the check's, and shown wherever
    /// the merge is shown. 1 to 4000 characters, not blank.
    #[serde(default, rename = "override")]
    #[schema(
        min_length = 1,
        max_length = 4000,
        pattern = r"[^\s\u0000-\u001f\u007f-\u009f]"
    )]
    overrides: Option<String>,
}

/// Who turns down, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRejection {
    /// Their name: 1 to 200 characters, not blank, none of them a control character.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    validated_by: String,
    /// What is missing: 1 to 4000 characters, not blank.
    #[schema(
        min_length = 1,
        max_length = 4000,
        pattern = r"[^\s\u0000-\u001f\u007f-\u009f]"
    )]
    reason: String,
}

/// What was said of the evidence, with its item as it stands now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Judged {
    /// The evidence's id.
    id: String,
    /// The same.
    evidence_id: String,
    /// The item's id.
    item_id: String,
    /// `validated` or `rejected`.
    status: VerdictWord,
    /// The evidence.
    evidence: EvidenceView,
    /// Its item.
    item: ItemView,
}

/// What was said of evidence.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// Accepted.
    Validated,
    /// Turned down.
    Rejected,
}

/// The evidence of a run
#[utoipa::path(
    get, path = "/api/runs/{id}/evidence", tag = "evidence", operation_id = "list_evidence",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    responses((status = 200, body = EvidenceList, description = "All of it"), Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn list(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    query: Query,
) -> Result<Json<EvidenceList>, Problem> {
    query.finish()?;
    let evidence = door.app.evidence_list(&run).await?;
    Ok(Json(EvidenceList { evidence }))
}

/// Attach evidence to an item
///
/// Exactly one payload: words, an address, a file of the worktree by its path, or a file as an upload.
#[utoipa::path(
    post, path = "/api/runs/{id}/evidence", tag = "evidence", operation_id = "attach_evidence",
    params(("id" = String, Path, description = "The run's id, or 6 or more characters that begin it")),
    request_body(content((NewEvidence = "application/json"), (EvidenceForm = "multipart/form-data"))),
    responses((status = 201, body = EvidenceView, description = "The evidence"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn attach(
    State(door): State<Door>,
    Segments(run): Segments<String>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<(StatusCode, Json<EvidenceView>), Problem> {
    let attached = if is_multipart(request.headers()) {
        let limit = door.app.max_upload_bytes();
        let mut got = upload::receive(request, &door.app.upload_dir(), limit).await?;
        caller.signs(&mut got.evidence);
        carry_out(async move {
            let attached = door.app.attach(&run, got.evidence, Some(got.upload)).await;
            drop(got.aside);
            attached
        })
        .await?
    } else {
        let JsonBody(mut evidence) = JsonBody::<NewEvidence>::from_request(request, &()).await?;
        caller.signs(&mut evidence);
        carry_out(async move { door.app.attach(&run, evidence, None).await }).await?
    };
    Ok((StatusCode::CREATED, Json(attached)))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            kind.trim_start()
                .to_ascii_lowercase()
                .starts_with("multipart/form-data")
        })
}

/// Accept evidence
#[utoipa::path(
    post, path = "/api/runs/{id}/evidence/{eid}/validate", tag = "evidence", operation_id = "validate_evidence",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("eid" = String, Path, description = "The evidence's id, or 6 or more characters that begin it"),
    ),
    request_body = NewValidation,
    responses((status = 200, body = Judged, description = "Evidence and item, both validated"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn validate(
    State(door): State<Door>,
    Segments((run, evidence)): Segments<(String, String)>,
    JsonBody(body): JsonBody<NewValidation>,
) -> Result<Json<Judged>, Problem> {
    words(&[("/validated_by", &body.validated_by, MAX_NAME)])?;
    if let Some(reason) = &body.overrides {
        words(&[("/override", reason, MAX_REASON)])?;
    }
    let work = async move {
        let (by, overrides) = (body.validated_by, body.overrides);
        door.app.validate(&run, &evidence, by, overrides).await
    };
    let (evidence, item) = carry_out(work).await?;
    Ok(Json(Judged::of(VerdictWord::Validated, evidence, item)))
}

/// Turn evidence down
#[utoipa::path(
    post, path = "/api/runs/{id}/evidence/{eid}/reject", tag = "evidence", operation_id = "reject_evidence",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("eid" = String, Path, description = "The evidence's id, or 6 or more characters that begin it"),
    ),
    request_body = NewRejection,
    responses((status = 200, body = Judged, description = "Evidence and item as they are now"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>),
)]
pub async fn reject(
    State(door): State<Door>,
    Segments((run, evidence)): Segments<(String, String)>,
    JsonBody(body): JsonBody<NewRejection>,
) -> Result<Json<Judged>, Problem> {
    words(&[
        ("/validated_by", &body.validated_by, MAX_NAME),
        ("/reason", &body.reason, MAX_REASON),
    ])?;
    let work = async move {
        let (by, reason) = (body.validated_by, body.reason);
        door.app.reject(&run, &evidence, by, reason).await
    };
    let (evidence, item) = carry_out(work).await?;
    Ok(Json(Judged::of(VerdictWord::Rejected, evidence, item)))
}

impl Judged {
    fn of(status: VerdictWord, evidence: EvidenceView, item: ItemView) -> Self {
        Judged {
            id: evidence.id.clone(),
            evidence_id: evidence.id.clone(),
            item_id: evidence.item_id.clone(),
            status,
            evidence,
            item,
        }
    }
}

/// Each of these is there, not blank, and not too long.
fn words(fields: &[(&str, &str, usize)]) -> Result<(), Problem> {
    let bad: Vec<_> = fields
        .iter()
        .filter(|(_, text, most)| is_blank(text) || text.chars().count() > *most)
        .map(|(at, _, most)| {
            FieldProblem::new(
                *at,
                format!("write 1 to {most} characters, not only spaces"),
            )
        })
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(bad))
    }
}
