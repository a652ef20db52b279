//! The Definition of Done: what a run must show, what was shown, and whether it still speaks of the work as it is.
//!
//! Pure but for `content`, which keeps the payloads of files.

pub mod check;
pub mod content;
pub mod definition;
pub mod evidence;
pub mod freshness;
pub mod item;
pub mod written;

pub use definition::{Definition, Source, SourceKind};
pub use evidence::{Author, Evidence, Head, Payload, Verdict};
pub use freshness::{ItemStatus, item_status};
pub use item::{EvidenceKind, Item, ItemSpec, Revalidate, Validator, When};
