//! What can happen to a run: facts in the past tense, as the journal keeps them.
//!
//! The serde form of these types is stored for ever. A change that an older reader would misread needs a
//! new [`VERSION`] and a reader for the old one; a new optional field does not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, CommitId, EvidenceId, ItemId, RunId, TreeId};
use super::notice::Notice;
use super::outcome::{EndedBy, Exit, Failure, Outcome, Silence, Usage};
use super::phase::{CandidateRound, Round};
use super::spec::Spec;
use crate::dod::{Definition, Evidence, Head, Item};

/// The version of the stored form.
pub const VERSION: u32 = 1;

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its number in the journal of all runs.
    pub seq: u64,
    /// The run it happened to.
    pub run: RunId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Why an attempt is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum AttemptKind {
    /// The run's first.
    First,
    /// A follow-up in the same session.
    Message {
        /// What the agent is told.
        text: String,
    },
    /// A fresh session on the same worktree.
    Retry,
    /// What checks have said, told to the same session by the service itself.
    Feedback {
        /// What the agent is told.
        text: String,
        /// The items whose checks did not pass.
        items: Vec<ItemId>,
    },
}

/// The process that does an attempt's work, so that it is never taken for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProcess {
    /// Its process id.
    pub pid: u32,
    /// The boot of the machine in which that id means anything.
    pub boot_id: String,
    /// Its start, in clock ticks since that boot.
    pub start_time: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// How its process ended.
    pub exit: Exit,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// What that means.
    pub outcome: Outcome,
    /// The agent's own session id.
    pub session_id: Option<String>,
    /// The model that the agent named.
    pub model: Option<String>,
    /// Tokens of this attempt.
    pub usage: Option<Usage>,
    /// What the agent's session has cost so far, in US dollars, as the agent counts it.
    pub session_cost_usd: Option<f64>,
    /// What this attempt has cost.
    pub cost_usd: Option<f64>,
    /// Turns of the agent with its model.
    pub turns: Option<u32>,
    /// Where its output ends, in bytes of the run's output file.
    pub output_to: u64,
    /// What a person should know beside the outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The request was accepted.
    Created {
        /// What was asked for.
        spec: Spec,
        /// The branch it will have.
        branch: String,
        /// Where its worktree will be.
        worktree_path: String,
        /// Its Definition of Done.
        items: Vec<Item>,
    },
    /// The Definition of Done was read from its sources: these are its items.
    DefinitionFixed {
        /// Where they come from.
        definition: Definition,
        /// All items, those that were added meanwhile too.
        items: Vec<Item>,
    },
    /// An attempt was asked for and waits for a slot.
    AttemptQueued {
        /// Its id.
        attempt: AttemptId,
        /// Why.
        why: AttemptKind,
    },
    /// The worktree is about to be made.
    Placing {
        /// The commit it starts from.
        base_commit: CommitId,
    },
    /// The worktree is there.
    Placed,
    /// The agent is about to be started.
    AttemptStarting {
        /// The attempt.
        attempt: AttemptId,
        /// The session that is opened or continued.
        session_id: Option<String>,
        /// Where its output begins, in bytes of the run's output file.
        output_from: u64,
    },
    /// The agent runs.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptId,
        /// Its process.
        process: AgentProcess,
        /// What a person should know of how it was started.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notices: Vec<Notice>,
    },
    /// The agent named its session.
    SessionSeen {
        /// The agent's own id for it.
        session_id: String,
        /// The model that it works with.
        model: Option<String>,
    },
    /// Nothing is heard of the agent's supervisor any more.
    SupervisorSilent {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        why: Silence,
    },
    /// The supervisor that was silent has answered.
    SupervisorAnswered {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The agent has ended.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        end: AttemptEnd,
    },
    /// The agent could not be started.
    StartFailed {
        /// Why.
        failure: Failure,
    },
    /// Leftover work is committed, and the head is fixed.
    Settled {
        /// The commit of the work.
        head: Head,
        /// Whether there was uncommitted work.
        leftovers: bool,
        /// The tree of the head before, if this one brings the same patch on another base.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carries: Option<TreeId>,
        /// Whether a round of checks begins in the same moment: the run is not at rest in between.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        checks: bool,
    },
    /// Leftover work could not be committed; the worktree is as the agent left it.
    SettleFailed {
        /// Why.
        failure: Failure,
    },
    /// The branch was seen at another commit than the recorded head.
    HeadMoved {
        /// Where it is now.
        head: Head,
        /// The tree of the head before, if this one brings the same patch on another base.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carries: Option<TreeId>,
    },
    /// A round of checks begins.
    ChecksStarted {
        /// What is checked.
        round: Round,
    },
    /// The round is over; what its checks came to was attached as evidence.
    ChecksEnded {
        /// Why it was cut short, if it was: what was not run is not proven.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut_short: Option<String>,
        /// Whether what follows (feedback to the agent, another round) begins in the same moment: the run is not at rest
        /// in between.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        goes_on: bool,
    },
    /// The Definition of Done got one more item.
    ItemAdded {
        /// The item.
        item: Item,
    },
    /// Evidence was attached.
    EvidenceAttached {
        /// The evidence.
        evidence: Evidence,
    },
    /// Evidence was accepted.
    EvidenceValidated {
        /// Which.
        evidence: EvidenceId,
        /// By whom.
        by: String,
        /// Why an operator accepts it in the place of the item's check.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overrides: Option<String>,
    },
    /// Evidence was turned down.
    EvidenceRejected {
        /// Which.
        evidence: EvidenceId,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
    /// The run waits for its turn to land on its base.
    MergeQueued {
        /// The first lines of the message.
        message: Option<String>,
    },
    /// A candidate was made, and its tree is to be checked.
    CandidateMade {
        /// It.
        candidate: CandidateRound,
    },
    /// The base is about to be moved to the candidate.
    MergeStarted {
        /// Where the base was.
        onto: CommitId,
        /// The head that may merge.
        head: CommitId,
        /// The merge commit.
        candidate: CommitId,
    },
    /// The merge did not happen; the run is as it was before.
    MergeStopped {
        /// The stable name of the reason.
        code: String,
        /// The reason, for a person.
        detail: String,
    },
    /// The base contains the candidate.
    Merged {
        /// The merge commit.
        commit: CommitId,
    },
    /// An abort was asked for.
    AbortStarted,
    /// Nothing of the run is left but what was preserved.
    Aborted {
        /// The commit that keeps its work, if there was any.
        preserved: Option<CommitId>,
        /// What of it could not be kept or taken away, a sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missed: Vec<String>,
        /// Whether what was uncommitted is still to be kept: then `preserved` is the tip that the branch had.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        preserving: bool,
    },
    /// What was uncommitted when the run was aborted is kept too.
    Preserved {
        /// The commit that keeps all of its work.
        commit: CommitId,
        /// What of it could not be kept, a sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missed: Vec<String>,
    },
    /// The worktree was removed, after a merge.
    PlaceRemoved {
        /// Whether the branch is gone too.
        branch_deleted: bool,
    },
    /// The branch and worktree of an aborted run are back.
    Restored,
    /// What its agent printed was past its time, and goes.
    OutputPruned {
        /// How many bytes that was.
        bytes: u64,
    },
}
