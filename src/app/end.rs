//! The ends of a run: merged, aborted, and brought back.

use super::App;
use super::refused::{FieldProblem, Refused};
use crate::runner::{Landed, MergeAsk, NotAborted, NotMerged, NotRestored};
use crate::shape::request::{MergeRequest, is_blank};
use crate::shape::view::{MergedView, RunView};

/// The longest message of a merge, in characters.
const MESSAGE_MAX: usize = 64 * 1024;

impl App {
    /// Lands the run, if its gate is open. Asked again after it has landed, the answer is the same.
    ///
    /// # Errors
    /// As [`Refused`] says; the base has not moved then.
    pub async fn merge(&self, run: &str, request: MergeRequest) -> Result<MergedView, Refused> {
        let run = self.load(self.run_id(run)?)?;
        if let Some(message) = &request.message
            && (is_blank(message)
                || message.chars().count() > MESSAGE_MAX
                || message.contains('\0'))
        {
            return Err(Refused::Invalid(vec![FieldProblem::new(
                "/message",
                "must be 1 to 65536 characters, not only spaces, none of them 0",
            )]));
        }
        let ask = MergeAsk {
            message: request.message,
            dry_run: request.dry_run,
        };
        let landed = self.runner().merge(run.id, ask).await.map_err(not_merged)?;
        let Landed {
            commit,
            onto,
            head,
            fast_forwarded,
            already: _,
        } = landed;
        Ok(MergedView {
            status: if commit.is_some() {
                "merged"
            } else {
                "would_merge"
            },
            run_id: run.id.to_string(),
            commit: commit.map(String::from),
            base: run.spec.base,
            onto: onto.into(),
            head: head.into(),
            fast_forwarded: fast_forwarded
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
        })
    }

    /// Ends the agent and takes worktree and branch away; the work is preserved. Can be repeated.
    ///
    /// # Errors
    /// The run has merged.
    pub async fn abort(&self, run: &str) -> Result<RunView, Refused> {
        let id = self.run_id(run)?;
        match self.runner().abort(id).await {
            Ok(run) => Ok(RunView::of(&run, None)),
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
        NotMerged::Closing => Refused::Draining,
        NotMerged::Failed(error) => error.into(),
    }
}
