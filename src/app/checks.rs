//! Checks by hand: asked for, looked at, stopped.

use uuid::Uuid;

use super::refused::{FieldProblem, Refused};
use super::{App, fits};
use crate::dod::{Evidence, Head, Item};
use crate::journal::Answer;
use crate::run::{Command, ItemId, Phase, Refusal, Round, RoundId, RoundWhy, Run, feedback};
use crate::runner::checks::wanted;
use crate::runner::{carries, current_head};
use crate::shape::request::CheckRequest;
use crate::shape::view::{
    CheckedItemView, ChecksView, DetailView, EvidenceView, FeedbackView, RoundAccepted, RoundView,
};

impl App {
    /// Runs the checks of a run's items on the work as it is now: all that apply, or those that are named.
    ///
    /// # Errors
    /// The run is at work, has no work yet, or has no such item with a check.
    pub async fn check(&self, run: &str, request: CheckRequest) -> Result<RoundAccepted, Refused> {
        if self.context().closing.is_cancelled() {
            return Err(Refused::Draining);
        }
        let run = self.load(self.run_id(run)?)?;
        self.has_room()?;
        let Some(head) = self.runner().notice_head_alone(&run).await? else {
            return Err(Refused::State(Refusal::NoHead));
        };
        let run = self.load(run.id)?;
        let items = match &request.items {
            None => {
                let all = wanted::applicable(self.context(), &run, &head).await?;
                all.iter().map(|item| item.id).collect()
            }
            Some(keys) => named(&run, keys)?,
        };
        if items.is_empty() {
            return Err(Refused::Invalid(vec![FieldProblem::new(
                "/items",
                "no item of this run has a check that applies to its work",
            )]));
        }
        let round = Round {
            id: RoundId(Uuid::now_v7()),
            head: head.clone(),
            items: items.clone(),
            why: RoundWhy::Asked,
            afresh: request.afresh,
        };
        let accepted = RoundAccepted {
            run_id: run.id.to_string(),
            round_id: round.id.to_string(),
            items: keys(&run, &items),
            head: head.commit.to_string(),
            tree: head.tree.to_string(),
        };
        let carries = carries(self.context(), &run, &head).await?;
        let command = Command::Check { round, carries };
        match self.context().journal.ask(run.id, command).await? {
            Answer::No(refusal) => Err(Refused::State(refusal)),
            Answer::Done(_) | Answer::Already(_) => {
                self.runner().begin_checks(run.id);
                Ok(accepted)
            }
        }
    }

    /// The checks of a run: the round that is under way, and the newest result of each item.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn checks(&self, run: &str) -> Result<ChecksView, Refused> {
        let run = self.seen(self.run_id(run)?).await?;
        let head = current_head(self.context(), &run).await?;
        Ok(self.shown_checks(&run, head.as_ref()))
    }

    /// Stops the round that is under way. Without one nothing happens.
    ///
    /// # Errors
    /// There is no such run, or something of ours failed.
    pub async fn stop_checks(&self, run: &str) -> Result<ChecksView, Refused> {
        let id = self.run_id(run)?;
        let run = self.runner().stop_checks(id).await?;
        let head = current_head(self.context(), &run).await?;
        Ok(self.shown_checks(&run, head.as_ref()))
    }

    fn shown_checks(&self, run: &Run, head: Option<&Head>) -> ChecksView {
        ChecksView {
            run_id: run.id.to_string(),
            status: run.status(),
            round: match &run.phase {
                Phase::Checking {
                    round: Some(round), ..
                } => Some(self.shown_round(run, round)),
                _ => None,
            },
            items: run
                .items
                .iter()
                .filter(|item| item.spec.check.is_some())
                .map(|item| self.shown_item(run, item, head))
                .collect(),
        }
    }

    fn shown_round(&self, run: &Run, round: &Round) -> RoundView {
        let shown = |id: &ItemId| run.shown_in_round().any(|e| e.item_id == *id);
        let position = self.context().check_slots.position(round.id);
        let next = round.items.iter().copied().find(|id| !shown(id));
        RoundView {
            round_id: round.id.to_string(),
            why: round.why,
            head: round.head.commit.to_string(),
            tree: round.head.tree.to_string(),
            items: keys(run, &round.items),
            afresh: round.afresh,
            waiting: position.is_some(),
            position,
            running: next
                .filter(|_| position.is_none())
                .and_then(|id| run.item(id))
                .map(|item| item.spec.key.clone()),
            shown: round.items.iter().filter(|id| shown(id)).count() as u64,
        }
    }

    fn shown_item(&self, run: &Run, item: &Item, head: Option<&Head>) -> CheckedItemView {
        let of_item =
            |e: &&Evidence| e.item_id == item.id && e.check.is_some() && e.candidate_of.is_none();
        let newest = run.evidence.iter().rev().find(of_item);
        CheckedItemView {
            item_id: item.id.to_string(),
            item_key: item.spec.key.clone(),
            required: item.spec.required,
            feedback: self.shown_feedback(run, item),
            newest: newest.map(|e| EvidenceView::of(e, Some(&item.spec.key), head)),
        }
    }

    /// How often the agent was told about the check of this item; nothing for one whose check it is not told about.
    fn shown_feedback(&self, run: &Run, item: &Item) -> Option<FeedbackView> {
        if item.spec.check.is_none() || !item.spec.required {
            return None;
        }
        let most = self.context().config.max_feedback;
        let why_not = feedback::untold(run, item.id, most);
        Some(FeedbackView {
            sent: feedback::sent(run, item.id),
            max: feedback::most(run, most),
            exhausted: why_not.is_some_and(feedback::Untold::is_exhausted),
            why_not,
        })
    }

    /// Says of each item how often the agent was told about its check.
    pub(super) fn show_feedback(&self, run: &Run, view: &mut DetailView) {
        for (item, shown) in run.items.iter().zip(&mut view.dod_items) {
            shown.feedback = self.shown_feedback(run, item);
        }
    }
}

/// The items with these keys or ids, in the order of the run's list.
fn named(run: &Run, names: &[String]) -> Result<Vec<ItemId>, Refused> {
    let mut bad = Vec::new();
    let mut wanted = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let is_it =
            |item: &&Item| item.spec.key == *name || fits(&item.id.to_string(), name.as_str());
        let pointer = format!("/items/{at}");
        match run.items.iter().find(is_it) {
            None => bad.push(FieldProblem::new(
                pointer,
                format!("this run has no item `{name}`"),
            )),
            Some(item) if item.spec.check.is_none() => bad.push(FieldProblem::new(
                pointer,
                format!(
                    "`{}` has no check that the service could run",
                    item.spec.key
                ),
            )),
            Some(item) => wanted.push(item.id),
        }
    }
    if bad.is_empty() {
        let of_list = run.items.iter().map(|item| item.id);
        Ok(of_list.filter(|id| wanted.contains(id)).collect())
    } else {
        Err(Refused::Invalid(bad))
    }
}

fn keys(run: &Run, items: &[ItemId]) -> Vec<String> {
    let items = items.iter().filter_map(|id| run.item(*id));
    items.map(|item| item.spec.key.clone()).collect()
}
