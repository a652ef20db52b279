//! Where the slots of a repository are, below a root of worktrees.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::super::place::trash_below;
use super::slot::Slot;
use crate::git::{Error, Repository};

/// The folder below the root of the worktrees, on the same file system: a claim is a rename.
const POOL: &str = ".pool";
/// The file that is locked by the server that uses the shelf.
const LOCK: &str = ".lock";

/// The folder of the slots of one repository, and what their git dirs are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    folder: PathBuf,
    trash: PathBuf,
    registrations: PathBuf,
    prefix: String,
}

/// The right to use a shelf, for as long as this is held; a process that dies gives it back.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

impl Shelf {
    /// That of this repository below the root of all worktrees (absolute, with no link in it).
    #[must_use]
    pub fn new(root: &Path, repo: &Repository) -> Shelf {
        let folder = root.join(POOL).join(short_hash(repo.common_dir()));
        Shelf {
            trash: trash_below(root),
            registrations: repo.common_dir().join("worktrees"),
            // By the path, so that servers with other roots do not take theirs for ours, and no file is believed for it.
            prefix: format!("pool.{}.", short_hash(&folder)),
            folder,
        }
    }

    /// The folder that the slots' folders are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder for what is being deleted.
    #[must_use]
    pub fn trash(&self) -> &Path {
        &self.trash
    }

    /// Takes the shelf for this process. Nothing if another one has it.
    ///
    /// # Errors
    /// The folder or its lock cannot be made.
    pub fn hold(&self) -> Result<Option<Held>, Error> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        let path = self.folder.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).open(&path);
        let lock = lock.map_err(Error::io("open", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Held { _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error::io("lock", path)(errno.into())),
        }
    }

    /// A slot that is not there yet.
    #[must_use]
    pub fn new_slot(&self) -> Slot {
        self.slot(uuid::Uuid::now_v7().simple().to_string())
    }

    /// The slot of this id, there or not.
    #[must_use]
    pub fn slot(&self, id: String) -> Slot {
        let admin = self.registrations.join(format!("{}{id}", self.prefix));
        Slot::at(self.folder.join(&id), admin, id)
    }

    /// The ids of all slots of which anything is there, folder or git dir, in the order in which they were made.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let folders = names_in(&self.folder)?.into_iter();
        let folders = folders.filter(|name| !name.starts_with('.'));
        let admins = names_in(&self.registrations)?.into_iter();
        let admins = admins.filter_map(|name| Some(name.strip_prefix(&self.prefix)?.to_owned()));
        let mut ids: Vec<String> = folders.chain(admins).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("list", folder)(error)),
    }
}

fn short_hash(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_bytes());
    hash.iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
