//! Archives: a backup of everything the service keeps, and runs carried from one database to another.
//!
//! An archive is one plain tar. Its members:
//!
//! ```text
//! database.sqlite            of a backup: the database, as it was at one moment
//! events.jsonl, runs.jsonl   of an export: the events of its runs, and what follows from them, for people
//! workflows.jsonl            of an export: workflows that were added or changed
//! evidence/<sha256>          the payloads that evidence names
//! runs/<run id>/output       what agents printed
//! runs/<run id>/attempts/<n>/{started.json, exit.json, stderr}
//!                            of an export: who worked, how it ended, and what it wrote beside
//! manifest.json              what is in it, with the size and SHA-256 of each member
//! seal.sha256                SHA-256 of every byte before
//! ```
//!
//! Nothing of an archive is put anywhere before all of it was read and found whole. Deliberately absent: commits
//! (git has its own ways to copy a repository), and what an attempt was started with, which may have keys in it.

mod backup;
mod error;
mod export;
mod import;
mod lacks;
mod manifest;
mod read;
mod restore;
mod write;

pub use backup::backup;
pub use error::{ArchiveError, ErrorKind};
pub use export::{Selection, export};
pub use import::{Imported, import};
pub use lacks::lacks;
pub use manifest::{LeftOut, Manifest};
pub use restore::{Restored, restore};

/// Hears what is being done, in a few words.
pub type Tell<'a> = &'a dyn Fn(&str);
