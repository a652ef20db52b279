//! The one place where a refusal of the service becomes a problem.

use std::sync::Arc;

use super::{Code, Problem};
use crate::app::{FieldProblem, Refused};
use crate::gate::{Blocker, BlockerCode};
use crate::run::Refusal;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Invalid(fields) => Problem::invalid(fields),
            Refused::Internal(cause) => Problem::internal(cause),
            Refused::DiskLow(low) => Problem::new(Code::DiskLow, detail).with(|m| {
                m.paths = Some(vec![low.path.display().to_string()]);
                m.free_bytes = Some(low.free);
                m.needed_bytes = Some(low.floor);
            }),
            Refused::DiskFull(cause) => Problem {
                cause: Some(Arc::new(cause)),
                ..Problem::new(Code::DiskFull, detail)
            },
            Refused::UnknownMode { pointer, known, .. } => {
                Problem::new(Code::UnknownMode, detail.clone()).with(|m| {
                    m.errors = Some(vec![FieldProblem::new(pointer, detail)]);
                    m.modes = Some(known);
                })
            }
            Refused::Definition { paths, .. } => {
                Problem::new(Code::DefinitionUnreadable, detail).with(|m| m.paths = Some(paths))
            }
            Refused::LiveRun { run, .. } => {
                Problem::new(Code::LiveRun, detail).with(|m| m.run_id = Some(run.to_string()))
            }
            Refused::GateClosed(blockers) => {
                Problem::new(of_gate(&blockers), detail).with(|m| m.blockers = Some(blockers))
            }
            Refused::MergeConflict { paths } => {
                Problem::new(Code::MergeConflict, detail).with(|m| m.paths = Some(paths))
            }
            Refused::BaseCheckedOutDirty { paths, .. } => {
                Problem::new(Code::BaseCheckedOutDirty, detail).with(|m| m.paths = Some(paths))
            }
            Refused::State(refusal) => Problem::new(of_state(&refusal), detail),
            Refused::NotFound { .. } => Problem::new(Code::NotFound, detail),
            Refused::AmbiguousId { .. } => Problem::new(Code::AmbiguousId, detail),
            Refused::IdempotencyMismatch => Problem::new(Code::IdempotencyMismatch, detail),

            Refused::NoToken => Problem::new(Code::Unauthorized, detail),
            Refused::TokenEnded => Problem::new(Code::Forbidden, detail),
            Refused::OwnEvidence { .. } => Problem::new(Code::OwnEvidence, detail),
            Refused::CandidateChecksFailed(_) => Problem::new(Code::CandidateChecksFailed, detail),
            Refused::NotChecked(_) => Problem::new(Code::NotChecked, detail),
            Refused::MergeCancelled(_) => Problem::new(Code::Cancelled, detail),
            Refused::PushRefused(_) => Problem::new(Code::PushRefused, detail),
            Refused::PushFailed(_) => Problem::new(Code::PushFailed, detail),
            Refused::PushedButBaseMoved(_) => Problem::new(Code::PushedButBaseMoved, detail),
            Refused::MergeStopped(_) => Problem::new(Code::MergeStopped, detail),
            Refused::NoConflict => Problem::new(Code::NoConflict, detail),
            Refused::MergeMissing(_) => Problem::new(Code::MergeMissing, detail),
            Refused::BaseMoved => Problem::new(Code::BaseMoved, detail),
            Refused::TooLarge { .. } => Problem::new(Code::TooLarge, detail),
            Refused::CannotRestore(_) => Problem::new(Code::CannotRestore, detail),
            Refused::OutputPruned { .. } => Problem::new(Code::OutputPruned, detail),
            Refused::Workflow(_) => Problem::new(Code::WorkflowConflict, detail),
            Refused::Draining => Problem::new(Code::Draining, detail),
            Refused::Degraded => Problem::new(Code::Degraded, detail),
            Refused::Unreadable(_) => Problem::new(Code::Unreadable, detail),
        }
    }
}

/// A run at work hides what else is missing; a branch with nothing on it has a name of its own.
fn of_gate(blockers: &[Blocker]) -> Code {
    match blockers {
        [first, ..] if first.code == BlockerCode::RunActive => Code::RunActive,
        [only] if only.code == BlockerCode::NothingToMerge => Code::NothingToMerge,
        _ => Code::GateClosed,
    }
}

fn of_state(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::RunActive(_) => Code::RunActive,
        Refusal::AlreadyMerged => Code::AlreadyMerged,
        Refusal::RunAborted => Code::RunAborted,
        Refusal::NotAborted => Code::NotAborted,
        Refusal::Aborting => Code::Aborting,
        Refusal::Merging => Code::Merging,
        Refusal::TooLate => Code::TooLate,
        Refusal::NoMerge => Code::NotFound,
        Refusal::UnknownItem(_) | Refusal::UnknownEvidence(_) => Code::NotFound,
        Refusal::KindNotAccepted { .. } => Code::KindNotAccepted,
        Refusal::EvidenceStale(_) => Code::EvidenceStale,
        Refusal::OnlyByCheck { .. } => Code::OnlyByCheck,
        Refusal::NothingToOverride { .. } => Code::NothingToOverride,
        Refusal::OwnEvidence { .. } => Code::OwnEvidence,
        Refusal::EvidenceRejected(_) => Code::EvidenceRejected,
        Refusal::EvidenceValidated(_) => Code::EvidenceValidated,
        Refusal::TooMuch(_) => Code::TooMuch,
        Refusal::NoSession(_) => Code::NoSession,
        Refusal::Changed => Code::Changed,
        Refusal::NoHead => Code::NoHead,
    }
}
