//! What stands between a run's work and its base, and how an agent is told of it.

use std::fmt::Write as _;

use super::super::Context;
use super::super::gate::current_head;
use super::base_ref;
use crate::dod::Head;
use crate::merge;
use crate::run::{CommitId, Run};

/// The most paths that an agent is told by name.
const MOST_PATHS: usize = 100;

/// A conflict of the work with its base, as both are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The work.
    pub head: CommitId,
    /// Where the base is.
    pub onto: CommitId,
    /// The files that both sides have changed.
    pub paths: Vec<String>,
}

/// The conflict of this run's work with its base; nothing if there is none.
///
/// # Errors
/// git failed.
pub async fn conflict_of(context: &Context, run: &Run) -> anyhow::Result<Option<Conflict>> {
    let onto = context.repository.resolve(&base_ref(run)?).await?;
    let (Some(Head { commit: head, .. }), Some(onto)) = (current_head(context, run).await?, onto)
    else {
        return Ok(None);
    };
    let paths = merge::conflicts(&context.repository, &onto, &head).await?;
    Ok((!paths.is_empty()).then_some(Conflict { head, onto, paths }))
}

impl Conflict {
    /// What the agent is told: where the conflict is and how it is resolved, then what somebody adds.
    #[must_use]
    pub fn message(&self, base: &str, more: Option<&str>) -> String {
        let Conflict { head, onto, paths } = self;
        let mut text = format!(
            "Your work cannot be merged: it conflicts with `{base}`.\n\n\
             `{base}` is at {onto}, your branch at {head}. Both changed:\n"
        );
        for path in paths.iter().take(MOST_PATHS) {
            // A path is one line here, whatever characters it has.
            let _ = writeln!(text, "- {path:?}");
        }
        if let Some(others @ 1..) = paths.len().checked_sub(MOST_PATHS) {
            let _ = writeln!(text, "- and {others} more");
        }
        let _ = write!(
            text,
            "\nResolve it in your worktree, on your branch: run `git merge {onto}` (or `git rebase {onto}`), keep what both \
             sides meant in each of these files, run the tests, and commit. Do not change `{base}` itself.\n"
        );
        if let Some(more) = more {
            let _ = write!(text, "\n{more}\n");
        }
        text
    }
}
