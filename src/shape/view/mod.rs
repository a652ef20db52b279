//! What the service shows. What is not known is `null`, never missing.

mod answer;
mod proof;
mod run;
mod service;

pub use answer::{Accepted, DiffFile, DiffFormat, DiffView, MergedView, RunPage, WorkflowView};
pub use proof::{DetailView, EvidenceView, GateView, ItemView};
pub use run::{AttemptView, FailureView, RunView};
pub use service::{DoctorView, FindingView, HealthView};
