//! `agent_runner_api`: headless coding agents, each in its own git worktree, merged only when proven done.
//!
//! Read the modules in this order: it is the story of a run.

/// What a run is: its request, its states, its events and what may be asked of it. Pure.
pub mod run;

/// Its place: a linked worktree on a branch of its own; removal that loses nothing.
pub mod worktree;

/// Its worker: one file an agent, the invocation and the parser of its stream.
pub mod agent;

/// Its process: the supervisor that outlives the server, and the server's side of it.
pub mod process;

/// What happened: events appended with the state they lead to, followed and replayed.
pub mod journal;

/// What done means and what is proven: items, evidence, freshness.
pub mod dod;

/// May it merge? A pure question with a permit or blockers for an answer.
pub mod gate;

/// What travels with a merge: trailers and attestations. Pure.
pub mod proof;

/// The landing: the candidate, and moving the base to it.
pub mod merge;

/// Who walks a run through all this: one driver a run, starts, recovery.
pub mod runner;

/// What must always hold, checked over database, git, processes and files; and mended where that is safe.
pub mod world;

/// The only SQL.
pub mod store;

/// The only `git`.
pub mod git;

/// The shapes of the API. Pure.
pub mod shape;

/// The service as its doors see it: what can be asked of it.
pub mod app;

/// The door for programs.
pub mod http;

/// The door for people.
pub mod cli;

/// Flags, environment and file, in one place.
pub mod config;

/// Logs.
pub mod telemetry;

/// The time of day.
pub mod clock;

/// Each effect by its name: where a test may strike. Nothing in a release.
pub mod effect;
