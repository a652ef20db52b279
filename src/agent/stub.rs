//! No agent: `echo STUB: …`, where none is to be had or none is wanted.
//!
//! It says what would have run, and nothing more. The empty commit of a wanted stub is made by the
//! service when the run is settled, not by this program: [`leaves_empty_commit`] says when.

use super::activity::Activity;
use super::environment::Environment;
use super::invocation::{Refused, Work, absolute};
use crate::run::{AgentKind, Spec, StubReason};

/// Whether the service leaves an empty commit on the branch of this run, so that a client can be
/// developed against a run's whole life. A stub by accident leaves none, and so can never merge.
#[must_use]
pub fn leaves_empty_commit(spec: &Spec) -> bool {
    spec.agent == AgentKind::Stub && spec.stub == Some(StubReason::Wanted)
}

pub(crate) fn argv(work: &Work<'_>, env: &Environment) -> Result<Vec<String>, Refused> {
    let echo = absolute("echo", work.worktree, env.get("PATH"))?;
    let why = work.spec.stub.map_or("no agent", StubReason::sentence);
    let says = format!(
        "STUB: an agent with a prompt of {} bytes on {} ({why})",
        work.prompt.len(),
        work.branch,
    );
    Ok(vec![echo, says])
}

pub(crate) fn parse(line: &[u8]) -> Vec<Activity> {
    super::command::parse(line)
}
