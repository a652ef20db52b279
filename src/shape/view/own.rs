//! What the agent of a run is shown of its own run: for a model to read, and the same for programs.
//!
//! The words name no other run and no person's decision that the agent could take part in.

use std::fmt::Write as _;

use serde::Serialize;
use utoipa::ToSchema;

use crate::dod::check::{Counts, End, FailedCode};
use crate::dod::{EvidenceKind, ItemStatus, Validator};
use crate::gate::{Blocker, BlockerCode};

/// What the run must show, what was shown, and what is missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnDefinition {
    /// The run.
    pub run_id: String,
    /// The commit of the work that this is about.
    pub head: Option<String>,
    /// The items of the Definition of Done.
    pub items: Vec<OwnItem>,
    /// What stands in the way of a merge and is about no item.
    pub blockers: Vec<Blocker>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnItem {
    /// Its name.
    pub item_key: String,
    /// What it asks for.
    pub title: String,
    /// Whether the run cannot merge without it.
    pub required: bool,
    /// Where it stands, for the work as it is now.
    pub status: ItemStatus,
    /// Which kinds of evidence fit.
    pub accepts: Vec<EvidenceKind>,
    /// Who accepts its evidence.
    pub validator: Validator,
    /// The command that the service runs for it.
    pub check: Option<OwnCheck>,
    /// It applies only if the work changes a path that fits one of these patterns; nothing if it always does.
    pub when_changed: Option<Vec<String>>,
    /// Why the gate is shut because of it, if it is.
    pub missing: Option<Missing>,
}

/// A command that the service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnCheck {
    /// For `sh -c`, in a clean checkout of the commit.
    pub cmd: String,
    /// Seconds that it may take.
    pub timeout_s: u64,
    /// The URL that must answer while it runs in the background.
    pub health: Option<String>,
    /// Whether it must fail on the base.
    pub red_green: bool,
}

/// Why the gate is shut because of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The stable name.
    pub code: BlockerCode,
    /// One sentence.
    pub detail: String,
}

/// What the checks of a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnResults {
    /// The commit of the work as it is now.
    pub head: Option<String>,
    /// The newest result of each check, in the order of the items.
    pub results: Vec<OwnResult>,
    /// Keys of items whose check has no result yet.
    pub not_run: Vec<String>,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnResult {
    /// Its item.
    pub item_key: String,
    /// The evidence that keeps it.
    pub evidence_id: String,
    /// The command.
    pub cmd: String,
    /// Whether it passed.
    pub passed: bool,
    /// The stable name of why it did not.
    pub code: Option<FailedCode>,
    /// Why it did not, in one sentence.
    pub detail: Option<String>,
    /// How its process ended.
    pub end: End,
    /// Milliseconds that it took.
    pub duration_ms: u64,
    /// The tests that it ran, where they are known.
    pub counts: Option<Counts>,
    /// The commit that was checked.
    pub commit: String,
    /// Whether the work has changed since.
    pub stale: bool,
    /// The end of what it printed.
    pub log_end: String,
}

/// Whether the agent may end, or what it could still bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MayEnd {
    /// Whether nothing speaks against it. What stays missing is for others to judge.
    pub may_end: bool,
    /// What it could still bring and how, for the agent to read; absent where it may end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// How often this attempt was told so, this time included.
    pub told: u32,
    /// How often it is told at most.
    pub told_at_most: u32,
}

impl OwnDefinition {
    /// It, for a model to read.
    #[must_use]
    pub fn text(&self) -> String {
        let head = self.head.as_deref().unwrap_or("no commit yet");
        let mut out = format!("Definition of Done of run {}, at {head}:\n", self.run_id);
        for item in &self.items {
            let required = if item.required {
                "required"
            } else {
                "optional"
            };
            let _ = writeln!(
                out,
                "\n- {} ({required}, {}): {}",
                item.item_key,
                item.status.as_str(),
                item.title
            );
            item.tell(&mut out);
        }
        if self.items.is_empty() {
            out.push_str("\n(no items)\n");
        }
        for blocker in &self.blockers {
            let _ = writeln!(out, "\nIn the way of a merge: {}", blocker.detail);
        }
        out.push_str(
            "\nEvidence speaks of the commit that your branch is at when you attach it: commit first. What you attach is \
             accepted or turned down by somebody else.\n",
        );
        out
    }
}

impl OwnItem {
    fn tell(&self, out: &mut String) {
        if let Some(check) = &self.check {
            let _ = writeln!(
                out,
                "  the service runs, in a clean checkout, for at most {} s: {}",
                check.timeout_s, check.cmd
            );
            if let Some(url) = &check.health {
                let _ = writeln!(out, "  it passes when {url} answers with a 2xx");
            }
            if check.red_green {
                out.push_str("  it must fail on the base and pass on your work\n");
            }
        }
        if let Some(patterns) = &self.when_changed {
            let _ = writeln!(
                out,
                "  it applies only if the work changes: {}",
                patterns.join(", ")
            );
        }
        let who = match self.validator {
            Validator::Check => "accepted by the service's check alone; bring no evidence yourself",
            Validator::Operator => "accepted by somebody other than you",
        };
        let _ = writeln!(out, "  {who}; takes {}", kinds(&self.accepts));
        if let Some(missing) = &self.missing {
            let _ = writeln!(out, "  missing: {}", missing.detail);
        }
    }
}

impl OwnResults {
    /// They, for a model to read.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for result in &self.results {
            let word = if result.passed { "passed" } else { "FAILED" };
            let stale = if result.stale {
                ", the work has changed since"
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "{}: {word} in {} ms at {}{stale}\n$ {}",
                result.item_key, result.duration_ms, result.commit, result.cmd
            );
            if let (Some(code), Some(detail)) = (result.code, &result.detail) {
                let name = serde_json::to_value(code).unwrap_or_default();
                let _ = writeln!(out, "{}: {detail}", name.as_str().unwrap_or_default());
            }
            if let Some(counts) = result.counts {
                let _ = writeln!(
                    out,
                    "tests: {} passed, {} failed, {} skipped",
                    counts.passed, counts.failed, counts.skipped
                );
            }
            if !result.log_end.is_empty() {
                let _ = writeln!(
                    out,
                    "--- the end of its output ---\n{}\n--- end ---",
                    result.log_end.trim_end()
                );
            }
            out.push('\n');
        }
        if !self.not_run.is_empty() {
            let _ = writeln!(
                out,
                "No result yet for: {}. The service runs checks when you have ended.",
                self.not_run.join(", ")
            );
        }
        if out.is_empty() {
            out.push_str("No item of the Definition of Done has a check.\n");
        }
        out
    }
}

/// The kinds as words: `text, file or url`.
#[must_use]
pub fn kinds(accepts: &[EvidenceKind]) -> String {
    let words: Vec<_> = accepts.iter().map(|kind| kind.as_str()).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_what_failed_why_and_the_end_of_what_was_printed() {
        let failed = OwnResult {
            item_key: "tests".to_owned(),
            evidence_id: "e1".to_owned(),
            cmd: "cargo test".to_owned(),
            passed: false,
            code: Some(FailedCode::TestsFailed),
            detail: Some("1 of 3 tests failed".to_owned()),
            end: End::Exited { code: 0 },
            duration_ms: 1200,
            counts: Some(Counts {
                passed: 2,
                failed: 1,
                ..Counts::default()
            }),
            commit: "c41a".to_owned(),
            stale: true,
            log_end: "test a ... FAILED\n".to_owned(),
        };
        let passed = OwnResult {
            item_key: "build".to_owned(),
            cmd: "cargo build".to_owned(),
            passed: true,
            code: None,
            detail: None,
            counts: None,
            stale: false,
            log_end: String::new(),
            ..failed.clone()
        };
        let results = OwnResults {
            head: Some("d52b".to_owned()),
            results: vec![failed, passed],
            not_run: vec!["smoke".to_owned()],
        };
        insta::assert_snapshot!(results.text(), @"
        tests: FAILED in 1200 ms at c41a, the work has changed since
        $ cargo test
        tests_failed: 1 of 3 tests failed
        tests: 2 passed, 1 failed, 0 skipped
        --- the end of its output ---
        test a ... FAILED
        --- end ---

        build: passed in 1200 ms at c41a
        $ cargo build

        No result yet for: smoke. The service runs checks when you have ended.
        ");
    }
}
