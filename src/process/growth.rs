//! Wakes a reader when a file grows.
//!
//! Arm it, then read: what comes after the arming wakes. A slow poll stands behind it, so that a wake-up that is
//! lost (no inotify left, an odd file system) costs a second and never a byte.
//!
//! One inotify instance watches all files: a user has 128 of them, for all programs.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::readable::readable;

/// The slow poll.
const POLL: Duration = Duration::from_secs(1);

/// Watches files.
#[derive(Debug, Clone)]
pub struct Growths(Option<Arc<Instance>>);

#[derive(Debug)]
struct Instance {
    watched: Arc<Watched>,
    _reader: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Watched {
    inotify: AsyncFd<OwnedFd>,
    /// By the number of its watch: who is told of the file. The system has one watch for all who watch the same file.
    files: Mutex<HashMap<i32, watch::Sender<()>>>,
}

/// A watch on one file.
#[derive(Debug)]
pub struct Growth {
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    watched: Arc<Watched>,
    number: i32,
    news: watch::Receiver<()>,
}

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The file was written to.
    Grown,
    /// Nothing was seen for a second.
    Quiet,
}

impl Growths {
    /// Must be called within a runtime. Without inotify, which is said in the log, files are looked at once a second.
    #[must_use]
    pub fn new() -> Growths {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let instance = inotify::init(flags)
            .map_err(std::io::Error::from)
            .and_then(readable);
        match instance {
            Ok(inotify) => {
                let watched = Arc::new(Watched {
                    inotify,
                    files: Mutex::default(),
                });
                let reader = tokio::spawn(tell(Arc::clone(&watched)));
                Growths(Some(Arc::new(Instance {
                    watched,
                    _reader: AbortOnDropHandle::new(reader),
                })))
            }
            Err(error) => {
                tracing::warn!(%error, "there is no inotify: growing files are looked at once a second");
                Growths(None)
            }
        }
    }

    /// Watches this file. One that cannot be watched is looked at once a second.
    #[must_use]
    pub fn of(&self, path: &Path) -> Growth {
        let watch = self.0.as_ref().and_then(|instance| {
            let watched = Arc::clone(&instance.watched);
            let mut files = watched.files();
            let number =
                inotify::add_watch(&watched.inotify, path, inotify::WatchFlags::MODIFY).ok()?;
            let news = files.entry(number).or_default().subscribe();
            drop(files);
            Some(Watch {
                watched,
                number,
                news,
            })
        });
        Growth { watch }
    }
}

impl Default for Growths {
    fn default() -> Self {
        Growths::new()
    }
}

impl Watched {
    fn files(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<()>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what the system has to tell. What was written is told by reading the file.
    fn tell(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let files = self.files();
                    match files.get(&event.wd()) {
                        Some(file) => file.send_replace(()),
                        // The queue ran over: it may have been any of them.
                        None if event.wd() < 0 => {
                            files.values().for_each(|file| file.send_replace(()));
                        }
                        None => {}
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

async fn tell(watched: Arc<Watched>) {
    while let Ok(mut ready) = watched.inotify.readable().await {
        watched.tell();
        ready.clear_ready();
    }
}

impl Growth {
    /// Waits until the file is written to, or a second has gone.
    pub async fn changed(&mut self) -> Woken {
        self.changed_within(POLL).await
    }

    /// The same with another poll, for who can wait for a byte whose wake-up was lost. A file that is not watched is looked
    /// at each second all the same.
    pub async fn changed_within(&mut self, poll: Duration) -> Woken {
        let poll = if self.watch.is_some() { poll } else { POLL };
        match tokio::time::timeout(poll, self.written()).await {
            Ok(()) => Woken::Grown,
            Err(_) => Woken::Quiet,
        }
    }

    async fn written(&mut self) {
        if let Some(watch) = &mut self.watch
            && watch.news.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut files = self.watched.files();
        let last = |file: &watch::Sender<()>| file.receiver_count() <= 1;
        if files.get(&self.number).is_some_and(last) {
            files.remove(&self.number);
            // It may have gone with its file.
            let _ = inotify::remove_watch(&self.watched.inotify, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn a_write_after_the_arming_wakes_all_who_watch_the_file_and_nobody_else() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let other = tempfile::NamedTempFile::new().unwrap();
        let growths = Growths::new();
        let (mut one, mut two) = (growths.of(file.path()), growths.of(file.path()));
        let mut quiet = growths.of(other.path());
        file.write_all(b"x").unwrap();
        assert_eq!(one.changed().await, Woken::Grown);
        assert_eq!(two.changed().await, Woken::Grown);
        drop(one);
        file.write_all(b"y").unwrap();
        assert_eq!(two.changed().await, Woken::Grown);
        assert_eq!(quiet.changed().await, Woken::Quiet);
    }

    #[tokio::test]
    async fn a_watch_ends_with_its_last_watcher() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let growths = Growths::new();
        let (one, two) = (growths.of(file.path()), growths.of(file.path()));
        let watched = |growths: &Growths| growths.0.as_ref().unwrap().watched.files().len();
        drop(one);
        assert_eq!(watched(&growths), 1);
        drop(two);
        assert_eq!(watched(&growths), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_polled() {
        let mut growth = Growths::new().of(Path::new("/nonexistent/file"));
        assert_eq!(growth.changed().await, Woken::Quiet);
    }
}
