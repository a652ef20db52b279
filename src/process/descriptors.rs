//! How many files a process may have open: more for the service, whose readers hold one each; for an agent as many as
//! whoever started the service has given it.
//!
//! Programs that were written for the usual limit (`select`, or who closes every number up to it) get what they expect.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// As many as the service ever asks for.
const MOST: u64 = 65_536;

/// The limit that the service was started with, once it has another.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of this process to the hard one, or to what is enough. What is started from now on as a
/// supervisor has the one from before.
pub fn raise_descriptors() {
    let given = getrlimit(Resource::Nofile);
    let most = given.maximum.map_or(MOST, |hard| hard.min(MOST));
    if given.current.is_none_or(|soft| soft >= most) {
        return;
    }
    let raised = Rlimit {
        current: Some(most),
        maximum: given.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        // The first one counts.
        Ok(()) => drop(GIVEN.set(given)),
        Err(error) => tracing::warn!(%error, "the limit on open files stays as it is"),
    }
}

/// Gives this process, and what it will start, the limit that the service was started with.
///
/// # Errors
/// The process has gone.
pub(super) fn give_back(process: Pid) -> std::io::Result<()> {
    let Some(given) = GIVEN.get() else {
        return Ok(());
    };
    prlimit(Some(process), Resource::Nofile, *given)?;
    Ok(())
}
