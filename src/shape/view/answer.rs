//! Answers to what was asked for: a run, a page of runs, a workflow, a merge, a diff.

use serde::Serialize;
use utoipa::ToSchema;

use super::run::RunView;
use crate::run::Status;

/// The answer to a request for a run.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct Accepted {
    pub run_id: String,
    pub branch: String,
    pub worktree_path: String,
    pub sse_url: String,
    pub status: Status,
    /// The place in the queue, from 1, if no slot was free.
    pub queue_position: Option<u64>,
    /// Whether the agent is the stub, and why.
    pub stub_reason: Option<String>,
}

/// One page of runs, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunView>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A workflow, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct WorkflowView {
    pub name: String,
    #[serde(flatten)]
    pub workflow: crate::shape::request::NewWorkflow,
    pub built_in: bool,
    pub created_at: String,
    pub updated_at: String,
}

/// A run that was aborted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AbortedView {
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// Whether what was uncommitted is still to be kept. A frame `preserved` tells when it is.
    pub preserving: bool,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct MergedView {
    /// `merged`; `would_merge` for a dry run.
    pub status: &'static str,
    pub run_id: String,
    /// The merge commit; null for a dry run.
    pub commit: Option<String>,
    pub base: String,
    /// Where the base was: the first parent.
    pub onto: String,
    /// The work: the second parent.
    pub head: String,
    /// Checkouts of the base that were brought along.
    pub fast_forwarded: Vec<String>,
    /// Of a dry run: the keys of the items whose checks would be run on the result of the merge first.
    pub to_check: Vec<String>,
}

/// Shapes of a diff.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffFormat {
    /// A unified diff.
    #[default]
    Patch,
    /// Lines added and removed, a file a line, separated by tabs.
    Stat,
    /// The files, each with what became of it.
    Files,
}

/// What a run has changed, from the commit it started from to its head.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct DiffView {
    pub run_id: String,
    pub base_commit: String,
    pub head: String,
    /// Whether there was more than is shown.
    pub truncated: bool,
    pub patch: Option<String>,
    pub stat: Option<String>,
    pub files: Option<Vec<DiffFile>>,
}

/// A file of a diff.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DiffFile {
    /// The path, from the root of the repository.
    pub path: String,
    /// `added`, `modified`, `deleted` or `type_changed`.
    pub status: String,
    /// Lines added; null for a binary file.
    pub added: Option<u64>,
    /// Lines removed; null for a binary file.
    pub removed: Option<u64>,
}
