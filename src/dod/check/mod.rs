//! What the service itself runs to prove an item: the command, how its end is judged, and what it counted.
//!
//! Fail closed: a check passes only if it ran to its end, ended with 0, and nothing that it printed or reported says
//! otherwise. What could not be run, read or counted is a failure with a name of its own, never a pass.
//!
//! Pure. Deliberately absent: processes, checkouts, slots and the cache.

pub mod counts;
pub mod junit;
pub mod record;
pub mod spec;
pub mod verdict;

pub use counts::Counts;
pub use record::CheckRecord;
pub use spec::CheckSpec;
pub use verdict::{End, Failed, FailedCode, Verdict};
