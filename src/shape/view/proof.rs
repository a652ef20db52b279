//! What a run must show, what was shown, and whether it may merge.

use serde::Serialize;
use utoipa::ToSchema;

use super::checks::{CheckView, FeedbackView};
use super::merge::MergeView;
use super::run::{AttemptView, RunView};
use crate::clock::rfc3339;
use crate::dod::check::CheckSpec;
use crate::dod::{
    self, Definition, Evidence, EvidenceKind, Head, Item, ItemStatus, Payload, Source, SourceKind,
    Verdict, When,
};
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
    /// The folders that its worktree has; none for the whole tree.
    pub sparse: Vec<String>,
    pub dod_items: Vec<ItemView>,
    /// SHA-256 of the items as they were read; `null` in runs of before version 0.2.
    pub dod_digest: Option<String>,
    /// Where the items were written, later ones in the place of earlier ones with the same key.
    pub dod_sources: Vec<SourceView>,
    pub gate: GateView,
    /// The merge that is under way, or how the last one ended; null if none was asked for.
    pub merge: Option<MergeView>,
    pub attempts: Vec<AttemptView>,
    /// Why nothing is heard of the agent's supervisor, while nothing is; the agent goes on.
    pub supervisor_silent: Option<Silence>,
    /// Where the work of an aborted run is kept.
    pub preserved_commit: Option<String>,
    /// Whether the run was aborted and what was uncommitted is still to be kept: `preserved_commit` is the branch's tip then.
    pub preserving: bool,
    /// What of an aborted run could not be kept or taken away, a sentence each.
    pub not_preserved: Vec<String>,
}

/// A place where items of a Definition of Done were written.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SourceView {
    /// What it is.
    pub kind: SourceKind,
    /// The workflow's name or the path in the repository; `null` for the request.
    pub name: Option<String>,
    /// The commit at which a path was read; `null` for the workflow and the request.
    pub commit: Option<String>,
    /// The keys of the items that it wrote.
    pub keys: Vec<String>,
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
    /// What the service runs for it.
    pub check: Option<ItemCheckView>,
    /// When it applies; always, if `null`.
    pub when: Option<When>,
    /// Whether it applies to the work as it is; `null` while that is not known, and then it counts as applying.
    pub applies: Option<bool>,
    /// Patterns of paths that its proof depends on.
    pub protects: Vec<String>,
    /// When its evidence is to be brought again though the work has not changed; never, if `null`.
    pub revalidate: Option<dod::Revalidate>,
    /// How often the agent was told about its failed check; null for an item whose check it is not told about.
    pub feedback: Option<FeedbackView>,
    pub evidence: Vec<EvidenceView>,
}

/// A command that the service runs for an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemCheckView {
    /// The command, for `sh -c`.
    pub cmd: String,
    /// Seconds that it may take.
    pub timeout_s: u64,
    /// The URL that shows it, if the command stays in the background.
    pub health: Option<String>,
    /// Whether it must fail on the base.
    pub red_green: bool,
    /// The path of its JUnit report.
    pub junit: Option<String>,
    /// How many tests must have run at least.
    pub min_tests: Option<u64>,
}

impl ItemCheckView {
    fn of(check: &CheckSpec) -> ItemCheckView {
        ItemCheckView {
            cmd: check.cmd.clone(),
            timeout_s: check.timeout_s(),
            health: check.health.clone(),
            red_green: check.red_green,
            junit: check.junit.clone(),
            min_tests: check.min_tests,
        }
    }
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
    /// The work's commit, if `commit` is what merging it would result in: it speaks of that alone.
    pub candidate_of: Option<String>,
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
    /// The run with its items, with the work at `head`, the paths that it changes, and the gate as it was answered.
    #[must_use]
    pub fn of(
        run: &Run,
        queue_position: Option<u64>,
        head: Option<&Head>,
        changed: Option<&[String]>,
        gate: GateView,
    ) -> Self {
        let mut view = RunView::of(run, queue_position);
        if let Some(head) = head {
            view.head = Some(head.commit.to_string());
        }
        let definition = run.definition.as_ref();
        DetailView {
            run: view,
            dod_items: run
                .items
                .iter()
                .map(|item| ItemView::of(run, item, head, changed))
                .collect(),
            dod_digest: definition.map(|d| d.digest.clone()),
            dod_sources: definition.map_or_else(Vec::new, sources),
            supervisor_silent: run.silence(),
            gate,
            merge: MergeView::of(run, None),
            attempts: run.attempts.iter().map(AttemptView::of).collect(),
            sparse: run.spec.sparse.folders().to_vec(),
            preserved_commit: match &run.phase {
                Phase::Aborted { preserved, .. } => preserved.as_ref().map(ToString::to_string),
                _ => None,
            },
            preserving: run.is_preserving(),
            not_preserved: match &run.phase {
                Phase::Aborted { missed, .. } => missed.clone(),
                _ => Vec::new(),
            },
        }
    }
}

fn sources(definition: &Definition) -> Vec<SourceView> {
    let view = |source: &Source| SourceView {
        kind: source.kind,
        name: source.name.clone(),
        commit: match source.kind {
            SourceKind::Repository | SourceKind::AppPage => {
                definition.commit.as_ref().map(ToString::to_string)
            }
            SourceKind::Workflow | SourceKind::Request => None,
        },
        keys: source.keys.clone(),
    };
    definition.sources.iter().map(view).collect()
}

impl ItemView {
    /// The item with its evidence, with the work at `head` and the paths that it changes, if they are known.
    #[must_use]
    pub fn of(run: &Run, item: &Item, head: Option<&Head>, changed: Option<&[String]>) -> Self {
        let spec = &item.spec;
        ItemView {
            id: item.id.to_string(),
            item_key: spec.key.clone(),
            title: spec.title.clone(),
            required: spec.required,
            status: dod::item_status(item, &run.evidence, head),
            accepts: spec.accepts.clone(),
            validator: spec.validator,
            check: spec.check.as_ref().map(ItemCheckView::of),
            when: spec.when.clone(),
            applies: match (&spec.when, changed) {
                (None, _) => Some(true),
                (Some(_), None) => None,
                (Some(_), Some(changed)) => Some(spec.applies(changed)),
            },
            protects: spec.protects.clone(),
            revalidate: spec.revalidate,
            feedback: None,
            evidence: run
                .evidence
                .iter()
                .filter(|e| e.item_id == item.id)
                .map(|e| EvidenceView::of(e, Some(&spec.key), head))
                .collect(),
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
            candidate_of: evidence.candidate_of.as_ref().map(ToString::to_string),
            sha256: evidence.sha256.clone(),
            size: evidence.size,
            author: evidence.author,
            attached_by: evidence.author_name.clone(),
            check: evidence.check.as_ref().map(CheckView::of),
            stale: evidence.is_stale(head),
            carried: evidence.is_carried(head),
            onto: evidence.onto.as_ref().map(ToString::to_string),
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
