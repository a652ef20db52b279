//! Who a process is. A bare pid is nobody: it comes back, here after 1.3 s.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::proc_fs;

/// The file system of pidfds since Linux 6.9 (`PID_FS_MAGIC` in `linux/magic.h`); its inodes are never used twice.
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// One process of one boot of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks from boot: field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
    /// The inode of its pidfd, where the kernel has one for each process (Linux 6.9).
    #[serde(default)]
    pub pidfd_inode: Option<u64>,
}

impl Identity {
    /// The identity of a process that cannot go away meanwhile: one's own, or an own child not yet waited for.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or there is no such process.
    pub fn of(pid: Pid) -> io::Result<Identity> {
        let stat = proc_fs::stat(pid)?.ok_or(Errno::SRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Identity {
            boot_id: boot_id()?.to_owned(),
            pid: pid.as_raw_nonzero().get(),
            start_ticks: stat.start_ticks,
            pidfd_inode: pidfd_inode(&pidfd)?,
        })
    }

    /// A pidfd of this very process if it lives. A zombie does not.
    ///
    /// # Errors
    /// When it cannot be known (no descriptors left, no `/proc`): that is not the same as gone.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        if self.pid <= 0 || self.boot_id != boot_id()? {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number is now a thread of some other process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // The descriptor holds on to the process, so what is asked by number from here on is asked of it, or of nobody.
        if let (Some(recorded), Some(found)) = (self.pidfd_inode, pidfd_inode(&pidfd)?)
            && recorded != found
        {
            return Ok(None);
        }
        let same = proc_fs::stat(pid)?
            .is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.living());
        Ok(same.then_some(pidfd))
    }

    /// How long ago it was started, the machine's sleep included. Says nothing about whether it lives.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn age(&self) -> io::Result<Duration> {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let started = Duration::from_millis(self.start_ticks.saturating_mul(1000) / per_second);
        Ok(proc_fs::uptime()?.saturating_sub(started))
    }

    /// Whether this very process lives.
    ///
    /// # Errors
    /// As [`Identity::open`].
    pub fn alive(&self) -> io::Result<bool> {
        Ok(self.open()?.is_some())
    }
}

/// The id of this boot.
fn boot_id() -> io::Result<&'static str> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT_ID.get_or_init(|| text.trim().to_owned()))
}

/// The inode of a pidfd, where pidfds have inodes of their own.
fn pidfd_inode(pidfd: &OwnedFd) -> io::Result<Option<u64>> {
    let kind = rustix::fs::fstatfs(pidfd)?.f_type;
    if u64::try_from(kind) != Ok(PID_FS_MAGIC) {
        return Ok(None);
    }
    Ok(Some(rustix::fs::fstat(pidfd)?.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;
    use std::process::Stdio;

    #[test]
    fn this_process_is_itself() {
        assert!(Identity::of(getpid()).unwrap().alive().unwrap());
    }

    #[test]
    fn the_same_pid_with_another_start_boot_or_inode_is_somebody_else() {
        let this = Identity::of(getpid()).unwrap();
        let mut other_start = this.clone();
        other_start.start_ticks += 1;
        let mut other_boot = this.clone();
        other_boot.boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
        for other in [other_start, other_boot] {
            assert!(!other.alive().unwrap(), "{other:?}");
        }
        if let Some(inode) = this.pidfd_inode {
            let other_inode = Identity {
                pidfd_inode: Some(inode + 1),
                ..this
            };
            assert!(!other_inode.alive().unwrap());
        }
    }

    #[test]
    fn numbers_that_are_no_process_are_nobody() {
        let this = Identity::of(getpid()).unwrap();
        for pid in [0, -1, i32::MIN, i32::MAX] {
            let nobody = Identity {
                pid,
                ..this.clone()
            };
            assert!(!nobody.alive().unwrap(), "{pid}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real process")]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let identity = Identity::of(pid).unwrap();
        assert!(identity.alive().unwrap());
        let pidfd = identity.open().unwrap().unwrap();
        drop(child.stdin.take());
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        assert!(!identity.alive().unwrap());
        child.wait().unwrap();
        assert!(!identity.alive().unwrap());
    }
}
