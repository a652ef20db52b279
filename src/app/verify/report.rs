//! What was looked at, a line each, and how it stands.

use serde::Serialize;

use crate::run::{CommitId, RunId};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is as it should be.
    Ok,
    /// It is not.
    Failed,
    /// It could not be looked at, or nothing asks for it.
    Skipped,
}

impl Standing {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Ok => "ok",
            Standing::Failed => "failed",
            Standing::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What: `parents`, `tree`, `trailers`, `item tests`, …
    pub what: String,
    /// How it stands.
    pub status: Standing,
    /// A sentence for a person.
    pub detail: String,
}

/// Whether a merge is what was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The merge.
    pub commit: CommitId,
    /// Its run, as far as it names one.
    pub run_id: Option<RunId>,
    /// Whether there was a database to hold it against; else it was held against its note.
    pub database: bool,
    /// Whether nothing has failed.
    pub proven: bool,
    /// All that was looked at.
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn new(commit: &CommitId, database: bool) -> Report {
        Report {
            commit: commit.clone(),
            run_id: None,
            database,
            proven: true,
            lines: Vec::new(),
        }
    }

    fn line(&mut self, what: impl Into<String>, status: Standing, detail: impl Into<String>) {
        self.proven &= status != Standing::Failed;
        self.lines.push(Line {
            what: what.into(),
            status,
            detail: detail.into(),
        });
    }

    pub(super) fn ok(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.line(what, Standing::Ok, detail);
    }

    pub(super) fn failed(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.line(what, Standing::Failed, detail);
    }

    pub(super) fn skipped(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        self.line(what, Standing::Skipped, detail);
    }

    /// What holds is said in the words of `ok`, what does not in those of `failed`.
    pub(super) fn holds(
        &mut self,
        what: impl Into<String>,
        holds: bool,
        ok: impl Into<String>,
        failed: impl Into<String>,
    ) {
        match holds {
            true => self.ok(what, ok),
            false => self.failed(what, failed),
        }
    }
}
