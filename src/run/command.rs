//! What may be asked of a run, answered three ways: do, already so, no because. Pure.
//!
//! Longer than others, because each question is answered beside the others that the same states decide.

mod evidence;

use super::event::{AttemptKind, Event};
use super::ids::{AttemptId, CommitId, EvidenceId, ItemId, TreeId};
use super::phase::{Phase, Round, Status};
use super::spec::AgentKind;
use super::state::Run;
use crate::dod::{Evidence, EvidenceKind, Head, Item};

pub use evidence::takes_evidence;
use evidence::{attach, reject, validate};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once a request, never kept")]
pub enum Command {
    /// Attach evidence, to an item that is there or to a new one.
    Attach {
        /// The evidence; its `item_id` is that of `new_item`, if there is one.
        evidence: Evidence,
        /// The item to make first.
        new_item: Option<Item>,
    },
    /// Accept evidence.
    Validate {
        /// Which.
        evidence: EvidenceId,
        /// Who accepts it.
        by: String,
        /// Why it is accepted in the place of the item's check.
        overrides: Option<String>,
        /// The work as it is now.
        head: Option<Head>,
    },
    /// Turn evidence down.
    Reject {
        /// Which.
        evidence: EvidenceId,
        /// Who turns it down.
        by: String,
        /// Why.
        reason: String,
    },
    /// Tell the agent something more, in the same session.
    Message {
        /// The new attempt.
        attempt: AttemptId,
        /// What.
        text: String,
    },
    /// Begin afresh on the same worktree.
    Retry {
        /// The new attempt.
        attempt: AttemptId,
    },
    /// Let the run wait for its turn to land.
    QueueMerge {
        /// The first lines of the message.
        message: Option<String>,
    },
    /// Take it out of that queue again, before the base is moved.
    CancelMerge {
        /// Why, for a person.
        why: String,
    },
    /// Move the base to this candidate.
    Merge {
        /// Where the base is.
        onto: CommitId,
        /// The head that may merge.
        head: CommitId,
        /// The merge commit.
        candidate: CommitId,
        /// The version of the run that the gate was asked about.
        version: u64,
    },
    /// Run checks, on the work as it is now.
    Check {
        /// The new round.
        round: Round,
        /// The tree of the head before, if this one brings the same patch on another base.
        carries: Option<TreeId>,
    },
    /// See that the branch is somewhere else than it was.
    SeeHead {
        /// The work as it is now.
        head: Head,
        /// The tree of the head before, if this one brings the same patch on another base.
        carries: Option<TreeId>,
        /// What follows from it for the Definition of Done.
        defined: Vec<Event>,
        /// The round of checks that follows, if there is anything to check.
        round: Option<Round>,
    },
    /// Take the run away.
    Abort,
    /// Bring an aborted run back.
    Restore,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Do it: this is what happens.
    Do(Vec<Event>),
    /// It is so already; nothing happens.
    Already,
    /// No, because.
    No(Refusal),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The run's agent works, or waits for it.
    RunActive(Status),
    /// The run has merged; it never changes.
    AlreadyMerged,
    /// The run was aborted.
    RunAborted,
    /// The run was not aborted.
    NotAborted,
    /// It is being aborted.
    Aborting,
    /// It is being merged.
    Merging,
    /// The base is being moved already.
    TooLate,
    /// No merge of it is under way.
    NoMerge,
    /// There is no such item in this run.
    UnknownItem(ItemId),
    /// There is no such evidence in this run.
    UnknownEvidence(EvidenceId),
    /// The item does not take this kind.
    KindNotAccepted {
        /// The item.
        item_key: String,
        /// What was brought.
        kind: EvidenceKind,
        /// What it takes.
        accepts: Vec<EvidenceKind>,
    },
    /// The work has changed since the evidence was attached.
    EvidenceStale(EvidenceId),
    /// The item's check accepts its evidence; an operator does so with a reason only.
    OnlyByCheck {
        /// The item.
        item_key: String,
    },
    /// There is no check whose place somebody could take.
    NothingToOverride {
        /// The item.
        item_key: String,
    },
    /// Who brought the evidence has this name.
    OwnEvidence {
        /// Which.
        evidence: EvidenceId,
        /// The name.
        by: String,
    },
    /// The evidence was rejected before.
    EvidenceRejected(EvidenceId),
    /// The evidence was validated before.
    EvidenceValidated(EvidenceId),
    /// There is too much of it.
    TooMuch(&'static str),
    /// The agent has no session to go on with.
    NoSession(&'static str),
    /// Something happened to the run since the gate was asked.
    Changed,
    /// The run has no head yet that evidence could speak of.
    NoHead,
}

/// The answer to `command`, for a run in this state.
#[must_use]
pub fn decide(run: &Run, command: &Command) -> Decision {
    match command {
        Command::Attach { evidence, new_item } => attach(run, evidence, new_item.as_ref()),
        Command::Validate {
            evidence,
            by,
            overrides,
            head,
        } => validate(run, *evidence, by, overrides.as_deref(), head.as_ref()),
        Command::Reject {
            evidence,
            by,
            reason,
        } => reject(run, *evidence, by, reason),
        Command::Message { attempt, text } => message(run, *attempt, text),
        Command::Retry { attempt } => match rested(run) {
            Err(no) => Decision::No(no),
            Ok(()) => Decision::Do(vec![Event::AttemptQueued {
                attempt: *attempt,
                why: AttemptKind::Retry,
            }]),
        },
        Command::Merge {
            onto,
            head,
            candidate,
            version,
        } => match may_land(run, candidate) {
            Err(no) => Decision::No(no),
            Ok(()) if run.version != *version => Decision::No(Refusal::Changed),
            Ok(()) => Decision::Do(vec![Event::MergeStarted {
                onto: onto.clone(),
                head: head.clone(),
                candidate: candidate.clone(),
            }]),
        },
        Command::Check { round, carries } => match rested(run) {
            Err(no) => Decision::No(no),
            Ok(()) => {
                let mut events = Vec::new();
                if run.head.as_ref() != Some(&round.head) {
                    events.push(Event::HeadMoved {
                        head: round.head.clone(),
                        carries: carries.clone(),
                    });
                }
                events.push(Event::ChecksStarted {
                    round: round.clone(),
                });
                Decision::Do(events)
            }
        },
        Command::SeeHead {
            head,
            carries,
            defined,
            round,
        } => see_head(run, head, carries.as_ref(), defined, round.as_ref()),
        Command::QueueMerge { message } => match (&run.phase, rested(run)) {
            (Phase::MergeQueued { .. }, _) => Decision::Already,
            (_, Err(no)) => Decision::No(no),
            (_, Ok(())) => Decision::Do(vec![Event::MergeQueued {
                message: message.clone(),
            }]),
        },
        Command::CancelMerge { why } => match &run.phase {
            Phase::MergeQueued { .. } => Decision::Do(vec![Event::MergeStopped {
                code: "cancelled".to_owned(),
                detail: why.clone(),
            }]),
            Phase::Merging { .. } | Phase::Merged { .. } => Decision::No(Refusal::TooLate),
            _ => Decision::No(Refusal::NoMerge),
        },
        Command::Abort => match &run.phase {
            Phase::Aborted { .. } | Phase::Aborting { .. } => Decision::Already,
            Phase::Merged { .. } => Decision::No(Refusal::AlreadyMerged),
            Phase::Merging { .. } => Decision::No(Refusal::Merging),
            _ => Decision::Do(vec![Event::AbortStarted]),
        },
        Command::Restore => match &run.phase {
            Phase::Aborting { .. }
            | Phase::Aborted {
                preserving: true, ..
            } => Decision::No(Refusal::Aborting),
            Phase::Aborted { .. } => Decision::Do(vec![Event::Restored]),
            _ => Decision::No(Refusal::NotAborted),
        },
    }
}

/// Whether the run takes a new attempt or a merge.
fn rested(run: &Run) -> Result<(), Refusal> {
    match &run.phase {
        Phase::AtRest { .. } => Ok(()),
        Phase::Merged { .. } => Err(Refusal::AlreadyMerged),
        Phase::MergeQueued { .. } | Phase::Merging { .. } => Err(Refusal::Merging),
        Phase::Aborted { .. } => Err(Refusal::RunAborted),
        Phase::Aborting { .. } => Err(Refusal::Aborting),
        _ => Err(Refusal::RunActive(run.status())),
    }
}

/// Whether the run may land this candidate: one that waits lands the candidate that it has on record, and no other.
fn may_land(run: &Run, candidate: &CommitId) -> Result<(), Refusal> {
    match &run.phase {
        Phase::MergeQueued {
            candidate: Some(made),
            ..
        } if made.candidate.commit == *candidate => Ok(()),
        Phase::MergeQueued { .. } => Err(Refusal::Changed),
        _ => rested(run),
    }
}

/// Only a run at rest sees its head move: what happens to any other looks at its head itself.
fn see_head(
    run: &Run,
    head: &Head,
    carries: Option<&TreeId>,
    defined: &[Event],
    round: Option<&Round>,
) -> Decision {
    if let Err(no) = rested(run) {
        return Decision::No(no);
    }
    if run.head.as_ref() == Some(head) {
        return Decision::Already;
    }
    let moved = Event::HeadMoved {
        head: head.clone(),
        carries: carries.cloned(),
    };
    let checks = round.map(|round| Event::ChecksStarted {
        round: round.clone(),
    });
    let mut events = vec![moved];
    events.extend_from_slice(defined);
    events.extend(checks);
    Decision::Do(events)
}

fn message(run: &Run, attempt: AttemptId, text: &str) -> Decision {
    if let Err(no) = rested(run) {
        return Decision::No(no);
    }
    match run.spec.agent {
        AgentKind::Claude if run.session_id.is_none() => Decision::No(Refusal::NoSession(
            "the agent never named a session; `retry` starts a fresh one",
        )),
        AgentKind::Command | AgentKind::Stub => Decision::No(Refusal::NoSession(
            "this agent keeps no session; `retry` starts it again",
        )),
        AgentKind::Claude => Decision::Do(vec![Event::AttemptQueued {
            attempt,
            why: AttemptKind::Message {
                text: text.to_owned(),
            },
        }]),
    }
}
