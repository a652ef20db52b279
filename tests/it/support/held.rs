//! Whether every process of an agent is gone, without a list of processes that could miss one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};

/// The reading end of a FIFO whose writing end every process of a script inherits from its `hold` on.
pub struct Held(File);

impl Held {
    /// Makes the FIFO. The script must `hold` it before it starts anything.
    pub fn at(path: &Path) -> Held {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(flags).open(path);
        Held(reader.unwrap())
    }

    /// All of them are gone, now.
    #[track_caller]
    pub fn assert_all_gone(&self) {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec::default())).unwrap();
        let gone = fds[0].revents().contains(PollFlags::HUP);
        assert!(gone, "a process is left");
    }
}
