//! The files of a commit in a folder, with the index that knows them, from the repository's own objects: in process where
//! a run waits, by a git that goes behind everything else where nobody does.

use std::path::Path;

use crate::git::{Error, LONG, NotCaughtUp, Repository};
use crate::run::CommitId;

/// Whether somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A run waits.
    Now,
    /// Nobody does: those who are waited for go first.
    Background,
}

/// Checks the commit out into a folder that has nothing but its `.git`.
pub(super) async fn check_out(
    repo: &Repository,
    folder: &Path,
    index: &Path,
    commit: &CommitId,
    pace: Pace,
) -> Result<(), Error> {
    match pace {
        Pace::Now => repo.check_out(folder, index, commit).await,
        Pace::Background => {
            let args = ["--reset", "-u", commit.as_str()];
            read_tree(repo, folder, index, pace, &args).await
        }
    }
}

/// Brings an unchanged checkout of `from` to `to`, by the files that differ (git-read-tree(1), two tree merge). A file
/// that was changed and that differs is an error; the checkout may be in between then.
pub(super) async fn catch_up(
    repo: &Repository,
    folder: &Path,
    index: &Path,
    (from, to): (&CommitId, &CommitId),
) -> Result<(), Error> {
    match repo.catch_up(folder, index, from, to).await {
        Ok(()) => Ok(()),
        Err(NotCaughtUp::Git(error)) => Err(error),
        Err(NotCaughtUp::InTheWay(paths)) => {
            let in_the_way = std::io::Error::other(format!("in the way: {}", paths.join(", ")));
            Err(Error::io("catch up", folder)(in_the_way))
        }
    }
}

/// The index is that of the commit again; the files stay.
pub(super) async fn forget_staged(
    repo: &Repository,
    folder: &Path,
    index: &Path,
    commit: &CommitId,
) -> Result<(), Error> {
    read_tree(
        repo,
        folder,
        index,
        Pace::Now,
        &["--reset", commit.as_str()],
    )
    .await
}

async fn read_tree(
    repo: &Repository,
    folder: &Path,
    index: &Path,
    pace: Pace,
    args: &[&str],
) -> Result<(), Error> {
    let call = repo
        .call("read-tree")
        .checkout(folder, index)
        // Objects are there already. An index that a power cut made empty would be a damaged repository for git.
        .config("core.fsync=index")
        .timeout(LONG)
        .args(args);
    let call = match pace {
        Pace::Now => call,
        Pace::Background => call.in_background(),
    };
    call.run().await.map(drop)
}
