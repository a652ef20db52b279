//! What one required item lacks, if anything.
//!
//! | the item's validator | what proves it |
//! | --- | --- |
//! | `operator` | evidence for the work as it is, validated by a person; a check's passing evidence waits for one too |
//! | `check` | a check that the service ran on the work as it is, and that passed; or evidence that an operator validated in its place, with a reason |
//!
//! With `revalidate = "on_base_change"` evidence speaks of the work on the base where it was attached, and no other.

use super::{Blocker, BlockerCode, Facts};
use crate::dod::freshness::{is_by_check, is_proven};
use crate::dod::{Author, Evidence, Item, Revalidate, Validator, Verdict};

/// The blocker for this item, if it has one.
pub(super) fn of(item: &Item, facts: &Facts<'_>) -> Option<Blocker> {
    let of_item = || {
        facts
            .evidence
            .iter()
            .filter(|e| e.item_id == item.id && e.candidate_of.is_none())
    };
    let is_fresh = |e: &&Evidence| !e.is_stale(facts.head) && is_of_this_base(item, e, facts);
    if is_proven(item, of_item().filter(is_fresh)) {
        return None;
    }
    let by_check = item.spec.validator == Validator::Check;
    let newest = of_item().rfind(is_fresh);
    let (code, about, detail) = match (newest, of_item().next_back()) {
        (Some(e), _) => match &e.verdict {
            Verdict::Rejected { by, reason, .. } if is_by_check(e, by) => (
                BlockerCode::CheckFailed,
                Some(e.id),
                format!("its check did not pass: {reason}"),
            ),
            Verdict::Rejected { by, reason, .. } => (
                BlockerCode::EvidenceRejected,
                Some(e.id),
                format!("{by} rejected the evidence: {reason}"),
            ),
            _ if by_check && e.author != Author::Check => (
                BlockerCode::CheckNotRun,
                None,
                "its check has not been run on this work; run the checks".to_owned(),
            ),
            Verdict::Open | Verdict::Validated { .. } => (
                BlockerCode::EvidenceNotValidated,
                Some(e.id),
                "the evidence is not validated".to_owned(),
            ),
        },
        (None, Some(_)) if by_check => (
            BlockerCode::CheckNotRun,
            None,
            "the work has changed since its check was run; run the checks again".to_owned(),
        ),
        (None, Some(e)) if !e.is_stale(facts.head) => (
            BlockerCode::EvidenceStale,
            Some(e.id),
            "the base has moved since the evidence was attached, and the item asks for it anew then; attach it again"
                .to_owned(),
        ),
        (None, Some(e)) => (
            BlockerCode::EvidenceStale,
            Some(e.id),
            "the work has changed since the evidence was attached; attach it again".to_owned(),
        ),
        (None, None) if by_check => (
            BlockerCode::CheckNotRun,
            None,
            "its check has not been run".to_owned(),
        ),
        (None, None) => (
            BlockerCode::EvidenceMissing,
            None,
            "there is no evidence".to_owned(),
        ),
    };
    Some(Blocker {
        code,
        item_id: Some(item.id),
        item_key: Some(item.spec.key.clone()),
        evidence_id: about,
        detail: format!("`{}`: {detail}", item.spec.key),
    })
}

fn is_of_this_base(item: &Item, evidence: &Evidence, facts: &Facts<'_>) -> bool {
    match item.spec.revalidate {
        None => true,
        Some(Revalidate::OnBaseChange) => evidence.onto.as_ref() == facts.onto,
    }
}
