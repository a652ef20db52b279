//! The checks that the service runs itself.

pub mod engine;
