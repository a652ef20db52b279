//! Room on the file systems that the service writes to: how much is free, whether it is under the floor, and whether a
//! failure was one for lack of it.
//!
//! Below the floor nothing is started that makes things grow. What ends things (abort, merge, evidence and its
//! validation) goes on: that is what the rest is kept for. Deliberately absent: making room.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The words for a full disk and a full quota (`ENOSPC`, `EDQUOT` of strerror(3); SQLite's and git's own).
///
/// By its words, because what git and supervisors could not do is known by no more than what they said of it.
const WORDS: [&str; 4] = [
    "No space left on device",
    "Disk quota exceeded",
    "database or disk is full",
    "Out of diskspace",
];

/// The file systems that must not fill up, and the floor.
#[derive(Debug, Clone)]
pub struct Room {
    floor: u64,
    places: Vec<(&'static str, PathBuf)>,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// What lies on it: `database`, `state`, `worktrees`, `repository`.
    pub holds: Vec<&'static str>,
    /// The folder by which it was found.
    pub path: PathBuf,
    /// Bytes that the service can still write.
    pub free: u64,
    /// Bytes that must be free.
    pub floor: u64,
}

impl FileSystem {
    /// Whether less is free than must be.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free < self.floor
    }

    /// The failure of what would not fit on it.
    #[must_use]
    pub fn into_error(self) -> anyhow::Error {
        let (path, kib) = (self.path.display(), self.free >> 10);
        anyhow::anyhow!("{}: {path} has {kib} KiB free", WORDS[0])
    }

    /// How much is free, how much must be, and what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} ({}) has {} MiB free and {} MiB must be: make room there, or set another --disk-floor-bytes",
            self.path.display(),
            self.holds.join(", "),
            self.free >> 20,
            self.floor >> 20,
        )
    }
}

impl Room {
    /// The room for a service with these settings, whose repository has this git dir.
    #[must_use]
    pub fn of(config: &Config, git_dir: &Path) -> Room {
        let folder_of_db = config.db.parent().unwrap_or(Path::new("/"));
        Room {
            floor: config.disk_floor_bytes,
            places: vec![
                ("database", folder_of_db.to_owned()),
                ("state", config.state_root.clone()),
                ("worktrees", config.worktrees_root.clone()),
                ("repository", git_dir.to_owned()),
            ],
        }
    }

    /// The file systems, as they are now. One that cannot be asked is left out: its own failure will tell.
    #[must_use]
    pub fn look(&self) -> Vec<FileSystem> {
        let mut found: Vec<(u64, FileSystem)> = Vec::new();
        for (what, path) in &self.places {
            let (Ok(meta), Ok(space)) = (std::fs::metadata(path), rustix::fs::statvfs(path)) else {
                continue;
            };
            match found.iter_mut().find(|(device, _)| *device == meta.dev()) {
                Some((_, known)) => known.holds.push(what),
                None => found.push((
                    meta.dev(),
                    FileSystem {
                        holds: vec![what],
                        path: path.clone(),
                        free: space.f_bavail.saturating_mul(space.f_frsize),
                        floor: self.floor,
                    },
                )),
            }
        }
        found.into_iter().map(|(_, system)| system).collect()
    }

    /// A file system that is under the floor, if one is.
    #[must_use]
    pub fn low(&self) -> Option<FileSystem> {
        if self.floor == 0 {
            return None;
        }
        self.look().into_iter().find(FileSystem::is_low)
    }

    /// Whether so many bytes more leave every file system above the floor. As if all of them went to each: what lies
    /// where is not asked.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> bool {
        self.floor == 0 || self.under(self.floor.saturating_add(bytes)).is_none()
    }

    /// A file system with less than these bytes free, whatever the floor is.
    #[must_use]
    pub fn under(&self, bytes: u64) -> Option<FileSystem> {
        let mut all = self.look().into_iter();
        all.find(|system| system.free < bytes)
    }
}

/// Whether these words, of an error and all that is behind it, tell of a full disk.
#[must_use]
pub fn tells_of_full_disk(words: &str) -> bool {
    WORDS.iter().any(|full| words.contains(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(floor: u64, places: &[&Path]) -> Room {
        let places = places.iter().map(|path| ("place", (*path).to_owned()));
        Room {
            floor,
            places: places.collect(),
        }
    }

    #[test]
    fn folders_of_one_file_system_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let seen = room(
            1,
            &[folder.path(), folder.path(), Path::new("/nonexistent")],
        )
        .look();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].holds, ["place", "place"]);
    }

    #[test]
    fn less_than_the_floor_is_low_and_no_floor_is_never() {
        let folder = tempfile::tempdir().unwrap();
        let low = room(u64::MAX, &[folder.path()]).low().unwrap();
        assert!(low.sentence().contains("must be"));
        assert_eq!(room(0, &[folder.path()]).low(), None);
    }

    #[test]
    fn a_full_disk_is_known_by_what_the_system_says_of_it() {
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let said = std::io::Error::from(errno).to_string();
            assert!(tells_of_full_disk(&said), "{said}");
        }
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        assert!(tells_of_full_disk(
            &rusqlite::Error::SqliteFailure(full, Some("database or disk is full".to_owned()))
                .to_string()
        ));
        assert!(!tells_of_full_disk("Permission denied"));
    }
}
