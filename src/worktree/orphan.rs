//! A worktree that nobody knows any more: kept whole under a ref, then taken away.

use super::create::{CreateError, keep_leftovers};
use super::place::Place;
use super::remove::{RemoveBranch, clear};
use crate::git::{Error, RefEdit, RefName, Repository, checked_out_at};

/// Whether this place was made here: its registration has the name that only we give, and leads to its folder.
#[must_use]
pub fn is_registered(repo: &Repository, place: &Place) -> bool {
    checked_out_at(&place.admin(repo)).is_some_and(|at| at == place.path())
}

/// Keeps all work of the place (committed, tracked, untracked) under `refs/agent_runner/preserved/leftover/<branch>/`,
/// then removes folder, registration and branch. Gone already is as good.
///
/// # Errors
/// git failed; nothing that was not kept is removed then.
pub async fn set_aside(repo: &Repository, place: &Place) -> Result<(), CreateError> {
    let _one_at_a_time = repo.places.lock().await;
    let tip = repo.resolve(&place.branch().to_ref()).await?;
    let standing = place.standing(repo).await?;
    let Some(at) = tip.or(standing) else {
        if place.is_there() {
            // Nothing says what its files began from: they cannot be kept as work.
            let unknown = std::io::ErrorKind::NotFound.into();
            return Err(Error::io("find the commit of", place.path())(unknown).into());
        }
        return Ok(());
    };
    keep_leftovers(repo, place, &at).await?;
    let pin = RefEdit::Set(RefName::leftover(place.branch(), &at), at.clone());
    repo.edit_refs(&[pin], "nobody knows its run").await?;
    let branch = RemoveBranch::Delete { expected: at };
    Ok(clear(repo, place, &branch).await?)
}
