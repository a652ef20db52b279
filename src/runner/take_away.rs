//! The abort and its undoing.
//!
//! An abort ends the agent with all that it started, takes worktree and branch away, and is answered. What was uncommitted
//! is kept under `refs/agent_runner/preserved/` after that, from where the worktree lies aside, and only then deleted. A
//! worktree that is not as it was made is kept first and taken away then. Each step can be done again.

use jiff::SignedDuration;

use super::clean_up::clean_up_later;
use super::driver::{Ask, Driver};
use crate::clock;
use crate::effect::{self, Effect};
use crate::journal::Answer;
use crate::process::{self, Ended, Killed};
use crate::run::{Command, EndedBy, Event, Phase, Refusal, Run, Silence, Status};
use crate::store::StoreError;
use crate::worktree::{self, CreateError, Left, RemoveBranch, Removed, RestoreError};

/// Why a run is not aborted.
#[derive(Debug, thiserror::Error)]
pub enum NotAborted {
    /// The run's state does not allow it.
    #[error("the run's state does not allow it")]
    State(Refusal),
    /// The service is stopping.
    #[error("the service is stopping")]
    Closing,
    /// Something of ours failed; the abort goes on with the next request or start.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Why a run is not restored.
#[derive(Debug, thiserror::Error)]
pub enum NotRestored {
    /// The run's state does not allow it.
    #[error("the run's state does not allow it")]
    State(Refusal),
    /// Its work is no longer kept, or its place is taken.
    #[error("{0}")]
    Gone(String),
    /// The service is stopping.
    #[error("the service is stopping")]
    Closing,
    /// Something of ours failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<StoreError> for NotAborted {
    fn from(error: StoreError) -> Self {
        NotAborted::Failed(error.into())
    }
}

impl From<StoreError> for NotRestored {
    fn from(error: StoreError) -> Self {
        NotRestored::Failed(error.into())
    }
}

impl Driver {
    /// Takes the run away. Asked again, it goes on where it was left, or finds that it is done.
    pub(super) async fn abort(&mut self) -> Result<Run, NotAborted> {
        let run = self.run()?;
        if matches!(run.phase, Phase::MergeQueued { .. }) {
            self.leave_lane(&run, "the run was aborted").await?;
        }
        let journal = &self.context().journal;
        let run = match journal.ask(self.id, Command::Abort).await? {
            Answer::No(refusal) => return Err(NotAborted::State(refusal)),
            Answer::Done(run) | Answer::Already(run) => run,
        };
        if matches!(run.phase, Phase::Aborted { .. }) {
            return Ok(run);
        }
        self.end_checks().await?;
        let slot = self.end_agent().await?;
        let run = self.take_place_away().await?;
        drop(slot);
        Ok(run)
    }

    /// Ends all that is left of the run, in its cgroups and by its marker; how many the marker found.
    pub(super) async fn sweep(&self) -> anyhow::Result<usize> {
        let (id, context) = (self.id, self.context().clone());
        let swept = tokio::task::spawn_blocking(move || {
            if let Err(error) = context.containment.end(id) {
                tracing::warn!(run = %id, %error, "a cgroup of the run stays");
            }
            process::sweep_marked(id)
        });
        Ok(swept.await?)
    }

    /// Ends the agent and whatever it started, however that got away.
    async fn end_agent(&mut self) -> anyhow::Result<Option<super::slots::Slot>> {
        let silence = self.run()?.silence();
        let mut slot = None;
        if let Some(working) = &mut self.working {
            // That it was to be stopped does not say how it ended, if nobody saw that.
            working.end_without_vigil(EndedBy::Itself);
            let supervised = working.supervised.clone();
            effect::is_coming(Effect::AgentKill).await;
            let killed = match silence {
                // It was asked often enough.
                Some(Silence::Mute | Silence::Unreadable) => supervised.kill_unasked().await,
                Some(Silence::Stopped | Silence::Traced) | None => {
                    supervised.kill(EndedBy::Stop).await
                }
            };
            let ended = match killed {
                Killed::Asked(_) => supervised.ended().await,
                Killed::ByForce { because, swept } => {
                    tracing::warn!(run = %self.id, %because, swept, "a supervisor did not answer and was killed");
                    supervised.ended().await
                }
            };
            if let Ended::Lost(lost) = &ended {
                tracing::warn!(run = %self.id, why = lost.why, "the end of an aborted agent is not known");
            }
            slot = self.conclude(ended).await?;
        }
        // Of a run at rest nothing is expected: what is found all the same is ended before its work is kept.
        let at_rest = matches!(
            self.run()?.phase,
            Phase::Aborting {
                was: Status::Finished | Status::Failed,
                ..
            }
        );
        if !at_rest {
            self.end_what_got_away().await?;
        }
        Ok(slot)
    }

    async fn end_what_got_away(&self) -> anyhow::Result<()> {
        let swept = self.sweep().await?;
        if swept > 0 {
            tracing::warn!(run = %self.id, swept, "processes of an aborted run had got away and were killed");
        }
        Ok(())
    }

    /// Takes worktree and branch away, at once where that can be.
    async fn take_place_away(&mut self) -> anyhow::Result<Run> {
        let run = self.run()?;
        let context = self.context();
        let place = self.place_of(&run)?;
        match worktree::leave(&context.repository, run.id, &place).await? {
            Left::Away { tip } => {
                let event = Event::Aborted {
                    preserved: Some(tip),
                    missed: Vec::new(),
                    preserving: true,
                };
                let run = context.journal.record(self.id, vec![event]).await?;
                self.runner.send(self.id, Ask::Preserve);
                Ok(run)
            }
            Left::NotAtOnce(why) => {
                tracing::debug!(run = %self.id, why, "a worktree is looked into before it goes");
                self.end_what_got_away().await?;
                self.remove_everything().await
            }
        }
    }

    /// Keeps what was uncommitted of a run that was aborted, then deletes it. Done already is as good.
    pub(super) async fn preserve(&mut self) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Aborted {
            preserving: true,
            preserved: Some(tip),
            ..
        } = &run.phase
        else {
            return Ok(());
        };
        self.end_what_got_away().await?;
        let context = self.context();
        let place = self.place_of(&run)?;
        let kept = worktree::keep(&context.repository, run.id, &place, tip).await?;
        for missed in &kept.missed {
            tracing::warn!(run = %self.id, missed, "not all of an aborted run could be kept");
        }
        // Before it is told: what is told to be kept is looked at no more.
        worktree::let_go(&place, run.id)?;
        let event = Event::Preserved {
            commit: kept.commit,
            missed: kept.missed,
        };
        context.journal.record(self.id, vec![event]).await?;
        clean_up_later(&place, &context.files.of_run(self.id));
        Ok(())
    }

    /// Keeps the work of a worktree first, and takes it away then.
    async fn remove_everything(&mut self) -> anyhow::Result<Run> {
        let run = self.run()?;
        let context = self.context();
        let place = self.place_of(&run)?;
        let preserved = worktree::preserve(&context.repository, run.id, &place).await?;
        let branch = match &preserved {
            Some(preserved) => RemoveBranch::Delete {
                expected: preserved.tip.clone(),
            },
            None => RemoveBranch::Keep,
        };
        let removed = worktree::remove(&context.repository, &place, &branch).await?;
        let mut missed = preserved.as_ref().map_or(Vec::new(), |p| p.missed.clone());
        if let Removed::ButFolder { why } = removed {
            missed.push(format!("the folder of the worktree stays: {why}"));
        }
        for missed in &missed {
            tracing::warn!(run = %self.id, missed, "not all of an aborted run could be kept or taken away");
        }
        let event = Event::Aborted {
            preserved: preserved.map(|p| p.commit),
            missed,
            preserving: false,
        };
        let run = context.journal.record(self.id, vec![event]).await?;
        clean_up_later(&place, &context.files.of_run(self.id));
        Ok(run)
    }

    /// Goes on with an abort that a crash interrupted.
    pub(super) async fn finish_abort(&mut self) -> anyhow::Result<()> {
        match self.abort().await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// That the time is over for which the work of an aborted run is kept, if it is.
    fn past_its_time(&self, run: &Run) -> Option<String> {
        let Phase::Aborted { at, .. } = &run.phase else {
            return None;
        };
        let days = self.context().config.preserved_keep_days;
        let keep = SignedDuration::from_hours(24 * i64::from(days));
        let until = at.saturating_add(keep).ok()?;
        (clock::now() > until).then(|| {
            format!(
                "the work of run {} was kept for {days} days, until {until:.0}, and let go then",
                run.id
            )
        })
    }

    /// Brings back the branch and the worktree.
    pub(super) async fn restore(&mut self) -> Result<Run, NotRestored> {
        self.preserve().await?;
        let run = self.run()?;
        // Asked before anything is made: a run that is not aborted has its own worktree.
        if let crate::run::Decision::No(refusal) = crate::run::decide(&run, &Command::Restore) {
            return Err(NotRestored::State(refusal));
        }
        let place = self.place_of(&run)?;
        match worktree::restore(&self.context().repository, run.id, &place).await {
            Ok(_) => {}
            Err(RestoreError::Git(error) | RestoreError::Create(CreateError::Git(error))) => {
                return Err(NotRestored::Failed(error.into()));
            }
            Err(error @ RestoreError::NothingPreserved(_)) => {
                return Err(NotRestored::Gone(
                    self.past_its_time(&run).unwrap_or(error.to_string()),
                ));
            }
            Err(error @ RestoreError::Create(_)) => {
                return Err(NotRestored::Gone(error.to_string()));
            }
        }
        match self
            .context()
            .journal
            .ask(self.id, Command::Restore)
            .await?
        {
            Answer::Done(run) | Answer::Already(run) => Ok(run),
            Answer::No(refusal) => Err(NotRestored::State(refusal)),
        }
    }
}
