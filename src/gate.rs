//! May it merge? A pure question about facts, with a `Permit` or every `Blocker` for an answer.
//!
//! The gate is never stored: it is asked again each time, from the facts as they are. Only `ask` makes a
//! permit, and landing consumes it, so that nothing lands that was not asked about.

mod lacking;

use serde::{Deserialize, Serialize};

use crate::dod::{Evidence, Head, Item};
use crate::run::Status;
use crate::run::{CommitId, EvidenceId, ItemId};

/// What the gate looks at.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Where the run is in its life.
    pub status: Status,
    /// Whether the stub carried it for want of an agent.
    pub accidental_stub: bool,
    /// The branch as it is in git now; nothing if it is gone.
    pub head: Option<&'a Head>,
    /// The base branch as it is in git now; nothing if it is gone.
    pub onto: Option<&'a CommitId>,
    /// Whether the base contains the head already.
    pub contained: bool,
    /// The Definition of Done.
    pub items: &'a [Item],
    /// The evidence, in the order in which it was attached.
    pub evidence: &'a [Evidence],
    /// The paths that the work changes; nothing if that is not known.
    pub changed: Option<&'a [String]>,
}

impl Facts<'_> {
    /// Whether the item applies to this work. One whose paths are not known does.
    fn has_to_show(&self, item: &Item) -> bool {
        self.changed
            .is_none_or(|changed| item.spec.applies(changed))
    }
}

/// Leave to land exactly this head on exactly this base. Only the gate makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    head: Head,
    onto: CommitId,
}

impl Permit {
    /// What may land.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it may land.
    #[must_use]
    pub fn onto(&self) -> &CommitId {
        &self.onto
    }
}

/// The names of the reasons for a shut gate. Stable: clients match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockerCode {
    /// The agent works or waits, or a merge is under way.
    RunActive,
    /// The run has merged.
    AlreadyMerged,
    /// The run was aborted.
    RunAborted,
    /// The stub carried the run because no agent was found.
    StubRun,
    /// The run's branch is gone.
    BranchMissing,
    /// The base branch is gone.
    BaseMissing,
    /// The base contains the head already.
    NothingToMerge,
    /// No item is required: a gate that asks for nothing proves nothing.
    NothingRequired,
    /// A required item has no evidence.
    EvidenceMissing,
    /// A required item has evidence that nobody has validated.
    EvidenceNotValidated,
    /// A required item has evidence for another state of the work only.
    EvidenceStale,
    /// The newest evidence of a required item was rejected.
    EvidenceRejected,
    /// The check of a required item has not been run on this work.
    CheckNotRun,
    /// The check of a required item did not pass on this work.
    CheckFailed,
}

/// One reason for a shut gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Blocker {
    /// The stable name.
    pub code: BlockerCode,
    /// The item that is missing something.
    #[schema(value_type = Option<String>)]
    pub item_id: Option<ItemId>,
    /// Its key.
    pub item_key: Option<String>,
    /// The evidence that does not do.
    #[schema(value_type = Option<String>)]
    pub evidence_id: Option<EvidenceId>,
    /// The reason, for a person, with what to do.
    pub detail: String,
}

/// May it merge?
///
/// # Errors
/// Every reason why not, in the order in which they are best dealt with.
pub fn ask(facts: &Facts<'_>) -> Result<Permit, Vec<Blocker>> {
    let mut blockers = life(facts);
    blockers.extend(items(facts));
    match (facts.head, facts.onto) {
        (Some(head), Some(onto)) if blockers.is_empty() => Ok(Permit {
            head: head.clone(),
            onto: onto.clone(),
        }),
        _ => Err(blockers),
    }
}

fn life(facts: &Facts<'_>) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    let mut block = |code, detail: String| {
        blockers.push(Blocker {
            code,
            item_id: None,
            item_key: None,
            evidence_id: None,
            detail,
        });
    };
    match facts.status {
        Status::Merged => block(BlockerCode::AlreadyMerged, "the run has merged".to_owned()),
        Status::Aborted => block(
            BlockerCode::RunAborted,
            "the run was aborted; `restore` brings it back".to_owned(),
        ),
        active if active.is_active() => block(
            BlockerCode::RunActive,
            format!("the run is {}; wait until it is finished", active.as_str()),
        ),
        _ => {}
    }
    if facts.accidental_stub {
        block(
            BlockerCode::StubRun,
            "no agent was found, so the stub carried this run and nothing was done".to_owned(),
        );
    }
    if matches!(facts.status, Status::Finished | Status::Failed) {
        if facts.head.is_none() {
            block(
                BlockerCode::BranchMissing,
                "the run's branch is gone from the repository".to_owned(),
            );
        } else if facts.contained {
            block(
                BlockerCode::NothingToMerge,
                "the base contains everything that is on the branch".to_owned(),
            );
        }
        if facts.onto.is_none() {
            block(
                BlockerCode::BaseMissing,
                "the base branch is gone from the repository".to_owned(),
            );
        }
    }
    blockers
}

fn items(facts: &Facts<'_>) -> Vec<Blocker> {
    if matches!(facts.status, Status::Merged | Status::Aborted) {
        return Vec::new();
    }
    let mut required = facts
        .items
        .iter()
        .filter(|item| item.spec.required && facts.has_to_show(item))
        .peekable();
    if required.peek().is_none() {
        return vec![Blocker {
            code: BlockerCode::NothingRequired,
            item_id: None,
            item_key: None,
            evidence_id: None,
            detail: "no item of the Definition of Done is required; name one that is".to_owned(),
        }];
    }
    required
        .filter_map(|item| lacking::of(item, facts))
        .collect()
}
