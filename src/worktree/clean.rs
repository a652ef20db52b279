//! A clean checkout: the files of one commit in a folder of their own, for commands that are to see them and nothing else.
//!
//! It is no linked worktree. Its git dir borrows the repository's objects and has none of its configuration, hooks,
//! filters and index, and none of its refs but the tags; HEAD is at the commit. Nothing is registered in the repository.
//!
//! Deliberately absent: submodules and files of Git LFS, which are as git stores them: an empty folder, and a pointer.

use std::path::Path;

use super::trash;
use crate::git::{Error, LONG, Repository};
use crate::run::CommitId;

/// Checks the commit out into a folder. What is there is removed first, whatever it is.
///
/// # Errors
/// git failed, or the folder cannot be written.
pub async fn check_out_clean(
    repo: &Repository,
    folder: &Path,
    commit: &CommitId,
) -> Result<(), Error> {
    take_away_clean(folder).await?;
    let git_dir = folder.join(".git");
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    repo.lend_to(&git_dir, commit).await?;
    let index = git_dir.join("index");
    // It lives as long as a round: a power cut ends both.
    if repo.check_out_inside(folder, &index, commit, false).await {
        return Ok(());
    }
    repo.call_lent(&git_dir, "read-tree")
        .checkout(folder, &index)
        .config("core.fsync=none")
        .timeout(LONG)
        .args(["--reset", "-u", commit.as_str()])
        .run()
        .await?;
    Ok(())
}

/// Removes such a folder with all that was made in it, whatever that is; gone already is as good.
///
/// # Errors
/// Something in it is held by the system.
pub async fn take_away_clean(folder: &Path) -> Result<(), Error> {
    let folder = folder.to_owned();
    trash::blocking(move || trash::delete(&folder)).await
}
