//! Seeding: what git ignores in a checkout (`target`, `node_modules`) is laid into a fresh worktree, so that its first
//! build begins where that one's ended.
//!
//! ```text
//! found (a walk of the source) -> ignored there -> ignored in the worktree -> laid (cloned, or copied if asked for)
//! ```
//!
//! Files share their bytes with the source where the file system can (`FICLONE`, ioctl_ficlone(2)) and are copied only
//! if that was asked for; they are never hard links, which would share what the agent writes. Only regular files
//! and links that stay inside are taken, each held beneath the source and beneath the worktree by the kernel
//! (`openat2(2)`), with content, permissions, and time of change. What is left out is told.
//!
//! Deliberately absent: empty folders, attributes, owners, and sparing what a crash left half done: the worktree is
//! unfinished until after this, and such a one is made anew.

mod found;
mod laid;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::git::{Error, Repository};
use found::Found;

pub use laid::reflinks_between;

/// The most that is told of what was left out; the rest is counted.
const MOST_TOLD: usize = 20;

/// What is to be seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeding {
    /// A checkout of the repository.
    pub source: PathBuf,
    /// Folders or files in it, from its root.
    pub paths: Vec<String>,
    /// Whether files are copied where they cannot share their bytes.
    pub copy: bool,
}

/// How files were laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They share their bytes with the source until one of both is written.
    Reflink,
    /// Their bytes were copied.
    Copy,
}

impl Way {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Way::Reflink => "reflink",
            Way::Copy => "copy",
        }
    }
}

/// What was seeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seeded {
    /// How; `None` if nothing was.
    pub way: Option<Way>,
    /// How many files and links.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was left out and why, a sentence each.
    pub left_out: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// The folder that is seeded: a worktree in which nobody works yet.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Its files.
    pub folder: &'a Path,
    /// Its index, at the commit that is checked out.
    pub index: &'a Path,
}

/// Lays what is to be seeded into a folder. What cannot be is left out and told; nothing of the folder is replaced.
pub async fn seed(repo: &Repository, fresh: Fresh<'_>, how: &Seeding) -> Seeded {
    let began = Instant::now();
    let mut seeded = match lay(repo, fresh, how).await {
        Ok(seeded) => seeded,
        Err(error) => Seeded {
            left_out: vec![format!("everything: {error}")],
            ..Seeded::default()
        },
    };
    if seeded.left_out.len() > MOST_TOLD {
        let more = seeded.left_out.len() - MOST_TOLD;
        seeded.left_out.truncate(MOST_TOLD);
        seeded.left_out.push(format!("and {more} more"));
    }
    seeded.took = began.elapsed();
    seeded
}

async fn lay(repo: &Repository, fresh: Fresh<'_>, how: &Seeding) -> Result<Seeded, Error> {
    let mut checkouts = repo.checkouts()?.into_iter();
    let Some(source) = checkouts.find(|checkout| checkout.path == how.source) else {
        let source = how.source.display();
        return Ok(Seeded {
            left_out: vec![format!(
                "everything: {source} is no checkout of the repository"
            )],
            ..Seeded::default()
        });
    };
    let (root, paths, into) = (
        how.source.clone(),
        how.paths.clone(),
        fresh.folder.to_owned(),
    );
    let mut found = blocking(move || Found::below(&root, &paths, &into)).await;
    for (folder, index) in [
        (&*source.path, &*source.index()),
        (fresh.folder, fresh.index),
    ] {
        let paths = found.paths();
        let ignored = repo.ignored(folder, index, &paths).await?;
        found.keep(&ignored, "git does not ignore it");
    }
    let (root, into, copy) = (how.source.clone(), fresh.folder.to_owned(), how.copy);
    Ok(blocking(move || laid::lay(&root, &into, found, copy)).await)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
