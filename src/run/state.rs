//! The state of a run, and the one function that changes it.
//!
//! ```text
//!             slot free       worktree, agent started       agent ended       leftovers committed
//!  ┌────────┐ ──────► ┌───────────┐ ──────► ┌─────────┐ ──────► ┌──────────┐ ──────► ┌───────────────────┐
//!  │ Queued │         │ Preparing │         │ Running │         │ Checking │         │ AtRest            │
//!  └────────┘ ◄─┐     └───────────┘ ──┐     └─────────┘         └──────────┘         │  finished, failed │
//!               │                     └── could not be started ────────────────────► └───────────────────┘
//!               └──────────────── message, retry ─────────────────────────────────────┘    │        ▲
//!                                                                                  permit  ▼        │ stopped
//!   any of these, and AtRest ──► Aborting ──► Aborted ──► (restore) AtRest               Merging ────┤
//!                                                                                          └──► Merged
//! ```
//!
//! `Merged` never changes. `Aborted` changes by one event only: `Restored`, which undoes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{AgentProcess, AttemptEnd, AttemptKind, Event};
use super::ids::{AttemptId, CommitId, EvidenceId, ItemId, RunId};
use super::outcome::{Failure, FailureCode, Outcome};
use super::spec::Spec;
use crate::dod::{Evidence, Head, Item, Verdict};

/// Where a run is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its attempt waits for a slot.
    Queued,
    /// Its worktree is made and its agent started.
    Preparing,
    /// Its agent works.
    Running,
    /// Its agent has ended; leftovers are committed.
    Checking {
        /// How the agent's work ended.
        outcome: Outcome,
    },
    /// Nothing happens until somebody asks for something.
    AtRest {
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
    /// The evidence, in the order in which it was attached.
    pub evidence: Vec<Evidence>,
    /// The commit of the work, as last seen.
    pub head: Option<Head>,
    /// The agent's own session id, as last seen.
    pub session_id: Option<String>,
    /// The model that the agent named.
    pub model: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// How many events have made it: what was decided on one version is not done on another.
    pub version: u64,
}

/// The event cannot follow: a mistake of ours or a damaged journal, never a client's doing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the event `{event}` cannot follow: the run is {phase}")]
pub struct Illegal {
    event: String,
    phase: String,
}

/// The run that begins with this event.
///
/// # Errors
/// The event is not `Created`.
pub fn begin(id: RunId, at: Timestamp, event: &Event) -> Result<Run, Illegal> {
    let Event::Created {
        spec,
        branch,
        worktree_path,
        items,
    } = event
    else {
        return Err(Illegal {
            event: name(event),
            phase: "before it was created".to_owned(),
        });
    };
    Ok(Run {
        id,
        created_at: at,
        spec: spec.clone(),
        branch: branch.clone(),
        worktree_path: worktree_path.clone(),
        base_commit: None,
        placed: false,
        attempts: Vec::new(),
        items: items.clone(),
        evidence: Vec::new(),
        head: None,
        session_id: None,
        model: spec.model.clone(),
        phase: Phase::Queued,
        version: 1,
    })
}

/// The run after this event: the only way in which a run changes.
///
/// # Errors
/// The event cannot follow in the phase that the run is in.
pub fn apply(mut run: Run, at: Timestamp, event: &Event) -> Result<Run, Illegal> {
    let status = run.status();
    let illegal = || Illegal {
        event: name(event),
        phase: status.as_str().to_owned(),
    };
    match (event, &run.phase) {
        (
            Event::AttemptQueued { attempt, why },
            Phase::Queued | Phase::AtRest { .. } | Phase::Preparing,
        ) => {
            run.attempts.push(Attempt {
                id: *attempt,
                number: u32::try_from(run.attempts.len())
                    .unwrap_or(u32::MAX)
                    .saturating_add(1),
                why: why.clone(),
                queued_at: at,
                session_id: None,
                output_from: 0,
                stage: AttemptStage::Waiting,
            });
            run.phase = Phase::Queued;
        }
        (Event::Placing { base_commit }, Phase::Queued | Phase::Preparing) => {
            run.base_commit = Some(base_commit.clone());
            run.phase = Phase::Preparing;
        }
        (Event::Placed, Phase::Preparing) => run.placed = true,
        (
            Event::AttemptStarting {
                attempt,
                session_id,
                output_from,
            },
            Phase::Queued | Phase::Preparing,
        ) => {
            let Some(this) = run.attempts.iter_mut().find(|a| a.id == *attempt) else {
                return Err(illegal());
            };
            this.session_id.clone_from(session_id);
            this.output_from = *output_from;
            this.stage = AttemptStage::Starting;
            run.phase = Phase::Preparing;
        }
        (Event::AttemptStarted { attempt, process }, Phase::Preparing) => {
            let Some(this) = run.attempts.iter_mut().find(|a| a.id == *attempt) else {
                return Err(illegal());
            };
            this.stage = AttemptStage::Started {
                at,
                process: process.clone(),
            };
            run.phase = Phase::Running;
        }
        (Event::SessionSeen { session_id, model }, Phase::Running | Phase::Aborting { .. }) => {
            run.session_id = Some(session_id.clone());
            run.model = model.clone().or(run.model);
        }
        (
            Event::AttemptEnded { attempt, end },
            Phase::Running | Phase::Preparing | Phase::Aborting { .. },
        ) => {
            let Some(this) = run.attempts.iter_mut().find(|a| a.id == *attempt) else {
                return Err(illegal());
            };
            let started_at = match &this.stage {
                AttemptStage::Started { at, .. } => Some(*at),
                _ => None,
            };
            this.stage = AttemptStage::Ended {
                started_at,
                at,
                end: Some(end.clone()),
            };
            run.session_id = end.session_id.clone().or(run.session_id);
            run.model = end.model.clone().or(run.model);
            run.phase = match run.phase {
                Phase::Aborting { was, .. } => Phase::Aborting {
                    was,
                    outcome: Some(end.outcome.clone()),
                },
                _ => Phase::Checking {
                    outcome: end.outcome.clone(),
                },
            };
        }
        (Event::StartFailed { failure }, Phase::Queued | Phase::Preparing) => {
            if let Some(this) = run.attempts.last_mut() {
                this.stage = AttemptStage::Ended {
                    started_at: None,
                    at,
                    end: None,
                };
            }
            run.phase = Phase::AtRest {
                outcome: Outcome::Failed(failure.clone()),
            };
        }
        (Event::Settled { head, .. }, Phase::Checking { outcome }) => {
            run.phase = Phase::AtRest {
                outcome: outcome.clone(),
            };
            run.head = Some(head.clone());
        }
        (Event::SettleFailed { failure }, Phase::Checking { outcome }) => {
            run.phase = Phase::AtRest {
                outcome: match outcome {
                    Outcome::Finished => Outcome::Failed(failure.clone()),
                    Outcome::Failed(_) => outcome.clone(),
                },
            };
        }
        (
            Event::HeadMoved { head },
            Phase::AtRest { .. } | Phase::Running | Phase::Checking { .. },
        ) => {
            run.head = Some(head.clone());
        }
        (Event::ItemAdded { item }, _) => run.items.push(item.clone()),
        (Event::EvidenceAttached { evidence }, _) => run.evidence.push(evidence.clone()),
        (Event::EvidenceValidated { evidence, by }, _) => {
            let Some(this) = run.evidence.iter_mut().find(|e| e.id == *evidence) else {
                return Err(illegal());
            };
            this.verdict = Verdict::Validated { by: by.clone(), at };
        }
        (
            Event::EvidenceRejected {
                evidence,
                by,
                reason,
            },
            _,
        ) => {
            let Some(this) = run.evidence.iter_mut().find(|e| e.id == *evidence) else {
                return Err(illegal());
            };
            this.verdict = Verdict::Rejected {
                by: by.clone(),
                at,
                reason: reason.clone(),
            };
        }
        (
            Event::MergeStarted {
                onto,
                head,
                candidate,
            },
            Phase::AtRest { outcome },
        ) => {
            run.phase = Phase::Merging {
                onto: onto.clone(),
                head: head.clone(),
                candidate: candidate.clone(),
                outcome: outcome.clone(),
            };
        }
        (Event::MergeStopped { .. }, Phase::Merging { outcome, .. }) => {
            run.phase = Phase::AtRest {
                outcome: outcome.clone(),
            };
        }
        (Event::Merged { commit }, Phase::Merging { candidate, .. }) if commit == candidate => {
            run.phase = Phase::Merged {
                commit: commit.clone(),
                at,
            };
        }
        (
            Event::AbortStarted,
            Phase::Queued
            | Phase::Preparing
            | Phase::Running
            | Phase::Checking { .. }
            | Phase::AtRest { .. },
        ) => {
            run.phase = Phase::Aborting {
                was: run.status(),
                outcome: run.outcome().cloned(),
            };
        }
        (Event::Aborted { preserved }, Phase::Aborting { outcome, .. }) => {
            run.phase = Phase::Aborted {
                at,
                preserved: preserved.clone(),
                outcome: outcome.clone(),
            };
            run.placed = false;
        }
        (Event::PlaceRemoved { .. }, Phase::Merged { .. }) => run.placed = false,
        (Event::Restored, Phase::Aborted { outcome, .. }) => {
            run.phase = Phase::AtRest {
                outcome: outcome.clone().unwrap_or_else(|| {
                    Outcome::Failed(Failure::new(
                        FailureCode::Aborted,
                        "the run was aborted before its agent had ended, and restored",
                    ))
                }),
            };
            run.placed = true;
        }
        _ => return Err(illegal()),
    }
    run.version += 1;
    Ok(run)
}

impl Phase {
    /// The word that the tables keep: the status, or `aborting`, which the API shows as what was before.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Preparing => "preparing",
            Phase::Running => "running",
            Phase::Checking { .. } => "checking",
            Phase::AtRest { .. } => "at_rest",
            Phase::Merging { .. } => "merging",
            Phase::Merged { .. } => "merged",
            Phase::Aborting { .. } => "aborting",
            Phase::Aborted { .. } => "aborted",
        }
    }
}

impl Run {
    /// The word of the API for its phase.
    #[must_use]
    pub fn status(&self) -> Status {
        let at_rest = |outcome: &Outcome| match outcome {
            Outcome::Finished => Status::Finished,
            Outcome::Failed(_) => Status::Failed,
        };
        match &self.phase {
            Phase::Queued => Status::Queued,
            Phase::Preparing => Status::Preparing,
            Phase::Running => Status::Running,
            Phase::Checking { .. } => Status::Checking,
            Phase::AtRest { outcome } => at_rest(outcome),
            Phase::Merging { .. } => Status::Merging,
            Phase::Merged { .. } => Status::Merged,
            Phase::Aborting { was, .. } => *was,
            Phase::Aborted { .. } => Status::Aborted,
        }
    }

    /// How the agent's work ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Checking { outcome }
            | Phase::AtRest { outcome }
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

    /// Whether it holds its card or issue: another run for it needs `allow_parallel`.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Merged { .. } | Phase::Aborted { .. })
            && !matches!(self.status(), Status::Failed)
    }
}

fn name(event: &Event) -> String {
    serde_json::to_value(event)
        .ok()
        .and_then(|value| value["event"].as_str().map(str::to_owned))
        .unwrap_or_default()
}
