//! Ending an attempt without its supervisor's help.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

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
        if let Some(pid) = Pid::from_raw(started.supervisor.pid) {
            killed += kill_children(pid, &supervisor);
        }
        let _gone = pidfd_send_signal(&supervisor, Signal::KILL);
    }
    if let Ok(Some(agent)) = started.agent.open() {
        killed += usize::from(pidfd_send_signal(&agent, Signal::KILL).is_ok());
    }
    killed + sweep_attempt(started.attempt)
}

/// Stops the supervisor and kills its children until only zombies are left. It is the subreaper, so the children of a
/// killed child become its own, to the last descendant; stopped, it starts none.
fn kill_children(supervisor: Pid, pidfd: &OwnedFd) -> usize {
    let until = Instant::now() + BUDGET;
    let mut killed = BTreeSet::new();
    while Instant::now() < until {
        // SIGSTOP is not there at once, and somebody may wake it again.
        match proc_fs::stat(supervisor) {
            Ok(Some(stat)) if stat.held() => {}
            Ok(Some(stat)) if stat.living() => {
                if pidfd_send_signal(pidfd, Signal::STOP).is_err() {
                    break;
                }
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
            if kill_child(supervisor, pid) {
                killed.insert(pid.as_raw_nonzero());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    killed.len()
}

/// Kills this child, if it is one still now that it is held by its descriptor: its number may have changed hands.
fn kill_child(supervisor: Pid, child: Pid) -> bool {
    let Ok(pidfd) = pidfd_open(child, PidfdFlags::empty()) else {
        return false;
    };
    let parent = supervisor.as_raw_nonzero().get();
    matches!(proc_fs::stat(child), Ok(Some(stat)) if stat.parent == parent)
        && pidfd_send_signal(&pidfd, Signal::KILL).is_ok()
}
