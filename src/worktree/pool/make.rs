//! Making a slot, while nobody waits.

use super::super::check_out::{Pace, check_out};
use super::give_back::give_back;
use super::shelf::Shelf;
use super::slot::{Slot, put};
use crate::effect::{self, Effect};
use crate::git::{Error, Repository};
use crate::run::CommitId;

/// Makes a slot at this commit. If it fails, nothing of it stays, as far as it can be taken away.
///
/// # Errors
/// git failed, or a folder cannot be written.
pub async fn make(
    repo: &Repository,
    shelf: &Shelf,
    slot: &Slot,
    commit: &CommitId,
) -> Result<(), Error> {
    let made = steps(repo, slot, commit).await;
    if made.is_err() {
        // The first error is the one to tell; what stays is half made, and goes at the next start.
        let _ = give_back(shelf, slot).await;
    }
    made
}

async fn steps(repo: &Repository, slot: &Slot, commit: &CommitId) -> Result<(), Error> {
    effect::awaits(Effect::PoolRegister).await?;
    register(slot, commit)?;
    effect::awaits(Effect::PoolCheckout).await?;
    let (folder, index) = (slot.folder(), slot.index());
    check_out(repo, folder, &index, commit, Pace::Background).await?;
    effect::awaits(Effect::PoolReady).await?;
    slot.mark_ready()
}

fn register(slot: &Slot, commit: &CommitId) -> Result<(), Error> {
    let (folder, admin) = (slot.folder(), slot.admin());
    for new in [folder, admin] {
        std::fs::create_dir_all(new).map_err(Error::io("create", new))?;
    }
    slot.mark_half_made()?;
    put(&admin.join("commondir"), b"../..\n")?;
    put(&admin.join("gitdir"), &slot.to_folder())?;
    slot.put_at(commit)?;
    put(&folder.join(".git"), &slot.to_admin())
}
