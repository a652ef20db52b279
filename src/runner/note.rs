//! What was proven of a merge, as a note on its commit.
//!
//! It is written once the merge is recorded and before the run's worktree goes; a run whose worktree is there is
//! looked at by each start, so a crash in between is made good then. Written again it is the same, byte for byte.

use super::Context;
use super::driver::Driver;
use crate::dod::Head;
use crate::git::{Error, NotMoved};
use crate::proof::{self, Merge};
use crate::run::{Phase, Run};

/// The commits of the run's merge, as git has them; nothing if it has not merged, or by a commit of another shape.
///
/// # Errors
/// git failed.
pub async fn merge_of(context: &Context, run: &Run) -> Result<Option<Merge>, Error> {
    let Phase::Merged { commit, at } = &run.phase else {
        return Ok(None);
    };
    let repository = &context.repository;
    let parents = repository.parents_of(commit).await?;
    let [onto, head] = parents.as_slice() else {
        return Ok(None);
    };
    Ok(Some(Merge {
        commit: commit.clone(),
        tree: repository.tree_of(commit).await?,
        onto: onto.clone(),
        head: Head {
            commit: head.clone(),
            tree: repository.tree_of(head).await?,
        },
        at: *at,
    }))
}

/// Puts what was proven on the merge commit. Done already is as good.
///
/// # Errors
/// git failed.
pub async fn write_note(context: &Context, run: &Run) -> Result<(), NotMoved> {
    let Some(merge) = merge_of(context, run).await? else {
        return Ok(());
    };
    let text = proof::of_merge(run, &merge).text();
    context.repository.set_note(&merge.commit, &text).await
}

impl Driver {
    /// Puts what was proven of the run on its merge commit.
    pub(super) async fn note(&self, run: &Run) -> anyhow::Result<()> {
        Ok(write_note(self.context(), run).await?)
    }
}
