//! Ending by marker: every process whose environment names the run, wherever it hid.
//!
//! For when no supervisor is left whose descendants could be counted. It finds what was reparented, what left its
//! session and what goes on forking; it does not find a process that cleared its own environment, nor one of another user.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::proc_fs;
use super::records::{ATTEMPT_MARKER, RUN_MARKER};
use crate::run::{AttemptId, RunId};

/// How long to go on. Killing takes milliseconds; what resists longer is another user's or stuck in the kernel.
const BUDGET: Duration = Duration::from_secs(5);
/// Searches in a row without a find. A process that forks and exits can move between the listing and the look at it.
const QUIET_SEARCHES: u32 = 4;

/// Kills (SIGKILL) every process that carries this run's marker, until none is left, and says how many there were.
/// Blocks, for milliseconds as a rule and five seconds at most.
pub fn sweep_marked(run: RunId) -> usize {
    sweep(format!("{RUN_MARKER}={run}").as_bytes())
}

/// The same for one attempt.
pub(super) fn sweep_attempt(attempt: AttemptId) -> usize {
    sweep(format!("{ATTEMPT_MARKER}={attempt}").as_bytes())
}

fn sweep(variable: &[u8]) -> usize {
    let until = Instant::now() + BUDGET;
    let mut killed = BTreeSet::new();
    let mut quiet = 0;
    while quiet < QUIET_SEARCHES && Instant::now() < until {
        // A /proc that cannot be listed is tried again, until the budget ends.
        match kill_once(variable, &mut killed) {
            Ok(0) => quiet += 1,
            Ok(_) => quiet = 0,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    killed.len()
}

/// One search; how many were found.
fn kill_once(variable: &[u8], killed: &mut BTreeSet<(i32, u64)>) -> io::Result<usize> {
    let mut found = 0;
    // From the newest: what forks away is there.
    for pid in proc_fs::all()?.into_iter().rev() {
        if let Some((pidfd, start_ticks)) = marked(pid, variable) {
            found += 1;
            if pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
                killed.insert((pid.as_raw_nonzero().get(), start_ticks));
            }
        }
    }
    Ok(found)
}

/// The process, held by its pidfd, if it lives and carries the marker. Never this one.
fn marked(pid: Pid, variable: &[u8]) -> Option<(OwnedFd, u64)> {
    if pid == getpid() || !proc_fs::has_variable(pid, variable) {
        return None;
    }
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Looked at again now that it is held: the number may have changed hands in between.
    let stat = proc_fs::stat(pid).ok()??;
    (stat.living() && proc_fs::has_variable(pid, variable)).then_some((pidfd, stat.start_ticks))
}
