//! The landing, by plumbing: the merge commit is made without a checkout, then the base branch is moved to it.
//!
//! ```text
//! candidate(onto, head) -> a merge commit that nothing points at but a pin
//!        |   checks run on its tree, and the gate clears it
//!        v
//! land(base, cleared)   -> look at the checkouts of the base: refused before anything moved
//!                       -> push to the remote, where merges are pushed
//!                       -> compare-and-swap of the base: at most one lands on each commit
//!                       -> bring the checkouts along
//! ```
//!
//! Deliberately absent: whether it may land (the gate), in which order (the queue), and trying again.

mod bring;
mod candidate;
mod change;
mod land;
mod torn;

pub use bring::{Blocked, bring_along};
pub use candidate::{Candidate, CandidateError, candidate, conflicts, release};
pub use land::{Behind, LandRefused, Landed, break_own_lock, land, land_pushed};
