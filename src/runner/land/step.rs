//! The steps of a landing, done under the lane's lock: the candidate, the intent, the swap of the base, and what is to be
//! cleared up after it.

use std::path::PathBuf;

use super::super::clean_up::clean_up_later;
use super::super::driver::{Ask, Driver};
use super::super::trailers::message_of;
use super::super::work::identity;
use super::pushed::{Stopped, push_code};
use super::{Landed, NotMerged, Tried, base_ref};
use crate::dod::Head;
use crate::gate::{self, Cleared, Permit, Proof};
use crate::journal::Answer;
use crate::merge::{self, CandidateError, LandRefused};
use crate::run::{Command, CommitId, Event, ItemId, Phase, Refusal, Run};
use crate::worktree::{self, RemoveBranch, Removed};

/// What a candidate lacks.
pub(super) struct Unproven {
    /// The items whose checks have not passed on its tree.
    pub(super) items: Vec<ItemId>,
    /// The paths that it would change in the base.
    pub(super) changed: Vec<String>,
}

impl Driver {
    /// The answer to a merge of what has merged: the same again.
    pub(super) async fn landed_before(&self, run: &Run) -> Result<Option<Landed>, NotMerged> {
        let Phase::Merged { commit, .. } = &run.phase else {
            return Ok(None);
        };
        let parents = self.context().repository.parents_of(commit).await?;
        let [onto, head] = parents.as_slice() else {
            return Ok(None);
        };
        Ok(Some(Landed {
            commit: Some(commit.clone()),
            onto: onto.clone(),
            head: head.clone(),
            fast_forwarded: Vec::new(),
            already: true,
            to_check: Vec::new(),
        }))
    }

    /// The merge commit that this permit allows, pinned.
    pub(super) async fn candidate(
        &self,
        run: &Run,
        permit: &Permit,
        message: Option<&str>,
    ) -> Result<Head, NotMerged> {
        let context = self.context();
        let made = merge::candidate(
            &context.repository,
            permit.onto(),
            &permit.head().commit,
            &message_of(run, permit.head(), message),
            &identity(context),
        )
        .await
        .map_err(|error| match error {
            CandidateError::Conflict { paths } => NotMerged::Conflict(paths),
            other => NotMerged::Failed(other.into()),
        })?;
        Ok(Head {
            commit: made.commit,
            tree: made.tree,
        })
    }

    /// Asks the gate about the candidate; the permit is used up. What has not passed on its tree, if there is anything.
    pub(super) async fn clear(
        &self,
        run: &Run,
        permit: Permit,
        candidate: Head,
    ) -> Result<Result<Cleared, Unproven>, NotMerged> {
        let repository = &self.context().repository;
        // What it would change in the base.
        let changed = repository
            .changed_paths(permit.onto(), &candidate.commit)
            .await?;
        let proof = Proof {
            items: &run.items,
            evidence: &run.evidence,
            changed: &changed,
        };
        let cleared = gate::clear(permit, candidate, &proof);
        Ok(cleared.map_err(|items| Unproven { items, changed }))
    }

    /// Lands what is cleared: the intent, then the swap. `version` is that of the run that the gate was asked about.
    pub(super) async fn land_cleared(
        &mut self,
        run: &Run,
        version: u64,
        cleared: Cleared,
    ) -> Result<Tried, NotMerged> {
        let (onto, head) = (cleared.onto().clone(), cleared.head().commit.clone());
        let candidate = cleared.candidate().commit.clone();
        let command = Command::Merge {
            onto: onto.clone(),
            head: head.clone(),
            candidate: candidate.clone(),
            version,
        };
        match self.context().journal.ask(self.id, command).await? {
            Answer::Done(_) => {}
            Answer::No(Refusal::Changed) => {
                merge::release(&self.context().repository, &candidate).await?;
                return Ok(Tried::Again);
            }
            Answer::No(refusal) => return Err(NotMerged::State(refusal)),
            Answer::Already(_) => return Ok(Tried::Again),
        }
        let base = base_ref(run)?;
        match merge::land(&self.context().repository, &base, cleared).await {
            Ok(landed) => {
                let fast_forwarded = self.record_merged(&candidate, landed).await?;
                Ok(Tried::Landed(Landed {
                    commit: Some(candidate),
                    onto,
                    head,
                    fast_forwarded,
                    already: false,
                    to_check: Vec::new(),
                }))
            }
            Err(refused) => self.stopped(run, &candidate, refused).await,
        }
    }

    /// Takes away what is left of a run that has just landed, as the next thing that its driver does: nobody waits for it.
    /// After a kill the next start does it.
    pub(super) fn clear_landed_later(&self) {
        self.runner.send(self.id, Ask::ClearPlace);
    }

    async fn record_merged(
        &self,
        commit: &CommitId,
        landed: merge::Landed,
    ) -> Result<Vec<PathBuf>, NotMerged> {
        let event = Event::Merged {
            commit: commit.clone(),
        };
        self.context().journal.record(self.id, vec![event]).await?;
        self.context().pool.wake();
        Ok(match landed {
            merge::Landed::Now { checkouts, behind } => {
                for behind in behind {
                    tracing::warn!(checkout = %behind.path.display(), why = behind.why, "a checkout of the base stayed behind");
                }
                checkouts
            }
            merge::Landed::Already => Vec::new(),
        })
    }

    /// Nothing moved: the intent is taken back. A run that waited for its turn waits on, if it may be tried again.
    async fn stopped(
        &mut self,
        run: &Run,
        candidate: &CommitId,
        refused: LandRefused,
    ) -> Result<Tried, NotMerged> {
        let detail = refused.to_string();
        let (code, answer) = match refused {
            LandRefused::BaseMoved { .. } => ("base_moved", Ok(Tried::Again)),
            // The gate asks for the base, and says then that it is gone.
            LandRefused::BaseGone(_) => ("base_missing", Ok(Tried::Again)),
            LandRefused::CheckedOutDirty { path, paths } => {
                let dirty = NotMerged::Dirty {
                    checkout: path,
                    paths,
                    busy: None,
                };
                ("base_checked_out_dirty", Err(dirty))
            }
            LandRefused::CheckoutBusy { path, why } => {
                let busy = NotMerged::Dirty {
                    checkout: path,
                    paths: Vec::new(),
                    busy: Some(why),
                };
                ("base_checked_out_dirty", Err(busy))
            }
            // Refused at the start and at the request: somebody has made it one since.
            LandRefused::BaseSymbolic(_) => {
                ("base_symbolic", Err(NotMerged::Failed(refused.into())))
            }
            LandRefused::NotPushed(_) | LandRefused::PushedButBaseMoved { .. } => {
                let code = push_code(&refused).unwrap_or("push_failed");
                let detail = detail.clone();
                (code, Err(NotMerged::NotPushed { code, detail }))
            }
            LandRefused::Git(error) => return self.landed_or_not(error).await,
        };
        let event = Event::MergeStopped {
            code: code.to_owned(),
            detail,
        };
        let mut events = vec![event];
        if let (Phase::MergeQueued { message, .. }, Ok(_)) = (&run.phase, &answer) {
            let message = message.clone();
            events.push(Event::MergeQueued { message });
        }
        self.context().journal.record(self.id, events).await?;
        merge::release(&self.context().repository, candidate).await?;
        answer
    }

    /// The base may have moved before git failed: as after a crash, git alone says.
    async fn landed_or_not(&mut self, error: crate::git::Error) -> Result<Tried, NotMerged> {
        self.finish_merge("git_failed", &error.to_string()).await?;
        match self.landed_before(&self.run()?).await? {
            Some(landed) => Ok(Tried::Landed(Landed {
                already: false,
                ..landed
            })),
            None => Err(error.into()),
        }
    }

    /// Finds out whether a landing that was interrupted has happened; if not, this is why.
    pub(in crate::runner) async fn finish_merge(
        &mut self,
        code: &str,
        why: &str,
    ) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Merging {
            onto, candidate, ..
        } = &run.phase
        else {
            return Ok(());
        };
        let context = self.context();
        let base = base_ref(&run)?;
        let may_move = merge::break_own_lock(&context.repository, &base, candidate).await?;
        let now = context.repository.resolve(&base).await?;
        let landed = match &now {
            Some(now) => context.repository.is_ancestor(candidate, now).await?,
            None => false,
        };
        if !landed {
            if may_move {
                anyhow::bail!("a git may yet move {base}; it is looked at again");
            }
            let otherwise = Stopped {
                code: code.to_owned(),
                detail: why.to_owned(),
            };
            let pushed = self.land_what_was_pushed(&base, onto, candidate, otherwise);
            if let Some(Stopped { code, detail }) = pushed.await? {
                let event = Event::MergeStopped { code, detail };
                context.journal.record(self.id, vec![event]).await?;
                merge::release(&context.repository, candidate).await?;
                return Ok(());
            }
        }
        // What was interrupted may have been the way to the disk.
        context.repository.sync()?;
        if context.repository.resolve(&base).await?.as_ref() == Some(candidate) {
            merge::bring_along(&context.repository, &base, onto, candidate).await?;
        }
        let event = Event::Merged {
            commit: candidate.clone(),
        };
        context.journal.record(self.id, vec![event]).await?;
        merge::release(&context.repository, candidate).await?;
        self.clear_place().await
    }

    /// Takes away the worktree of a run that has landed; its branch too, unless it is to stay.
    pub(in crate::runner) async fn clear_place(&mut self) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Merged { commit, .. } = &run.phase else {
            return Ok(());
        };
        if !run.placed {
            return Ok(());
        }
        self.note(&run).await?;
        let context = self.context();
        let place = self.place_of(&run)?;
        // What was written after the settling has not landed: it is kept.
        let preserved = worktree::preserve(&context.repository, run.id, &place).await?;
        for missed in preserved.iter().flat_map(|preserved| &preserved.missed) {
            tracing::warn!(run = %self.id, missed, "not all that lay in a merged run's worktree could be kept");
        }
        let parents = context.repository.parents_of(commit).await?;
        let branch = match (context.config.keep_branch, parents.get(1)) {
            (false, Some(head)) => RemoveBranch::Delete {
                expected: head.clone(),
            },
            _ => RemoveBranch::Keep,
        };
        let branch_deleted = matches!(branch, RemoveBranch::Delete { .. });
        if let Removed::ButFolder { why } =
            worktree::remove(&context.repository, &place, &branch).await?
        {
            tracing::warn!(run = %self.id, why, "the folder of a merged run's worktree stays");
        }
        let event = Event::PlaceRemoved { branch_deleted };
        context.journal.record(self.id, vec![event]).await?;
        clean_up_later(&place, &context.files.of_run(self.id));
        Ok(())
    }
}
