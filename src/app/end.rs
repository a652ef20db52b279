//! The ends of a run: merged, aborted, and brought back.

use std::time::Duration;

use super::refused::{FieldProblem, Refused};
use super::{App, Created};
use crate::run::{Refusal, Run};
use crate::runner::{
    Landed, MergeAnswer, MergeAsk, NotAborted, NotMerged, NotRestored, conflict_of,
};
use crate::shape::request::{MergeRequest, is_blank};
use crate::shape::view::{AbortedView, MergeView, MergedView, RunView};

/// The longest message of a merge, in characters.
const MESSAGE_MAX: usize = 64 * 1024;
/// The longest wait for the end of a merge: a day.
const WAIT_MAX_S: f64 = 86_400.0;

/// What became of a request to merge.
#[derive(Debug, Clone)]
pub enum Merged {
    /// It has landed, or would.
    Done(MergedView),
    /// It waits for its turn, or its candidate is checked.
    UnderWay(MergeView),
}

impl App {
    /// Lands the run, if its gate is open. Asked again after it has landed, the answer is the same. If it has to wait for
    /// its turn or for checks on the result, it is waited for as long as the request says.
    ///
    /// # Errors
    /// As [`Refused`] says; the base has not moved then.
    pub async fn merge(&self, run: &str, request: MergeRequest) -> Result<Merged, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let mut bad = Vec::new();
        if let Some(message) = &request.message
            && (is_blank(message)
                || message.chars().count() > MESSAGE_MAX
                || message.contains('\0'))
        {
            bad.push(FieldProblem::new(
                "/message",
                "must be 1 to 65536 characters, not only spaces, none of them 0",
            ));
        }
        if request
            .wait_s
            .is_some_and(|s| !(0.0..=WAIT_MAX_S).contains(&s))
        {
            let detail = format!("must be from 0 to {WAIT_MAX_S} seconds");
            bad.push(FieldProblem::new("/wait_s", detail));
        }
        if !bad.is_empty() {
            return Err(Refused::Invalid(bad));
        }
        let wait = request
            .wait_s
            .map(Duration::from_secs_f64)
            .unwrap_or_default();
        let ask = MergeAsk {
            message: request.message,
            dry_run: request.dry_run,
            to_its_end: !wait.is_zero(),
        };
        let asked = self.runner().merge(run.id, ask);
        let answered = if wait.is_zero() {
            asked.await
        } else {
            match tokio::time::timeout(wait, asked).await {
                Ok(answered) => answered,
                // It goes on without anybody waiting for it.
                Err(_) => Ok(MergeAnswer::UnderWay),
            }
        };
        match answered.map_err(not_merged)? {
            MergeAnswer::Landed(landed) => Ok(Merged::Done(merged_view(&run, landed))),
            MergeAnswer::UnderWay => self.merge_of(&self.load(run.id)?).map(Merged::UnderWay),
        }
    }

    /// The merge of a run that is under way, or how the last one ended.
    ///
    /// # Errors
    /// There is no such run, or no merge of it was asked for.
    pub async fn merge_under_way(&self, run: &str) -> Result<MergeView, Refused> {
        self.merge_of(&self.load(self.run_id(run)?)?)
    }

    fn merge_of(&self, run: &Run) -> Result<MergeView, Refused> {
        self.merge_view(run)?
            .ok_or(Refused::State(Refusal::NoMerge))
    }

    /// Takes a run out of the merge queue, as long as its base is not being moved.
    ///
    /// # Errors
    /// It is not in it, or it is too late.
    pub async fn cancel_merge(&self, run: &str) -> Result<MergeView, Refused> {
        let id = self.run_id(run)?;
        let run = self.runner().cancel_merge(id).await.map_err(not_merged)?;
        self.merge_of(&run)
    }

    /// Sends the conflict of the run's work with its base back to its agent, in the same session.
    ///
    /// # Errors
    /// There is no conflict, or the run's state does not allow it.
    pub async fn send_conflict(&self, run: &str, more: Option<String>) -> Result<Created, Refused> {
        let run = self.load(self.run_id(run)?)?;
        match conflict_of(self.context(), &run).await? {
            Some(conflict) => {
                let text = conflict.message(&run.spec.base, more.as_deref());
                self.message(&run.id.to_string(), text).await
            }
            None => Err(Refused::NoConflict),
        }
    }

    /// Ends the agent and takes worktree and branch away. The work is preserved, what was uncommitted perhaps a little later.
    /// Can be repeated.
    ///
    /// # Errors
    /// The run has merged.
    pub async fn abort(&self, run: &str) -> Result<AbortedView, Refused> {
        let id = self.run_id(run)?;
        match self.runner().abort(id).await {
            Ok(run) => Ok(AbortedView {
                preserving: run.is_preserving(),
                run: RunView::of(&run, None),
            }),
            Err(NotAborted::State(refusal)) => Err(Refused::State(refusal)),
            Err(NotAborted::Closing) => Err(Refused::Draining),
            Err(NotAborted::Failed(error)) => Err(error.into()),
        }
    }

    /// Brings back the branch and worktree of an aborted run.
    ///
    /// # Errors
    /// It is not aborted, or its work is no longer kept.
    pub async fn restore(&self, run: &str) -> Result<RunView, Refused> {
        let id = self.run_id(run)?;
        self.has_room()?;
        match self.runner().restore(id).await {
            Ok(run) => Ok(RunView::of(&run, None)),
            Err(NotRestored::State(refusal)) => Err(Refused::State(refusal)),
            Err(NotRestored::Gone(why)) => Err(Refused::CannotRestore(why)),
            Err(NotRestored::Closing) => Err(Refused::Draining),
            Err(NotRestored::Failed(error)) => Err(error.into()),
        }
    }
}

fn merged_view(run: &Run, landed: Landed) -> MergedView {
    let Landed {
        commit,
        onto,
        head,
        fast_forwarded,
        already: _,
        to_check,
    } = landed;
    MergedView {
        status: if commit.is_some() {
            "merged"
        } else {
            "would_merge"
        },
        run_id: run.id.to_string(),
        commit: commit.map(String::from),
        base: run.spec.base.clone(),
        onto: onto.into(),
        head: head.into(),
        fast_forwarded: fast_forwarded
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        to_check,
    }
}

fn not_merged(error: NotMerged) -> Refused {
    match error {
        NotMerged::GateClosed(blockers) => Refused::GateClosed(blockers),
        NotMerged::State(refusal) => Refused::State(refusal),
        NotMerged::Conflict(paths) => Refused::MergeConflict { paths },
        NotMerged::Dirty {
            checkout,
            paths,
            busy,
        } => Refused::BaseCheckedOutDirty {
            checkout: checkout.display().to_string(),
            paths,
            busy,
        },
        NotMerged::BaseMoved => Refused::BaseMoved,
        NotMerged::ChecksFailed(_) => Refused::CandidateChecksFailed(error.to_string()),
        NotMerged::NotChecked(_) => Refused::NotChecked(error.to_string()),
        NotMerged::Cancelled(why) => Refused::MergeCancelled(why),
        NotMerged::Stopped { code, detail } => stopped(&code, detail),
        NotMerged::NotPushed { code, detail } => stopped(code, detail),
        NotMerged::Closing => Refused::Draining,
        NotMerged::Failed(error) => error.into(),
    }
}

/// A reason that was recorded, under the name that it has when it is told at once.
fn stopped(code: &str, detail: String) -> Refused {
    match code {
        "candidate_checks_failed" => Refused::CandidateChecksFailed(detail),
        "not_checked" => Refused::NotChecked(detail),
        "cancelled" => Refused::MergeCancelled(detail),
        "push_refused" => Refused::PushRefused(detail),
        "push_failed" => Refused::PushFailed(detail),
        "pushed_but_base_moved" => Refused::PushedButBaseMoved(detail),
        "base_moved" => Refused::BaseMoved,
        _ => Refused::MergeStopped(detail),
    }
}
