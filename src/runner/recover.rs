//! What is done at a start: every run that was on its way goes on from where the journal says it was.
//!
//! | recorded | found | becomes |
//! | --- | --- | --- |
//! | queued | | stays in the queue, in its order |
//! | preparing, agent not started | | prepared again, from the same base commit |
//! | preparing, agent about to be started | alive | running |
//! | | ended | ended so |
//! | | never started | a new attempt of the same kind |
//! | running | alive, same identity | watched again |
//! | | exit record | ended so |
//! | | neither | ended, `unknown` |
//! | | cannot be read or looked for | as it is, and looked at again: unknown is not dead |
//! | checking, leftovers are committed | | settled |
//! | checking, a round is under way | what is left of it is ended | the same round, from its first check; results that it has stay |
//! | waiting to land | | its candidate and that one's checks go; it keeps its place in the queue |
//! | merging | base contains the candidate | merged |
//! | | it does not | as before the merge |
//! | aborting | | aborted |
//! | aborted, its work still to be kept | worktree set aside, or not yet | kept, then the worktree is deleted |
//! | merged, worktree there | | worktree removed |

use std::time::Duration;

use super::Runner;
use super::driver::{Ask, Driver};
use super::slots::Slot;
use crate::process::{self, Attachment, Ended};
use crate::run::state::AttemptStage;
use crate::run::{AttemptId, Event, Phase, Run, RunId};
use crate::store::{StoreError, runs};

/// How long a start waits for the runs that it takes up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after a failed step it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Runner {
    /// Sets all runs going again, then fills the free slots from the queue. Returns when each is in its driver's hands,
    /// or after two seconds: what is slow to answer is waited for beside the service's work.
    ///
    /// # Errors
    /// The database failed.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let store = self.context().journal.store();
        let under_way = store.read(|db| {
            runs::ids_by_phase(
                db,
                &[
                    "preparing",
                    "running",
                    "checking",
                    "merge_queued",
                    "merging",
                    "aborting",
                    "preserving",
                ],
            )
        })?;
        let landed = store.read(runs::merged_but_placed)?;
        let mut tasks = Vec::new();
        for run in under_way {
            let run = match self.context().journal.run(run) {
                Ok(Some(run)) => run,
                Ok(None) => continue,
                // It stays as it is; the others are not to wait for it.
                Err(error @ (StoreError::Unreadable { .. } | StoreError::Illegal(_))) => {
                    tracing::error!(%run, %error, "a run cannot be taken up again");
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Before anything else is started: these agents are there already.
            let slot = matches!(run.phase, Phase::Preparing | Phase::Running)
                .then(|| self.slots.claim(run.id))
                .flatten();
            let runner = self.clone();
            tasks.push(tokio::spawn(async move {
                if let Err(error) = runner.take_up(&run, slot).await {
                    tracing::error!(run = %run.id, error = format!("{error:#}"), "a run could not be taken up again");
                    runner.recover_later(run.id);
                }
            }));
        }
        let all = async {
            for task in tasks {
                // A task that panicked has said so.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                "some supervisors are slow to answer; their runs are taken up when they do"
            );
        }
        for run in landed {
            self.send(run, Ask::ClearPlace);
        }
        self.fill().await;
        Ok(())
    }

    /// Sets one run going again whose step failed, when what was in the way may have gone.
    pub(super) fn recover_later(&self, id: RunId) {
        self.recover_later_with(id, None);
    }

    /// The same; its slot is kept until then.
    fn recover_later_with(&self, id: RunId, slot: Option<Slot>) {
        let runner = self.clone();
        tokio::spawn(async move {
            let closing = &runner.context().closing;
            if closing
                .run_until_cancelled(tokio::time::sleep(AGAIN_AFTER))
                .await
                .is_none()
            {
                return;
            }
            // It claims one of its own.
            drop(slot);
            if let Err(error) = runner.recover_one(id).await {
                tracing::error!(run = %id, error = format!("{error:#}"), "a run could not be taken up again");
                runner.recover_later(id);
            }
        });
    }

    async fn recover_one(&self, id: RunId) -> anyhow::Result<()> {
        // Before the run is looked at: who holds its slot is changing it, and goes on by itself.
        let Some(slot) = self.slots.claim(id) else {
            return Ok(());
        };
        let Some(run) = self.context().journal.run(id)? else {
            return Ok(());
        };
        match run.phase {
            Phase::Preparing | Phase::Running => self.take_up(&run, Some(slot)).await,
            Phase::Queued => {
                drop(slot);
                // Its turn may have come already; nobody else might look at the queue for long.
                Ok(self.fill_telling(None).await?)
            }
            Phase::Merged { .. } if run.placed => {
                self.send(id, Ask::ClearPlace);
                Ok(())
            }
            _ => {
                drop(slot);
                self.take_up(&run, None).await
            }
        }
    }

    async fn take_up(&self, run: &Run, slot: Option<Slot>) -> anyhow::Result<()> {
        let id = run.id;
        match &run.phase {
            Phase::Checking { round: None, .. } => self.send(id, Ask::Settle),
            Phase::Checking { round: Some(_), .. } => {
                self.send(id, Ask::CarryOut { after_crash: true });
            }
            Phase::Merging { .. } => {
                let lane = self.context().lanes.landing(&run.spec.base);
                let lane = lane.lock_owned().await;
                self.send(id, Ask::FinishMerge { lane });
            }
            Phase::MergeQueued { .. } => self.send(id, Ask::WaitAgain),
            Phase::Aborting { .. } => self.send(id, Ask::FinishAbort),
            Phase::Preparing | Phase::Running => {
                let Some(slot) = slot else {
                    return Ok(());
                };
                let attempt = run.attempt().cloned();
                let starting = attempt.filter(|a| a.stage != AttemptStage::Waiting);
                let Some(attempt) = starting else {
                    let (reply, _) = tokio::sync::oneshot::channel();
                    self.send(id, Ask::Start { slot, reply });
                    return Ok(());
                };
                let dir = self.context().files.of_run(id).attempt(attempt.number);
                let found = process::attach(&dir).await;
                let recorded = matches!(run.phase, Phase::Running);
                match found {
                    Ok(Attachment::Live(supervised)) => {
                        self.send(id, Ask::Attach { slot, supervised });
                    }
                    Ok(Attachment::Ended(record)) => {
                        let ended = Ended::Recorded(record);
                        self.send(id, Ask::Conclude { slot, ended });
                    }
                    Ok(Attachment::Lost(lost)) => {
                        let ended = Ended::Lost(lost);
                        self.send(id, Ask::Conclude { slot, ended });
                    }
                    Ok(Attachment::NeverStarted) if !recorded => {
                        self.send(id, Ask::StartAgain { slot });
                    }
                    Ok(Attachment::NeverStarted) => {
                        let ended = lost("no record of the start is left");
                        self.send(id, Ask::Conclude { slot, ended });
                    }
                    Err(error) => {
                        // It may be at work: it keeps its slot, and an abort still ends it by its marker.
                        tracing::error!(run = %id, %error, "it cannot be known whether an agent works; it is looked at again");
                        self.send(id, Ask::Unreadable);
                        self.recover_later_with(id, Some(slot));
                    }
                }
            }
            Phase::Aborted { .. } if run.is_preserving() => self.send(id, Ask::Preserve),
            Phase::Queued | Phase::AtRest { .. } | Phase::Merged { .. } | Phase::Aborted { .. } => {
            }
        }
        Ok(())
    }
}

fn lost(why: &str) -> Ended {
    Ended::Lost(process::Lost {
        why: why.to_owned(),
        swept: 0,
        strain: crate::run::Strain::default(),
    })
}

impl Driver {
    /// Queues the attempt again whose agent never came to be, and starts it.
    pub(super) async fn start_again(&mut self, slot: Slot) -> anyhow::Result<()> {
        self.sweep().await?;
        let run = self.run()?;
        let Some(attempt) = run.attempt() else {
            anyhow::bail!("the run is preparing without an attempt");
        };
        let event = Event::AttemptQueued {
            attempt: AttemptId(uuid::Uuid::now_v7()),
            why: attempt.why.clone(),
        };
        self.context().journal.record(self.id, vec![event]).await?;
        self.start(slot).await?;
        Ok(())
    }
}
