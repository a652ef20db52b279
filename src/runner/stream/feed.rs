//! What the hub of a stream and its readers have in common: the ring, and who waits for whom.
//!
//! The hub makes frames once and for all readers, and only while somebody is hungry for them: the fastest reader sets the
//! pace, and who is slower than the ring is long catches up for itself. Nobody waits for a reader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::ring::{Block, Ring};
use super::teller::{END, Teller};
use crate::journal::Cursor;

/// How many blocks are made before somebody has to ask for more.
const AHEAD: usize = 4;

/// How many frames were made and given out since the start.
#[derive(Debug, Default)]
pub struct Counts {
    encoded: AtomicU64,
    sent: AtomicU64,
}

impl Counts {
    pub(super) fn note_encoded(&self, frames: usize) {
        self.encoded.fetch_add(frames as u64, Ordering::Relaxed);
    }

    pub(super) fn note_sent(&self, frames: usize) {
        self.sent.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// Frames that were made.
    #[must_use]
    pub fn encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }

    /// Frames that were given to readers.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The common part of one stream.
#[derive(Debug)]
pub(super) struct Feed<M> {
    ring: Mutex<Ring<M>>,
    /// Told at each change of the ring; true once the hub has failed.
    news: watch::Sender<bool>,
    /// Some reader has taken everything.
    hungry: Notify,
    counts: Arc<Counts>,
}

/// Wakes a hub.
pub(super) trait Wake: Send + 'static {
    /// What comes from now on wakes.
    fn arm(&mut self);

    /// Waits; whether nothing was seen for a while.
    fn woken(&mut self) -> impl Future<Output = bool> + Send;
}

impl<M> Feed<M> {
    pub(super) fn new(at: Cursor, counts: Arc<Counts>) -> Arc<Feed<M>> {
        Arc::new(Feed {
            ring: Mutex::new(Ring::new(at)),
            news: watch::Sender::new(false),
            hungry: Notify::new(),
            counts,
        })
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring<M>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One more reader.
    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.news.subscribe()
    }

    /// Whether nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        self.news.receiver_count() == 0
    }

    /// A reader has taken everything.
    pub(super) fn ask_for_more(&self) {
        self.hungry.notify_one();
    }

    /// There is nothing more to be had: readers end, and come back.
    pub(super) fn fail(&self) {
        self.news.send_replace(true);
    }

    /// Fills the ring until `leave` says that nobody reads.
    pub(super) async fn fill<T: Teller<Mark = M>>(
        &self,
        mut teller: T,
        mut wake: impl Wake,
        leave: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let mut quiet = false;
        loop {
            tokio::select! {
                () = self.hungry.notified() => {}
                () = self.news.closed() => if leave() { return Ok(()) } else { continue },
            }
            loop {
                wake.arm();
                if self.tell(&mut teller, quiet).await? {
                    quiet = false;
                    break;
                }
                quiet = tokio::select! {
                    quiet = wake.woken() => quiet,
                    () = self.news.closed() => if leave() { return Ok(()) } else { false },
                };
                if quiet {
                    teller.look_again();
                }
            }
        }
    }

    /// Tells what there is, at most a few blocks of it; whether there was anything.
    async fn tell<T: Teller<Mark = M>>(
        &self,
        teller: &mut T,
        partial: bool,
    ) -> anyhow::Result<bool> {
        let mut told = false;
        for _ in 0..AHEAD {
            let mut block = Block::new();
            let before = teller.place();
            let more = teller.tell(END, partial, &mut block)?;
            if teller.place() != before {
                told |= block.frames() > 0;
                self.counts.note_encoded(block.frames());
                self.ring().push(block, teller.place());
                self.news.send_replace(false);
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(told)
    }
}
