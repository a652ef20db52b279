//! A run and its attempts, as their events tell them. What changes them is [`apply`](super::apply::apply) alone.

use jiff::Timestamp;

use super::event::{AgentProcess, AttemptEnd, AttemptKind};
use super::ids::{AttemptId, CommitId, EvidenceId, ItemId, RoundId, RunId};
use super::notice::Notice;
use super::outcome::{Outcome, Silence};
use super::phase::{Phase, Status};
use super::spec::Spec;
use crate::dod::{Definition, Evidence, Head, Item};

/// One life of the agent process inside a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// 1, 2, 3, …
    pub number: u32,
    /// Why it was made.
    pub why: AttemptKind,
    /// When it was asked for.
    pub queued_at: Timestamp,
    /// The session that it opens or continues.
    pub session_id: Option<String>,
    /// Where its output begins.
    pub output_from: u64,
    /// What a person should know of it.
    pub notices: Vec<Notice>,
    /// How far it has come.
    pub stage: AttemptStage,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptStage {
    /// It waits for a slot.
    Waiting,
    /// Its agent is about to be started.
    Starting,
    /// Its agent works.
    Started {
        /// Since when.
        at: Timestamp,
        /// Its process.
        process: AgentProcess,
        /// Why nothing is heard of its supervisor, if nothing is.
        silence: Option<Silence>,
    },
    /// Its agent has ended.
    Ended {
        /// When it was started, if it was.
        started_at: Option<Timestamp>,
        /// When.
        at: Timestamp,
        /// How; nothing if it was never started.
        end: Option<AttemptEnd>,
    },
}

/// Why a merge did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStopped {
    /// The stable name of the reason.
    pub code: String,
    /// The reason, for a person.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A run, as its events tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// What was asked for.
    pub spec: Spec,
    /// Its branch.
    pub branch: String,
    /// Where its worktree is, was or will be.
    pub worktree_path: String,
    /// The commit it started from, once that is known.
    pub base_commit: Option<CommitId>,
    /// Whether its worktree is there.
    pub placed: bool,
    /// Its attempts, the newest last; never empty once it was queued.
    pub attempts: Vec<Attempt>,
    /// Its Definition of Done.
    pub items: Vec<Item>,
    /// Where that comes from; nothing in runs of before version 0.2.
    pub definition: Option<Definition>,
    /// The evidence, in the order in which it was attached.
    pub evidence: Vec<Evidence>,
    /// How many pieces of it there were when the newest round of checks began.
    pub evidence_before_round: usize,
    /// The newest round of checks, of the work or of a candidate: what is left of its processes and files is known by it.
    pub newest_round: Option<RoundId>,
    /// The commit of the work, as last seen.
    pub head: Option<Head>,
    /// The agent's own session id, as last seen.
    pub session_id: Option<String>,
    /// The model that the agent named.
    pub model: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why the last merge that was asked for did not happen; nothing once another one has begun.
    pub merge_stopped: Option<MergeStopped>,
    /// When what its agent printed was let go, if it was.
    pub output_pruned_at: Option<Timestamp>,
    /// How many events have made it: what was decided on one version is not done on another.
    pub version: u64,
}

impl Run {
    /// The word of the API for its phase.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Queued => Status::Queued,
            Phase::Preparing => Status::Preparing,
            Phase::Running => Status::Running,
            Phase::Checking { .. } => Status::Checking,
            Phase::AtRest { outcome } => at_rest(outcome),
            Phase::MergeQueued { .. } | Phase::Merging { .. } => Status::Merging,
            Phase::Merged { .. } => Status::Merged,
            Phase::Aborting { was, .. } => *was,
            Phase::Aborted { .. } => Status::Aborted,
        }
    }

    /// The word for it that counts for the gate when its turn to land has come: as if it were at rest.
    #[must_use]
    pub fn status_for_gate(&self) -> Status {
        match &self.phase {
            Phase::MergeQueued { outcome, .. } => at_rest(outcome),
            _ => self.status(),
        }
    }

    /// How the agent's work ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Checking { outcome, .. }
            | Phase::AtRest { outcome }
            | Phase::MergeQueued { outcome, .. }
            | Phase::Merging { outcome, .. } => Some(outcome),
            Phase::Aborting { outcome, .. } | Phase::Aborted { outcome, .. } => outcome.as_ref(),
            Phase::Queued | Phase::Preparing | Phase::Running | Phase::Merged { .. } => None,
        }
    }

    /// The newest attempt.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The process of the agent, while it works.
    #[must_use]
    pub fn process(&self) -> Option<&AgentProcess> {
        match &self.attempt()?.stage {
            AttemptStage::Started { process, .. } => Some(process),
            _ => None,
        }
    }

    /// Why nothing is heard of the supervisor of the agent at work, if nothing is.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        match self.attempt()?.stage {
            AttemptStage::Started { silence, .. } => silence,
            _ => None,
        }
    }

    /// The item with this id.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// The item with this key.
    #[must_use]
    pub fn item_by_key(&self, key: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.spec.key == key)
    }

    /// The evidence with this id.
    #[must_use]
    pub fn evidence(&self, id: EvidenceId) -> Option<&Evidence> {
        self.evidence.iter().find(|e| e.id == id)
    }

    /// What its attempts have cost together, in US dollars, as far as their agents have told.
    #[must_use]
    pub fn spent_usd(&self) -> f64 {
        self.attempts
            .iter()
            .filter_map(|attempt| match &attempt.stage {
                AttemptStage::Ended { end, .. } => end.as_ref()?.cost_usd,
                _ => None,
            })
            .sum()
    }

    /// What checks have shown since the newest round began, the newest last.
    pub fn shown_in_round(&self) -> impl Iterator<Item = &Evidence> {
        let since = self.evidence.iter().skip(self.evidence_before_round);
        since.filter(|e| e.check.is_some() && e.candidate_of.is_none())
    }

    /// The round of checks that may have processes and files: of the work, of a candidate, or one that an abort ends.
    #[must_use]
    pub fn round_under_way(&self) -> Option<RoundId> {
        match &self.phase {
            Phase::Checking { round, .. } => round.as_ref().map(|round| round.id),
            Phase::MergeQueued { candidate, .. } => {
                candidate.as_ref().map(|candidate| candidate.id)
            }
            Phase::Aborting { .. } => self.newest_round,
            _ => None,
        }
    }

    /// Whether it may have processes: of its agent, or of checks.
    #[must_use]
    pub fn may_have_processes(&self) -> bool {
        let of_agent = matches!(
            self.phase,
            Phase::Preparing | Phase::Running | Phase::Aborting { .. }
        );
        of_agent || self.is_preserving() || self.round_under_way().is_some()
    }

    /// Whether it was aborted, and what was uncommitted is still to be kept.
    #[must_use]
    pub fn is_preserving(&self) -> bool {
        matches!(
            self.phase,
            Phase::Aborted {
                preserving: true,
                ..
            }
        )
    }

    /// Whether it holds its card or issue: another run for it needs `allow_parallel`.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Merged { .. } | Phase::Aborted { .. })
            && !matches!(self.status(), Status::Failed)
    }
}

fn at_rest(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Finished => Status::Finished,
        Outcome::Failed(_) => Status::Failed,
    }
}
