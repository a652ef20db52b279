//! Removing a worktree: instant, and with nothing lost.
//!
//! Its folder is renamed into the trash, its registration deleted, its branch deleted only at a tip that is
//! kept. What takes time, deleting the files, is [`empty_trash`](super::empty_trash), later.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::place::{Place, write};
use super::trash;
use crate::effect::{self, Effect};
use crate::git::{Checkout, Error, Head, NotMoved, RefEdit, RefName, Repository};
use crate::run::CommitId;

/// How often it is tried again where somebody is still at work.
const TRIES: u32 = 5;

/// What becomes of the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveBranch {
    /// It stays.
    Keep,
    /// It is deleted. If it is at another commit than this one, that is first kept under
    /// `refs/agent_runner/preserved/leftover/`.
    Delete {
        /// The tip that is preserved already.
        expected: CommitId,
    },
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// All of it.
    Whole,
    /// All but the folder, which the system holds: it is immutable, or something is mounted over it.
    ButFolder {
        /// A sentence that begins with the path.
        why: String,
    },
}

/// Removes the worktree. Work in it must have been preserved; its processes must have ended, or else what
/// they write from now on goes into the trash. Already gone is as good.
///
/// A folder that the system holds stays, and is told; branch and registration go all the same.
pub async fn remove(
    repo: &Repository,
    place: &Place,
    branch: &RemoveBranch,
) -> Result<Removed, Error> {
    let _one_at_a_time = repo.places.lock().await;
    let moved = move_away(place);
    let removed = match moved {
        Ok(()) => Removed::Whole,
        Err(error) if is_held(&error) => Removed::ButFolder {
            why: sentence(&error),
        },
        Err(error) => return Err(error),
    };
    unmake(repo, place, branch).await?;
    Ok(removed)
}

/// Whether the system itself holds the folder, so that trying again is of no use until a person has acted.
fn is_held(error: &Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ResourceBusy};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), PermissionDenied | ResourceBusy))
}

fn sentence(error: &Error) -> String {
    match error {
        Error::Io { path, source, .. } => format!("{}: {source}", path.display()),
        other => other.to_string(),
    }
}

/// The same for those who hold the lock and need the place empty: a folder that is held is an error.
pub(super) async fn clear(
    repo: &Repository,
    place: &Place,
    branch: &RemoveBranch,
) -> Result<(), Error> {
    move_away(place)?;
    unmake(repo, place, branch).await
}

/// Deletes branch and registration.
async fn unmake(repo: &Repository, place: &Place, branch: &RemoveBranch) -> Result<(), Error> {
    if let RemoveBranch::Delete { expected } = branch {
        place.break_locks(repo)?;
        delete_branch_at(repo, place, expected).await?;
    }
    unregister_inside(repo, place)?;
    effect::awaits(Effect::PlaceUnregister).await?;
    unregister(&place.admin(repo))
}

/// Renames what is at the path, a folder or anything else, into the trash.
pub(super) fn move_away(place: &Place) -> Result<(), Error> {
    let path = place.path();
    for _ in 0..TRIES {
        let Ok(meta) = path.symlink_metadata() else {
            return Ok(());
        };
        let slot = place.trash_slot()?;
        if meta.is_dir() && meta.permissions().mode() & 0o200 == 0 {
            // Renaming a folder writes its `..`.
            let mode = PermissionsExt::from_mode(meta.permissions().mode() | 0o700);
            std::fs::set_permissions(&path, mode).map_err(Error::io("make writable", &path))?;
        }
        effect::begins(Effect::PlaceMove)?;
        match std::fs::rename(&path, &slot) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // Once more: a writer that uses the full path may have made it again.
            result => result.map_err(Error::io("move to the trash", &path))?,
        }
    }
    Ok(())
}

/// Deletes the branch; if it is at another commit than `expected`, that is kept first.
pub(super) async fn delete_branch_at(
    repo: &Repository,
    place: &Place,
    expected: &CommitId,
) -> Result<(), Error> {
    let branch = place.branch().to_ref();
    for _ in 0..TRIES {
        let Some(tip) = repo.resolve(&branch).await? else {
            return Ok(());
        };
        detach_others(repo, place, &tip)?;
        let mut edits = vec![RefEdit::Delete(branch.clone(), tip.clone())];
        if tip != *expected {
            edits.push(RefEdit::Set(RefName::leftover(place.branch(), &tip), tip));
        }
        match repo.edit_refs(&edits, "the worktree is removed").await {
            Ok(()) => return Ok(()),
            Err(NotMoved::Changed { .. }) => {}
            Err(NotMoved::Git(error)) => return Err(error),
        }
    }
    let path = repo.common_dir().join(branch.as_str());
    Err(Error::io("delete the branch", path)(
        std::io::ErrorKind::ResourceBusy.into(),
    ))
}

/// Another worktree on the branch stays at its commit, instead of being on a branch that is no more.
fn detach_others(repo: &Repository, place: &Place, tip: &CommitId) -> Result<(), Error> {
    let on_branch = Head::On(place.branch().to_ref().to_string());
    let ours = place.admin(repo);
    for Checkout { admin, head, .. } in repo.checkouts()? {
        if head == on_branch && admin != ours {
            write(&admin.join("HEAD"), format!("{tip}\n").as_bytes())?;
        }
    }
    Ok(())
}

/// Worktrees that an agent made inside its own went with it.
fn unregister_inside(repo: &Repository, place: &Place) -> Result<(), Error> {
    let path = place.path();
    for admin in repo.admin_dirs()? {
        if crate::git::checked_out_at(&admin).is_some_and(|at| at.starts_with(&path)) {
            unregister(&admin)?;
        }
    }
    Ok(())
}

/// Deletes the git dir of a worktree, also a locked one.
fn unregister(admin: &Path) -> Result<(), Error> {
    trash::delete(admin)
}
