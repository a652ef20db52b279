//! Wakes a reader when a file grows.
//!
//! Arm it, then read: what comes after the arming wakes. A slow poll stands behind it, so that a wake-up that is
//! lost (no inotify left, an odd file system) costs a second and never a byte.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use super::readable::readable;

/// The slow poll.
const POLL: Duration = Duration::from_secs(1);

/// A watch on one file.
#[derive(Debug)]
pub struct Growth {
    watch: Option<AsyncFd<OwnedFd>>,
}

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The file was written to.
    Grown,
    /// Nothing was seen for a second.
    Quiet,
}

impl Growth {
    /// Watches this file. Must be called within a runtime.
    #[must_use]
    pub fn of(path: &Path) -> Growth {
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)
            .and_then(|fd| {
                inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY)?;
                Ok(fd)
            })
            .ok()
            .and_then(|fd| readable(fd).ok());
        Growth { watch }
    }

    /// Waits until the file is written to, or a second has gone.
    pub async fn changed(&mut self) -> Woken {
        match tokio::time::timeout(POLL, self.written()).await {
            Ok(()) => Woken::Grown,
            Err(_) => Woken::Quiet,
        }
    }

    async fn written(&mut self) {
        let Some(watch) = &self.watch else {
            return std::future::pending().await;
        };
        let Ok(mut ready) = watch.readable().await else {
            return std::future::pending().await;
        };
        // What was written is told by reading the file; the events only have to be taken away.
        let mut events = [0_u8; 4096];
        while rustix::io::read(ready.get_inner(), &mut events).is_ok_and(|n| n > 0) {}
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn a_write_after_the_arming_wakes() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut growth = Growth::of(file.path());
        file.write_all(b"x").unwrap();
        assert_eq!(growth.changed().await, Woken::Grown);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_polled() {
        let mut growth = Growth::of(Path::new("/nonexistent/file"));
        assert_eq!(growth.changed().await, Woken::Quiet);
    }
}
