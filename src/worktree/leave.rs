//! The end of a worktree in two parts: what somebody waits for, and what takes time.
//!
//! ```text
//! leave    its folder and its git dir are renamed aside, its branch's tip is pinned, its branch is deleted
//! keep     what was uncommitted is kept too, from where it lies now          (beside everything else)
//! let_go   what was renamed aside goes to the trash
//! ```
//!
//! Aside is `<root>/.leaving/<run>/`, with `files` and `admin`: on the same file system, and no registered worktree of
//! the repository any more. What lies there is work that is not kept yet; only [`let_go`] moves it, and only after [`keep`].
//! Each part may be run again after a crash in the middle of it, and goes on with what it finds.
//!
//! A worktree that is not as it was made (no folder, another branch, another worktree inside, …) is not taken away like
//! this but by [`preserve`](super::preserve) and [`remove`](super::remove), which look into it first.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::place::Place;
use super::preserve::{Preserved, message, missed_in};
use super::remove::{delete_branch_at, move_away};
use super::snapshot::snapshot;
use super::special::specials;
use crate::effect::{self, Effect};
use crate::git::{
    Error, Head, Identity, NotMoved, RefEdit, RefName, Repository, checked_out_at, read_head,
};
use crate::run::{CommitId, RunId};

/// The folder, below the root of the worktrees, for what has left its place and is not kept yet.
const LEAVING: &str = ".leaving";

/// The folder for what has left its place and is not kept yet, below the root of all worktrees.
#[must_use]
pub fn leaving_below(root: &Path) -> PathBuf {
    root.join(LEAVING)
}

/// What became of a worktree that was to be taken away at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Its place is empty and its branch is gone. What was uncommitted is still to be [kept](keep).
    Away {
        /// The tip that the branch had, which is pinned.
        tip: CommitId,
    },
    /// Nothing was touched: it must be looked into first, because of this.
    NotAtOnce(&'static str),
}

/// Where the parts of one worktree lie when it has left its place.
struct Aside {
    folder: PathBuf,
    files: PathBuf,
    admin: PathBuf,
}

impl Aside {
    fn of(place: &Place, run: RunId) -> Aside {
        let folder = leaving_below(place.root()).join(run.to_string());
        Aside {
            files: folder.join("files"),
            admin: folder.join("admin"),
            folder,
        }
    }

    fn is_begun(&self) -> bool {
        is_folder(&self.folder)
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// Takes the worktree from its place and deletes its branch, with the tip pinned under `refs/agent_runner/preserved/<run>`.
/// No file is read or deleted. Its processes must have ended, or else end before [`keep`].
///
/// # Errors
/// git or the file system failed: done again, it goes on.
pub async fn leave(repo: &Repository, run: RunId, place: &Place) -> Result<Left, Error> {
    let _one_at_a_time = repo.places.lock().await;
    let aside = Aside::of(place, run);
    if !is_folder(&aside.files)
        && let Some(why) = not_at_once(repo, run, place).await?
    {
        put_back(repo, place, &aside)?;
        return Ok(Left::NotAtOnce(why));
    }
    if let Err(error) = set_aside(repo, place, &aside) {
        put_back(repo, place, &aside)?;
        tracing::info!(%run, %error, "a worktree cannot be renamed aside");
        return Ok(Left::NotAtOnce("it cannot be renamed aside"));
    }
    let name = RefName::preserved(run);
    let branch = place.branch().to_ref();
    place.break_locks(repo)?;
    match (repo.resolve(&branch).await?, repo.resolve(&name).await?) {
        (Some(tip), None) => {
            let edits = [
                RefEdit::Create(name, tip.clone()),
                RefEdit::Delete(branch.clone(), tip.clone()),
            ];
            match repo.edit_refs(&edits, "the run is aborted").await {
                Ok(()) => Ok(Left::Away { tip }),
                Err(NotMoved::Git(error)) => Err(error),
                // Somebody is at work on the branch: the next try begins with what it is then.
                Err(NotMoved::Changed { name, .. }) => Err(Error::io("delete", name.as_str())(
                    std::io::ErrorKind::ResourceBusy.into(),
                )),
            }
        }
        // A crash came in between, and perhaps somebody moved the branch since.
        (Some(_), Some(pinned)) => {
            delete_branch_at(repo, place, &pinned).await?;
            Ok(Left::Away { tip: pinned })
        }
        (None, Some(pinned)) => Ok(Left::Away { tip: pinned }),
        (None, None) => {
            put_back(repo, place, &aside)?;
            Ok(Left::NotAtOnce("its branch is gone"))
        }
    }
}

/// Why this worktree must be looked into before it goes.
async fn not_at_once(
    repo: &Repository,
    run: RunId,
    place: &Place,
) -> Result<Option<&'static str>, Error> {
    let (path, admin) = (place.path(), place.admin(repo));
    let Some(meta) = path.symlink_metadata().ok().filter(|meta| meta.is_dir()) else {
        return Ok(Some("its folder is not there"));
    };
    let Some(of_admin) = admin.symlink_metadata().ok().filter(|meta| meta.is_dir()) else {
        return Ok(Some("it is not registered"));
    };
    if place.is_unfinished(repo) {
        return Ok(Some("it is not finished"));
    }
    if meta.permissions().mode() & 0o200 == 0 {
        return Ok(Some("its folder is read-only"));
    }
    let root = place
        .root()
        .metadata()
        .map_err(Error::io("look at", place.root()))?;
    if meta.dev() != root.dev() || of_admin.dev() != root.dev() {
        return Ok(Some("it is on another file system"));
    }
    if is_folder(&path.join(".git")) {
        return Ok(Some("it is a repository of its own"));
    }
    let branch = place.branch().to_ref();
    let on_branch = Head::On(branch.to_string());
    if read_head(&admin) != on_branch {
        return Ok(Some("its HEAD is elsewhere"));
    }
    let others = repo
        .admin_dirs()?
        .into_iter()
        .filter(|other| *other != admin);
    for other in others {
        let inside = checked_out_at(&other).is_some_and(|at| at.starts_with(&path));
        if inside || read_head(&other) == on_branch {
            return Ok(Some("another worktree depends on it"));
        }
    }
    if read_head(repo.common_dir()) == on_branch {
        return Ok(Some("its branch is checked out elsewhere"));
    }
    let tip = repo.resolve(&branch).await?;
    let pinned = repo.resolve(&RefName::preserved(run)).await?;
    Ok(match (tip, pinned) {
        (None, None) => Some("its branch is gone"),
        (Some(_), Some(_)) => Some("work of it is kept already"),
        // The second: a power cut has brought back the folder, and not the branch.
        (Some(_), None) | (None, Some(_)) => None,
    })
}

/// Renames folder and git dir aside, as far as they are not there yet.
fn set_aside(repo: &Repository, place: &Place, aside: &Aside) -> Result<(), Error> {
    let (path, admin) = (place.path(), place.admin(repo));
    std::fs::create_dir_all(&aside.folder).map_err(Error::io("create", &aside.folder))?;
    effect::begins(Effect::LeaveMove)?;
    if !is_folder(&aside.files) {
        rename(&path, &aside.files)?;
    }
    // A writer that uses the full path may have made it again.
    move_away(place)?;
    effect::begins(Effect::LeaveUnregister)?;
    if is_folder(&admin) {
        rename(&admin, &aside.admin)?;
    }
    Ok(())
}

/// The worktree as it was before it was renamed aside.
fn put_back(repo: &Repository, place: &Place, aside: &Aside) -> Result<(), Error> {
    let (path, admin) = (place.path(), place.admin(repo));
    if is_folder(&aside.admin) && !is_folder(&admin) {
        rename(&aside.admin, &admin)?;
    }
    if is_folder(&aside.files) {
        rename(&aside.files, &path)?;
    }
    match std::fs::remove_dir(&aside.folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &aside.folder)(error))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(Error::io("move aside", from))
}

/// Keeps what was uncommitted in a worktree that has [left](leave), whose branch was at `tip`. Run again, it says the same.
///
/// # Errors
/// git or the file system failed. What lies aside stays there.
pub async fn keep(
    repo: &Repository,
    run: RunId,
    place: &Place,
    tip: &CommitId,
) -> Result<Preserved, Error> {
    let name = RefName::preserved(run);
    let pinned = repo.resolve(&name).await?;
    if let Some(commit) = pinned.clone().filter(|commit| commit != tip) {
        let missed = missed_in(&repo.message_of(&commit).await?);
        let uncommitted = repo.tree_of(&commit).await? != repo.tree_of(tip).await?;
        return Ok(Preserved {
            commit,
            tip: tip.clone(),
            uncommitted,
            missed,
        });
    }
    let aside = Aside::of(place, run);
    {
        // A power cut may have brought back a folder that had left its place.
        let _one_at_a_time = repo.places.lock().await;
        if is_folder(&place.path()) || is_folder(&place.admin(repo)) {
            set_aside(repo, place, &aside)?;
        }
    }
    let before = repo.tree_of(tip).await?;
    let (tree, missed) = if is_folder(&aside.files) {
        let index = aside.admin.join("index");
        let taken = snapshot(repo, &aside.files, Some(&index), Some(tip), place.cone()).await?;
        let mut missed = taken.missed.clone();
        missed.extend(specials(&aside.files).await?);
        (taken.tree.clone(), missed)
    } else {
        (before.clone(), Vec::new())
    };
    let uncommitted = tree != before;
    let text = message(run, place, &missed);
    let commit = repo
        .commit_tree(&tree, &[tip], &Identity::service(), &text)
        .await?;
    let edit = match pinned {
        Some(from) => RefEdit::Move {
            name,
            from,
            to: commit.clone(),
        },
        None => RefEdit::Create(name, commit.clone()),
    };
    match repo.edit_refs(&[edit], "before the worktree goes").await {
        Ok(()) => Ok(Preserved {
            commit,
            tip: tip.clone(),
            uncommitted,
            missed,
        }),
        Err(NotMoved::Git(error)) => Err(error),
        Err(NotMoved::Changed { name, .. }) => Err(Error::io("keep", name.as_str())(
            std::io::ErrorKind::ResourceBusy.into(),
        )),
    }
}

/// Moves what lies aside into the trash. All of its work must be kept. Gone already is as good.
///
/// # Errors
/// The file system failed.
pub fn let_go(place: &Place, run: RunId) -> Result<(), Error> {
    let aside = Aside::of(place, run);
    if !aside.is_begun() {
        return Ok(());
    }
    let slot = place.trash_slot()?;
    effect::begins(Effect::LeaveTrash)?;
    std::fs::rename(&aside.folder, &slot).map_err(Error::io("move to the trash", &aside.folder))
}
