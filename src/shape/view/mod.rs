//! What the service shows. What is not known is `null`, never missing.

mod answer;
mod attestation;
mod checks;
mod gc;
mod health;
mod merge;
mod own;
mod proof;
mod run;
mod stats;

pub use answer::{
    AbortedView, Accepted, DiffFile, DiffFormat, DiffView, MergedView, RunPage, WorkflowView,
};
pub use attestation::AttestationView;
pub use checks::{
    CheckView, CheckedItemView, ChecksView, FeedbackView, OnBaseView, RoundAccepted, RoundView,
};
pub use gc::{GcItem, GcView};
pub use health::{
    CheckNetworkView, ContainmentView, DiskView, DoctorView, FindingView, FixView, HealthView,
    McpView, PoolView, SeedView,
};
pub use merge::{CandidateItemView, CandidateView, MergeStage, MergeView};
pub use own::{MayEnd, Missing, OwnCheck, OwnDefinition, OwnItem, OwnResult, OwnResults, kinds};
pub use proof::{DetailView, EvidenceView, GateView, ItemCheckView, ItemView, SourceView};
pub use run::{AttemptView, FailureView, NoticeView, RunView};
pub use stats::{Figures, GroupView, StatsView};
