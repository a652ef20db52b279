//! Making a worktree on a new branch.

use super::check_out::{Pace, catch_up, check_out, forget_staged};
use super::place::Place;
use super::remove::{RemoveBranch, clear};
use super::seed::{Fresh, Seeded, Seeding, seed};
use super::snapshot::snapshot;
use super::sparse;
use crate::effect::{self, Effect};
use crate::git::{Error, Head, Identity, NotMoved, RefEdit, RefName, Repository, read_head};
use crate::run::CommitId;

/// Why there is no worktree.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The commit to start from is not in the repository.
    #[error("commit {0} is not in the repository")]
    NoSuchCommit(CommitId),
    /// Somebody else made a branch of this name at the same moment.
    #[error("the branch {0} is in use")]
    BranchInUse(String),
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

impl From<NotMoved> for CreateError {
    fn from(error: NotMoved) -> Self {
        match error {
            NotMoved::Changed { name, .. } => CreateError::BranchInUse(name.to_string()),
            NotMoved::Git(error) => CreateError::Git(error),
        }
    }
}

/// Makes the worktree with its branch at `commit`; there already, exactly so, is as good.
///
/// What is left over at its path or under its branch's name is first kept under
/// `refs/agent_runner/preserved/leftover/<branch>/` and then removed. If this fails, nothing of it stays.
///
/// Others make theirs meanwhile: they wait for each other's registration and never for a checkout.
pub async fn create(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
) -> Result<(), CreateError> {
    create_seeded(repo, place, commit, None).await.map(|_| ())
}

/// The same, with what is to be seeded. Answers what was, if the worktree was made anew.
pub async fn create_seeded(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
    seeding: Option<&Seeding>,
) -> Result<Option<Seeded>, CreateError> {
    if !repo.has_commit(commit).await? {
        return Err(CreateError::NoSuchCommit(commit.clone()));
    }
    if is_made(repo, place, commit).await? {
        return Ok(None);
    }
    build(repo, place, commit, None, seeding).await
}

/// Whether it is there, whole, on its branch at this commit.
pub async fn is_made(repo: &Repository, place: &Place, commit: &CommitId) -> Result<bool, Error> {
    let branch = place.branch().to_ref();
    let admin = place.admin(repo);
    Ok(place.is_there()
        && admin.is_dir()
        && !place.is_unfinished(repo)
        && read_head(&admin) == Head::On(branch.to_string())
        && repo.resolve(&branch).await?.as_ref() == Some(commit))
}

/// Clears the place and makes it anew; `work` is a commit whose files lie in it as uncommitted changes.
pub(super) async fn build(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
    work: Option<&CommitId>,
    seeding: Option<&Seeding>,
) -> Result<Option<Seeded>, CreateError> {
    let registered = {
        let _one_at_a_time = repo.places.lock().await;
        make_way(repo, place, commit).await?;
        register(repo, place, commit).await
    };
    let built = match registered {
        Ok(()) => fill(repo, place, commit, work, seeding).await,
        Err(error) => Err(error),
    };
    if built.is_err() {
        let _one_at_a_time = repo.places.lock().await;
        // The first error is the one to tell; what cannot be cleared now is a leftover next time.
        let _ = clear(repo, place, &deleted_at(commit)).await;
    }
    built
}

/// Keeps what lies at the place and takes it away, with the branch.
pub(super) async fn make_way(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
) -> Result<(), CreateError> {
    keep_leftovers(repo, place, commit).await?;
    Ok(clear(repo, place, &deleted_at(commit)).await?)
}

fn deleted_at(commit: &CommitId) -> RemoveBranch {
    RemoveBranch::Delete {
        expected: commit.clone(),
    }
}

async fn register(repo: &Repository, place: &Place, commit: &CommitId) -> Result<(), CreateError> {
    effect::awaits(Effect::PlaceRegister)
        .await
        .map_err(Error::from)?;
    place.register(repo)?;
    sparse::describe(repo, place)?;
    let edit = RefEdit::Create(place.branch().to_ref(), commit.clone());
    Ok(repo.edit_refs(&[edit], "a run starts here").await?)
}

async fn fill(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
    work: Option<&CommitId>,
    seeding: Option<&Seeding>,
) -> Result<Option<Seeded>, CreateError> {
    let (folder, index) = (place.path(), place.admin(repo).join("index"));
    effect::awaits(Effect::PlaceCheckout)
        .await
        .map_err(Error::from)?;
    if place.cone().is_whole() {
        check_out(repo, &folder, &index, commit, Pace::Now).await?;
    } else {
        sparse::check_out(repo, place, commit).await?;
    }
    if let Some(work) = work {
        effect::awaits(Effect::PlaceWork)
            .await
            .map_err(Error::from)?;
        if place.cone().is_whole() {
            catch_up(repo, &folder, &index, (commit, work)).await?;
            forget_staged(repo, &folder, &index, commit).await?;
        } else {
            sparse::lay(repo, place, commit, work).await?;
        }
    }
    let seeded = seed_if_asked(repo, place, seeding).await?;
    effect::awaits(Effect::PlaceFinish)
        .await
        .map_err(Error::from)?;
    place.finish(repo)?;
    Ok(seeded)
}

/// Seeds a worktree that stood ready and has become this place. A crash in the middle leaves it unfinished: it is made anew
/// then, as half a cache may be worse than none.
///
/// # Errors
/// The file system failed.
pub async fn seed_claimed(
    repo: &Repository,
    place: &Place,
    seeding: &Seeding,
) -> Result<Option<Seeded>, CreateError> {
    place.begin(repo)?;
    let seeded = seed_if_asked(repo, place, Some(seeding)).await?;
    place.finish(repo)?;
    Ok(seeded)
}

async fn seed_if_asked(
    repo: &Repository,
    place: &Place,
    seeding: Option<&Seeding>,
) -> Result<Option<Seeded>, Error> {
    let Some(seeding) = seeding.filter(|seeding| !seeding.paths.is_empty()) else {
        return Ok(None);
    };
    effect::awaits(Effect::PlaceSeed).await?;
    let (folder, index) = (place.path(), place.admin(repo).join("index"));
    let fresh = Fresh {
        folder: &folder,
        index: &index,
    };
    Ok(Some(seed(repo, fresh, seeding).await))
}

/// Pins work that lies at the place. What a crash left of an unfinished worktree is not work.
pub(super) async fn keep_leftovers(
    repo: &Repository,
    place: &Place,
    commit: &CommitId,
) -> Result<(), CreateError> {
    if place.is_unfinished(repo) || !place.is_there() {
        return Ok(());
    }
    let tip = repo.resolve(&place.branch().to_ref()).await?;
    let standing = place.standing(repo).await?.or(tip);
    let index = place.admin(repo).join("index");
    let taken = snapshot(
        repo,
        &place.path(),
        Some(&index),
        standing.as_ref(),
        place.cone(),
    )
    .await?;
    let parent = standing.unwrap_or_else(|| commit.clone());
    let kept = if repo.tree_of(&parent).await? == taken.tree {
        parent
    } else {
        let message = format!("Left over in the worktree of {}\n", place.branch());
        repo.commit_tree(&taken.tree, &[&parent], &Identity::service(), &message)
            .await?
    };
    if kept != *commit {
        let pin = RefEdit::Set(RefName::leftover(place.branch(), &kept), kept);
        repo.edit_refs(&[pin], "left over").await?;
    }
    Ok(())
}
