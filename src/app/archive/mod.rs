//! Archives: a backup of everything the service keeps, and runs carried from one database to another.
//!
//! An archive is one plain tar. Its members:
//!
//! ```text
//! database.sqlite            of a backup: the database, as it was at one moment
//! events.jsonl, runs.jsonl   of an export: the events of its runs, and what follows from them, for people
//! evidence/<sha256>          the payloads that evidence names
//! runs/<run id>/output       what agents printed, if it was asked for
//! manifest.json              what is in it, with the size and SHA-256 of each member
//! seal.sha256                SHA-256 of every byte before
//! ```
//!
//! Nothing of an archive is put anywhere before all of it was read and found whole. Deliberately absent: the git
//! repository, which has its own ways to be copied, and the records of attempts, which mean nothing on another machine.

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
pub use export::export;
pub use import::{Imported, import};
pub use lacks::lacks;
pub use manifest::{LeftOut, Manifest};
pub use restore::{Restored, restore};
