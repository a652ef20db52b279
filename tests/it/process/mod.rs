//! The supervisor and the server's side of it, with real processes.

mod actor;
mod contained;
mod escape;
mod life;
mod limits;
mod output;
mod recovery;
mod scopes;
mod stage;
