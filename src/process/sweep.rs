//! Ending by marker: every process whose environment names the run, wherever it hid.
//!
//! For when no supervisor is left whose descendants could be counted. It finds what was reparented, what left its
//! session and what goes on forking; it does not find a process that cleared its own environment, nor one of another user.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, getpgrp, getpid, kill_process_group, pidfd_open, pidfd_send_signal,
};

use super::proc_fs;
use super::records::{ATTEMPT_MARKER, RUN_MARKER};
use crate::effect::{self, Effect};
use crate::run::{AttemptId, RunId};

/// How long to go on. Killing takes milliseconds; what resists longer is another user's or stuck in the kernel.
const BUDGET: Duration = Duration::from_secs(5);
/// Searches in a row without a find and without a fork on the whole machine: then nothing can have moved away.
const SURE_SEARCHES: u32 = 2;
/// Searches in a row without a find while others fork. A process that forks and exits can move between the listing and
/// the look at it; on a busy machine nothing but patience tells it from the others.
const QUIET_SEARCHES: u32 = 24;
/// Looks at the newest processes after each listing: what forks and exits is among them.
const CHASES: u32 = 8;
/// How many pids on either side of the newest are looked at.
const CHASED: i32 = 4;

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
    effect::comes(Effect::MarkedSweep);
    let until = Instant::now() + BUDGET;
    let mut killed = BTreeSet::new();
    let (mut sure, mut quiet) = (0, 0);
    while sure < SURE_SEARCHES && quiet < QUIET_SEARCHES && Instant::now() < until {
        let before = forks();
        let listed = kill_once(variable, &mut killed);
        let still = before.is_some() && forks() == before;
        match listed {
            Ok(0) if still => sure += 1,
            Ok(0) if chase(variable, &mut killed) == 0 => (sure, quiet) = (0, quiet + 1),
            Ok(_) => (sure, quiet) = (0, 0),
            // A /proc that cannot be listed is tried again, until the budget ends.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    killed.len()
}

/// Looks at the newest processes, again and again; how many were found.
fn chase(variable: &[u8], killed: &mut BTreeSet<(i32, u64)>) -> usize {
    let mut found = 0;
    for _ in 0..CHASES {
        let Some(newest) = newest_pid() else { break };
        for pid in ((newest - CHASED).max(1)..=newest + CHASED).rev() {
            found += usize::from(Pid::from_raw(pid).is_some_and(|pid| kill(pid, variable, killed)));
        }
    }
    found
}

/// How many processes the machine has made since its boot (`processes` in proc_stat(5)).
fn forks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("processes "))?;
    line.trim().parse().ok()
}

/// The pid that was given out last (the fifth field of proc_loadavg(5)).
fn newest_pid() -> Option<i32> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    load.split_whitespace().nth(4)?.parse().ok()
}

/// One search; how many were found.
fn kill_once(variable: &[u8], killed: &mut BTreeSet<(i32, u64)>) -> io::Result<usize> {
    // From the newest: what forks away is there.
    let all = proc_fs::all()?.into_iter().rev();
    Ok(all.filter(|pid| kill(*pid, variable, killed)).count())
}

/// Kills the process if it carries the marker, and its process group; whether it did.
///
/// What forks and exits is gone by the time that it could be signalled, and its child is in its group: the kernel
/// signals a group as one, and a fork does not get past a signal that is pending.
fn kill(pid: Pid, variable: &[u8], killed: &mut BTreeSet<(i32, u64)>) -> bool {
    // Read first: a moment later it may be gone.
    let Ok(Some(stat)) = proc_fs::stat(pid) else {
        return false;
    };
    if pid == getpid() || !stat.living() || !proc_fs::has_variable(pid, variable) {
        return false;
    }
    let same = match proc_fs::stat(pid) {
        Ok(Some(now)) => now.start_ticks == stat.start_ticks,
        Ok(None) | Err(_) => true,
    };
    if let Some((pidfd, start_ticks)) = marked(pid, variable)
        && pidfd_send_signal(&pidfd, Signal::KILL).is_ok()
    {
        killed.insert((pid.as_raw_nonzero().get(), start_ticks));
    }
    let group =
        Pid::from_raw(stat.group).filter(|group| same && !group.is_init() && *group != getpgrp());
    if let Some(group) = group
        && kill_process_group(group, Signal::KILL).is_ok()
    {
        killed.insert((pid.as_raw_nonzero().get(), stat.start_ticks));
    }
    true
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
