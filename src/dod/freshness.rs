//! The status of an item: derived from its evidence and the work as it is now, never set.

use serde::{Deserialize, Serialize};

use super::evidence::{Author, Evidence, Head, Verdict};
use super::item::{Item, Validator};

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// There is no evidence for the work as it is now.
    Pending,
    /// There is evidence that nobody has validated.
    Done,
    /// There is validated evidence.
    Validated,
    /// The newest evidence was rejected.
    Failed,
}

impl ItemStatus {
    /// The word for it in the API and the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ItemStatus::Pending => "pending",
            ItemStatus::Done => "done",
            ItemStatus::Validated => "validated",
            ItemStatus::Failed => "failed",
        }
    }
}

/// Where `item` stands, with `evidence` in the order in which it was attached and the work at `now`.
#[must_use]
pub fn item_status(item: &Item, evidence: &[Evidence], now: Option<&Head>) -> ItemStatus {
    let mut fresh = evidence
        .iter()
        .filter(|e| e.item_id == item.id && e.candidate_of.is_none() && !e.is_stale(now));
    if is_proven(item, fresh.clone()) {
        return ItemStatus::Validated;
    }
    match fresh.next_back().map(|newest| &newest.verdict) {
        None => ItemStatus::Pending,
        Some(Verdict::Rejected { .. }) => ItemStatus::Failed,
        Some(Verdict::Open | Verdict::Validated { .. }) => ItemStatus::Done,
    }
}

/// Whether this evidence, which speaks of the work as it is, in the order in which it was attached, is enough for the item. Of a check the newest word counts: what
/// passed once and fails now does not pass.
#[must_use]
pub fn is_proven<'a>(item: &Item, fresh: impl Iterator<Item = &'a Evidence> + Clone) -> bool {
    let validated = |e: &'a Evidence| match &e.verdict {
        Verdict::Validated { by, overrides, .. } => Some((is_by_check(e, by), overrides.is_some())),
        _ => None,
    };
    match item.spec.validator {
        Validator::Operator => fresh.filter_map(validated).any(|(by_check, _)| !by_check),
        Validator::Check => {
            let newest = fresh.clone().filter(|e| e.author == Author::Check).last();
            let passed = newest
                .and_then(validated)
                .is_some_and(|(by_check, _)| by_check);
            passed || fresh.filter_map(validated).any(|(_, overrides)| overrides)
        }
    }
}

/// Whether the check itself said so.
#[must_use]
pub fn is_by_check(evidence: &Evidence, by: &str) -> bool {
    evidence.author == Author::Check && by == Author::Check.as_str()
}
