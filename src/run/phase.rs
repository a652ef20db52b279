//! Where a run is in its life.
//!
//! ```text
//!             slot free       worktree, agent started       agent ended       leftovers committed
//!  ┌────────┐ ──────► ┌───────────┐ ──────► ┌─────────┐ ──────► ┌──────────┐ ──────► ┌───────────────────┐
//!  │ Queued │         │ Preparing │         │ Running │         │ Checking │ ◄────── │ AtRest            │
//!  └────────┘ ◄─┐     └───────────┘ ──┐     └─────────┘         └──────────┘ checks  │  finished, failed │
//!               │                     └── could not be started ────────────────────► └───────────────────┘
//!               └──────────────── message, retry, feedback ───────────────────────────┘    │        ▲
//!                                                                                  permit  ▼        │ stopped
//!   any of these, and AtRest ──► Aborting ──► Aborted ──► (restore) AtRest    (MergeQueued) Merging ┤
//!                                                                                          └──► Merged
//! ```
//!
//! `Merged` never changes, and that output was let go changes no phase. `Aborted` is undone by one event only, `Restored`;
//! `Preserved` says that all of its work is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{CommitId, ItemId, RoundId};
use super::outcome::Outcome;
use crate::dod::Head;

/// Why a round of checks is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundWhy {
    /// The agent has ended.
    AgentEnded,
    /// The branch moved.
    HeadMoved,
    /// Somebody asked for it.
    Asked,
}

/// A round of checks of the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Its id.
    pub id: RoundId,
    /// The work that is checked.
    pub head: Head,
    /// The items whose checks are to run, in their order.
    pub items: Vec<ItemId>,
    /// Why.
    pub why: RoundWhy,
    /// Whether a result that is known already is not good enough.
    #[serde(default)]
    pub afresh: bool,
}

/// The checks of what a merge would result in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateRound {
    /// The id of the round.
    pub id: RoundId,
    /// Where the base is.
    pub onto: CommitId,
    /// The head that is merged.
    pub head: CommitId,
    /// The merge commit and its tree.
    pub candidate: Head,
    /// The items whose checks are to run on it, in their order.
    pub items: Vec<ItemId>,
}

/// Where a run is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its attempt waits for a slot.
    Queued,
    /// Its worktree is made and its agent started.
    Preparing,
    /// Its agent works.
    Running,
    /// Its agent has ended; leftovers are committed, or checks run.
    Checking {
        /// How the agent's work ended.
        outcome: Outcome,
        /// The checks that run; nothing while leftovers are committed.
        round: Option<Round>,
    },
    /// Nothing happens until somebody asks for something.
    AtRest {
        /// How the agent's work ended.
        outcome: Outcome,
    },
    /// It waits for its turn to land, or its candidate is checked.
    MergeQueued {
        /// The first lines of the message.
        message: Option<String>,
        /// Since when.
        since: Timestamp,
        /// The candidate that is checked; nothing while it waits.
        candidate: Option<CandidateRound>,
        /// How the agent's work ended.
        outcome: Outcome,
    },
    /// The base is being moved to the candidate.
    Merging {
        /// Where the base was.
        onto: CommitId,
        /// The head that may merge.
        head: CommitId,
        /// The merge commit.
        candidate: CommitId,
        /// How the agent's work ended.
        outcome: Outcome,
    },
    /// It landed.
    Merged {
        /// The merge commit.
        commit: CommitId,
        /// When.
        at: Timestamp,
    },
    /// It is being taken away.
    Aborting {
        /// What its status was.
        was: Status,
        /// How the agent's work had ended, if it had.
        outcome: Option<Outcome>,
    },
    /// It was taken away; its work is preserved.
    Aborted {
        /// When.
        at: Timestamp,
        /// The commit that keeps its work.
        preserved: Option<CommitId>,
        /// What of it could not be kept or taken away, a sentence each.
        missed: Vec<String>,
        /// Whether what was uncommitted is still to be kept.
        preserving: bool,
        /// How the agent's work had ended, if it had.
        outcome: Option<Outcome>,
    },
}

/// The words of the API for where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the phases above say what each is")]
pub enum Status {
    Queued,
    Preparing,
    Running,
    Checking,
    Finished,
    Failed,
    Merging,
    Merged,
    Aborted,
}

impl Status {
    /// All of them, in the order of a run's life.
    pub const ALL: [Status; 9] = [
        Status::Queued,
        Status::Preparing,
        Status::Running,
        Status::Checking,
        Status::Finished,
        Status::Failed,
        Status::Merging,
        Status::Merged,
        Status::Aborted,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Preparing => "preparing",
            Status::Running => "running",
            Status::Checking => "checking",
            Status::Finished => "finished",
            Status::Failed => "failed",
            Status::Merging => "merging",
            Status::Merged => "merged",
            Status::Aborted => "aborted",
        }
    }

    /// Whether something is going on: the run is not to be merged, and its agent may be alive.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Status::Queued
                | Status::Preparing
                | Status::Running
                | Status::Checking
                | Status::Merging
        )
    }
}

impl Phase {
    /// The word that the tables keep: the status, or `aborting`, which the API shows as what was before, or `preserving`,
    /// which it shows as `aborted`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Preparing => "preparing",
            Phase::Running => "running",
            Phase::Checking { .. } => "checking",
            Phase::AtRest { .. } => "at_rest",
            Phase::MergeQueued { .. } => "merge_queued",
            Phase::Merging { .. } => "merging",
            Phase::Merged { .. } => "merged",
            Phase::Aborting { .. } => "aborting",
            Phase::Aborted {
                preserving: true, ..
            } => "preserving",
            Phase::Aborted { .. } => "aborted",
        }
    }
}
