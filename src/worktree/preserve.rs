//! Keeping all work of a run under one ref, before its worktree goes.
//!
//! `refs/agent_runner/preserved/<run>` is a commit whose tree is what lay in the worktree, whose first parent
//! is the branch's tip, and whose other parents are what must not be lost beside it: where HEAD stood, if that
//! is not in the branch, and what was preserved before under this run.

use super::place::Place;
use super::settle::take;
use super::special::specials;
use crate::git::{Error, Identity, NotMoved, RefEdit, RefName, Repository};
use crate::run::{CommitId, RunId};

/// Work that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preserved {
    /// The commit under `refs/agent_runner/preserved/<run>`.
    pub commit: CommitId,
    /// The tip that the branch had.
    pub tip: CommitId,
    /// Whether there was uncommitted work.
    pub uncommitted: bool,
    /// What could not be kept, a sentence each.
    pub missed: Vec<String>,
}

/// Keeps committed, tracked and untracked work (not what is ignored). `None` if neither a branch nor a
/// worktree is there and nothing was kept before. Run again, it gives what is kept already.
pub async fn preserve(
    repo: &Repository,
    run: RunId,
    place: &Place,
) -> Result<Option<Preserved>, Error> {
    let name = RefName::preserved(run);
    let before = repo.resolve(&name).await?;
    let tip = repo.resolve(&place.branch().to_ref()).await?;
    let unfinished = place.is_unfinished(repo);
    let standing = if unfinished {
        None
    } else {
        place.standing(repo).await?
    };
    let Some(tip) = tip.or_else(|| standing.clone()) else {
        return Ok(match before {
            Some(commit) => Some(load(repo, commit).await?),
            None => None,
        });
    };
    let at = standing.unwrap_or_else(|| tip.clone());
    let taken = if unfinished {
        None
    } else {
        take(repo, place, &at).await?
    };
    let (tree, missed, uncommitted) = match taken {
        Some(taken) => {
            let uncommitted = taken.tree != repo.tree_of(&at).await?;
            let mut missed = taken.missed.clone();
            missed.extend(specials(&place.path()).await?);
            (taken.tree, missed, uncommitted)
        }
        None => (repo.tree_of(&tip).await?, Vec::new(), false),
    };
    let mut parents = vec![&tip];
    if !repo.is_ancestor(&at, &tip).await? {
        parents.push(&at);
    }
    if let Some(before) = &before {
        let known = load(repo, before.clone()).await?;
        // Once removed, what was preserved is more than what is left.
        let gone = !place.is_there() || unfinished;
        if known.tip == tip && (gone || repo.tree_of(before).await? == tree) {
            return Ok(Some(known));
        }
        parents.push(before);
    }
    let text = message(run, place, &missed);
    let commit = repo
        .commit_tree(&tree, &parents, &Identity::service(), &text)
        .await?;
    let edit = match &before {
        Some(before) => RefEdit::Move {
            name,
            from: before.clone(),
            to: commit.clone(),
        },
        None => RefEdit::Create(name, commit.clone()),
    };
    match repo.edit_refs(&[edit], "before the worktree goes").await {
        Ok(()) => Ok(Some(Preserved {
            commit,
            tip,
            uncommitted,
            missed,
        })),
        // Two at once keep the same; the other one's is as good.
        Err(NotMoved::Changed {
            now: Some(commit), ..
        }) => load(repo, commit).await.map(Some),
        Err(NotMoved::Changed { name, now: None }) => {
            let path = repo.common_dir().join(name.as_str());
            Err(Error::io("keep", path)(
                std::io::ErrorKind::ResourceBusy.into(),
            ))
        }
        Err(NotMoved::Git(error)) => Err(error),
    }
}

/// Before each line of a preserving commit that says what is not in it.
const NOT_KEPT: &str = "Not kept: ";

/// The message of a preserving commit.
pub(super) fn message(run: RunId, place: &Place, missed: &[String]) -> String {
    let branch = place.branch();
    let mut text = format!("Preserved work of run {run}\n\nBranch: {branch}\n");
    for missed in missed {
        let missed = missed.replace(char::is_control, "?");
        text.push_str(&format!("{NOT_KEPT}{missed}\n"));
    }
    text
}

/// What such a message says is not in the commit.
pub(super) fn missed_in(message: &str) -> Vec<String> {
    let lines = message.lines();
    lines
        .filter_map(|line| line.strip_prefix(NOT_KEPT))
        .map(str::to_owned)
        .collect()
}

/// What a preserving commit says.
pub(super) async fn load(repo: &Repository, commit: CommitId) -> Result<Preserved, Error> {
    let parents = repo.parents_of(&commit).await?;
    let tip = parents.into_iter().next().unwrap_or_else(|| commit.clone());
    let uncommitted = repo.tree_of(&commit).await? != repo.tree_of(&tip).await?;
    Ok(Preserved {
        commit,
        tip,
        uncommitted,
        missed: Vec::new(),
    })
}
