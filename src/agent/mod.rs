//! Its worker: what is started for a run, what it says while it works, and what its end means.
//!
//! One file (or folder) an agent: `claude`, `command`, `stub`. What all share is beside them:
//!
//! - `invocation`: a run's spec becomes argv, environment and stdin;
//! - `environment`: the environment is built, never inherited;
//! - `lines` and `activity`: output becomes lines, a line becomes activities;
//! - `transcript`: what an attempt's output adds up to;
//! - `classify`: transcript and exit become an outcome;
//! - `strain`: and what it means that the kernel killed for want of memory.
//!
//! Deliberately absent: starting a process, reading a clock, the service's own environment (it is
//! handed in). Nothing here decides whether the work is any good: that is for the Definition of Done.

pub mod activity;
pub mod classify;
pub mod claude;
pub mod command;
pub mod environment;
pub mod invocation;
pub mod lines;
pub mod strain;
pub mod stub;
pub mod transcript;

pub use activity::{Activity, Final, parse};
pub use classify::outcome;
pub use environment::forbidden_env;
pub use invocation::{Companion, Invocation, Reach, Refused, Session, Work, invocation};
pub use strain::strained;
pub use stub::leaves_empty_commit;
pub use transcript::Transcript;
