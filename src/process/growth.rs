//! Wakes a reader when a file grows.
//!
//! Arm it, then read: what comes after the arming wakes. A slow poll stands behind it, so that a wake-up that is
//! lost (no inotify left, an odd file system) costs a second and never a byte.
//!
//! All files are watched through one descriptor, by one thread that sleeps while none of them grows: a run at work costs no
//! descriptor for its output, however many read it.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::sync::watch;

/// The slow poll.
const POLL: Duration = Duration::from_secs(1);
/// Its thread needs next to nothing.
const STACK: usize = 64 * 1024;

/// A watch on one file.
#[derive(Debug)]
pub struct Growth {
    watched: Option<Watched>,
}

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The file was written to.
    Grown,
    /// Nothing was seen for a second, or as long as was asked for.
    Quiet,
}

impl Growth {
    /// Watches this file.
    #[must_use]
    pub fn of(path: &Path) -> Growth {
        Growth {
            watched: watches().and_then(|watches| watches.add(path)),
        }
    }

    /// Waits until the file is written to, or a second has gone.
    pub async fn changed(&mut self) -> Woken {
        self.changed_within(POLL).await
    }

    /// The same with another poll, for who can wait for a byte whose wake-up was lost. A file that is not watched is polled
    /// each second all the same.
    pub async fn changed_within(&mut self, poll: Duration) -> Woken {
        let Some(watched) = &mut self.watched else {
            tokio::time::sleep(POLL).await;
            return Woken::Quiet;
        };
        match tokio::time::timeout(poll, watched.writes.changed()).await {
            // Its sender is in the table as long as this is here.
            Ok(_) => Woken::Grown,
            Err(_) => Woken::Quiet,
        }
    }
}

/// A place in the table, given back when dropped.
#[derive(Debug)]
struct Watched {
    number: i32,
    writes: watch::Receiver<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watches) = watches() {
            watches.remove(self.number);
        }
    }
}

/// All files that are watched, by the numbers that the kernel gives: one for a file, however many watch it.
#[derive(Debug)]
struct Watches {
    inotify: OwnedFd,
    files: Mutex<HashMap<i32, Watch>>,
}

#[derive(Debug)]
struct Watch {
    writes: watch::Sender<()>,
    watchers: usize,
}

/// Nothing where the kernel has no inotify to give: then everything is polled.
fn watches() -> Option<&'static Watches> {
    static WATCHES: OnceLock<Option<Watches>> = OnceLock::new();
    static THREAD: OnceLock<bool> = OnceLock::new();
    let watches = WATCHES
        .get_or_init(|| {
            let inotify = inotify::init(inotify::CreateFlags::CLOEXEC).ok()?;
            let files = Mutex::default();
            Some(Watches { inotify, files })
        })
        .as_ref()?;
    let runs = THREAD.get_or_init(|| {
        let thread = thread::Builder::new().name("growth".to_owned());
        let spawned = thread.stack_size(STACK).spawn(|| watches.pass_on());
        spawned.is_ok()
    });
    runs.then_some(watches)
}

impl Watches {
    fn files(&self) -> MutexGuard<'_, HashMap<i32, Watch>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, path: &Path) -> Option<Watched> {
        // Held over the call: its number must not be given back meanwhile.
        let mut files = self.files();
        let number = inotify::add_watch(&self.inotify, path, inotify::WatchFlags::MODIFY).ok()?;
        let watch = files.entry(number).or_insert_with(|| Watch {
            writes: watch::Sender::new(()),
            watchers: 0,
        });
        watch.watchers += 1;
        let writes = watch.writes.subscribe();
        Some(Watched { number, writes })
    }

    fn remove(&self, number: i32) {
        let mut files = self.files();
        let Some(watch) = files.get_mut(&number) else {
            return;
        };
        watch.watchers -= 1;
        if watch.watchers == 0 {
            files.remove(&number);
            // A file that was deleted is not watched any more.
            let _gone = inotify::remove_watch(&self.inotify, number);
        }
    }

    /// Tells who watches of each write. What was written is told by reading the file.
    fn pass_on(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    for watch in self.files().values() {
                        watch.writes.send_replace(());
                    }
                }
                Ok(event) => {
                    if let Some(watch) = self.files().get(&event.wd()) {
                        watch.writes.send_replace(());
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "files are not watched any more, only polled");
                    return;
                }
            }
        }
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
    async fn each_of_two_watchers_is_woken_and_one_that_goes_takes_nothing_from_the_other() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut one = Growth::of(file.path());
        let mut other = Growth::of(file.path());
        file.write_all(b"x").unwrap();
        assert_eq!(one.changed().await, Woken::Grown);
        assert_eq!(other.changed().await, Woken::Grown);
        drop(one);
        file.write_all(b"x").unwrap();
        assert_eq!(other.changed().await, Woken::Grown);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_polled() {
        let mut growth = Growth::of(Path::new("/nonexistent/file"));
        assert_eq!(growth.changed().await, Woken::Quiet);
    }
}
