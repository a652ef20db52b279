//! Children: taking their ends away, and the sweep that leaves none.
//!
//! This process is the subreaper of all that the agent starts: whoever loses its parent becomes a child of this one,
//! wherever it went (setsid, double fork, nohup). So killing all children, again and again, reaches every descendant
//! from the top down, also one that goes on forking. Only own children are signalled, and a child's pid is its own
//! until this process waits for it: no stranger can be hit, and nothing has to be stopped first. Where the agent has a
//! cgroup, that is killed first, as one: what forks away faster than it can be found is then dead, and only taken away here.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

use crate::process::{Cgroup, proc_fs};

/// How long a sweep goes on. Another user's process (EPERM) or one stuck in the kernel is left behind then, and counted.
const BUDGET: Duration = Duration::from_secs(10);
/// The longest pause between two rounds.
const PAUSE: Duration = Duration::from_millis(10);

/// A child that has ended, or that there are none any more.
pub(super) enum Child {
    Ended(Pid, WaitStatus),
    StillRunning,
    None,
}

/// Takes away one child that has ended, without waiting.
pub(super) fn reap() -> Child {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => return Child::Ended(pid, status),
            Err(Errno::INTR) => {}
            Ok(None) => return Child::StillRunning,
            Err(_) => return Child::None,
        }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swept {
    /// Processes killed.
    pub killed: u32,
    /// Children still there when the time was over.
    pub left: u32,
}

/// Kills all descendants until none is left, and all in the agent's cgroup.
pub(super) fn sweep(cgroup: Option<&Cgroup>) -> Swept {
    let until = Instant::now() + BUDGET;
    // A cgroup that refuses (it is gone, it is frozen by somebody) leaves what is in it to the rounds.
    let in_cgroup = cgroup.map_or_else(Vec::new, |cgroup| cgroup.kill_agent().unwrap_or_default());
    let pid = |pid: i32| Some(Pid::from_raw(pid)?.as_raw_nonzero());
    let mut killed: BTreeSet<_> = in_cgroup.into_iter().filter_map(pid).collect();
    let mut pause = Duration::ZERO;
    loop {
        let running = loop {
            match reap() {
                Child::Ended(..) => {}
                Child::StillRunning => break true,
                Child::None => break false,
            }
        };
        let over = Instant::now() >= until;
        let children = if running {
            proc_fs::children(getpid()).unwrap_or_default()
        } else {
            Vec::new()
        };
        if !running || over {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            return Swept {
                killed: count(killed.len()),
                left: count(children.len()),
            };
        }
        let before = killed.len();
        for pid in children {
            if kill_process(pid, Signal::KILL).is_ok() {
                killed.insert(pid.as_raw_nonzero());
            }
        }
        // As long as new ones turn up there is no time for a pause: one of them may be forking away.
        if killed.len() > before {
            pause = Duration::ZERO;
        } else {
            thread::sleep(pause);
            pause = (pause * 2).clamp(Duration::from_micros(100), PAUSE);
        }
    }
}
