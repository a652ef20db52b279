//! What travels with a merge, so that others can check it: trailers of the commit, and attestations.
//!
//! Everything here follows from a run and the commits of its merge, so it can be made again and compared. Pure.
//! Deliberately absent: git (the note is written by the runner), signatures, and whether the gate was right: that is
//! checked against the journal.

mod bundle;
mod shown;
mod statement;
mod trailers;
mod urn;

pub use bundle::{Bundle, Merge, of_head, of_merge};
pub use shown::{Accepted, Shown, defined_items, dod_digest};
pub use statement::{DOD_PREDICATE, STATEMENT, SUMMARY_PREDICATE, TEST_PREDICATE};
pub use trailers::{KEYS, message, trailers, trailers_of};
