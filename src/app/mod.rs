//! The service as its doors see it.

pub mod refused;

pub use crate::shape::{request, view};
pub use refused::{FieldProblem, Refused};
