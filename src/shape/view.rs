//! What the service shows, in the shapes of the API. What is not known is `null`, never missing.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::dod::{self, Evidence, EvidenceKind, Head, ItemStatus, Payload, Verdict};
use crate::gate::Blocker;
use crate::run::event::AttemptKind;
use crate::run::state::{Attempt, AttemptStage};
use crate::run::{AgentKind, Exit, FailureCode, Limits, Outcome, Usage};
use crate::run::{Phase, Run, Status};

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailureView {
    /// The stable name of the reason.
    pub code: FailureCode,
    /// The reason, for a person.
    pub detail: String,
}

/// A run, as the list has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct RunView {
    pub id: String,
    pub run_id: String,
    pub workflow: String,
    pub mode: String,
    pub issue_id: Option<String>,
    pub card_id: Option<String>,
    pub kanban_app: Option<String>,
    pub prompt: Option<String>,
    pub agent: AgentKind,
    pub stub_reason: Option<String>,
    pub model: Option<String>,
    pub branch: String,
    pub worktree_path: String,
    pub sse_url: String,
    pub base: String,
    pub base_commit: Option<String>,
    pub head: Option<String>,
    pub pid: Option<u32>,
    pub status: Status,
    /// The place in the queue, from 1, while the run is queued.
    pub queue_position: Option<u64>,
    pub failure: Option<FailureView>,
    pub exit_code: Option<i32>,
    pub session_id: Option<String>,
    pub usage: Option<Usage>,
    pub cost_usd: Option<f64>,
    pub limits: Limits,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub merged_at: Option<String>,
    pub merge_commit: Option<String>,
    pub aborted_at: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A run with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct DetailView {
    #[serde(flatten)]
    pub run: RunView,
    pub dod_items: Vec<ItemView>,
    pub gate: GateView,
    pub attempts: Vec<AttemptView>,
    /// Where the work of an aborted run is kept.
    pub preserved_commit: Option<String>,
}

/// May it merge?
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GateView {
    /// Whether a merge would be let through.
    pub open: bool,
    /// Every reason why not.
    pub blockers: Vec<Blocker>,
}

/// One line of the Definition of Done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct ItemView {
    pub id: String,
    pub item_key: String,
    pub title: String,
    pub required: bool,
    pub status: ItemStatus,
    pub accepts: Vec<EvidenceKind>,
    pub validator: dod::Validator,
    /// The command that the service would run for it: none in this version.
    pub check: Option<String>,
    pub evidence: Vec<EvidenceView>,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct EvidenceView {
    pub id: String,
    pub evidence_id: String,
    pub item_id: String,
    pub item_key: Option<String>,
    pub kind: EvidenceKind,
    pub payload_path: Option<String>,
    pub payload_url: Option<String>,
    pub payload_text: Option<String>,
    pub commit: String,
    pub tree: String,
    pub base_commit: String,
    pub sha256: String,
    pub size: u64,
    pub author: dod::Author,
    pub stale: bool,
    pub created_at: String,
    pub validated_at: Option<String>,
    pub validated_by: Option<String>,
    pub rejected_at: Option<String>,
    pub rejected_by: Option<String>,
    pub reason: Option<String>,
}

/// One life of the agent process inside the run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct AttemptView {
    pub id: String,
    pub number: u32,
    /// `first`, `message` or `retry`.
    pub why: &'static str,
    pub message: Option<String>,
    pub session_id: Option<String>,
    pub pid: Option<u32>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub failure: Option<FailureView>,
    pub usage: Option<Usage>,
    pub cost_usd: Option<f64>,
    pub turns: Option<u32>,
    pub output_from: u64,
    pub output_to: Option<u64>,
    pub queued_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

impl RunView {
    /// The run as the list has it, with its place in the queue if it waits there.
    #[must_use]
    pub fn of(run: &Run, queue_position: Option<u64>) -> Self {
        let id = run.id.to_string();
        let last = run.attempts.last();
        let ends = || {
            run.attempts.iter().filter_map(|a| match &a.stage {
                AttemptStage::Ended { end, .. } => end.as_ref(),
                _ => None,
            })
        };
        let failure = match run.outcome() {
            Some(Outcome::Failed(failure)) => Some(FailureView {
                code: failure.code,
                detail: failure.detail.clone(),
            }),
            _ => None,
        };
        let started_at = run.attempts.iter().find_map(|a| match &a.stage {
            AttemptStage::Started { at, .. } => Some(*at),
            AttemptStage::Ended { started_at, .. } => *started_at,
            _ => None,
        });
        let ended_at = last.and_then(|a| match &a.stage {
            AttemptStage::Ended { at, .. } => Some(*at),
            _ => None,
        });
        let usage = ends().filter_map(|end| end.usage).reduce(Usage::plus);
        let cost = ends().filter_map(|end| end.cost_usd).reduce(|a, b| a + b);
        let (merged_at, merge_commit) = match &run.phase {
            Phase::Merged { commit, at } => (Some(*at), Some(commit.to_string())),
            _ => (None, None),
        };
        let aborted_at = match &run.phase {
            Phase::Aborted { at, .. } => Some(*at),
            _ => None,
        };
        RunView {
            sse_url: format!("/api/runs/{id}/sse"),
            run_id: id.clone(),
            id,
            workflow: run.spec.workflow.clone(),
            mode: run.spec.mode.clone(),
            issue_id: run.spec.issue_id.clone(),
            card_id: run.spec.card_id.clone(),
            kanban_app: run.spec.kanban_app.clone(),
            prompt: run.spec.prompt.clone(),
            agent: run.spec.agent,
            stub_reason: run.spec.stub.map(|s| s.sentence().to_owned()),
            model: run.model.clone(),
            branch: run.branch.clone(),
            worktree_path: run.worktree_path.clone(),
            base: run.spec.base.clone(),
            base_commit: run.base_commit.as_ref().map(ToString::to_string),
            head: run.head.as_ref().map(|h| h.commit.to_string()),
            pid: run.process().map(|p| p.pid),
            status: run.status(),
            queue_position,
            failure,
            exit_code: ends().next_back().and_then(|end| end.exit.code()),
            session_id: run.session_id.clone(),
            usage,
            cost_usd: cost,
            limits: run.spec.limits.clone(),
            created_at: rfc3339(run.created_at),
            started_at: started_at.map(rfc3339),
            ended_at: ended_at.map(rfc3339),
            merged_at: merged_at.map(rfc3339),
            merge_commit,
            aborted_at: aborted_at.map(rfc3339),
            labels: run.spec.labels.clone(),
        }
    }
}

impl DetailView {
    /// The run with its items, with the work at `head` and the gate as it was answered.
    #[must_use]
    pub fn of(run: &Run, queue_position: Option<u64>, head: Option<&Head>, gate: GateView) -> Self {
        let mut view = RunView::of(run, queue_position);
        if let Some(head) = head {
            view.head = Some(head.commit.to_string());
        }
        DetailView {
            run: view,
            dod_items: run
                .items
                .iter()
                .map(|item| ItemView {
                    id: item.id.to_string(),
                    item_key: item.spec.key.clone(),
                    title: item.spec.title.clone(),
                    required: item.spec.required,
                    status: dod::item_status(item.id, &run.evidence, head),
                    accepts: item.spec.accepts.clone(),
                    validator: item.spec.validator,
                    check: None,
                    evidence: run
                        .evidence
                        .iter()
                        .filter(|e| e.item_id == item.id)
                        .map(|e| EvidenceView::of(e, Some(&item.spec.key), head))
                        .collect(),
                })
                .collect(),
            gate,
            attempts: run.attempts.iter().map(AttemptView::of).collect(),
            preserved_commit: match &run.phase {
                Phase::Aborted { preserved, .. } => preserved.as_ref().map(ToString::to_string),
                _ => None,
            },
        }
    }
}

impl EvidenceView {
    /// The evidence, with the key of its item and the work at `head`.
    #[must_use]
    pub fn of(evidence: &Evidence, item_key: Option<&str>, head: Option<&Head>) -> Self {
        let (path, url, text) = match &evidence.payload {
            Payload::Text { text } => (None, None, Some(text.clone())),
            Payload::File { path, .. } => (Some(path.clone()), None, None),
            Payload::Url { url } => (None, Some(url.clone()), None),
        };
        let (validated, rejected) = match &evidence.verdict {
            Verdict::Open => (None, None),
            Verdict::Validated { by, at } => (Some((by.clone(), *at)), None),
            Verdict::Rejected { by, at, reason } => (None, Some((by.clone(), *at, reason.clone()))),
        };
        EvidenceView {
            id: evidence.id.to_string(),
            evidence_id: evidence.id.to_string(),
            item_id: evidence.item_id.to_string(),
            item_key: item_key.map(str::to_owned),
            kind: evidence.payload.kind(),
            payload_path: path,
            payload_url: url,
            payload_text: text,
            commit: evidence.head.commit.to_string(),
            tree: evidence.head.tree.to_string(),
            base_commit: evidence.base_commit.to_string(),
            sha256: evidence.sha256.clone(),
            size: evidence.size,
            author: evidence.author,
            stale: evidence.is_stale(head),
            created_at: rfc3339(evidence.created_at),
            validated_at: validated.as_ref().map(|(_, at)| rfc3339(*at)),
            validated_by: validated.map(|(by, _)| by),
            rejected_at: rejected.as_ref().map(|(_, at, _)| rfc3339(*at)),
            rejected_by: rejected.as_ref().map(|(by, _, _)| by.clone()),
            reason: rejected.map(|(_, _, reason)| reason),
        }
    }
}

impl AttemptView {
    fn of(attempt: &Attempt) -> Self {
        let (why, message) = match &attempt.why {
            AttemptKind::First => ("first", None),
            AttemptKind::Message { text } => ("message", Some(text.clone())),
            AttemptKind::Retry => ("retry", None),
        };
        let (started_at, ended_at, pid, end) = match &attempt.stage {
            AttemptStage::Waiting | AttemptStage::Starting => (None, None, None, None),
            AttemptStage::Started { at, process } => (Some(*at), None, Some(process.pid), None),
            AttemptStage::Ended {
                started_at,
                at,
                end,
            } => (*started_at, Some(*at), None, end.as_ref()),
        };
        AttemptView {
            id: attempt.id.to_string(),
            number: attempt.number,
            why,
            message,
            session_id: end
                .and_then(|end| end.session_id.clone())
                .or_else(|| attempt.session_id.clone()),
            pid,
            exit_code: end.and_then(|end| end.exit.code()),
            signal: end.and_then(|end| match end.exit {
                Exit::Signal(signal) => Some(signal),
                Exit::Code(_) | Exit::Unknown => None,
            }),
            failure: end.and_then(|end| match &end.outcome {
                Outcome::Failed(failure) => Some(FailureView {
                    code: failure.code,
                    detail: failure.detail.clone(),
                }),
                Outcome::Finished => None,
            }),
            usage: end.and_then(|end| end.usage),
            cost_usd: end.and_then(|end| end.cost_usd),
            turns: end.and_then(|end| end.turns),
            output_from: attempt.output_from,
            output_to: end.map(|end| end.output_to),
            queued_at: rfc3339(attempt.queued_at),
            started_at: started_at.map(rfc3339),
            ended_at: ended_at.map(rfc3339),
        }
    }
}

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
    pub workflow: super::request::NewWorkflow,
    pub built_in: bool,
    pub created_at: String,
    pub updated_at: String,
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

/// Whether the service is well.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct HealthView {
    /// `ok` or `degraded`.
    pub status: &'static str,
    pub port: u16,
    pub db: String,
    pub version: &'static str,
    pub repo_root: String,
    pub worktrees_root: String,
    pub base: String,
    /// `claude`, or `stub` when every Claude run would be carried by the stub.
    pub agent: AgentKind,
    pub stub_reason: Option<String>,
    pub max_running: u32,
    pub running: u32,
    pub queued: u32,
    /// What a person should know.
    pub warnings: Vec<String>,
    pub started_at: String,
}

/// One thing that the doctor looked at.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct FindingView {
    /// What was looked at.
    pub what: String,
    /// `ok`, `warning` or `error`.
    pub level: String,
    /// What was found, and what to do.
    pub detail: String,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, ToSchema)]
pub struct DoctorView {
    /// Whether nothing is in the way of work.
    pub healthy: bool,
    /// Everything that was looked at.
    pub findings: Vec<FindingView>,
}
