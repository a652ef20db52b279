//! A round of checks of the work, as the run's driver walks it: begun when the journal has it, recorded check by check,
//! and ended with what follows from it.

use super::{List, Told, UnderWay, engine, feedback, wanted};
use crate::dod::{Evidence, Item};
use crate::git::RefName;
use crate::run::{Event, Phase, Round, RoundWhy, Run};
use crate::runner::carried::carries;
use crate::runner::current_head;
use crate::runner::definition::with_what_follows;
use crate::runner::driver::Driver;

/// Why a round is cut short that somebody has stopped.
const STOPPED: &str = "somebody has stopped it";

impl Driver {
    /// Carries out the round that the journal has under way, unless that is being done. What a crash has left of it is
    /// ended first: its list is run again from the beginning, because a check may need what another one has left.
    pub(in crate::runner) async fn carry_out_round(
        &mut self,
        after_crash: bool,
    ) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Checking {
            round: Some(round), ..
        } = &run.phase
        else {
            return Ok(());
        };
        if self.checking.is_some() {
            return Ok(());
        }
        if after_crash {
            engine::clear(self.context(), run.id, round.id).await?;
        }
        let list = self.list(&run, round).await?;
        self.checking = Some(UnderWay::begin(self.context(), list));
        Ok(())
    }

    async fn list(&self, run: &Run, round: &Round) -> anyhow::Result<List> {
        let onto = match RefName::branch(&run.spec.base) {
            Ok(base) => self.context().repository.resolve(&base).await?,
            Err(_) => None,
        };
        let base = run.base_commit.clone();
        let base = base.ok_or_else(|| anyhow::anyhow!("the run has no base commit"))?;
        let items = round.items.iter().filter_map(|id| run.item(*id)).cloned();
        Ok(List {
            run: run.id,
            round: round.id,
            head: round.head.clone(),
            base,
            onto,
            candidate_of: None,
            items: items.collect(),
            afresh: round.afresh,
        })
    }

    /// Records what is told of the checks that are under way.
    pub(in crate::runner) async fn hear_of_checks(&mut self, told: Told) -> anyhow::Result<()> {
        match told {
            Told::Shown(events) => self.record_shown(events).await,
            Told::Over(over) => {
                self.checking = None;
                if self.context().closing.is_cancelled() {
                    // The next start begins the round anew; results that it has stay.
                    return Ok(());
                }
                let cut_short = over.err().map(|error| {
                    tracing::warn!(run = %self.id, error = format!("{error:#}"), "checks could not be run");
                    format!("the checks could not be run: {error:#}")
                });
                self.end_round(cut_short).await
            }
        }
    }

    /// One result for each item of a round: what was recorded before a crash stays.
    async fn record_shown(&self, events: Vec<Event>) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Checking { round: Some(_), .. } = &run.phase else {
            return Ok(());
        };
        let of = |evidence: &Evidence| run.shown_in_round().any(|e| e.item_id == evidence.item_id);
        let known = events
            .iter()
            .any(|event| matches!(event, Event::EvidenceAttached { evidence } if of(evidence)));
        if !known {
            self.context().journal.record(self.id, events).await?;
        }
        Ok(())
    }

    /// Records the end of the round under way, together with what follows: another round if the branch has moved
    /// meanwhile, or the agent is told what did not pass.
    async fn end_round(&mut self, cut_short: Option<String>) -> anyhow::Result<()> {
        let run = self.run()?;
        let Phase::Checking {
            round: Some(round), ..
        } = &run.phase
        else {
            return Ok(());
        };
        let cut_short = cut_short.or_else(|| unrun(&run, round));
        let follows = match cut_short {
            Some(_) => Vec::new(),
            None => self.follows(&run, round).await?,
        };
        let mut events = vec![Event::ChecksEnded {
            cut_short,
            goes_on: matches!(
                follows.last(),
                Some(Event::ChecksStarted { .. } | Event::AttemptQueued { .. })
            ),
        }];
        events.extend(follows);
        self.context().journal.record(self.id, events).await?;
        self.fill_later();
        self.carry_out_round(false).await
    }

    async fn follows(&self, run: &Run, round: &Round) -> anyhow::Result<Vec<Event>> {
        let context = self.context();
        let now = current_head(context, run).await?;
        if let Some(head) = now.filter(|now| run.head.as_ref() != Some(now)) {
            let next = wanted::round(context, run, &head, RoundWhy::HeadMoved).await?;
            let moved = Event::HeadMoved {
                carries: carries(context, run, &head).await?,
                head,
            };
            let next = next.map(|round| Event::ChecksStarted { round });
            let mut events = with_what_follows(context, run, moved).await?;
            events.extend(next);
            return Ok(events);
        }
        let most = context.config.max_feedback;
        Ok(feedback::attempt(&context.content, run, round, most)
            .into_iter()
            .collect())
    }

    /// Stops the round under way, if there is one; what was not run is not proven.
    pub(in crate::runner) async fn stop_round(&mut self) -> anyhow::Result<Run> {
        let run = self.run()?;
        let Phase::Checking {
            round: Some(round), ..
        } = &run.phase
        else {
            return Ok(run);
        };
        match self.checking.take() {
            Some(mut under_way) => {
                under_way.stop();
                while let Told::Shown(events) = under_way.next().await {
                    self.record_shown(events).await?;
                }
            }
            None => engine::clear(self.context(), run.id, round.id).await?,
        }
        self.end_round(Some(STOPPED.to_owned())).await?;
        self.run()
    }

    /// Ends what checks have started, of this service or of one before it, and takes their files away. What they came to
    /// is not told any more.
    pub(in crate::runner) async fn end_checks(&mut self) -> anyhow::Result<()> {
        if let Some(under_way) = self.checking.take() {
            under_way.end().await;
        }
        let run = self.run()?;
        if let Some(round) = run.newest_round {
            engine::clear(self.context(), run.id, round).await?;
        }
        Ok(())
    }
}

/// What says that checks of a round have told nothing, if some have not.
fn unrun(run: &Run, round: &Round) -> Option<String> {
    let shown = |item: &&Item| run.shown_in_round().any(|e| e.item_id == item.id);
    let items = round.items.iter().filter_map(|id| run.item(*id));
    let unrun: Vec<&str> = items
        .filter(|item| !shown(item))
        .map(|item| item.spec.key.as_str())
        .collect();
    (!unrun.is_empty()).then(|| format!("nothing was heard of: {}", unrun.join(", ")))
}
