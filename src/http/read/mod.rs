//! What a request says: its path, query, headers and body, read strictly, with a problem for whatever is wrong.

pub mod body;
pub mod idempotency;
pub mod query;
pub mod since;
pub mod upload;

use axum::extract::{FromRequestParts, Path};

pub use body::{JsonBody, OptionalJsonBody};
pub use query::Query;

use super::problem::Problem;

/// The variables of the path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub struct Segments<T>(pub T);
