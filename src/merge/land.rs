//! Moving the base to the candidate, and the checkouts of the base with it.

use std::path::PathBuf;

use super::bring::{Blocked, bring, obstacle};
use crate::gate::Cleared;
use crate::git::{
    Checkout, Error, Head, NotMoved, NotPushed, OnRemote, RefEdit, RefName, Repository,
};
use crate::run::CommitId;

/// The base has the candidate, on disk.
#[derive(Debug)]
pub enum Landed {
    /// It has it now.
    Now {
        /// The checkouts of the base that were brought along.
        checkouts: Vec<PathBuf>,
        /// Those that could not be: somebody changed them in the same moment. Their files are as they were;
        /// [`bring_along`](super::bring_along) tries again.
        behind: Vec<Behind>,
    },
    /// It had it before. Its checkouts were not looked at.
    Already,
}

/// A checkout of the base that is not at its tip.
#[derive(Debug)]
pub struct Behind {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Why it is not known to have landed; nothing moved, but for the last two of these.
#[derive(Debug, thiserror::Error)]
pub enum LandRefused {
    /// The base is not where the candidate was made for.
    #[error("the base moved to {now}")]
    BaseMoved {
        /// Where it is.
        now: CommitId,
    },
    /// There is no such branch.
    #[error("the base branch {0} is gone")]
    BaseGone(String),
    /// The branch is another name for a branch: moving it would cut it off.
    #[error("the base branch {0} is a symbolic ref; name the branch that it stands for")]
    BaseSymbolic(String),
    /// The base is checked out, with uncommitted changes in files that would change.
    #[error("{} has uncommitted changes in {}", path.display(), paths.join(", "))]
    CheckedOutDirty {
        /// The checkout.
        path: PathBuf,
        /// The files, from its root.
        paths: Vec<String>,
    },
    /// The base is checked out where something is in progress.
    #[error("{} has the base checked out: {why}", path.display())]
    CheckoutBusy {
        /// The checkout.
        path: PathBuf,
        /// What is going on there.
        why: &'static str,
    },
    /// The remote did not take it.
    #[error(transparent)]
    NotPushed(#[from] NotPushed),
    /// The remote has it, and the base moved meanwhile.
    #[error(
        "the remote has {candidate} on {base}, and the base of this repository moved to {now} meanwhile; bring the two together, \
         for example by merging what the remote has"
    )]
    PushedButBaseMoved {
        /// The base.
        base: String,
        /// What the remote has.
        candidate: CommitId,
        /// Where the base is, or that it is gone.
        now: String,
    },
    /// git failed: it may have moved all the same.
    #[error(transparent)]
    Git(#[from] Error),
}

/// Lands the cleared candidate on the branch: a compare-and-swap from the commit that it was made for. What refuses
/// is found before anything moves. Landing again what has landed says so and changes nothing.
///
/// Where merges are pushed, the remote's branch moves first: if it does not, nothing has.
pub async fn land(
    repo: &Repository,
    base: &RefName,
    cleared: Cleared,
) -> Result<Landed, LandRefused> {
    move_base(repo, base, cleared.onto(), &cleared.candidate().commit).await
}

/// For recovery: lands a candidate that the remote has, which was cleared before it was pushed. Nothing, if the remote is
/// where the candidate was made for: then nothing moved.
pub async fn land_pushed(
    repo: &Repository,
    base: &RefName,
    onto: &CommitId,
    candidate: &CommitId,
) -> Result<Option<Landed>, LandRefused> {
    match repo.on_remote(base).await {
        OnRemote::At(Some(at)) if at == *candidate => {}
        OnRemote::At(Some(at)) if at == *onto => return Ok(None),
        other => {
            let is = match other {
                OnRemote::At(Some(at)) => format!("its {base} is at {at}"),
                OnRemote::At(None) => format!("it has no {base}"),
                OnRemote::Unknown(why) => format!("it cannot be asked: {why}"),
            };
            let why = format!("whether the remote has got {candidate} is not known; {is}");
            return Err(NotPushed::Failed(why).into());
        }
    }
    match move_base(repo, base, onto, candidate).await {
        Ok(landed) => Ok(Some(landed)),
        Err(LandRefused::BaseMoved { now }) => Err(apart(base, candidate, Some(&now))),
        Err(LandRefused::BaseGone(_)) => Err(apart(base, candidate, None)),
        Err(refused) => Err(refused),
    }
}

/// The remote has it, and the base is elsewhere.
fn apart(base: &RefName, candidate: &CommitId, now: Option<&CommitId>) -> LandRefused {
    LandRefused::PushedButBaseMoved {
        base: base.to_string(),
        candidate: candidate.clone(),
        now: now.map_or_else(|| "nothing (it is gone)".to_owned(), CommitId::to_string),
    }
}

async fn move_base(
    repo: &Repository,
    base: &RefName,
    onto: &CommitId,
    candidate: &CommitId,
) -> Result<Landed, LandRefused> {
    let _in_order = repo.landing.lock().await;
    let gone = || LandRefused::BaseGone(base.to_string());
    let now = repo.resolve(base).await?.ok_or_else(gone)?;
    if let Some(landed) = landed_already(repo, candidate, &now).await? {
        return Ok(landed);
    }
    if now != *onto {
        return Err(LandRefused::BaseMoved { now });
    }
    if repo.is_symbolic(base) {
        return Err(LandRefused::BaseSymbolic(base.to_string()));
    }
    let checkouts = checkouts_of(repo, base)?;
    for checkout in &checkouts {
        match obstacle(repo, checkout, onto, candidate).await? {
            None => {}
            Some(Blocked::Busy(why)) => {
                return Err(LandRefused::CheckoutBusy {
                    path: checkout.path.clone(),
                    why,
                });
            }
            Some(Blocked::Dirty(paths)) => {
                return Err(LandRefused::CheckedOutDirty {
                    path: checkout.path.clone(),
                    paths,
                });
            }
        }
    }
    break_own_lock(repo, base, candidate).await?;
    repo.push(base, onto, candidate).await?;
    let edit = RefEdit::Move {
        name: base.clone(),
        from: onto.clone(),
        to: candidate.clone(),
    };
    // The candidate's pin goes with it; one that was let go before is none.
    let pin = RefName::candidate(candidate);
    let edits = [edit, RefEdit::Delete(pin.clone(), candidate.clone())];
    let reason = "merged by agent_runner_api";
    let mut moved = repo.edit_refs(&edits, reason).await;
    if matches!(&moved, Err(NotMoved::Changed { name, .. }) if *name == pin) {
        moved = repo.edit_refs(&edits[..1], reason).await;
    }
    match moved {
        Ok(()) => {}
        Err(NotMoved::Git(error)) => return Err(error.into()),
        Err(NotMoved::Changed { .. }) => {
            let now = repo.resolve(base).await?;
            if let Some(now) = &now
                && let Some(landed) = landed_already(repo, candidate, now).await?
            {
                return Ok(landed);
            }
            return Err(match now {
                now if repo.pushes() => apart(base, candidate, now.as_ref()),
                Some(now) => LandRefused::BaseMoved { now },
                None => gone(),
            });
        }
    }
    let (mut brought, mut behind) = (Vec::new(), Vec::new());
    for checkout in checkouts {
        // It has landed: from here on nothing may say that it has not.
        let mut brought_along = bring(repo, &checkout, onto, candidate).await;
        if let Err(error) = &brought_along {
            // Left like this, its owner's next commit would take the merge back.
            tracing::warn!(%error, checkout = %checkout.path.display(), "a checkout was not brought along; once more");
            brought_along = again(repo, &checkout, onto, candidate).await;
        }
        match brought_along {
            Ok(None) => brought.push(checkout.path),
            Ok(Some(blocked)) => {
                behind.push(Behind {
                    path: checkout.path,
                    why: blocked.to_string(),
                });
            }
            Err(error) => behind.push(Behind {
                path: checkout.path,
                why: error.to_string(),
            }),
        }
    }
    Ok(Landed::Now {
        checkouts: brought,
        behind,
    })
}

/// What recovery does, at once.
async fn again(
    repo: &Repository,
    checkout: &Checkout,
    onto: &CommitId,
    candidate: &CommitId,
) -> Result<Option<Blocked>, Error> {
    repo.break_stale_locks().await?;
    bring(repo, checkout, onto, candidate).await
}

async fn landed_already(
    repo: &Repository,
    candidate: &CommitId,
    now: &CommitId,
) -> Result<Option<Landed>, Error> {
    Ok(repo
        .is_ancestor(candidate, now)
        .await?
        .then_some(Landed::Already))
}

/// Takes away the lock of a git that was killed while it moved the base to this very candidate, whose name nobody else
/// knows, and all other locks that gits of ours have left. Whether a git is still alive that may yet move the base.
///
/// # Errors
/// A lock cannot be looked at or removed.
pub async fn break_own_lock(
    repo: &Repository,
    base: &RefName,
    candidate: &CommitId,
) -> Result<bool, Error> {
    let lock = repo.common_dir().join(format!("{base}.lock"));
    let text = std::fs::read_to_string(&lock);
    if text.is_ok_and(|text| text.trim() == candidate.as_str()) {
        std::fs::remove_file(&lock).map_err(Error::io("remove", &lock))?;
    }
    Ok(repo.break_stale_locks().await?.in_doubt)
}

/// Where the branch is checked out, or being rebased.
pub(super) fn checkouts_of(repo: &Repository, base: &RefName) -> Result<Vec<Checkout>, Error> {
    let on_base = Head::On(base.to_string());
    let mut checkouts = repo.checkouts()?;
    checkouts.retain(|checkout| {
        checkout.head == on_base || checkout.rebases().as_deref() == Some(base.as_str())
    });
    Ok(checkouts)
}
