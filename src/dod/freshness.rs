//! The status of an item: derived from its evidence and the work as it is now, never set.

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Head, Verdict};
use crate::run::ItemId;

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
pub fn item_status(item: ItemId, evidence: &[Evidence], now: Option<&Head>) -> ItemStatus {
    let mut fresh = evidence
        .iter()
        .filter(|e| e.item_id == item && e.candidate_of.is_none() && !e.is_stale(now));
    if fresh.clone().any(|e| e.counts(now)) {
        return ItemStatus::Validated;
    }
    match fresh.next_back().map(|newest| &newest.verdict) {
        None => ItemStatus::Pending,
        Some(Verdict::Rejected { .. }) => ItemStatus::Failed,
        Some(Verdict::Open | Verdict::Validated { .. }) => ItemStatus::Done,
    }
}
