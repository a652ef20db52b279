//! The only `git`.
//!
//! Every call goes through [`Repository`](crate::git::Repository): explicit `--git-dir`, an environment that is built and not
//! inherited, and a git dir of our own (`git/view.rs`) that borrows the repository's objects and refs but none of
//! its configuration, hooks or attributes. What an agent writes into the repository's git dir or its worktree
//! therefore never runs with our rights, and there is no moment between looking at it and using it.
//!
//! Only output for machines is read (`-z`, hashes, exit codes). Text for people (stderr) is carried in errors
//! and never decided upon.
//!
//! Deliberately absent: porcelain (`merge`, `worktree add`, `checkout`, `branch`; of `notes` only its list), fetching, external filters and merge drivers. Files under Git LFS are therefore pointers in worktrees that we
//! make, and in what we bring along at a landing.

mod aside;
mod borrowed;
mod call;
mod catch_up;
mod check_out;
mod checkouts;
mod diff;
mod error;
mod files;
mod full_disk;
mod ignored;
mod inside;
mod left_out;
mod locks;
mod many;
mod names;
mod notes;
mod output;
mod patch;
mod pinned;
mod program;
mod push;
mod read;
mod refs;
mod remote;
mod repository;
mod sample;
mod signing;
mod sparse;
mod view;

pub use catch_up::NotCaughtUp;
pub use checkouts::{Checkout, Head};
pub use diff::{ChangedFile, Diff, DiffFormat, FileStat};
pub use error::Error;
pub use files::{TreeFile, TreeKind};
pub use left_out::LeftOut;
pub use names::{BadBranch, BranchName, RefName};
pub use program::{MINIMUM_VERSION, Program, ProgramError, Version};
pub use push::{NotPushed, OnRemote};
pub use refs::{NotMoved, RefEdit};
pub use remote::RemoteError;
pub(crate) use repository::sync_with;
pub use repository::{Identity, OpenError, Repository};
pub use signing::{Signature, Signing, SigningError, ssh_keygen};

pub(crate) use call::{Call, LONG};
pub(crate) use checkouts::{Busy, checked_out_at, read_head};
pub(crate) use locks::Note;
pub(crate) use sparse::SparseView;
