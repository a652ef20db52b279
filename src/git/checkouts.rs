//! Where branches are checked out: the main checkout and the linked worktrees.
//!
//! Read from the repository's side (`<common>/worktrees/<id>/{gitdir,HEAD}`, gitrepository-layout(5)), never
//! from a `.git` file that lies in an agent's reach; and by ourselves, because `git worktree list` examines
//! every worktree there is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::repository::Repository;
use crate::run::CommitId;

/// What a checkout's HEAD says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// It is on this ref, `refs/heads/…`.
    On(String),
    /// It is at this commit.
    Detached(CommitId),
    /// It is missing or cannot be read.
    Unknown,
}

/// A place where files of the repository are checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The folder with the files.
    pub path: PathBuf,
    /// Its own git dir: HEAD, index, what is in progress.
    pub admin: PathBuf,
    /// What its HEAD says.
    pub head: Head,
}

/// What stands in the way of moving a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    Locked,
    Merging,
    Rebasing,
    CherryPicking,
    Reverting,
    Sparse,
}

impl Busy {
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Busy::Locked => "another git is at work there (index.lock)",
            Busy::Merging => "a merge is in progress there",
            Busy::Rebasing => "a rebase is in progress there",
            Busy::CherryPicking => "a cherry-pick is in progress there",
            Busy::Reverting => "a revert is in progress there",
            Busy::Sparse => "it is a sparse checkout",
        }
    }
}

impl Checkout {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.admin.join("index")
    }

    /// What is going on there, if anything.
    pub(crate) fn busy(&self) -> Option<Busy> {
        [
            ("index.lock", Busy::Locked),
            ("MERGE_HEAD", Busy::Merging),
            ("rebase-merge", Busy::Rebasing),
            ("rebase-apply", Busy::Rebasing),
            ("CHERRY_PICK_HEAD", Busy::CherryPicking),
            ("REVERT_HEAD", Busy::Reverting),
            ("info/sparse-checkout", Busy::Sparse),
        ]
        .into_iter()
        .find(|(name, _)| self.admin.join(name).symlink_metadata().is_ok())
        .map(|(_, busy)| busy)
    }

    /// The branch that is being rebased here: HEAD is detached then, and git moves the branch at the end.
    pub(crate) fn rebases(&self) -> Option<String> {
        ["rebase-merge/head-name", "rebase-apply/head-name"]
            .into_iter()
            .find_map(|name| std::fs::read_to_string(self.admin.join(name)).ok())
            .map(|name| name.trim().to_owned())
    }
}

impl Repository {
    /// All checkouts: the main one first, if there is one. Registrations whose folder is gone are left out.
    pub fn checkouts(&self) -> Result<Vec<Checkout>, Error> {
        let mut all: Vec<Checkout> = self
            .main_checkout()
            .map(|path| Checkout {
                path: path.to_owned(),
                admin: self.common_dir().to_owned(),
                head: read_head(self.common_dir()),
            })
            .into_iter()
            .collect();
        for admin in self.admin_dirs()? {
            if let Some(path) = checked_out_at(&admin).filter(|path| path.is_dir()) {
                let head = read_head(&admin);
                all.push(Checkout { path, admin, head });
            }
        }
        Ok(all)
    }

    /// `<common>/worktrees/*`, whatever their state.
    pub(crate) fn admin_dirs(&self) -> Result<Vec<PathBuf>, Error> {
        let folder = self.common_dir().join("worktrees");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", folder)(error)),
        };
        let mut dirs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        dirs.sort();
        Ok(dirs)
    }
}

/// The folder that an admin dir is for: its `gitdir` names the `.git` file in it.
pub(crate) fn checked_out_at(admin: &Path) -> Option<PathBuf> {
    let bytes = std::fs::read(admin.join("gitdir")).ok()?;
    let dot_git = admin.join(OsStr::from_bytes(bytes.trim_ascii_end()));
    dot_git.parent().map(Path::to_owned)
}

/// HEAD of an admin dir.
pub(crate) fn read_head(admin: &Path) -> Head {
    let path = admin.join("HEAD");
    // A link or a pipe in its place is not followed and not waited for.
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Head::Unknown;
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let text = text.trim();
    match (text.strip_prefix("ref: "), text.parse()) {
        (Some(name), _) => Head::On(name.trim().to_owned()),
        (None, Ok(commit)) => Head::Detached(commit),
        (None, Err(_)) => Head::Unknown,
    }
}
