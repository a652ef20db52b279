//! Making a ready slot the place of a run: a ref, three small files, two renames.
//!
//! | struck after | what is left | who puts it right |
//! | --- | --- | --- |
//! | the ref | a branch without a place; a ready slot | the run makes way and claims or makes anew; the slot is taken up again |
//! | the files aside | the same, and a slot that is not as it was made | the slot is given back |
//! | the git dir's rename | a git dir of the run's that says ready, or half made; a folder on the shelf | the run takes its own for unfinished, and makes its place anew; the folder is given back |
//! | the folder's rename | the place, but it says that it is unfinished | the run makes it anew, from the same commit |
//! | the word is gone | the place | nobody has to |

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use super::super::create::{CreateError, make_way};
use super::super::place::Place;
use super::super::trash;
use super::slot::Slot;
use crate::effect::{self, Effect};
use crate::git::{Error, NotMoved, RefEdit, Repository};
use crate::run::CommitId;

/// Makes the slot, which is exactly the commit, the worktree of this place, on its branch.
///
/// What is left over there is kept and taken away first, as [`create`](super::super::create()) does. If this fails, the
/// slot and the place are what a crash would leave.
///
/// # Errors
/// The branch is somebody else's, git failed, or a file could not be written.
pub async fn claim(
    repo: &Repository,
    slot: &Slot,
    place: &Place,
    commit: &CommitId,
) -> Result<(), CreateError> {
    let _one_at_a_time = repo.places.lock().await;
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
    if is_there(place.path()) || is_there(place.admin(repo)) {
        make_way(repo, place, commit).await?;
    }
    effect::awaits(Effect::PoolClaim)
        .await
        .map_err(Error::from)?;
    let edit = [RefEdit::Create(place.branch().to_ref(), commit.clone())];
    match repo.edit_refs(&edit, "a run starts here").await {
        // A crash came after the ref.
        Err(NotMoved::Changed { .. }) => {
            make_way(repo, place, commit).await?;
            repo.edit_refs(&edit, "a run starts here").await?;
        }
        other => other?,
    }
    let (from, to) = (slot.clone(), place.clone());
    let admin = place.admin(repo);
    Ok(trash::blocking(move || move_over(&from, &to, &admin)).await?)
}

fn move_over(slot: &Slot, place: &Place, admin: &Path) -> Result<(), Error> {
    effect::begins(Effect::PoolConnect)?;
    let (folder, path) = (slot.folder(), place.path());
    let head = place.head();
    let (to_folder, to_admin) = (Place::to_folder(&path), Place::to_admin(admin));
    let new = [
        (slot.admin(), "HEAD", &head),
        (slot.admin(), "gitdir", &to_folder),
        (folder, ".git", &to_admin),
    ];
    write_aside(&new)?;
    effect::begins(Effect::PoolRename)?;
    rename(slot.admin(), admin)?;
    for name in ["HEAD", "gitdir"] {
        rename(&aside(admin, name), &admin.join(name))?;
    }
    rename(&aside(folder, ".git"), &folder.join(".git"))?;
    effect::begins(Effect::PoolMove)?;
    rename(folder, &path)?;
    effect::begins(Effect::PoolFinish)?;
    Place::finish_at(admin)?;
    // Each rename and the end of the mark are on disk before anybody says that the place is there.
    for folder in [admin, admin.parent().unwrap_or(admin), place.root()] {
        sync(folder)?;
    }
    Ok(())
}

fn aside(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".claim-{name}"))
}

/// Writes the files beside their names, and to the disk at the same time: it does that in one go.
fn write_aside(new: &[(&Path, &str, &Vec<u8>)]) -> Result<(), Error> {
    thread::scope(|scope| {
        let written = new.iter().map(|(folder, name, bytes)| {
            let path = aside(folder, name);
            scope.spawn(move || {
                File::create(&path)
                    .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
                    .map_err(Error::io("write", &path))
            })
        });
        let written: Vec<_> = written.collect();
        written.into_iter().try_for_each(|one| match one.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(Error::io("rename to", to))
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write to disk", folder))
}
