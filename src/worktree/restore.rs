//! Bringing back what was preserved.

use super::create::{CreateError, build, is_made};
use super::place::Place;
use super::preserve::{Preserved, load};
use crate::git::{Error, RefName, Repository};
use crate::run::RunId;

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing is kept for this run (any more).
    #[error("nothing is preserved of run {0}")]
    NothingPreserved(RunId),
    /// The worktree could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

/// Makes the branch at its old tip and the worktree with the old files: what was uncommitted is uncommitted
/// again (what was staged is not staged any more). There already, at that tip, is as good.
pub async fn restore(
    repo: &Repository,
    run: RunId,
    place: &Place,
) -> Result<Preserved, RestoreError> {
    let commit = repo
        .resolve(&RefName::preserved(run))
        .await?
        .ok_or(RestoreError::NothingPreserved(run))?;
    let preserved = load(repo, commit).await?;
    if !is_made(repo, place, &preserved.tip).await? {
        let work = preserved.uncommitted.then_some(&preserved.commit);
        build(repo, place, &preserved.tip, work, None).await?;
    }
    Ok(preserved)
}
