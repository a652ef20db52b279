//! The service as its doors see it.

pub mod refused;
pub mod request;
pub mod view;

pub use refused::{FieldProblem, Refused};
