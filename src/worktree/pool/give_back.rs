//! Taking a slot away, whatever is left of it.

use super::super::trash;
use super::shelf::Shelf;
use super::slot::Slot;
use crate::effect::{self, Effect};
use crate::git::Error;

/// Moves the slot's folder into the trash and deletes its git dir. Gone already is as good.
///
/// The folder goes first: as long as the git dir is there, it says half made, and the next start finds both by name.
///
/// # Errors
/// Something in it is held by the system.
pub async fn give_back(shelf: &Shelf, slot: &Slot) -> Result<(), Error> {
    if slot.admin().is_dir() {
        slot.mark_half_made()?;
    }
    if slot.folder().symlink_metadata().is_ok() {
        effect::awaits(Effect::PoolGiveBack).await?;
        let trash = shelf.trash();
        std::fs::create_dir_all(trash).map_err(Error::io("create", trash))?;
        let to = trash.join(uuid::Uuid::now_v7().simple().to_string());
        let moved = std::fs::rename(slot.folder(), to);
        moved.map_err(Error::io("move to the trash", slot.folder()))?;
    }
    effect::awaits(Effect::PoolUnregister).await?;
    let admin = slot.admin().to_owned();
    trash::blocking(move || trash::delete(&admin)).await
}
