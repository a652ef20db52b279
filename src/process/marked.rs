//! Who carries a run's marker, or works in a folder: looked at for the doctor, and ended one at a time.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Signal, getpid, pidfd_send_signal};

use super::identity::Identity;
use super::proc_fs;
use super::records::RUN_MARKER;
use crate::run::RunId;

/// A process that says it belongs to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The process.
    pub identity: Identity,
    /// The run that its environment names.
    pub run: RunId,
}

/// Every living process of this user whose environment names a run, whoever's run that is. Never this one.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn marked() -> io::Result<Vec<Marked>> {
    let prefix = format!("{RUN_MARKER}=");
    let mut all = Vec::new();
    for pid in proc_fs::all()?.into_iter().filter(|pid| *pid != getpid()) {
        let Some(value) = proc_fs::variable(pid, prefix.as_bytes()) else {
            continue;
        };
        let run = std::str::from_utf8(&value)
            .ok()
            .and_then(|id| id.parse().ok());
        // Gone in between: no longer there to be told of.
        if let (Some(run), Ok(identity)) = (run, Identity::of(pid))
            && matches!(proc_fs::stat(pid), Ok(Some(stat)) if stat.living())
        {
            all.push(Marked { identity, run });
        }
    }
    Ok(all)
}

/// Kills (SIGKILL) this very process. Whether it was there.
///
/// # Errors
/// It cannot be known or may not be signalled.
pub fn end(process: &Identity) -> io::Result<bool> {
    match process.open()? {
        Some(pidfd) => {
            pidfd_send_signal(&pidfd, Signal::KILL)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// The folder in which each process of this user stands, by its pid.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn folders_at_work() -> io::Result<Vec<(i32, PathBuf)>> {
    let all = proc_fs::all()?.into_iter().filter_map(|pid| {
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        Some((pid.as_raw_nonzero().get(), folder))
    });
    Ok(all.collect())
}
