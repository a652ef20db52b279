//! Checks: what the service itself runs to prove items, and how that becomes evidence.
//!
//! ```text
//! list ──► cache: all passed before on this tree? ──► the same results again
//!   │            no
//!   └────► slots: its turn ──► engine: one clean checkout, one check after the other ──► evidence and its verdict
//! ```
//!
//! A list is the checks of a run's items in their order, on one commit. What it comes to is told as events, a check at a
//! time; whoever began it records them. That is the run's driver for a round of the work (`round`), and the landing for a
//! candidate. `feedback` is what the agent is told after a round.
//!
//! Deliberately absent: how one check is run (`engine`), and what its end means (`dod::check`).

mod cache;
pub mod engine;
mod evidence;
mod feedback;
mod round;
mod slots;
mod under_way;
pub mod wanted;

pub use slots::CheckSlots;
pub(super) use under_way::{Told, UnderWay};

use crate::dod::{Head, Item};
use crate::run::{CommitId, RoundId, RunId};

/// Checks that are to be run on one commit.
#[derive(Debug, Clone)]
pub(super) struct List {
    /// Whose they are.
    pub run: RunId,
    /// The round that they are run in: its processes and folders are known by it.
    pub round: RoundId,
    /// What is checked.
    pub head: Head,
    /// What it is compared with: where a `red_green` check must fail.
    pub base: CommitId,
    /// Where the run's base branch is.
    pub onto: Option<CommitId>,
    /// The work's commit, if `head` is what merging it would result in.
    pub candidate_of: Option<CommitId>,
    /// The items, in the order in which their checks run. Those without a check are left out.
    pub items: Vec<Item>,
    /// Whether a pass that is known already is not good enough.
    pub afresh: bool,
}
