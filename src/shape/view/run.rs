//! A run and its attempts.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::run::event::AttemptKind;
use crate::run::state::{Attempt, AttemptStage};
use crate::run::{
    AgentKind, Exit, FailureCode, Limits, NoticeCode, Outcome, Phase, Run, Status, Usage,
};

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailureView {
    /// The stable name of the reason.
    pub code: FailureCode,
    /// The reason, for a person.
    pub detail: String,
}

/// What a person should know of an attempt that is no failure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NoticeView {
    /// The stable name of it.
    pub code: NoticeCode,
    /// It, for a person.
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
    /// What a queued run waits for: `slot`, or `disk` while a file system is under the floor.
    pub waits_for: Option<&'static str>,
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
    /// When what its agent printed was let go, because it was past its time.
    pub output_pruned_at: Option<String>,
    pub labels: BTreeMap<String, String>,
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
    /// What a person should know beside that: limits that are not held, and limits that were reached.
    pub notices: Vec<NoticeView>,
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
            waits_for: None,
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
            output_pruned_at: run.output_pruned_at.map(rfc3339),
            labels: run.spec.labels.clone(),
        }
    }
}

impl AttemptView {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let (why, message) = match &attempt.why {
            AttemptKind::First => ("first", None),
            AttemptKind::Message { text } => ("message", Some(text.clone())),
            AttemptKind::Retry => ("retry", None),
            AttemptKind::Feedback { text, .. } => ("feedback", Some(text.clone())),
        };
        let (started_at, ended_at, pid, end) = match &attempt.stage {
            AttemptStage::Waiting | AttemptStage::Starting => (None, None, None, None),
            AttemptStage::Started { at, process, .. } => (Some(*at), None, Some(process.pid), None),
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
            notices: attempt
                .notices
                .iter()
                .map(|notice| NoticeView {
                    code: notice.code,
                    detail: notice.detail.clone(),
                })
                .collect(),
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
