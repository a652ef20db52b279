//! Taking the slots of an earlier start up again: those that are whole, and no others.

use super::give_back::give_back;
use super::shelf::Shelf;
use super::slot::Slot;
use crate::git::{Error, Repository};
use crate::run::CommitId;

/// The slots that are ready and exactly their commit; all else on the shelf is given back.
///
/// # Errors
/// The shelf cannot be listed. What cannot be given back is told in the log and stays.
pub async fn recover(repo: &Repository, shelf: &Shelf) -> Result<Vec<(Slot, CommitId)>, Error> {
    let mut ready = Vec::new();
    for id in shelf.ids()? {
        let slot = shelf.slot(id);
        match clean_at(repo, &slot).await {
            Ok(Some(commit)) => {
                ready.push((slot, commit));
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(slot = slot.id(), %error, "a ready worktree cannot be looked at, and is given back");
            }
        }
        if let Err(error) = give_back(shelf, &slot).await {
            tracing::warn!(slot = slot.id(), %error, "a worktree of the pool could not be given back");
        }
    }
    Ok(ready)
}

/// The commit of a slot that is ready, whose files are those of the commit, and that has no others.
async fn clean_at(repo: &Repository, slot: &Slot) -> Result<Option<CommitId>, Error> {
    let Some(commit) = slot.ready_at() else {
        return Ok(None);
    };
    if !repo.has_commit(&commit).await? {
        return Ok(None);
    }
    let index = slot.index();
    let call = |name: &str| {
        let call = repo.call(name).checkout(slot.folder(), &index);
        call.in_background()
    };
    let staged = call("diff-index").args(["--cached", "--quiet", commit.as_str(), "--"]);
    if staged.run_expecting(&[0, 1]).await?.code() != 0 {
        return Ok(None);
    }
    let changed = call("diff-files").arg("--quiet");
    if changed.run_expecting(&[0, 1]).await?.code() != 0 {
        return Ok(None);
    }
    // Ignored files and empty folders too: a worktree that was made has none.
    let others = call("ls-files").args(["--others", "--directory", "-z"]);
    let others = others.cut_at(1).run().await?;
    Ok(others.stdout().is_empty().then_some(commit))
}
