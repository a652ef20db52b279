//! The abort and its undoing.
//!
//! An abort ends the agent with all that it started, keeps its work under `refs/agent_runner/preserved/`, and only then
//! takes worktree and branch away. Each step can be done again.

use jiff::SignedDuration;

use super::clean_up::clean_up_later;
use super::driver::Driver;
use crate::clock;
use crate::effect::{self, Effect};
use crate::journal::Answer;
use crate::process::{self, Ended, Killed};
use crate::run::{Command, EndedBy, Event, Phase, Refusal, Run, Silence};
use crate::store::StoreError;
use crate::worktree::{self, CreateError, RemoveBranch, Removed, RestoreError};

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
        let run = self.remove_everything().await?;
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
        let id = self.id;
        let swept = self.sweep().await?;
        if swept > 0 {
            tracing::warn!(run = %id, swept, "processes of an aborted run had got away and were killed");
        }
        Ok(slot)
    }

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
