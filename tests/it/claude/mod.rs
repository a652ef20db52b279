//! The real Claude Code, started by our invocation, against a mock of its model's API.
//!
//! These tests hold the adapter to the program: what it is started with, how its stream is read, how its end is
//! judged. `product` has them through the service's doors.

mod endings;
mod product;
mod samples;
mod sessions;
mod stage;
