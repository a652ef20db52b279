//! The merge queue, from the side of one run: it waits for its turn, its candidate is checked, and it lands or stops.
//!
//! ```text
//! MergeQueued ──turn──► candidate made ──cleared──► MergeStarted ──► Merged
//!                         ▲      │ not yet
//!              base moved │      ▼
//!                         └── checks on its tree ──failed, cancelled, gate shut──► MergeStopped
//! ```
//!
//! The driver holds the turn and goes on answering while checks run beside it. A crash forgets the turn and the candidate,
//! and keeps the place in the queue: the next start gives the turn again and makes a new candidate.

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::checks::{Told, UnderWay, engine};
use super::super::driver::Driver;
use super::super::gate::ask_gate_in_turn;
use super::candidate::{candidate_of, failed, list, to_run};
use super::lanes::Turn;
use super::{MergeAnswer, NotMerged, TRIES, Tried, has_room};
use crate::journal::Answer;
use crate::merge;
use crate::run::{CandidateRound, Command, CommitId, Event, Phase, Refusal, RoundId, Run};

/// How long the turn is kept when nothing could be recorded, so that the lane does not spin.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Who is told how it ended.
type Reply = oneshot::Sender<Result<MergeAnswer, NotMerged>>;

/// A driver's part in the merge queue.
#[derive(Debug, Default)]
pub(in crate::runner) struct InQueue {
    /// Who waits for the end.
    waiters: Vec<Reply>,
    /// The turn, while its candidate is checked.
    held: Option<Held>,
}

/// The turn with the candidate that is checked.
#[derive(Debug)]
struct Held {
    turn: Turn,
    round: CandidateRound,
    checks: UnderWay,
    tries: u32,
}

/// What a look at the queued run came to.
enum Step {
    Tried(Tried),
    /// These checks are to be run first.
    Check(CandidateRound),
}

impl InQueue {
    /// Whether the driver has something to wait for.
    pub(in crate::runner) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.held.is_none()
    }

    /// Whether checks of a candidate run.
    pub(in crate::runner) fn checks(&self) -> bool {
        self.held.is_some()
    }

    /// Waits for what is told of the checks. Can be dropped and begun again.
    pub(in crate::runner) async fn told(&mut self) -> Told {
        match &mut self.held {
            Some(held) => held.checks.next().await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Tells `reply` how the merge ends.
    pub(in crate::runner) fn tell_at_the_end(&mut self, reply: Reply) {
        self.in_queue.waiters.push(reply);
    }

    /// Its turn has come: what is left of an earlier one goes, and a candidate is made.
    pub(in crate::runner) async fn take_turn(&mut self, turn: Turn) -> anyhow::Result<()> {
        if self.in_queue.checks() {
            // It has a turn: the lane gives one at a time.
            return Ok(());
        }
        self.go_on(turn, None, 0).await
    }

    /// Records what the checks of the candidate come to; at their end it lands or stops.
    pub(in crate::runner) async fn hear_of_candidate(&mut self, told: Told) -> anyhow::Result<()> {
        let over = match told {
            Told::Shown(events) => {
                let recorded = self.context().journal.record(self.id, events).await;
                if recorded.is_err()
                    && let Some(held) = self.in_queue.held.take()
                {
                    held.checks.end().await;
                    self.give_back_later(held.turn);
                }
                return Ok(recorded.map(|_| ())?);
            }
            Told::Over(over) => over,
        };
        let Some(held) = self.in_queue.held.take() else {
            return Ok(());
        };
        if self.context().closing.is_cancelled() {
            // They were ended because the service stops: that says nothing of the candidate, and the next start goes on.
            return Ok(());
        }
        match over {
            Ok(()) => self.go_on(held.turn, Some(held.round), held.tries).await,
            Err(error) => {
                let why = NotMerged::NotChecked(format!("{error:#}"));
                let candidate = held.round.candidate.commit;
                self.stop_merge(held.turn, &candidate, why).await
            }
        }
    }

    /// Makes candidates until one lands or is to be checked. `checked` is the one whose checks have just ended.
    async fn go_on(
        &mut self,
        turn: Turn,
        mut checked: Option<CandidateRound>,
        tries: u32,
    ) -> anyhow::Result<()> {
        for tries in tries..TRIES {
            let run = match self.run() {
                Ok(run) => run,
                Err(error) => {
                    self.give_back_later(turn);
                    return Err(error);
                }
            };
            let Phase::MergeQueued { candidate, .. } = &run.phase else {
                self.tell_waiters(Err(NotMerged::State(Refusal::NoMerge)));
                return Ok(());
            };
            let before = candidate
                .as_ref()
                .map(|round| round.candidate.commit.clone());
            let step = self.look(&run, checked.take()).await;
            match step {
                Ok(Step::Tried(Tried::Landed(landed))) => {
                    // The next one's candidate is made on top of it.
                    drop(turn);
                    self.clear_landed_later();
                    self.tell_waiters(Ok(MergeAnswer::Landed(landed)));
                    return Ok(());
                }
                Ok(Step::Tried(Tried::Again)) => {}
                Ok(Step::Check(round)) => {
                    let checks = UnderWay::begin(self.context(), list(&run, &round));
                    self.in_queue.held = Some(Held {
                        turn,
                        round,
                        checks,
                        tries: tries + 1,
                    });
                    return Ok(());
                }
                Err(why) => {
                    let now = self.run().ok().and_then(|run| candidate_of(&run));
                    let Some(candidate) = now.or(before) else {
                        return self.stop_without_candidate(turn, why).await;
                    };
                    return self.stop_merge(turn, &candidate, why).await;
                }
            }
        }
        match self.run().ok().and_then(|run| candidate_of(&run)) {
            Some(candidate) => {
                self.stop_merge(turn, &candidate, NotMerged::BaseMoved)
                    .await
            }
            None => {
                self.stop_without_candidate(turn, NotMerged::BaseMoved)
                    .await
            }
        }
    }

    /// Asks the gate; then the candidate, a new one unless the base and the work are as they were, is landed if it is
    /// cleared.
    async fn look(
        &mut self,
        run: &Run,
        checked: Option<CandidateRound>,
    ) -> Result<Step, NotMerged> {
        let lane = self.context().lanes.landing(&run.spec.base);
        let _one_at_a_time = lane.lock().await;
        let Phase::MergeQueued {
            message, candidate, ..
        } = &run.phase
        else {
            return Err(NotMerged::State(Refusal::NoMerge));
        };
        let asked = ask_gate_in_turn(self.context(), run).await?;
        has_room(self.context())?;
        let permit = asked.answer.map_err(NotMerged::GateClosed)?;
        let (onto, head) = (permit.onto().clone(), permit.head().clone());
        let same = checked.filter(|round| round.onto == onto && round.head == head.commit);
        if let Some(round) = same {
            let candidate = round.candidate.clone();
            return match self.clear(run, permit, candidate.clone()).await? {
                Ok(cleared) => {
                    let tried = self.land_cleared(run, run.version, cleared).await?;
                    Ok(Step::Tried(tried))
                }
                Err(unproven) => Err(NotMerged::ChecksFailed(failed(
                    run,
                    &unproven.items,
                    &candidate,
                ))),
            };
        }
        if let Some(before) = candidate {
            merge::release(&self.context().repository, &before.candidate.commit).await?;
        }
        let made = self.candidate(run, &permit, message.as_deref()).await?;
        let cleared = self.clear(run, permit, made.clone()).await?;
        let items = match &cleared {
            Ok(_) => Vec::new(),
            Err(unproven) => to_run(run, &unproven.items, &unproven.changed),
        };
        let round = CandidateRound {
            id: RoundId(uuid::Uuid::now_v7()),
            onto,
            head: head.commit,
            candidate: made,
            items,
        };
        let event = Event::CandidateMade {
            candidate: round.clone(),
        };
        self.context().journal.record(self.id, vec![event]).await?;
        match cleared {
            // The run that the gate was asked about has this one event more.
            Ok(cleared) => {
                let tried = self.land_cleared(run, run.version + 1, cleared).await?;
                Ok(Step::Tried(tried))
            }
            Err(_) => Ok(Step::Check(round)),
        }
    }

    async fn stop_merge(
        &mut self,
        turn: Turn,
        candidate: &CommitId,
        why: NotMerged,
    ) -> anyhow::Result<()> {
        if let Err(error) = merge::release(&self.context().repository, candidate).await {
            tracing::warn!(run = %self.id, %error, "the pin of a candidate that does not land stays");
        }
        self.stop_without_candidate(turn, why).await
    }

    /// Records why it does not land, and tells who waits.
    async fn stop_without_candidate(&mut self, turn: Turn, why: NotMerged) -> anyhow::Result<()> {
        let (code, detail) = (why.code().to_owned(), why.detail());
        tracing::info!(run = %self.id, code, detail, "a merge has stopped");
        let queued = matches!(self.run()?.phase, Phase::MergeQueued { .. });
        if queued {
            let event = Event::MergeStopped { code, detail };
            if let Err(error) = self.context().journal.record(self.id, vec![event]).await {
                self.give_back_later(turn);
                return Err(error.into());
            }
        } else if matches!(why, NotMerged::Failed(_)) {
            // It failed while the base was moved: git alone says whether it has landed.
            self.go_on_later();
        }
        drop(turn);
        self.tell_waiters(Err(why));
        Ok(())
    }

    /// Takes the run out of the queue.
    pub(in crate::runner) async fn cancel_merge(&mut self, why: &str) -> Result<Run, NotMerged> {
        let run = self.run()?;
        if matches!(run.phase, Phase::MergeQueued { .. }) {
            self.leave_lane(&run, why).await?;
        }
        let command = Command::CancelMerge {
            why: why.to_owned(),
        };
        match self.context().journal.ask(self.id, command).await? {
            Answer::Done(run) | Answer::Already(run) => Ok(run),
            Answer::No(refusal) => Err(NotMerged::State(refusal)),
        }
    }

    /// Ends the checks of its candidate, lets go of the candidate, and gives the turn to the next one; before it is
    /// recorded, so that a crash in between leaves a run that waits, and nothing that belongs to none.
    pub(in crate::runner) async fn leave_lane(
        &mut self,
        run: &Run,
        why: &str,
    ) -> anyhow::Result<()> {
        let held = self.in_queue.held.take();
        if let Some(held) = held {
            held.checks.end().await;
            drop(held.turn);
        } else {
            self.clear_checks(run).await?;
        }
        if let Some(candidate) = candidate_of(run) {
            merge::release(&self.context().repository, &candidate).await?;
        }
        self.tell_waiters(Err(NotMerged::Cancelled(why.to_owned())));
        Ok(())
    }

    /// After a start: what an earlier service has left of its candidate goes, and it waits for its turn again.
    pub(in crate::runner) async fn wait_again(&mut self) -> anyhow::Result<()> {
        let run = self.run()?;
        if self.in_queue.checks() || !matches!(run.phase, Phase::MergeQueued { .. }) {
            return Ok(());
        }
        self.clear_checks(&run).await?;
        if let Some(candidate) = candidate_of(&run) {
            merge::release(&self.context().repository, &candidate).await?;
        }
        self.runner.next_in_lane(&run.spec.base);
        Ok(())
    }

    /// Ends what a service that is gone has left of the checks of its candidate.
    async fn clear_checks(&self, run: &Run) -> anyhow::Result<()> {
        match run.newest_round {
            Some(round) => engine::clear(self.context(), run.id, round).await,
            None => Ok(()),
        }
    }

    fn tell_waiters(&mut self, answer: Result<MergeAnswer, NotMerged>) {
        let mut waiters = std::mem::take(&mut self.in_queue.waiters).into_iter();
        // Each waited for the same; a reason is told once in full, and the others read it from the run.
        if let Some(first) = waiters.next() {
            let others = match &answer {
                Ok(answer) => Ok(answer.clone()),
                Err(why) => Err((why.code().to_owned(), why.detail())),
            };
            drop(first.send(answer));
            for waiter in waiters {
                drop(waiter.send(match &others {
                    Ok(answer) => Ok(answer.clone()),
                    Err((code, detail)) => Err(NotMerged::Stopped {
                        code: code.clone(),
                        detail: detail.clone(),
                    }),
                }));
            }
        }
    }

    /// Nothing can be recorded now: the turn is given on a little later, and then to this run again.
    fn give_back_later(&self, turn: Turn) {
        let closing = self.context().closing.clone();
        tokio::spawn(async move {
            closing
                .run_until_cancelled(tokio::time::sleep(AGAIN_AFTER))
                .await;
            drop(turn);
        });
    }
}
