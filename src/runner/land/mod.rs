//! The landing of a run: the gate, the candidate, the second question about the candidate's tree, and the compare-and-swap
//! of the base.
//!
//! ```text
//! straight   nothing waits for this base, and the candidate is cleared at once: it lands while the request waits
//! queue      else the run waits for its turn: one candidate at a time for a base branch, whose checks are run on its tree
//! ```
//!
//! The intent is recorded before the base moves, together with the version of the run that the gate was asked about:
//! if anything happened to the run in between, the gate is asked again. After a crash, git alone says whether the
//! landing has happened.

mod candidate;
mod conflict;
mod lanes;
mod pushed;
mod queue;
mod step;
mod straight;

use std::path::PathBuf;

use super::Context;
use crate::gate::Blocker;
use crate::git::RefName;
use crate::run::{CommitId, Refusal, Run};
use crate::store::StoreError;

pub use conflict::conflict_of;
pub use lanes::Lanes;
pub(super) use lanes::Turn;
pub(super) use queue::InQueue;

/// How often a landing is tried again because the base or the run moved meanwhile.
const TRIES: u32 = 10;

/// The room without which the base is not moved: its checkouts have to be brought along, and could not be.
const ROOM_TO_LAND: u64 = 256 << 10;

/// How to merge.
#[derive(Debug, Clone, Default)]
pub struct MergeAsk {
    /// The first lines of the message.
    pub message: Option<String>,
    /// Only say whether it would merge.
    pub dry_run: bool,
    /// Answer only once it has landed or stopped, also if it has to wait for its turn.
    pub to_its_end: bool,
}

/// What became of a request to merge.
#[derive(Debug, Clone)]
pub enum MergeAnswer {
    /// It landed, or would.
    Landed(Landed),
    /// It waits for its turn, or its candidate is checked.
    UnderWay,
}

/// It landed, or would.
#[derive(Debug, Clone)]
pub struct Landed {
    /// The merge commit; nothing for a dry run.
    pub commit: Option<CommitId>,
    /// Where the base was.
    pub onto: CommitId,
    /// The work.
    pub head: CommitId,
    /// The checkouts of the base that were brought along.
    pub fast_forwarded: Vec<PathBuf>,
    /// Whether it had landed before.
    pub already: bool,
    /// Of a dry run: the keys of the items whose checks would be run on the result of the merge first.
    pub to_check: Vec<String>,
}

/// A check that did not pass on the result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFailed {
    /// The item's key.
    pub item_key: String,
    /// Why.
    pub why: String,
}

fn failed_checks(failed: &[CheckFailed]) -> String {
    let each = failed
        .iter()
        .map(|f| format!("`{}`: {}", f.item_key, f.why));
    let each: Vec<String> = each.collect();
    format!(
        "checks did not pass on the result of the merge: {}",
        each.join("; ")
    )
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub enum NotMerged {
    /// The gate is shut.
    #[error("the gate is shut")]
    GateClosed(Vec<Blocker>),
    /// The run's state does not allow it.
    #[error("the run's state does not allow it")]
    State(Refusal),
    /// The branch and the base change the same lines.
    #[error("conflicts in {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// The base is checked out where changes or an operation are in the way.
    #[error("{} is in the way", checkout.display())]
    Dirty {
        /// The checkout.
        checkout: PathBuf,
        /// The files with changes; none if it is something in progress.
        paths: Vec<String>,
        /// What is in progress there.
        busy: Option<&'static str>,
    },
    /// Checks did not pass on the result of the merge.
    #[error("{}", failed_checks(.0))]
    ChecksFailed(Vec<CheckFailed>),
    /// The checks could not be run on the result of the merge.
    #[error("the checks could not be run on the result of the merge: {0}")]
    NotChecked(String),
    /// Somebody has cancelled it.
    #[error("{0}")]
    Cancelled(String),
    /// It stopped for a reason that another who waited was told in full.
    #[error("{detail}")]
    Stopped {
        /// The stable name of the reason.
        code: String,
        /// The reason, for a person.
        detail: String,
    },
    /// It was to be pushed, and the remote did not take it; or it did, and the base has moved.
    #[error("{detail}")]
    NotPushed {
        /// The stable name of the reason.
        code: &'static str,
        /// The reason, for a person.
        detail: String,
    },
    /// The base moved each time.
    #[error("the base moved while the merge was made")]
    BaseMoved,
    /// The service is stopping.
    #[error("the service is stopping")]
    Closing,
    /// Something of ours failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<StoreError> for NotMerged {
    fn from(error: StoreError) -> Self {
        NotMerged::Failed(error.into())
    }
}

impl From<crate::git::Error> for NotMerged {
    fn from(error: crate::git::Error) -> Self {
        NotMerged::Failed(error.into())
    }
}

impl NotMerged {
    /// The stable name under which a merge that had to wait is recorded as stopped.
    fn code(&self) -> &str {
        match self {
            NotMerged::Stopped { code, .. } => code,
            NotMerged::NotPushed { code, .. } => code,
            NotMerged::GateClosed(_) => "gate_closed",
            NotMerged::State(_) | NotMerged::Closing | NotMerged::Failed(_) => "failed",
            NotMerged::Conflict(_) => "merge_conflict",
            NotMerged::Dirty { .. } => "base_checked_out_dirty",
            NotMerged::ChecksFailed(_) => "candidate_checks_failed",
            NotMerged::NotChecked(_) => "not_checked",
            NotMerged::Cancelled(_) => "cancelled",
            NotMerged::BaseMoved => "base_moved",
        }
    }

    /// The reason, for a person.
    fn detail(&self) -> String {
        match self {
            NotMerged::GateClosed(blockers) => {
                let each: Vec<&str> = blockers.iter().map(|b| b.detail.as_str()).collect();
                format!("the gate is shut: {}", each.join("; "))
            }
            NotMerged::Failed(error) => format!("{error:#}"),
            other => other.to_string(),
        }
    }
}

/// What one try came to.
enum Tried {
    Landed(Landed),
    /// The base or the run moved: ask the gate again.
    Again,
}

fn base_ref(run: &Run) -> anyhow::Result<RefName> {
    Ok(RefName::branch(&run.spec.base)?)
}

/// Refuses where there is too little room to bring the checkouts of the base along.
fn has_room(context: &Context) -> Result<(), NotMerged> {
    match context.room.under(ROOM_TO_LAND) {
        Some(full) => Err(NotMerged::Failed(full.into_error())),
        None => Ok(()),
    }
}
