//! The task that owns a run while something happens to it.
//!
//! Its loop selects what comes next, handles it, and responds. It ends when the run is at rest and nobody has asked
//! for anything; the next message begins a new one, which knows what it must from the journal.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::checks::{Told, UnderWay};
use super::land::{InQueue, MergeAnswer, MergeAsk, NotMerged, Turn};
use super::slots::Slot;
use super::take_away::{NotAborted, NotRestored};
use super::work::{Seen, Working};
use super::{Context, Runner};
use crate::process::{Ended, Supervised};
use crate::run::{Run, RunId};

/// What a driver is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// Start the attempt that waits.
    Start {
        slot: Slot,
        reply: oneshot::Sender<Run>,
    },
    /// Say how the run stands, once what was asked before is done.
    Tell { reply: oneshot::Sender<Run> },
    /// Go on with an agent that was started before this server.
    Attach { slot: Slot, supervised: Supervised },
    /// What is recorded of an agent cannot be read; it may be at work.
    Unreadable,
    /// Go on after an agent that ended while no server was there.
    Conclude { slot: Slot, ended: Ended },
    /// Start afresh: the agent of the attempt never came to be.
    StartAgain { slot: Slot },
    /// Commit what an agent left.
    Settle,
    /// Carry out the round of checks that the journal has under way.
    CarryOut { after_crash: bool },
    /// Stop it.
    StopChecks {
        reply: oneshot::Sender<anyhow::Result<Run>>,
    },
    /// Go on with an abort.
    FinishAbort,
    /// Land it, or let it wait for its turn.
    Merge {
        ask: MergeAsk,
        reply: oneshot::Sender<Result<MergeAnswer, NotMerged>>,
    },
    /// Its turn to land has come.
    TakeTurn { turn: Turn },
    /// Wait for its turn again: the service has started.
    WaitAgain,
    /// Take it out of the merge queue.
    CancelMerge {
        reply: oneshot::Sender<Result<Run, NotMerged>>,
    },
    /// Find out whether a landing that was interrupted has happened. Its lane is held from before the first request.
    FinishMerge { lane: OwnedMutexGuard<()> },
    /// Take away the worktree of a run that has landed.
    ClearPlace,
    /// Take it away.
    Abort {
        reply: oneshot::Sender<Result<Run, NotAborted>>,
    },
    /// Keep what was uncommitted when it was aborted.
    Preserve,
    /// Bring it back.
    Restore {
        reply: oneshot::Sender<Result<Run, NotRestored>>,
    },
}

/// The owner of one run.
pub(super) struct Driver {
    pub(super) runner: Runner,
    pub(super) id: RunId,
    inbox: mpsc::UnboundedReceiver<Ask>,
    pub(super) working: Option<Working>,
    pub(super) checking: Option<UnderWay>,
    pub(super) in_queue: InQueue,
}

/// What comes next.
enum Next {
    Asked(Ask),
    /// The supervisor is gone: the agent has ended.
    Gone(Supervised),
    /// Something is to be looked at while it works.
    Seen(Seen),
    /// Something is told of the checks that run.
    Checks(Told),
    /// Something is told of the checks of its candidate.
    Candidate(Told),
}

impl Driver {
    pub(super) fn new(runner: Runner, id: RunId, inbox: mpsc::UnboundedReceiver<Ask>) -> Driver {
        Driver {
            runner,
            id,
            inbox,
            working: None,
            checking: None,
            in_queue: InQueue::default(),
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        self.runner.context()
    }

    pub(super) async fn drive(mut self) {
        loop {
            let idle = self.working.is_none() && self.checking.is_none() && self.in_queue.is_idle();
            let next = if idle {
                match self.inbox.try_recv() {
                    Ok(ask) => Next::Asked(ask),
                    Err(_) => match self.runner.dismiss(self.id, &mut self.inbox) {
                        Some(ask) => Next::Asked(ask),
                        None => return,
                    },
                }
            } else {
                self.select().await
            };
            if let Err(error) = self.handle(next).await {
                tracing::error!(run = %self.id, error = format!("{error:#}"), "a step of a run failed");
                self.go_on_later();
            }
        }
    }

    async fn select(&mut self) -> Next {
        let supervised = self.working.as_ref().map(|w| w.supervised.clone());
        let gone = async {
            match supervised {
                Some(supervised) => {
                    supervised.gone().await;
                    supervised
                }
                None => std::future::pending().await,
            }
        };
        let seen = async {
            match &mut self.working {
                Some(working) => working.something().await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            match &mut self.checking {
                Some(under_way) => under_way.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            supervised = gone => Next::Gone(supervised),
            Some(ask) = self.inbox.recv() => Next::Asked(ask),
            seen = seen => Next::Seen(seen),
            told = told => Next::Checks(told),
            told = self.in_queue.told() => Next::Candidate(told),
        }
    }

    async fn handle(&mut self, next: Next) -> anyhow::Result<()> {
        match next {
            Next::Seen(Seen::Output) => self.look_at_output().await,
            Next::Seen(Seen::Supervisor(news)) => self.hear_of_supervisor(news).await,
            Next::Gone(supervised) => {
                let ended = supervised.ended().await;
                // The slot is free before the run is seen at rest: who asks for more then finds it free.
                drop(self.conclude(ended).await?);
                let settled = self.settle().await;
                self.runner.fill().await;
                settled
            }
            Next::Checks(told) => self.hear_of_checks(told).await,
            Next::Asked(ask) => self.answer(ask).await,
            Next::Candidate(told) => self.hear_of_candidate(told).await,
        }
    }

    async fn answer(&mut self, ask: Ask) -> anyhow::Result<()> {
        match ask {
            Ask::Start { slot, reply } => {
                let run = self.start(slot).await?;
                // Nobody waits when the server starts what was queued.
                drop(reply.send(run));
                if self.working.is_none() {
                    self.fill_later();
                }
                Ok(())
            }
            Ask::Tell { reply } => {
                drop(reply.send(self.run()?));
                Ok(())
            }
            Ask::Attach { slot, supervised } => self.attach(slot, supervised).await,
            Ask::Conclude { slot, ended } => {
                self.conclude_unwatched(ended).await?;
                drop(slot);
                let settled = self.settle().await;
                self.runner.fill().await;
                settled
            }
            Ask::Unreadable => self.hear_of_unreadable().await,
            Ask::StartAgain { slot } => self.start_again(slot).await,
            Ask::Settle => self.settle().await,
            Ask::CarryOut { after_crash } => self.carry_out_round(after_crash).await,
            Ask::StopChecks { reply } => {
                let stopped = self.stop_round().await;
                if stopped.is_err() {
                    self.go_on_later();
                }
                drop(reply.send(stopped));
                Ok(())
            }
            Ask::FinishAbort => self.finish_abort().await,
            Ask::Merge { ask, reply } => {
                let merged = self.merge(&ask).await;
                if matches!(merged, Err(NotMerged::Failed(_))) {
                    self.go_on_later();
                }
                match merged {
                    Ok(MergeAnswer::UnderWay) if ask.to_its_end => self.tell_at_the_end(reply),
                    answer => drop(reply.send(answer)),
                }
                Ok(())
            }
            Ask::TakeTurn { turn } => self.take_turn(turn).await,
            Ask::WaitAgain => self.wait_again().await,
            Ask::CancelMerge { reply } => {
                let cancelled = self.cancel_merge("somebody cancelled it").await;
                if matches!(cancelled, Err(NotMerged::Failed(_))) {
                    self.go_on_later();
                }
                drop(reply.send(cancelled));
                Ok(())
            }
            Ask::FinishMerge { lane } => {
                let why = "the service stopped before the base had moved; merge again";
                let finished = self.finish_merge("interrupted", why).await;
                drop(lane);
                finished
            }
            Ask::ClearPlace => self.clear_place().await,
            Ask::Abort { reply } => {
                let aborted = self.abort().await;
                if matches!(aborted, Err(NotAborted::Failed(_))) {
                    self.go_on_later();
                }
                drop(reply.send(aborted));
                self.fill_later();
                Ok(())
            }
            Ask::Preserve => self.preserve().await,
            Ask::Restore { reply } => {
                drop(reply.send(self.restore().await));
                Ok(())
            }
        }
    }

    /// The journal has the last intent: what a start of the service would do from there is done a little later.
    pub(super) fn go_on_later(&self) {
        // An agent that is watched goes on by itself, and so do checks.
        if self.working.is_none() && self.checking.is_none() && !self.in_queue.checks() {
            self.runner.recover_later(self.id);
        }
    }

    /// Looks at the queue from another task: the queue may want this very driver.
    pub(super) fn fill_later(&self) {
        let runner = self.runner.clone();
        tokio::spawn(async move { runner.fill().await });
    }

    /// The run as the journal tells it.
    pub(super) fn run(&self) -> anyhow::Result<Run> {
        self.context()
            .journal
            .run(self.id)?
            .ok_or_else(|| anyhow::anyhow!("run {} is not in the journal", self.id))
    }

    /// The folder of the run's newest attempt.
    pub(super) fn attempt_dir(&self, number: u32) -> PathBuf {
        self.context().files.of_run(self.id).attempt(number)
    }
}
