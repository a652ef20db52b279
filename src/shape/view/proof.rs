//! What a run must show, what was shown, and whether it may merge.

use serde::Serialize;
use utoipa::ToSchema;

use super::checks::{CheckView, FeedbackView};
use super::run::{AttemptView, RunView};
use crate::clock::rfc3339;
use crate::dod::{self, Evidence, EvidenceKind, Head, ItemStatus, Payload, Verdict};
use crate::gate::Blocker;
use crate::run::{Phase, Run, Silence};

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
    /// Why nothing is heard of the agent's supervisor, while nothing is; the agent goes on.
    pub supervisor_silent: Option<Silence>,
    /// Where the work of an aborted run is kept.
    pub preserved_commit: Option<String>,
    /// What of an aborted run could not be kept or taken away, a sentence each.
    pub not_preserved: Vec<String>,
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
    /// How often the agent was told about its failed check; null for an item whose check it is not told about.
    pub feedback: Option<FeedbackView>,
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
    /// The name of who brought it, if it was told.
    pub attached_by: Option<String>,
    /// What the check came to, if a check brought it.
    pub check: Option<CheckView>,
    pub stale: bool,
    /// Whether it was attached to another commit that brought the same patch.
    pub carried: bool,
    /// Where the base branch was when it was attached.
    pub onto: Option<String>,
    /// The work's commit, if this speaks of what merging that would result in.
    pub candidate_of: Option<String>,
    pub created_at: String,
    pub validated_at: Option<String>,
    pub validated_by: Option<String>,
    /// Why an operator accepted it in the place of the item's check.
    #[serde(rename = "override")]
    pub overrides: Option<String>,
    pub rejected_at: Option<String>,
    pub rejected_by: Option<String>,
    pub reason: Option<String>,
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
                    feedback: None,
                    evidence: run
                        .evidence
                        .iter()
                        .filter(|e| e.item_id == item.id)
                        .map(|e| EvidenceView::of(e, Some(&item.spec.key), head))
                        .collect(),
                })
                .collect(),
            supervisor_silent: run.silence(),
            gate,
            attempts: run.attempts.iter().map(AttemptView::of).collect(),
            preserved_commit: match &run.phase {
                Phase::Aborted { preserved, .. } => preserved.as_ref().map(ToString::to_string),
                _ => None,
            },
            not_preserved: match &run.phase {
                Phase::Aborted { missed, .. } => missed.clone(),
                _ => Vec::new(),
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
            Verdict::Validated { by, at, .. } => (Some((by.clone(), *at)), None),
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
            attached_by: evidence.author_name.clone(),
            check: evidence.check.as_ref().map(CheckView::of),
            stale: evidence.is_stale(head),
            carried: evidence.is_carried(head),
            onto: evidence.onto.as_ref().map(ToString::to_string),
            candidate_of: evidence.candidate_of.as_ref().map(ToString::to_string),
            created_at: rfc3339(evidence.created_at),
            validated_at: validated.as_ref().map(|(_, at)| rfc3339(*at)),
            validated_by: validated.map(|(by, _)| by),
            overrides: match &evidence.verdict {
                Verdict::Validated { overrides, .. } => overrides.clone(),
                _ => None,
            },
            rejected_at: rejected.as_ref().map(|(_, at, _)| rfc3339(*at)),
            rejected_by: rejected.as_ref().map(|(by, _, _)| by.clone()),
            reason: rejected.map(|(_, _, reason)| reason),
        }
    }
}
