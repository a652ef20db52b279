//! What a run is, and nothing of how it is carried out: no clock, no file, no process, no SQL.

pub mod apply;
pub mod command;
pub mod cone;
pub mod event;
pub mod feedback;
pub mod given;
#[cfg(test)]
mod histories;
pub mod ids;
pub mod notice;
pub mod outcome;
pub mod phase;
pub mod spec;
pub mod state;

pub use apply::{Illegal, apply, begin};
pub use command::{Command, Decision, Refusal, decide};
pub use cone::Cone;
pub use event::{Event, Recorded};
pub use ids::{AttemptId, CommitId, EvidenceId, ItemId, RoundId, RunId, TreeId};
pub use notice::{Notice, NoticeCode, Strain};
pub use outcome::{EndedBy, Exit, Failure, FailureCode, Outcome, Silence, Usage};
pub use phase::{CandidateRound, Phase, Round, RoundWhy, Status};
pub use spec::{AgentKind, AgentSettings, Hooks, Limits, Spec, StubReason};
pub use state::Run;
