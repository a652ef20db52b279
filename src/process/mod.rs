//! The agent's process: one supervisor for one attempt, and the server's side of it.
//!
//! ```text
//! server ── start ──> supervisor ── gate ──> agent ──> whatever the agent starts
//!    │                  │  owns: output, stderr, limits, the stop, the sweep
//!    │   attach         │  writes: started.json (before the agent's exec), exit.json (after the sweep)
//!    └──── pidfd, control.sock, records ────┘
//! ```
//!
//! The supervisor outlives the server: whatever kills the server leaves the agent at work, and the next server
//! finds it again by the attempt's directory alone ([`attach`](crate::process::attach())). The supervisor's own
//! death ends the agent, and what is then not known is [`Exit::Unknown`](crate::run::Exit). One that is silent is
//! noticed by the server's [`Vigil`](crate::process::Vigil), which wakes it, or holds its agent's limits in its place.
//!
//! A process is always an [`Identity`](crate::process::Identity), never a bare pid. Deliberately absent: reading the
//! output (a file, followed elsewhere), any meaning of what the agent prints, jails.

mod attach;
mod containment;
mod control;
mod descriptors;
mod force;
mod growth;
mod identity;
mod limits;
mod marked;
mod network;
mod proc_fs;
mod readable;
mod records;
pub mod short;
mod start;
mod supervised;
mod supervisor;
mod sweep;
mod vigil;

pub use attach::{AttachError, Attachment, attach};
pub use containment::{Cgroup, Containment, LeftCgroup, NotHad, Wanted, bus_address, end_cgroup};
pub use control::{Status, Unanswered};
pub use descriptors::raise_descriptors;
pub use growth::{Growth, Growths, Woken};
pub use identity::Identity;
pub use marked::{Marked, end, folders_at_work, marked};
pub use network::{Answer, Network, Networks, WantedNetwork, hold_main as hold_network_main};
pub use records::{
    ATTEMPT_MARKER, ExitRecord, Launch, LaunchLimits, RUN_MARKER, RecordError, Refusal, RefusedAt,
    Started, StopSignal, StopStep, exit_of,
};
pub use start::{StartError, start};
pub use supervised::{Ended, Killed, Lost, Supervised};
pub use supervisor::{exec_gate_main, supervise_main};
pub use sweep::sweep_marked;
pub use vigil::{News, Vigil};
