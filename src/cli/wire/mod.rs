//! How the commands reach the server: HTTP over loopback, JSON, server-sent events.
//!
//! Deliberately absent: TLS and proxies (the server is on this machine), and types for the API's answers: they are
//! read leniently, so that a server of another version can be asked.

mod client;
mod problem;
mod sse;
mod stream;
mod url;

pub use client::{Answer, Client, Connection};
pub use problem::Problem;
pub use sse::Event;
pub use stream::{Heard, Start, Stream};
pub use url::{query, segment};
