//! A request to merge: landed at once where that can be, else put into the queue.

use super::super::driver::Driver;
use super::super::gate::ask_gate;
use super::{Landed, MergeAnswer, MergeAsk, NotMerged, TRIES, Tried, has_room};
use crate::journal::Answer;
use crate::merge;
use crate::run::{Command, Phase, Refusal, Run};
use crate::store::runs;

/// What a try to land at once came to.
enum Straight {
    Tried(Tried),
    /// Checks have to be run on the candidate first.
    ToCheck,
}

impl Driver {
    /// Lands the run, or lets it wait for its turn.
    pub(in crate::runner) async fn merge(
        &mut self,
        ask: &MergeAsk,
    ) -> Result<MergeAnswer, NotMerged> {
        let run = self.run()?;
        if let Some(landed) = self.landed_before(&run).await? {
            return Ok(MergeAnswer::Landed(landed));
        }
        if matches!(run.phase, Phase::MergeQueued { .. }) && !ask.dry_run {
            return Ok(MergeAnswer::UnderWay);
        }
        if matches!(run.phase, Phase::Merging { .. }) {
            // A landing of its own failed and is looked at again by this driver, with the lane held since before: to wait
            // for the lane here would be to wait for ourselves.
            return Err(NotMerged::State(Refusal::Merging));
        }
        self.see_head(&run).await?;
        let lane = self.context().lanes.landing(&run.spec.base);
        let _one_at_a_time = lane.lock().await;
        let store = self.context().journal.store();
        let others_wait = !store
            .read(|db| runs::merge_queue(db, &run.spec.base))?
            .is_empty();
        for _ in 0..TRIES {
            match self.straight(ask, others_wait).await? {
                Straight::Tried(Tried::Landed(landed)) => {
                    if landed.commit.is_some() {
                        self.clear_landed_later();
                    }
                    return Ok(MergeAnswer::Landed(landed));
                }
                Straight::Tried(Tried::Again) => {}
                Straight::ToCheck => {
                    self.queue(&run, ask).await?;
                    return Ok(MergeAnswer::UnderWay);
                }
            }
        }
        Err(NotMerged::BaseMoved)
    }

    async fn straight(&mut self, ask: &MergeAsk, others_wait: bool) -> Result<Straight, NotMerged> {
        let run = self.run()?;
        let asked = ask_gate(self.context(), &run).await?;
        has_room(self.context())?;
        let permit = asked.answer.map_err(NotMerged::GateClosed)?;
        let (onto, head) = (permit.onto().clone(), permit.head().commit.clone());
        let candidate = self
            .candidate(&run, &permit, ask.message.as_deref())
            .await?;
        let release = candidate.commit.clone();
        let cleared = self.clear(&run, permit, candidate).await?;
        if ask.dry_run {
            merge::release(&self.context().repository, &release).await?;
            let items = cleared
                .err()
                .map_or_else(Vec::new, |unproven| unproven.items);
            let keys = items.iter().filter_map(|id| run.item(*id));
            return Ok(Straight::Tried(Tried::Landed(Landed {
                commit: None,
                onto,
                head,
                fast_forwarded: Vec::new(),
                already: false,
                to_check: keys.map(|item| item.spec.key.clone()).collect(),
            })));
        }
        match cleared {
            Ok(cleared) if !others_wait => {
                let tried = self.land_cleared(&run, run.version, cleared).await?;
                Ok(Straight::Tried(tried))
            }
            // Whoever came first lands first.
            Ok(_) | Err(_) => {
                merge::release(&self.context().repository, &release).await?;
                Ok(Straight::ToCheck)
            }
        }
    }

    /// Records that it waits, and wakes the lane.
    async fn queue(&self, run: &Run, ask: &MergeAsk) -> Result<(), NotMerged> {
        let command = Command::QueueMerge {
            message: ask.message.clone(),
        };
        match self.context().journal.ask(self.id, command).await? {
            Answer::No(refusal) => Err(NotMerged::State(refusal)),
            Answer::Done(_) | Answer::Already(_) => {
                self.runner.next_in_lane(&run.spec.base);
                Ok(())
            }
        }
    }
}
