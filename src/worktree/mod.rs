//! The place of a run: a linked worktree on a branch of its own, and removal that loses nothing.
//!
//! ```text
//! create or claim -> (the agent works) -> settle -> … -> preserve -> remove      looked into first
//!    ^                                                |  leave -> keep -> let_go   at once, and looked into after that
//!    +-------------------- restore -------------------+
//! ```
//!
//! Each step may be run again after a crash in the middle of it. What an agent leaves behind (a rewritten
//! `.git`, a detached HEAD, a lock, a half-done rebase, an own repository inside) is the normal case here.
//!
//! Worktrees are made and removed by plumbing and a few files (gitrepository-layout(5)): git's own
//! `worktree add` examines every registered worktree, and `worktree remove` fails on much of what agents leave.
//!
//! Deliberately absent: who may do this and when (the runner), and ending the agent's processes first.

mod check_out;
mod clean;
mod create;
mod leave;
mod orphan;
mod place;
pub mod pool;
mod preserve;
mod remove;
mod restore;
mod seed;
mod settle;
mod snapshot;
mod sparse;
mod special;
mod trash;

pub use check_out::Pace;
pub use clean::{check_out_clean, take_away_clean};
pub use create::{CreateError, create, create_seeded, is_made, seed_claimed};
pub use leave::{Left, keep, leave, leaving_below, let_go};
pub use orphan::{is_registered, set_aside};
pub use place::{Place, trash_below};
pub use preserve::{Preserved, preserve};
pub use remove::{RemoveBranch, Removed, remove};
pub use restore::{RestoreError, restore};
pub use seed::{Fresh, Seeded, Seeding, Way, reflinks_between, seed};
pub use settle::{Settle, SettleError, Settled, settle};
pub use special::weigh;
pub use trash::{Emptied, empty_trash, left_in_trash, weigh_trash};
