//! What checks run, and what they came to.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::proof::EvidenceView;
use crate::dod::check::record::OnBase;
use crate::dod::check::{CheckRecord, Counts, End, FailedCode};
use crate::run::feedback::Untold;
use crate::run::{RoundWhy, Status};

/// A round of checks that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RoundAccepted {
    /// The run.
    pub run_id: String,
    /// The round.
    pub round_id: String,
    /// The keys of the items whose checks run, in their order.
    pub items: Vec<String>,
    /// The commit that is checked.
    pub head: String,
    /// Its tree.
    pub tree: String,
}

/// The checks of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChecksView {
    /// The run.
    pub run_id: String,
    /// Its status.
    pub status: Status,
    /// The round that is under way.
    pub round: Option<RoundView>,
    /// The items that have a check.
    pub items: Vec<CheckedItemView>,
}

/// A round of checks that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RoundView {
    /// Its id.
    pub round_id: String,
    /// Why it is run.
    pub why: RoundWhy,
    /// The commit that is checked.
    pub head: String,
    /// Its tree.
    pub tree: String,
    /// The keys of the items whose checks run, in their order.
    pub items: Vec<String>,
    /// Whether passes that are known already are not good enough.
    pub afresh: bool,
    /// Whether it waits for its turn.
    pub waiting: bool,
    /// Its place among those that wait, from 1.
    pub position: Option<u64>,
    /// The key of the item whose check runs.
    pub running: Option<String>,
    /// How many of its checks have ended.
    pub shown: u64,
}

/// An item that has a check.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckedItemView {
    /// The item.
    pub item_id: String,
    /// Its key.
    pub item_key: String,
    /// Whether the gate stays shut without it.
    pub required: bool,
    /// How often the agent was told about it.
    pub feedback: Option<FeedbackView>,
    /// The newest evidence that its check has brought.
    pub newest: Option<EvidenceView>,
}

/// How often the agent was told about a failed check.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FeedbackView {
    /// How often it was told.
    pub sent: u32,
    /// How often it may be.
    pub max: u32,
    /// Whether it was told as often as it may be, or the run has nothing left to spend.
    pub exhausted: bool,
    /// Why it would not be told now.
    pub why_not: Option<Untold>,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckView {
    /// Whether it passed.
    pub passed: bool,
    /// Why it did not.
    pub code: Option<FailedCode>,
    /// The same, for a person.
    pub detail: Option<String>,
    /// The command.
    pub cmd: String,
    /// The code that it ended with, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Milliseconds from its start to its end.
    pub duration_ms: u64,
    /// The tests that it ran, as far as a known test runner or a report tells them.
    pub counts: Option<Counts>,
    /// SHA-256 of the environment that it was run in.
    pub environment: String,
    /// What tools said of their versions.
    pub tools: BTreeMap<String, String>,
    /// Whether it had a network of its own.
    pub own_network: bool,
    /// The evidence whose result this is, if it was not run again.
    pub cached_from: Option<String>,
    /// `red_green`: what it came to on the base.
    pub on_base: Option<OnBaseView>,
}

/// What a `red_green` check came to on the base.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OnBaseView {
    /// The code that it ended with, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The tests that it ran there.
    pub counts: Option<Counts>,
}

impl CheckView {
    /// The record as it is shown.
    #[must_use]
    pub fn of(record: &CheckRecord) -> CheckView {
        let (exit_code, signal) = ends(&record.end);
        CheckView {
            passed: record.passed(),
            code: record.failed.as_ref().map(|failed| failed.code),
            detail: record.failed.as_ref().map(|failed| failed.detail.clone()),
            cmd: record.cmd.clone(),
            exit_code,
            signal,
            duration_ms: record.duration_ms,
            counts: record.counts,
            environment: record.environment.clone(),
            tools: record.tools.clone(),
            own_network: record.own_network,
            cached_from: record.cached_from.map(|id| id.to_string()),
            on_base: record.on_base.as_ref().map(on_base),
        }
    }
}

fn on_base(base: &OnBase) -> OnBaseView {
    let (exit_code, signal) = ends(&base.end);
    OnBaseView {
        exit_code,
        signal,
        counts: base.counts,
    }
}

fn ends(end: &End) -> (Option<i32>, Option<i32>) {
    match end {
        End::Exited { code } => (Some(*code), None),
        End::Signalled { signal } => (None, Some(*signal)),
        _ => (None, None),
    }
}
