//! What readers of a stream are told of an event.

use serde_json::{Value, json};

use super::frame::FrameName;
use crate::clock::rfc3339;
use crate::dod::item_status;
use crate::run::event::AttemptKind;
use crate::run::{Event, EvidenceId, ItemId, Recorded, Run};
use crate::shape::view::{EvidenceView, MergeView, RunView};

/// The name and JSON of the frame for this event, with the run as it is after it; nothing if readers are not told.
#[must_use]
pub fn encode(recorded: &Recorded, run: &Run) -> Option<(FrameName, String)> {
    let (name, mut body) = match &recorded.event {
        // Of a new run its creation tells that it is queued.
        Event::AttemptQueued { why, .. } if *why == AttemptKind::First => return None,
        Event::Created { .. }
        | Event::AttemptQueued { .. }
        | Event::Placing { .. }
        | Event::AttemptStarted { .. }
        | Event::SupervisorSilent { .. }
        | Event::SupervisorAnswered { .. }
        | Event::AttemptEnded { .. }
        | Event::StartFailed { .. }
        | Event::Settled { .. }
        | Event::SettleFailed { .. }
        | Event::HeadMoved { .. }
        | Event::MergeStarted { .. } => (FrameName::Status, status(run)),
        Event::ChecksStarted { round } => {
            let mut body = status(run);
            body["checks"] = json!({
                "state": "started", "round_id": round.id, "why": round.why, "head": round.head.commit,
                "items": keys(run, &round.items), "afresh": round.afresh,
            });
            (FrameName::Status, body)
        }
        Event::ChecksEnded { cut_short, .. } => {
            let mut body = status(run);
            let failed = run
                .shown_in_round()
                .filter(|e| e.check.as_ref().is_some_and(|c| !c.passed()));
            let failed: Vec<ItemId> = failed.map(|e| e.item_id).collect();
            body["checks"] = json!({
                "state": "ended", "round_id": run.newest_round, "failed": keys(run, &failed), "cut_short": cut_short,
            });
            (FrameName::Status, body)
        }
        Event::MergeQueued { .. } => {
            let mut body = status(run);
            body["merge"] = json!(MergeView::of(run, None));
            (FrameName::Status, body)
        }
        Event::CandidateMade { .. } => (
            FrameName::Candidate,
            json!({"merge": MergeView::of(run, None)}),
        ),
        Event::MergeStopped { code, detail } => {
            let mut body = status(run);
            body["merge"] = json!({"code": code, "detail": detail});
            (FrameName::Status, body)
        }
        Event::SessionSeen { session_id, model } => (
            FrameName::Session,
            json!({"session_id": session_id, "model": model}),
        ),
        Event::EvidenceAttached { evidence } => (FrameName::Evidence, proof(run, evidence.id)),
        Event::EvidenceValidated { evidence, .. } => (FrameName::Validated, proof(run, *evidence)),
        Event::EvidenceRejected { evidence, .. } => (FrameName::Rejected, proof(run, *evidence)),
        Event::Merged { commit } => {
            let mut body = status(run);
            body["commit"] = json!(commit);
            (FrameName::Merged, body)
        }
        Event::Aborted {
            preserved,
            missed,
            preserving,
        } => {
            let mut body = status(run);
            body["preserved_commit"] = json!(preserved);
            body["not_preserved"] = json!(missed);
            body["preserving"] = json!(preserving);
            (FrameName::Aborted, body)
        }
        Event::Preserved { commit, missed } => {
            let mut body = status(run);
            body["preserved_commit"] = json!(commit);
            body["not_preserved"] = json!(missed);
            body["preserving"] = json!(false);
            (FrameName::Preserved, body)
        }
        Event::Restored => (FrameName::Restored, status(run)),
        Event::OutputPruned { .. } => {
            let mut body = status(run);
            body["output_pruned_at"] = json!(run.output_pruned_at.map(rfc3339));
            (FrameName::Status, body)
        }
        Event::Placed
        | Event::AttemptStarting { .. }
        | Event::ItemAdded { .. }
        | Event::DefinitionFixed { .. }
        | Event::AbortStarted
        | Event::PlaceRemoved { .. } => return None,
    };
    body["run_id"] = json!(recorded.run);
    body["seq"] = json!(recorded.seq);
    body["at"] = json!(rfc3339(recorded.at));
    Some((name, body.to_string()))
}

fn keys<'a>(run: &'a Run, items: &[ItemId]) -> Vec<&'a str> {
    let items = items.iter().filter_map(|id| run.item(*id));
    items.map(|item| item.spec.key.as_str()).collect()
}

/// What changes in a run's life, and nothing that does not.
fn status(run: &Run) -> Value {
    let view = RunView::of(run, None);
    json!({
        "status": view.status,
        "agent": view.agent,
        "stub_reason": view.stub_reason,
        "pid": view.pid,
        "supervisor_silent": run.silence(),
        "head": view.head,
        "failure": view.failure,
        "exit_code": view.exit_code,
        "session_id": view.session_id,
        "usage": view.usage,
        "cost_usd": view.cost_usd,
        "started_at": view.started_at,
        "ended_at": view.ended_at,
        "merged_at": view.merged_at,
        "merge_commit": view.merge_commit,
        "aborted_at": view.aborted_at,
        "attempt": run.attempt().map(|a| a.number),
    })
}

fn proof(run: &Run, id: EvidenceId) -> Value {
    let Some(evidence) = run.evidence(id) else {
        return json!({});
    };
    let head = run.head.as_ref();
    let item = run.item(evidence.item_id);
    let key = item.map(|item| item.spec.key.as_str());
    json!({
        "evidence": EvidenceView::of(evidence, key, head),
        "item": item.map(|item| json!({
            "id": item.id,
            "item_key": item.spec.key,
            "title": item.spec.title,
            "required": item.spec.required,
            "status": item_status(item, &run.evidence, head),
        })),
    })
}
