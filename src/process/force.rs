//! Ending an attempt without its supervisor's help.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};

use super::proc_fs;
use super::records::Started;
use super::sweep::sweep_attempt;

/// How long to wait for the children of a stopped supervisor to die.
const BUDGET: Duration = Duration::from_secs(2);

/// Kills what is left of an attempt: all in its cgroup, the supervisor's descendants and the supervisor if it lives, the
/// agent if it lives, and all that carries the attempt's marker. Says how many, without the supervisor. Blocks for at most
/// some seconds.
pub(super) fn kill_all(started: &Started) -> usize {
    // First, and as one: the rest then is what moved itself out of the cgroup, as only a privileged agent can.
    let cgroup = started.cgroup.as_ref();
    let in_cgroup = cgroup.and_then(|cgroup| cgroup.kill_all().ok());
    let mut killed = in_cgroup.map_or(0, |pids| pids.len());
    if let Ok(Some(supervisor)) = started.supervisor.open() {
        // Stopped, it does not wait for its children: their pids stay theirs, zombies included, and may be signalled.
        let stopped = pidfd_send_signal(&supervisor, Signal::STOP).is_ok();
        if let Some(pid) = Pid::from_raw(started.supervisor.pid).filter(|_| stopped) {
            killed += kill_children(pid);
        }
        let _gone = pidfd_send_signal(&supervisor, Signal::KILL);
    }
    if let Ok(Some(agent)) = started.agent.open() {
        killed += usize::from(pidfd_send_signal(&agent, Signal::KILL).is_ok());
    }
    killed + sweep_attempt(started.attempt)
}

/// Kills the children of a stopped supervisor until only zombies are left. It is the subreaper, so the children of a
/// killed child become its own, to the last descendant.
fn kill_children(supervisor: Pid) -> usize {
    let until = Instant::now() + BUDGET;
    let mut killed = BTreeSet::new();
    while Instant::now() < until {
        // SIGSTOP is not there at once; until then it could still wait for one of them.
        match proc_fs::stat(supervisor) {
            Ok(Some(stat)) if stat.state == 'T' => {}
            Ok(Some(stat)) if stat.living() => {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            _ => break,
        }
        let Ok(children) = proc_fs::children(supervisor) else {
            break;
        };
        let living: Vec<Pid> = children
            .into_iter()
            .filter(|pid| matches!(proc_fs::stat(*pid), Ok(Some(stat)) if stat.living()))
            .collect();
        if living.is_empty() {
            break;
        }
        for pid in living {
            if kill_process(pid, Signal::KILL).is_ok() {
                killed.insert(pid.as_raw_nonzero());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    killed.len()
}
