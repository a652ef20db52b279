//! A merge that is under way, or why the last one stopped.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::dod::Verdict;
use crate::run::{CandidateRound, CommitId, Phase, Run, Status};

/// How far a merge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeStage {
    /// It waits for its turn on its base.
    Queued,
    /// Checks run on what it would result in.
    Checking,
    /// The base is being moved.
    Landing,
    /// It has landed.
    Merged,
    /// It did not land; `code` and `detail` say why.
    Stopped,
}

/// A merge that is under way, or how the last one ended.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "docs/api.md and the OpenAPI document describe the fields"
)]
pub struct MergeView {
    pub run_id: String,
    /// The run's status: `merging` while it is under way.
    pub status: Status,
    pub stage: MergeStage,
    pub base: String,
    /// The place in the queue of its base, from 1; 1 has its turn. Null unless it is queued or checked.
    pub position: Option<u64>,
    /// Since when it waits.
    pub since: Option<String>,
    /// What is checked or landed.
    pub candidate: Option<CandidateView>,
    /// The checks that are run on the candidate, in their order.
    pub items: Vec<CandidateItemView>,
    /// The stable name of why it stopped.
    pub code: Option<String>,
    /// Why it stopped, for a person.
    pub detail: Option<String>,
    /// When it stopped.
    pub stopped_at: Option<String>,
}

/// The merge commit under test.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CandidateView {
    /// The merge commit.
    pub commit: String,
    /// Its tree; null once it lands.
    pub tree: Option<String>,
    /// Where the base was: the first parent.
    pub onto: Option<String>,
    /// The work: the second parent.
    pub head: Option<String>,
}

/// A check of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CandidateItemView {
    /// The item.
    pub item_id: String,
    /// Its key.
    pub item_key: Option<String>,
    /// Whether it has passed on the candidate's tree; null as long as that is not known.
    pub passed: Option<bool>,
    /// The evidence that says so.
    pub evidence_id: Option<String>,
}

impl MergeView {
    /// The merge of this run, with its place in the queue; nothing if none was asked for since its agent worked.
    #[must_use]
    pub fn of(run: &Run, position: Option<u64>) -> Option<MergeView> {
        let mut view = MergeView {
            run_id: run.id.to_string(),
            status: run.status(),
            stage: MergeStage::Queued,
            base: run.spec.base.clone(),
            position,
            since: None,
            candidate: None,
            items: Vec::new(),
            code: None,
            detail: None,
            stopped_at: None,
        };
        match (&run.phase, &run.merge_stopped) {
            (
                Phase::MergeQueued {
                    since, candidate, ..
                },
                _,
            ) => {
                view.since = Some(rfc3339(*since));
                if let Some(round) = candidate {
                    view.stage = MergeStage::Checking;
                    view.candidate = Some(CandidateView::of(round));
                    view.items = items(run, round);
                }
            }
            (
                Phase::Merging {
                    onto,
                    head,
                    candidate,
                    ..
                },
                _,
            ) => {
                view.stage = MergeStage::Landing;
                view.candidate = Some(CandidateView {
                    onto: Some(onto.to_string()),
                    head: Some(head.to_string()),
                    ..CandidateView::bare(candidate)
                });
            }
            (Phase::Merged { commit, .. }, _) => {
                view.stage = MergeStage::Merged;
                view.candidate = Some(CandidateView::bare(commit));
            }
            // Looking at work that changed begins its checks: why the merge stopped is told meanwhile as well.
            (Phase::AtRest { .. } | Phase::Checking { .. }, Some(stopped)) => {
                view.stage = MergeStage::Stopped;
                view.code = Some(stopped.code.clone());
                view.detail = Some(stopped.detail.clone());
                view.stopped_at = Some(rfc3339(stopped.at));
            }
            _ => return None,
        }
        Some(view)
    }
}

impl CandidateView {
    fn of(round: &CandidateRound) -> CandidateView {
        CandidateView {
            tree: Some(round.candidate.tree.to_string()),
            onto: Some(round.onto.to_string()),
            head: Some(round.head.to_string()),
            ..CandidateView::bare(&round.candidate.commit)
        }
    }

    fn bare(commit: &CommitId) -> CandidateView {
        CandidateView {
            commit: commit.to_string(),
            tree: None,
            onto: None,
            head: None,
        }
    }
}

fn items(run: &Run, round: &CandidateRound) -> Vec<CandidateItemView> {
    let view = |id: &crate::run::ItemId| {
        let newest = run.evidence.iter().rfind(|e| {
            e.item_id == *id && e.check.is_some() && e.head.tree == round.candidate.tree
        });
        CandidateItemView {
            item_id: id.to_string(),
            item_key: run.item(*id).map(|item| item.spec.key.clone()),
            passed: newest.map(|e| matches!(e.verdict, Verdict::Validated { .. })),
            evidence_id: newest.map(|e| e.id.to_string()),
        }
    };
    round.items.iter().map(view).collect()
}
