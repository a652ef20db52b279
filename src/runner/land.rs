//! The landing of a run: the gate, the candidate, the compare-and-swap of the base, one at a time for a base branch.
//!
//! The intent is recorded before the base moves, together with the version of the run that the gate was asked about:
//! if anything happened to the run in between, the gate is asked again. After a crash, git alone says whether the
//! landing has happened.

use std::path::PathBuf;

use super::clean_up::clean_up_later;
use super::driver::Driver;
use super::gate::ask_gate;
use super::trailers::message_of;
use super::work::identity;
use crate::gate::{Blocker, Permit};
use crate::git::RefName;
use crate::journal::Answer;
use crate::merge::{self, Candidate, CandidateError, LandRefused};
use crate::run::{Command, CommitId, Event, Phase, Refusal, Run};
use crate::store::StoreError;
use crate::worktree::{self, RemoveBranch, Removed};

/// How often a landing is tried again because the base or the run moved meanwhile.
const TRIES: u32 = 10;

/// The room without which the base is not moved: its checkouts have to be brought along, and could not be.
const ROOM_TO_LAND: u64 = 256 << 10;

/// How to merge.
#[derive(Debug, Clone, Default)]
pub struct MergeAsk {
    /// The first lines of the message.
    pub message: Option<String>,
    /// Only say whether it would merge.
    pub dry_run: bool,
}

/// It landed, or would.
#[derive(Debug, Clone)]
pub struct Landed {
    /// The merge commit; nothing for a dry run.
    pub commit: Option<CommitId>,
    /// Where the base was.
    pub onto: CommitId,
    /// The work.
    pub head: CommitId,
    /// The checkouts of the base that were brought along.
    pub fast_forwarded: Vec<PathBuf>,
    /// Whether it had landed before.
    pub already: bool,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub enum NotMerged {
    /// The gate is shut.
    #[error("the gate is shut")]
    GateClosed(Vec<Blocker>),
    /// The run's state does not allow it.
    #[error("the run's state does not allow it")]
    State(Refusal),
    /// The branch and the base change the same lines.
    #[error("conflicts in {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// The base is checked out where changes or an operation are in the way.
    #[error("{} is in the way", checkout.display())]
    Dirty {
        /// The checkout.
        checkout: PathBuf,
        /// The files with changes; none if it is something in progress.
        paths: Vec<String>,
        /// What is in progress there.
        busy: Option<&'static str>,
    },
    /// The base moved each time.
    #[error("the base moved while the merge was made")]
    BaseMoved,
    /// The service is stopping.
    #[error("the service is stopping")]
    Closing,
    /// Something of ours failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<StoreError> for NotMerged {
    fn from(error: StoreError) -> Self {
        NotMerged::Failed(error.into())
    }
}

impl From<crate::git::Error> for NotMerged {
    fn from(error: crate::git::Error) -> Self {
        NotMerged::Failed(error.into())
    }
}

/// What one try came to.
enum Tried {
    Landed(Landed),
    /// The base or the run moved: ask the gate again.
    Again,
}

impl Driver {
    /// Lands the run.
    pub(super) async fn merge(&mut self, ask: MergeAsk) -> Result<Landed, NotMerged> {
        let run = self.run()?;
        if let Some(landed) = self.landed_before(&run).await? {
            return Ok(landed);
        }
        self.see_head(&run).await?;
        let lane = self.context().lane(&run.spec.base);
        let _one_at_a_time = lane.lock().await;
        for _ in 0..TRIES {
            match self.try_to_land(&ask).await? {
                Tried::Landed(landed) => {
                    if landed.commit.is_some()
                        && let Err(error) = self.clear_place().await
                    {
                        // It has landed, and what is left of it is cleared a little later.
                        tracing::warn!(run = %self.id, error = format!("{error:#}"), "the worktree of a merged run stays for now");
                        self.go_on_later();
                    }
                    return Ok(landed);
                }
                Tried::Again => {}
            }
        }
        Err(NotMerged::BaseMoved)
    }

    /// The answer to a merge of what has merged: the same again.
    async fn landed_before(&self, run: &Run) -> Result<Option<Landed>, NotMerged> {
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
        }))
    }

    async fn try_to_land(&mut self, ask: &MergeAsk) -> Result<Tried, NotMerged> {
        let run = self.run()?;
        let asked = ask_gate(self.context(), &run).await?;
        if let Some(full) = self.context().room.under(ROOM_TO_LAND) {
            return Err(NotMerged::Failed(full.into_error()));
        }
        let permit = asked.answer.map_err(NotMerged::GateClosed)?;
        let (onto, head) = (permit.onto().clone(), permit.head().commit.clone());
        let candidate = self.candidate(&run, permit, ask.message.as_deref()).await?;
        if ask.dry_run {
            merge::release(&self.context().repository, &candidate.commit).await?;
            return Ok(Tried::Landed(Landed {
                commit: None,
                onto,
                head,
                fast_forwarded: Vec::new(),
                already: false,
            }));
        }
        let command = Command::Merge {
            onto: onto.clone(),
            head: head.clone(),
            candidate: candidate.commit.clone(),
            version: run.version,
        };
        match self.context().journal.ask(self.id, command).await? {
            Answer::Done(_) => {}
            Answer::No(Refusal::Changed) => {
                merge::release(&self.context().repository, &candidate.commit).await?;
                return Ok(Tried::Again);
            }
            Answer::No(refusal) => return Err(NotMerged::State(refusal)),
            Answer::Already(_) => return Ok(Tried::Again),
        }
        let base = base_ref(&run)?;
        match merge::land(&self.context().repository, &base, &candidate).await {
            Ok(landed) => {
                let fast_forwarded = self.record_merged(&candidate.commit, landed).await?;
                Ok(Tried::Landed(Landed {
                    commit: Some(candidate.commit),
                    onto,
                    head,
                    fast_forwarded,
                    already: false,
                }))
            }
            Err(refused) => self.stopped(&candidate.commit, refused).await,
        }
    }

    /// The merge commit that this permit allows; the permit is used up.
    async fn candidate(
        &self,
        run: &Run,
        permit: Permit,
        message: Option<&str>,
    ) -> Result<Candidate, NotMerged> {
        let context = self.context();
        merge::candidate(
            &context.repository,
            permit.onto(),
            &permit.head().commit,
            &message_of(run, message),
            &identity(context),
        )
        .await
        .map_err(|error| match error {
            CandidateError::Conflict { paths } => NotMerged::Conflict(paths),
            other => NotMerged::Failed(other.into()),
        })
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

    /// Nothing moved: the intent is taken back.
    async fn stopped(
        &mut self,
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
            LandRefused::Git(error) => return self.landed_or_not(error).await,
        };
        let event = Event::MergeStopped {
            code: code.to_owned(),
            detail,
        };
        self.context().journal.record(self.id, vec![event]).await?;
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
    pub(super) async fn finish_merge(&mut self, code: &str, why: &str) -> anyhow::Result<()> {
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
        if landed {
            // What was interrupted may have been the way to the disk.
            context.repository.sync()?;
            if now.as_ref() == Some(candidate) {
                merge::bring_along(&context.repository, &base, onto, candidate).await?;
            }
            let event = Event::Merged {
                commit: candidate.clone(),
            };
            context.journal.record(self.id, vec![event]).await?;
            merge::release(&context.repository, candidate).await?;
            return self.clear_place().await;
        }
        if may_move {
            anyhow::bail!("a git may yet move {base}; it is looked at again");
        }
        let event = Event::MergeStopped {
            code: code.to_owned(),
            detail: why.to_owned(),
        };
        context.journal.record(self.id, vec![event]).await?;
        merge::release(&context.repository, candidate).await?;
        Ok(())
    }

    /// Takes away the worktree of a run that has landed; its branch too, unless it is to stay.
    pub(super) async fn clear_place(&mut self) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Merged { commit, .. } = &run.phase else {
            return Ok(());
        };
        if !run.placed {
            return Ok(());
        }
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

fn base_ref(run: &Run) -> anyhow::Result<RefName> {
    Ok(RefName::branch(&run.spec.base)?)
}
