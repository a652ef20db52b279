//! When an agent has ended: its uncommitted work is committed, and the branch has its head.
//!
//! Where the agent's HEAD stands decides, as it need not be on the run's branch any more:
//!
//! | HEAD stands | what happens |
//! | --- | --- |
//! | on the branch | uncommitted work becomes a commit on it |
//! | elsewhere, ahead of the branch (detached, another branch) | the branch is moved forward to there, then the same |
//! | elsewhere, behind the branch, nothing uncommitted | nothing; the branch's tip is the head |
//! | elsewhere, and the two went different ways (a rebase in progress) | the branch's tip is the head; what stands elsewhere is kept *aside* under `refs/agent_runner/preserved/leftover/`, and told |
//! | nowhere, or the branch is gone | the one that is left takes its place |
//!
//! A commit of the service has one parent, also in a half-done merge: what the files say is what is proven.

use super::place::{Place, write};
use super::snapshot::{Snapshot, snapshot};
use crate::effect::{self, Effect};
use crate::git::{Error, Identity, NotMoved, RefEdit, RefName, Repository};
use crate::run::{CommitId, TreeId};

/// What git leaves in a worktree's git dir while something is in progress there.
const IN_PROGRESS: &[&str] = &[
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
];

/// How to settle.
#[derive(Debug, Clone)]
pub struct Settle<'a> {
    /// The commit that the run started from.
    pub start: &'a CommitId,
    /// Who the commit is by.
    pub identity: &'a Identity,
    /// Its message.
    pub message: &'a str,
    /// Whether there is to be an empty commit if nothing at all was done.
    pub empty_commit: bool,
}

/// The head of a run's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The tip of the run's branch.
    pub commit: CommitId,
    /// Its tree.
    pub tree: TreeId,
    /// Whether uncommitted work was committed.
    pub leftovers: bool,
    /// Work that went another way than the branch, kept beside it.
    pub aside: Option<CommitId>,
    /// What could not be kept, a sentence each.
    pub missed: Vec<String>,
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Neither the branch nor a HEAD in the worktree is there any more.
    #[error("nothing is left of the branch {0}: neither the branch nor its worktree")]
    NothingLeft(String),
    /// The branch moved meanwhile: somebody is still at work.
    #[error("the branch {0} still moves")]
    StillMoving(String),
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

impl From<NotMoved> for SettleError {
    fn from(error: NotMoved) -> Self {
        match error {
            NotMoved::Changed { name, .. } => SettleError::StillMoving(name.to_string()),
            NotMoved::Git(error) => SettleError::Git(error),
        }
    }
}

/// Commits what is uncommitted and fixes the head. Run again with nothing new, it says the same.
pub async fn settle(
    repo: &Repository,
    place: &Place,
    how: &Settle<'_>,
) -> Result<Settled, SettleError> {
    let branch = place.branch().to_ref();
    place.break_locks(repo)?;
    let tip = repo.resolve(&branch).await?;
    let standing = place.standing(repo).await?;
    let nothing_left = || SettleError::NothingLeft(place.branch().to_string());
    let at = match standing.or_else(|| tip.clone()) {
        Some(at) => at,
        None if place.is_there() => how.start.clone(),
        None => return Err(nothing_left()),
    };
    let taken = take(repo, place, &at).await?;
    let leftovers = match &taken {
        Some(taken) => taken.tree != repo.tree_of(&at).await?,
        None => false,
    };
    let work = match &taken {
        Some(taken) if leftovers => {
            repo.commit_tree(&taken.tree, &[&at], how.identity, how.message)
                .await?
        }
        _ => at.clone(),
    };
    let missed = taken
        .as_ref()
        .map(|taken| taken.missed.clone())
        .unwrap_or_default();
    let (mut commit, aside) = match tip {
        None => {
            advance(repo, &branch, None, &work).await?;
            (work, None)
        }
        Some(tip) if repo.is_ancestor(&tip, &at).await? => {
            advance(repo, &branch, Some(&tip), &work).await?;
            (work, None)
        }
        Some(tip) if !leftovers && repo.is_ancestor(&at, &tip).await? => (tip, None),
        Some(tip) => {
            let pin = RefEdit::Set(RefName::leftover(place.branch(), &work), work.clone());
            repo.edit_refs(&[pin], "work beside the branch").await?;
            (tip, Some(work))
        }
    };
    if aside.is_none()
        && let Some(taken) = taken
        && repo.tree_of(&commit).await? == taken.tree
    {
        effect::awaits(Effect::SettleTidy)
            .await
            .map_err(Error::from)?;
        tidy(repo, place, &taken)?;
    }
    if how.empty_commit && commit == *how.start {
        let tree = repo.tree_of(&commit).await?;
        let empty = repo
            .commit_tree(&tree, &[&commit], how.identity, how.message)
            .await?;
        advance(repo, &branch, Some(&commit), &empty).await?;
        commit = empty;
    }
    let tree = repo.tree_of(&commit).await?;
    Ok(Settled {
        commit,
        tree,
        leftovers: leftovers && aside.is_none(),
        aside,
        missed,
    })
}

/// The content of the worktree, if it is there.
pub(super) async fn take(
    repo: &Repository,
    place: &Place,
    at: &CommitId,
) -> Result<Option<Snapshot>, Error> {
    if !place.is_there() {
        return Ok(None);
    }
    let index = place.admin(repo).join("index");
    snapshot(repo, &place.path(), Some(&index), Some(at), place.cone())
        .await
        .map(Some)
}

async fn advance(
    repo: &Repository,
    branch: &RefName,
    from: Option<&CommitId>,
    to: &CommitId,
) -> Result<(), NotMoved> {
    let edit = match from {
        Some(from) if from == to => return Ok(()),
        Some(from) => RefEdit::Move {
            name: branch.clone(),
            from: from.clone(),
            to: to.clone(),
        },
        None => RefEdit::Create(branch.clone(), to.clone()),
    };
    repo.edit_refs(&[edit], "the agent has ended").await
}

/// The worktree as if the agent had committed by itself: on its branch, nothing in progress, the index as the
/// files are. So it can go on there.
fn tidy(repo: &Repository, place: &Place, taken: &Snapshot) -> Result<(), Error> {
    let admin = place.admin(repo);
    place.connect(repo)?;
    place.put_on_branch(repo)?;
    super::sparse::describe(repo, place)?;
    for name in IN_PROGRESS {
        super::trash::delete(&admin.join(name))?;
    }
    let index = std::fs::read(&taken.index.0).map_err(Error::io("read", &taken.index.0))?;
    write(&admin.join("index"), &index)
}
