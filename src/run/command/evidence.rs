//! What may be asked of a run's evidence: to be attached, accepted, turned down.

use super::{Decision, Refusal};
use crate::dod::{Author, Evidence, Head, Item, Validator, Verdict, item};
use crate::run::{Event, EvidenceId, Phase, Run};

/// The most pieces of evidence that one run can have.
const MAX_EVIDENCE: usize = 10_000;

/// Whether the run takes evidence and verdicts.
///
/// # Errors
/// It has ended, or is about to.
pub fn takes_evidence(run: &Run) -> Result<(), Refusal> {
    match &run.phase {
        Phase::Merged { .. } => Err(Refusal::AlreadyMerged),
        Phase::Merging { .. } => Err(Refusal::Merging),
        Phase::Aborted { .. } => Err(Refusal::RunAborted),
        Phase::Aborting { .. } => Err(Refusal::Aborting),
        _ => Ok(()),
    }
}

pub(super) fn attach(run: &Run, evidence: &Evidence, new_item: Option<&Item>) -> Decision {
    if let Err(no) = takes_evidence(run) {
        return Decision::No(no);
    }
    if run.evidence.len() >= MAX_EVIDENCE {
        return Decision::No(Refusal::TooMuch("evidence"));
    }
    let known = new_item.is_none_or(|item| run.item_by_key(&item.spec.key).is_some());
    let mut events = Vec::new();
    let mut evidence = evidence.clone();
    let item = if let (Some(item), false) = (new_item, known) {
        if run.items.len() >= item::MAX_ITEMS {
            return Decision::No(Refusal::TooMuch("items"));
        }
        events.push(Event::ItemAdded { item: item.clone() });
        item
    } else {
        // Two requests may name the same new key at once: the second finds the item there.
        let found = match new_item {
            Some(item) => run.item_by_key(&item.spec.key),
            None => run.item(evidence.item_id),
        };
        let Some(found) = found else {
            return Decision::No(Refusal::UnknownItem(evidence.item_id));
        };
        evidence.item_id = found.id;
        found
    };
    let kind = evidence.payload.kind();
    if !item.spec.accepts.contains(&kind) {
        return Decision::No(Refusal::KindNotAccepted {
            item_key: item.spec.key.clone(),
            kind,
            accepts: item.spec.accepts.clone(),
        });
    }
    events.push(Event::EvidenceAttached { evidence });
    Decision::Do(events)
}

pub(super) fn validate(
    run: &Run,
    id: EvidenceId,
    by: &str,
    overrides: Option<&str>,
    head: Option<&Head>,
) -> Decision {
    if let Err(no) = takes_evidence(run) {
        return Decision::No(no);
    }
    let found = run.evidence(id).and_then(|evidence| {
        let item = run.item(evidence.item_id)?;
        Some((evidence, item))
    });
    let Some((evidence, item)) = found else {
        return Decision::No(Refusal::UnknownEvidence(id));
    };
    let item_key = || item.spec.key.clone();
    if evidence
        .author_name
        .as_deref()
        .is_some_and(|name| is_same_name(name, by))
    {
        return Decision::No(Refusal::OwnEvidence {
            evidence: id,
            by: by.to_owned(),
        });
    }
    match (item.spec.validator, overrides) {
        (Validator::Check, None) if !matches!(evidence.verdict, Verdict::Validated { .. }) => {
            return Decision::No(Refusal::OnlyByCheck {
                item_key: item_key(),
            });
        }
        (Validator::Operator, Some(_)) => {
            return Decision::No(Refusal::NothingToOverride {
                item_key: item_key(),
            });
        }
        _ => {}
    }
    match &evidence.verdict {
        Verdict::Validated { .. } => Decision::Already,
        // What a check has turned down is what an override is for.
        Verdict::Rejected { .. } if !(overrides.is_some() && evidence.author == Author::Check) => {
            Decision::No(Refusal::EvidenceRejected(id))
        }
        _ if evidence.is_stale(head) || evidence.candidate_of.is_some() => {
            Decision::No(Refusal::EvidenceStale(id))
        }
        _ => Decision::Do(vec![Event::EvidenceValidated {
            evidence: id,
            by: by.to_owned(),
            overrides: overrides.map(str::to_owned),
        }]),
    }
}

/// Whether two names are of one person, as far as their letters tell.
fn is_same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

pub(super) fn reject(run: &Run, id: EvidenceId, by: &str, reason: &str) -> Decision {
    if let Err(no) = takes_evidence(run) {
        return Decision::No(no);
    }
    let Some(evidence) = run.evidence(id) else {
        return Decision::No(Refusal::UnknownEvidence(id));
    };
    match &evidence.verdict {
        Verdict::Rejected { .. } => Decision::Already,
        // What was accepted can be taken back, as long as it has not landed.
        Verdict::Open | Verdict::Validated { .. } => Decision::Do(vec![Event::EvidenceRejected {
            evidence: id,
            by: by.to_owned(),
            reason: reason.to_owned(),
        }]),
    }
}
