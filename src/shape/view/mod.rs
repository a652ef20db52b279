//! What the service shows. What is not known is `null`, never missing.

mod answer;
mod checks;
mod attestation;
mod gc;
mod health;
mod merge;
mod proof;
mod run;
mod stats;

pub use answer::{Accepted, DiffFile, DiffFormat, DiffView, MergedView, RunPage, WorkflowView};
pub use checks::{
    CheckView, CheckedItemView, ChecksView, FeedbackView, OnBaseView, RoundAccepted, RoundView,
};
pub use attestation::AttestationView;
pub use gc::{GcItem, GcView};
pub use health::{
    CheckNetworkView, ContainmentView, DiskView, DoctorView, FindingView, FixView, HealthView,
};
pub use merge::{CandidateItemView, CandidateView, MergeStage, MergeView};
pub use proof::{DetailView, EvidenceView, GateView, ItemCheckView, ItemView, SourceView};
pub use run::{AttemptView, FailureView, NoticeView, RunView};
pub use stats::{Figures, GroupView, StatsView};
