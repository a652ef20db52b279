//! Doing what a finding's remedy says. Each looks again first, so that a finding that is no longer true does no harm.

use std::path::Path;

use super::finding::{Finding, Remedy};
use crate::git::{NotMoved, RefEdit, RefName};
use crate::run::RunId;
use crate::runner::{self, Context};
use crate::store::{StoreError, audit, runs};
use crate::{merge, process, worktree};

/// Why a finding is not mended.
#[derive(Debug, thiserror::Error)]
pub enum NotMended {
    /// A person must decide.
    #[error("it is not for the service to mend")]
    ByHand,
    /// It is not so any more.
    #[error("something has changed since it was found: look again")]
    Changed,
    /// The commit is gone, and its work with it.
    #[error("commit {0} is not in the repository any more")]
    Gone(crate::run::CommitId),
    /// The system holds it.
    #[error("{0}")]
    Held(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// git failed.
    #[error(transparent)]
    Git(#[from] crate::git::Error),
    /// A ref was not changed.
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    /// A place was not set aside.
    #[error(transparent)]
    Place(#[from] worktree::CreateError),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Mends it. Done already is as good.
///
/// # Errors
/// As [`NotMended`] says; it can be tried again.
pub async fn mend(context: &Context, finding: &Finding) -> Result<(), NotMended> {
    let repository = &context.repository;
    match &finding.remedy {
        Remedy::ByHand => Err(NotMended::ByHand),
        Remedy::Rebuild(run) => {
            let run = *run;
            let store = context.journal.store();
            Ok(store.write(move |db| audit::rebuild(db, run)).await?)
        }
        Remedy::Release(candidate) => Ok(merge::release(repository, candidate).await?),
        Remedy::KeepAgain(run, commit) => {
            if !repository.has_commit(commit).await? {
                return Err(NotMended::Gone(commit.clone()));
            }
            let edit = RefEdit::Create(RefName::preserved(*run), commit.clone());
            match repository.edit_refs(&[edit], "kept again").await {
                Ok(()) | Err(NotMoved::Changed { now: Some(_), .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Remedy::Note(run) => match context.journal.run(*run)? {
            Some(run) => Ok(runner::write_note(context, &run).await?),
            None => Err(NotMended::Changed),
        },
        Remedy::EmptyTrash => {
            let trash = worktree::trash_below(&context.config.worktrees_root);
            let emptied = worktree::empty_trash(&trash).await?;
            match emptied.left.into_iter().next() {
                None => Ok(()),
                Some(left) => Err(NotMended::Held(left)),
            }
        }
        Remedy::End(run, identity) => {
            if is_at_work(context, *run)? {
                return Err(NotMended::Changed);
            }
            let what = "end the process";
            let ended = process::end(identity);
            ended.map_err(|source| NotMended::Io { what, source })?;
            Ok(())
        }
        Remedy::EndCgroup(run, cgroup) => {
            if is_at_work(context, *run)? {
                return Err(NotMended::Changed);
            }
            let what = "end the cgroup";
            let cgroup = cgroup.clone();
            let ended = tokio::task::spawn_blocking(move || process::end_cgroup(&cgroup)).await;
            let ended = ended.unwrap_or_else(|e| Err(e.into()));
            ended.map_err(|source| NotMended::Io { what, source })
        }
        Remedy::TakeRound(folder) => {
            if is_under_way(context, folder)? {
                return Err(NotMended::Changed);
            }
            Ok(worktree::take_away_clean(folder).await?)
        }
        Remedy::GiveBack(id) => match context.pool.drop_wrong(id).await? {
            true => Ok(()),
            false => Err(NotMended::Changed),
        },
        Remedy::SetAside(place) => {
            let what = "look who works there";
            let path = place.path();
            let workers =
                process::folders_at_work().map_err(|source| NotMended::Io { what, source })?;
            if workers.iter().any(|(_, folder)| folder.starts_with(&path)) {
                return Err(NotMended::Changed);
            }
            worktree::set_aside(repository, place).await?;
            let trash = place.trash();
            // What cannot be deleted now is left in the trash, which is emptied every day.
            if let Err(error) = worktree::empty_trash(&trash).await {
                tracing::warn!(%error, "the trash could not be emptied");
            }
            Ok(())
        }
    }
}

fn is_at_work(context: &Context, run: RunId) -> Result<bool, StoreError> {
    let run = context.journal.run(run)?;
    Ok(run.is_some_and(|run| run.may_have_processes()))
}

/// Whether this is the folder of a round of checks that is under way.
fn is_under_way(context: &Context, folder: &Path) -> Result<bool, StoreError> {
    let phases = ["checking", "merge_queued", "aborting"];
    let store = context.journal.store();
    for run in store.read(|db| runs::ids_by_phase(db, &phases))? {
        let round = context
            .journal
            .run(run)?
            .and_then(|run| run.round_under_way());
        if round.is_some_and(|round| context.files.of_round(round) == folder) {
            return Ok(true);
        }
    }
    Ok(false)
}
