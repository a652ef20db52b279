//! What git leaves unsaid: that it could not write because a disk is full. Some of its messages (`couldn't write '….lock'`)
//! give no reason; the file system knows it.

use std::path::{Path, PathBuf};

/// So little is free that what could not be written probably could not for that. git itself removes its half-written
/// files before it ends.
const ALMOST_NOTHING: u64 = 1 << 20;
/// What is said then, as strerror(3) says it.
const FULL: &str = "No space left on device";

/// What git said; of one that failed, also that the disk is full, if it is and that was left unsaid.
pub(super) fn with_full_disk(code: i32, said: String, writes_to: &[PathBuf]) -> String {
    if code == 0 || said.contains(FULL) || !writes_to.iter().any(|folder| is_full(folder)) {
        return said;
    }
    format!("{said}; {FULL}")
}

fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder)
        .is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < ALMOST_NOTHING)
}
