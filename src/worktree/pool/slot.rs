//! What a slot is on disk: a folder, its git dir, and in that the word for how far it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::super::place::{HALF_MADE, Place, READY, UNFINISHED};
use crate::git::{Error, Head, read_head};
use crate::run::CommitId;

/// What a git dir of a slot has, and no more: what else lies there, somebody else has made.
const FILES: [&str; 5] = ["HEAD", "commondir", "gitdir", "index", UNFINISHED];

/// A worktree that belongs to no run, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    id: String,
    folder: PathBuf,
    admin: PathBuf,
}

/// What tells for next to nothing that nobody was at a slot: its index, and the entries of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untouched {
    index: (u64, u64, i64, i64),
    folder: (u64, i64, i64),
}

impl Slot {
    pub(super) fn at(folder: PathBuf, admin: PathBuf, id: String) -> Slot {
        Slot { id, folder, admin }
    }

    /// Its name on the shelf.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder with the files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its git dir in the repository.
    pub(super) fn admin(&self) -> &Path {
        &self.admin
    }

    pub(super) fn index(&self) -> PathBuf {
        self.admin.join("index")
    }

    /// The commit that it is ready at; nothing if it is half made, or anything is not as it was made. Its files are not
    /// looked at.
    #[must_use]
    pub fn ready_at(&self) -> Option<CommitId> {
        let holds = |path: PathBuf, bytes: &[u8]| {
            let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
            is_file && std::fs::read(path).is_ok_and(|found| found == bytes)
        };
        let is_whole = !self.folder.is_symlink()
            && holds(self.admin.join(UNFINISHED), ready())
            && holds(self.folder.join(".git"), &self.to_admin())
            && holds(self.admin.join("gitdir"), &self.to_folder())
            && self.has_only_its_files();
        match read_head(&self.admin) {
            Head::Detached(commit) if is_whole => Some(commit),
            _ => None,
        }
    }

    fn has_only_its_files(&self) -> bool {
        std::fs::read_dir(&self.admin).is_ok_and(|entries| {
            let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.len() == FILES.len() && FILES.iter().all(|file| names.contains(&(*file).into()))
        })
    }

    /// How it looks now, to be compared with later; nothing if it is not there.
    #[must_use]
    pub fn look(&self) -> Option<Untouched> {
        let index = self.index().symlink_metadata().ok()?;
        let folder = self.folder.symlink_metadata().ok()?;
        Some(Untouched {
            index: (index.ino(), index.size(), index.mtime(), index.mtime_nsec()),
            folder: (folder.ino(), folder.ctime(), folder.ctime_nsec()),
        })
    }

    /// What its `.git` says.
    pub(super) fn to_admin(&self) -> Vec<u8> {
        Place::to_admin(&self.admin)
    }

    /// What its `gitdir` says.
    pub(super) fn to_folder(&self) -> Vec<u8> {
        Place::to_folder(&self.folder)
    }

    /// Says from now on that it is half made.
    pub(super) fn mark_half_made(&self) -> Result<(), Error> {
        mark(&self.admin.join(UNFINISHED), HALF_MADE)
    }

    /// Says from now on that it is ready.
    pub(super) fn mark_ready(&self) -> Result<(), Error> {
        mark(&self.admin.join(UNFINISHED), ready())
    }

    /// Detached at this commit.
    pub(super) fn put_at(&self, commit: &CommitId) -> Result<(), Error> {
        put(&self.admin.join("HEAD"), format!("{commit}\n").as_bytes())
    }
}

/// What the git dir of a slot says that is ready: with the boot of the machine, because a checkout is not written to the
/// disk at once, and a power cut may have taken files of it.
fn ready() -> &'static [u8] {
    static READY_NOW: OnceLock<Vec<u8>> = OnceLock::new();
    READY_NOW.get_or_init(|| {
        // Where the system does not tell it, the files' sizes do.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = format!(" (boot {})\n", boot.trim());
        [READY, boot.as_bytes()].concat()
    })
}

/// Writes a file in one step, and to the disk: git takes an empty HEAD for a damaged repository.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, |file| file.sync_all())
}

/// The same for the word, which says nothing after a power cut whatever it was.
fn mark(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, |_| Ok(()))
}

fn replace(path: &Path, bytes: &[u8], end: impl Fn(&File) -> io::Result<()>) -> Result<(), Error> {
    let mut aside = OsString::from(".new-");
    aside.push(path.file_name().unwrap_or_default());
    let aside = path.with_file_name(aside);
    File::create(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| end(&file)))
        .map_err(Error::io("write", &aside))
        .and_then(|()| std::fs::rename(&aside, path).map_err(Error::io("rename to", path)))
}
