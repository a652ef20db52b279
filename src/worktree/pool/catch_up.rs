//! Bringing a slot to another commit, by the files that differ.

use super::super::check_out::{self, Pace};
use super::slot::Slot;
use crate::effect::{self, Effect};
use crate::git::{Error, Repository};
use crate::run::CommitId;

/// Brings a slot that is ready at `from` to `to`. If it fails, the slot is half made.
///
/// For a run that waits it stays half made: it is claimed at once, which writes its HEAD anew.
///
/// # Errors
/// git failed; among others because somebody has changed a file of it that differs.
pub async fn catch_up(
    repo: &Repository,
    slot: &Slot,
    (from, to): (&CommitId, &CommitId),
    pace: Pace,
) -> Result<(), Error> {
    effect::awaits(Effect::PoolCatchUp).await?;
    slot.mark_half_made()?;
    let (folder, index) = (slot.folder(), slot.index());
    check_out::catch_up(repo, folder, &index, (from, to)).await?;
    if pace == Pace::Background {
        slot.put_at(to)?;
        effect::awaits(Effect::PoolReady).await?;
        slot.mark_ready()?;
    }
    Ok(())
}
