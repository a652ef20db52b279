//! The merge commit under test.

use serde::{Deserialize, Serialize};

use crate::effect::{self, Effect};
use crate::git::{Error, Identity, NotMoved, RefEdit, RefName, Repository};
use crate::run::{CommitId, TreeId};

/// A merge commit with two parents, `onto` and `head`, that is not on any branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The merge commit.
    pub commit: CommitId,
    /// Its tree: what the checks run on and what lands.
    pub tree: TreeId,
    /// The tip of the base that it was made for: its first parent.
    pub onto: CommitId,
    /// The head of the run's work: its second parent.
    pub head: CommitId,
}

/// Why there is no candidate.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// Both sides changed the same lines, or one removed what the other changed.
    #[error("conflicts in {}", paths.join(", "))]
    Conflict {
        /// The files, from the root of the repository.
        paths: Vec<String>,
    },
    /// The base has all of the work already.
    #[error("the base has all of it already")]
    NothingToMerge,
    /// The two have no common ancestor.
    #[error("the work has no history in common with the base")]
    Unrelated,
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

impl From<NotMoved> for CandidateError {
    fn from(error: NotMoved) -> Self {
        match error {
            NotMoved::Git(error) => CandidateError::Git(error),
            NotMoved::Changed { name, .. } => {
                let busy = std::io::ErrorKind::ResourceBusy.into();
                CandidateError::Git(Error::io("write the ref", name.as_str())(busy))
            }
        }
    }
}

/// Merges `head` into `onto`, always with a merge commit, touching no branch and no checkout. It is pinned
/// under `refs/agent_runner/candidates/` until it lands or is [released](release).
pub async fn candidate(
    repo: &Repository,
    onto: &CommitId,
    head: &CommitId,
    message: &str,
    identity: &Identity,
) -> Result<Candidate, CandidateError> {
    if repo.is_ancestor(head, onto).await? {
        return Err(CandidateError::NothingToMerge);
    }
    if repo.merge_base(onto, head).await?.is_none() {
        return Err(CandidateError::Unrelated);
    }
    let tree = merged_tree(repo, onto, head).await?;
    let commit = repo
        .merge_commit(&tree, &[onto, head], identity, message)
        .await?;
    let pin = RefEdit::Set(RefName::candidate(&commit), commit.clone());
    repo.edit_refs(&[pin], "a candidate").await?;
    Ok(Candidate {
        commit,
        tree,
        onto: onto.clone(),
        head: head.clone(),
    })
}

/// The files that stand between the two, from the root of the repository; none if they merge, or have nothing to merge.
///
/// # Errors
/// git failed.
pub async fn conflicts(
    repo: &Repository,
    onto: &CommitId,
    head: &CommitId,
) -> Result<Vec<String>, Error> {
    if repo.merge_base(onto, head).await?.is_none() {
        return Ok(Vec::new());
    }
    match merged_tree(repo, onto, head).await {
        Err(CandidateError::Conflict { paths }) => Ok(paths),
        Err(CandidateError::Git(error)) => Err(error),
        Ok(_) | Err(CandidateError::NothingToMerge | CandidateError::Unrelated) => Ok(Vec::new()),
    }
}

async fn merged_tree(
    repo: &Repository,
    onto: &CommitId,
    head: &CommitId,
) -> Result<TreeId, CandidateError> {
    effect::awaits(Effect::CandidateTree)
        .await
        .map_err(Error::from)?;
    let output = repo
        .call("merge-tree")
        // The base says which files merge by union and which are binary (git 2.43; older ones do not ask).
        .env("GIT_ATTR_SOURCE", onto.as_str())
        .args([
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            onto.as_str(),
            head.as_str(),
        ])
        .run_expecting(&[0, 1])
        .await?;
    let mut fields = output.fields();
    let tree = fields
        .next()
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .into_owned();
    if output.code() == 1 {
        let mut paths: Vec<_> = fields
            .filter(|field| !field.is_empty())
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect();
        paths.sort();
        paths.dedup();
        return Err(CandidateError::Conflict { paths });
    }
    Ok(tree.parse().map_err(|_| output.unreadable(&tree))?)
}

/// Lets go of a candidate that will not land. Gone already is as good.
pub async fn release(repo: &Repository, candidate: &CommitId) -> Result<(), Error> {
    let pin = RefEdit::Delete(RefName::candidate(candidate), candidate.clone());
    match repo.edit_refs(&[pin], "not landed").await {
        Ok(()) | Err(NotMoved::Changed { .. }) => Ok(()),
        Err(NotMoved::Git(error)) => Err(error),
    }
}
