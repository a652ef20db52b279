//! `/api/workflows`: prompt templates with their Definition of Done.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::carry_out;
use crate::app::request::NewWorkflow;
use crate::app::view::WorkflowView;
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::{JsonBody, Query, Segments};

/// The workflows there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowList {
    /// By their names.
    workflows: Vec<WorkflowView>,
}

/// All workflows
#[utoipa::path(
    get, path = "/api/workflows", tag = "workflows", operation_id = "list_workflows",
    responses((status = 200, body = WorkflowList, description = "All of them"), Answers<422>),
)]
pub async fn list(State(door): State<Door>, query: Query) -> Result<Json<WorkflowList>, Problem> {
    query.finish()?;
    let workflows = door.app.workflows().await?;
    Ok(Json(WorkflowList { workflows }))
}

/// One workflow
#[utoipa::path(
    get, path = "/api/workflows/{name}", tag = "workflows", operation_id = "show_workflow",
    params(("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$",
        description = "Its name: what a run calls `mode`")),
    responses((status = 200, body = WorkflowView, description = "The workflow"), Answers<404>, Answers<422>),
)]
pub async fn one(
    State(door): State<Door>,
    Segments(name): Segments<String>,
    query: Query,
) -> Result<Json<WorkflowView>, Problem> {
    query.finish()?;
    Ok(Json(door.app.workflow(&name).await?))
}

/// Write a workflow
///
/// Runs that there are already keep what they were made with.
#[utoipa::path(
    put, path = "/api/workflows/{name}", tag = "workflows", operation_id = "put_workflow",
    params(("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$",
        description = "Its name: what a run calls `mode`")),
    request_body = NewWorkflow,
    responses(
        (status = 200, body = WorkflowView, description = "It was changed"),
        (status = 201, body = WorkflowView, description = "It was made"),
        Answers<404>, Answers<408>, Answers<409>, Answers<413>, Answers<415>, Answers<422>,
    ),
)]
pub async fn put(
    State(door): State<Door>,
    Segments(name): Segments<String>,
    JsonBody(workflow): JsonBody<NewWorkflow>,
) -> Result<(StatusCode, Json<WorkflowView>), Problem> {
    let work = async move { door.app.put_workflow(&name, workflow).await };
    let (workflow, made) = carry_out(work).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(workflow)))
}

/// Remove a workflow
///
/// A built-in one that was changed becomes again what it was.
#[utoipa::path(
    delete, path = "/api/workflows/{name}", tag = "workflows", operation_id = "delete_workflow",
    params(("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$",
        description = "Its name: what a run calls `mode`")),
    responses((status = 204, description = "It is gone"), Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn delete(
    State(door): State<Door>,
    Segments(name): Segments<String>,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    carry_out(async move { door.app.delete_workflow(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
