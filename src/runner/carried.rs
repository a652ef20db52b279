//! Whether a head brings the same patch as the one before it, on another base: a rebase.
//!
//! What people have seen of such work holds for it still; what checks have seen does not, for they saw the whole tree.

use super::Context;
use super::gate::base_tip;
use crate::dod::Head;
use crate::git::Error;
use crate::run::{CommitId, Run, TreeId};

/// The tree of the recorded head, if `now` brings the same patch on another base.
///
/// # Errors
/// git failed.
pub async fn carries(context: &Context, run: &Run, now: &Head) -> Result<Option<TreeId>, Error> {
    let Some(before) = &run.head else {
        return Ok(None);
    };
    // The same tree needs no carrying, and what nobody has shown anything of has nothing to carry.
    if before.tree == now.tree || run.evidence.is_empty() {
        return Ok(None);
    }
    let Some(onto) = base_tip(context, run).await? else {
        return Ok(None);
    };
    let earlier = patch(context, &before.commit, &onto).await?;
    let later = patch(context, &now.commit, &onto).await?;
    let same = earlier.is_some() && earlier == later;
    Ok(same.then(|| before.tree.clone()))
}

/// The digest of what a commit brings, seen from where it left the base.
async fn patch(
    context: &Context,
    commit: &CommitId,
    onto: &CommitId,
) -> Result<Option<[u8; 32]>, Error> {
    let repository = &context.repository;
    match repository.merge_base(commit, onto).await? {
        Some(from) if from != *commit => repository.patch_digest(&from, commit).await,
        _ => Ok(None),
    }
}
