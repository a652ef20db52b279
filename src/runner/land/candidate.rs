//! The checks of a candidate: which there are, and what they said on its tree.

use super::super::checks::List;
use super::CheckFailed;
use crate::dod::{Evidence, Head, Verdict};
use crate::run::{CandidateRound, CommitId, ItemId, Phase, Run};

/// The candidate that the run has on record.
pub(super) fn candidate_of(run: &Run) -> Option<CommitId> {
    match &run.phase {
        Phase::MergeQueued {
            candidate: Some(round),
            ..
        } => Some(round.candidate.commit.clone()),
        _ => None,
    }
}

/// The checks of a candidate. What is red must be red on the base that it would land on.
pub(super) fn list(run: &Run, round: &CandidateRound) -> List {
    let items = round.items.iter().filter_map(|id| run.item(*id)).cloned();
    List {
        run: run.id,
        round: round.id,
        head: round.candidate.clone(),
        base: round.onto.clone(),
        onto: Some(round.onto.clone()),
        candidate_of: Some(round.head.clone()),
        items: items.collect(),
        afresh: false,
    }
}

/// The checks to run, in the order of the Definition of Done: all that apply, up to the last one that is not proven. What
/// stands before it may prepare what it needs.
pub(super) fn to_run(run: &Run, unproven: &[ItemId], changed: &[String]) -> Vec<ItemId> {
    let mut items: Vec<ItemId> = run
        .items
        .iter()
        .filter(|item| item.spec.check.is_some() && item.spec.applies(changed))
        .map(|item| item.id)
        .collect();
    let last = items.iter().rposition(|item| unproven.contains(item));
    items.truncate(last.map_or(0, |last| last + 1));
    items
}

/// What the checks of these items said on the candidate's tree.
pub(super) fn failed(run: &Run, items: &[ItemId], candidate: &Head) -> Vec<CheckFailed> {
    let newest = |id: &ItemId| {
        let of_it = |e: &&Evidence| e.item_id == *id && e.head.tree == candidate.tree;
        run.evidence.iter().rfind(of_it)
    };
    items
        .iter()
        .map(|id| CheckFailed {
            item_key: run
                .item(*id)
                .map(|item| item.spec.key.clone())
                .unwrap_or_default(),
            why: match newest(id) {
                None => "its check was not run".to_owned(),
                Some(e) => match (&e.verdict, &e.check) {
                    (Verdict::Rejected { reason, .. }, _) => reason.clone(),
                    (_, Some(record)) => match &record.failed {
                        Some(failed) => failed.detail.clone(),
                        None => "its result is not accepted".to_owned(),
                    },
                    _ => "its check was not run".to_owned(),
                },
            },
        })
        .collect()
}
