//! The one function that changes a run: for live writes, for replay, for tests.
//!
//! Longer than others, because nothing else may change one.

use jiff::Timestamp;

use super::event::Event;
use super::ids::{AttemptId, RunId, TreeId};
use super::outcome::{Failure, FailureCode, Outcome, Silence};
use super::phase::Phase;
use super::state::{Attempt, AttemptStage, MergeStopped, Run};
use crate::dod::{Evidence, Head, Verdict};

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
        definition: None,
        evidence: Vec::new(),
        evidence_before_round: 0,
        newest_round: None,
        head: None,
        session_id: None,
        model: spec.model.clone(),
        phase: Phase::Queued,
        merge_stopped: None,
        output_pruned_at: None,
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
        (Event::DefinitionFixed { definition, items }, Phase::Queued | Phase::Preparing) => {
            run.items.clone_from(items);
            run.definition = Some(definition.clone());
        }
        (
            Event::AttemptQueued { attempt, why },
            Phase::Queued
            | Phase::AtRest { .. }
            | Phase::Preparing
            | Phase::Checking { round: None, .. },
        ) => {
            // The attempt before, if its agent never came to be.
            if let Some(before) = run.attempts.last_mut()
                && matches!(before.stage, AttemptStage::Waiting | AttemptStage::Starting)
            {
                before.stage = AttemptStage::Ended {
                    started_at: None,
                    at,
                    end: None,
                };
            }
            run.attempts.push(Attempt {
                id: *attempt,
                number: u32::try_from(run.attempts.len())
                    .unwrap_or(u32::MAX)
                    .saturating_add(1),
                why: why.clone(),
                queued_at: at,
                session_id: None,
                output_from: 0,
                notices: Vec::new(),
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
        (
            Event::AttemptStarted {
                attempt,
                process,
                notices,
            },
            Phase::Preparing,
        ) => {
            let Some(this) = run.attempts.iter_mut().find(|a| a.id == *attempt) else {
                return Err(illegal());
            };
            this.notices.extend_from_slice(notices);
            this.stage = AttemptStage::Started {
                at,
                process: process.clone(),
                silence: None,
            };
            run.phase = Phase::Running;
        }
        (Event::SupervisorSilent { attempt, why }, Phase::Running) => {
            heard_of_supervisor(&mut run, *attempt, Some(*why)).ok_or_else(illegal)?;
        }
        (Event::SupervisorAnswered { attempt }, Phase::Running) => {
            heard_of_supervisor(&mut run, *attempt, None).ok_or_else(illegal)?;
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
            this.notices.extend_from_slice(&end.notices);
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
                    round: None,
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
        (
            Event::Settled {
                head,
                carries,
                checks,
                ..
            },
            Phase::Checking {
                outcome,
                round: None,
            },
        ) => {
            if !checks {
                run.phase = Phase::AtRest {
                    outcome: outcome.clone(),
                };
            }
            move_head(&mut run, head, carries.as_ref());
        }
        (
            Event::SettleFailed { failure },
            Phase::Checking {
                outcome,
                round: None,
            },
        ) => {
            run.phase = Phase::AtRest {
                outcome: match outcome {
                    Outcome::Finished => Outcome::Failed(failure.clone()),
                    Outcome::Failed(_) => outcome.clone(),
                },
            };
        }
        (
            Event::HeadMoved { head, carries },
            Phase::AtRest { .. } | Phase::Running | Phase::Checking { .. },
        ) => move_head(&mut run, head, carries.as_ref()),
        (
            Event::ChecksStarted { round },
            Phase::AtRest { outcome }
            | Phase::Checking {
                outcome,
                round: None,
            },
        ) => {
            run.phase = Phase::Checking {
                outcome: outcome.clone(),
                round: Some(round.clone()),
            };
            run.evidence_before_round = run.evidence.len();
            run.newest_round = Some(round.id);
        }
        (
            Event::ChecksEnded { goes_on, .. },
            Phase::Checking {
                outcome,
                round: Some(_),
            },
        ) => {
            run.phase = if *goes_on {
                Phase::Checking {
                    outcome: outcome.clone(),
                    round: None,
                }
            } else {
                Phase::AtRest {
                    outcome: outcome.clone(),
                }
            };
        }
        (Event::ItemAdded { item }, _) => run.items.push(item.clone()),
        (Event::EvidenceAttached { evidence }, _) => run.evidence.push(evidence.clone()),
        (
            Event::EvidenceValidated {
                evidence,
                by,
                overrides,
            },
            _,
        ) => {
            let Some(this) = run.evidence.iter_mut().find(|e| e.id == *evidence) else {
                return Err(illegal());
            };
            this.verdict = Verdict::Validated {
                by: by.clone(),
                at,
                overrides: overrides.clone(),
            };
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
        (Event::MergeQueued { message }, Phase::AtRest { outcome }) => {
            run.merge_stopped = None;
            run.phase = Phase::MergeQueued {
                message: message.clone(),
                since: at,
                candidate: None,
                outcome: outcome.clone(),
            };
        }
        (
            Event::CandidateMade { candidate: made },
            Phase::MergeQueued {
                message,
                since,
                outcome,
                ..
            },
        ) => {
            run.phase = Phase::MergeQueued {
                message: message.clone(),
                since: *since,
                candidate: Some(made.clone()),
                outcome: outcome.clone(),
            };
            run.newest_round = Some(made.id);
        }
        (
            Event::MergeStarted {
                onto,
                head,
                candidate,
            },
            Phase::AtRest { outcome } | Phase::MergeQueued { outcome, .. },
        ) => {
            run.merge_stopped = None;
            run.phase = Phase::Merging {
                onto: onto.clone(),
                head: head.clone(),
                candidate: candidate.clone(),
                outcome: outcome.clone(),
            };
        }
        (
            Event::MergeStopped { code, detail },
            Phase::Merging { outcome, .. } | Phase::MergeQueued { outcome, .. },
        ) => {
            run.merge_stopped = Some(MergeStopped {
                code: code.clone(),
                detail: detail.clone(),
                at,
            });
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
            | Phase::AtRest { .. }
            | Phase::MergeQueued { .. },
        ) => {
            run.phase = Phase::Aborting {
                was: run.status(),
                outcome: run.outcome().cloned(),
            };
        }
        (
            Event::Aborted {
                preserved,
                missed,
                preserving,
            },
            Phase::Aborting { outcome, .. },
        ) => {
            run.phase = Phase::Aborted {
                at,
                preserved: preserved.clone(),
                missed: missed.clone(),
                preserving: *preserving,
                outcome: outcome.clone(),
            };
            run.placed = false;
        }
        (
            Event::Preserved { commit, missed },
            Phase::Aborted {
                at,
                outcome,
                preserving: true,
                ..
            },
        ) => {
            run.phase = Phase::Aborted {
                at: *at,
                preserved: Some(commit.clone()),
                missed: missed.clone(),
                preserving: false,
                outcome: outcome.clone(),
            };
        }
        (Event::PlaceRemoved { .. }, Phase::Merged { .. }) => run.placed = false,
        (Event::OutputPruned { .. }, Phase::Merged { .. } | Phase::Aborted { .. }) => {
            run.output_pruned_at = Some(at);
        }
        (
            Event::Restored,
            Phase::Aborted {
                outcome,
                preserving: false,
                ..
            },
        ) => {
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

/// The work is at another commit. What people and agents have shown of the tree that it carries speaks of it too; what
/// checks have shown does not: they are run again.
fn move_head(run: &mut Run, head: &Head, carries: Option<&TreeId>) {
    if let Some(before) = carries {
        let of_before = |evidence: &&mut Evidence| {
            evidence.check.is_none()
                && evidence.candidate_of.is_none()
                && (evidence.head.tree == *before || evidence.carried_to.contains(before))
        };
        for evidence in run.evidence.iter_mut().filter(of_before) {
            if evidence.head.tree != head.tree && !evidence.carried_to.contains(&head.tree) {
                evidence.carried_to.push(head.tree.clone());
            }
        }
    }
    run.head = Some(head.clone());
}

/// Nothing if that attempt's agent does not work.
fn heard_of_supervisor(run: &mut Run, attempt: AttemptId, now: Option<Silence>) -> Option<()> {
    let this = run.attempts.iter_mut().find(|a| a.id == attempt)?;
    let AttemptStage::Started { silence, .. } = &mut this.stage else {
        return None;
    };
    *silence = now;
    Some(())
}

fn name(event: &Event) -> String {
    serde_json::to_value(event)
        .ok()
        .and_then(|value| value["event"].as_str().map(str::to_owned))
        .unwrap_or_default()
}
