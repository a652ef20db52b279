//! The gate, asked with the facts as git has them now.

use super::{Context, changed_where_asked};
use crate::dod::Head;
use crate::gate::{self, Blocker, Facts, Permit};
use crate::git::{Error, RefName};
use crate::run::{CommitId, Phase, Run, Status, StubReason};

/// The answer of the gate, with the facts that it was asked about.
#[derive(Debug)]
pub struct Asked {
    /// The branch as it is in git.
    pub head: Option<Head>,
    /// The paths that the work changes, if an item asks for them and they are known.
    pub changed: Option<Vec<String>>,
    /// Leave to merge, or every reason why not.
    pub answer: Result<Permit, Vec<Blocker>>,
}

/// The work as it is now: the branch's tip in git while the run is alive, else what was recorded.
///
/// # Errors
/// git failed.
pub async fn current_head(context: &Context, run: &Run) -> Result<Option<Head>, Error> {
    if matches!(run.phase, Phase::Merged { .. } | Phase::Aborted { .. }) || !run.placed {
        return Ok(run.head.clone());
    }
    let Ok(branch) = RefName::branch(&run.branch) else {
        return Ok(None);
    };
    let Some(commit) = context.repository.resolve(&branch).await? else {
        return Ok(None);
    };
    if let Some(head) = &run.head
        && head.commit == commit
    {
        return Ok(Some(head.clone()));
    }
    let tree = context.repository.tree_of(&commit).await?;
    Ok(Some(Head { commit, tree }))
}

/// Where the run's base branch is in git; nothing if it is gone.
///
/// # Errors
/// git failed.
pub async fn base_tip(context: &Context, run: &Run) -> Result<Option<CommitId>, Error> {
    match RefName::branch(&run.spec.base) {
        Ok(base) => context.repository.resolve(&base).await,
        Err(_) => Ok(None),
    }
}

/// May this run merge?
///
/// # Errors
/// git failed.
pub async fn ask_gate(context: &Context, run: &Run) -> Result<Asked, Error> {
    ask_as(context, run, run.status()).await
}

/// May this run merge, whose turn in the merge queue it is? That it waits there is no reason against it.
///
/// # Errors
/// git failed.
pub(super) async fn ask_gate_in_turn(context: &Context, run: &Run) -> Result<Asked, Error> {
    ask_as(context, run, run.status_for_gate()).await
}

async fn ask_as(context: &Context, run: &Run, status: Status) -> Result<Asked, Error> {
    let head = current_head(context, run).await?;
    let onto = base_tip(context, run).await?;
    let contained = match (&head, &onto) {
        // The work of a run that was taken away is kept for a while only.
        (Some(head), Some(_))
            if !run.placed && !context.repository.has_commit(&head.commit).await? =>
        {
            false
        }
        (Some(head), Some(onto)) => context.repository.is_ancestor(&head.commit, onto).await?,
        _ => false,
    };
    let changed = changed_where_asked(context, run, head.as_ref()).await?;
    let answer = gate::ask(&Facts {
        status,
        accidental_stub: run.spec.stub == Some(StubReason::NoAgent),
        head: head.as_ref(),
        onto: onto.as_ref(),
        contained,
        items: &run.items,
        evidence: &run.evidence,
        changed: changed.as_deref(),
    });
    Ok(Asked {
        head,
        changed,
        answer,
    })
}
