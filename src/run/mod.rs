//! What a run is, and nothing of how it is carried out: no clock, no file, no process, no SQL.

pub mod command;
pub mod event;
#[cfg(test)]
mod histories;
pub mod ids;
pub mod outcome;
pub mod spec;
pub mod state;

pub use command::{Command, Decision, Refusal, decide};
pub use event::{Event, Recorded};
pub use ids::{AttemptId, CommitId, EvidenceId, ItemId, RunId, TreeId};
pub use outcome::{EndedBy, Exit, Failure, FailureCode, Outcome, Usage};
pub use spec::{AgentKind, AgentSettings, Hooks, Limits, Spec, StubReason};
pub use state::{Phase, Run, Status, apply, begin};
