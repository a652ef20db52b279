//! One reader of a stream: it takes what the hub has made, or catches up for itself where it is behind.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::feed::Feed;
use super::ring::{Block, Found};
use super::teller::Teller;
use crate::journal::Cursor;

/// Begins to tell at a place.
type Begin<T> = Box<dyn Fn(Cursor) -> anyhow::Result<T> + Send + Sync>;
/// Whether a frame is for this reader.
type Want<M> = Box<dyn Fn(&M) -> bool + Send + Sync>;

/// A reader. It holds no frame: what it is given lies with its connection, and it is asked for more once that is sent.
pub(super) struct Reader<T: Teller> {
    feed: Arc<Feed<T::Mark>>,
    news: watch::Receiver<bool>,
    /// What it has been given.
    place: Cursor,
    /// The number of its next frame in the ring, if it is there.
    next: Option<u64>,
    /// Who tells it what is not in the ring.
    catching_up: Option<Box<T>>,
    begin: Begin<T>,
    want: Want<T::Mark>,
    first: Option<Bytes>,
}

enum Step {
    Given(Bytes),
    Again,
    Wait,
}

impl<T: Teller> Reader<T> {
    pub(super) fn new(
        feed: Arc<Feed<T::Mark>>,
        news: watch::Receiver<bool>,
        place: Cursor,
        first: Bytes,
        begin: Begin<T>,
        want: Want<T::Mark>,
    ) -> Reader<T> {
        Reader {
            feed,
            news,
            place,
            next: None,
            catching_up: None,
            begin,
            want,
            first: Some(first),
        }
    }

    /// Whole frames, as they come; nothing when the stream cannot go on.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            self.feed.counts().note_encoded(1);
            self.feed.counts().note_sent(1);
            return Some(first);
        }
        loop {
            // Armed before the look: what comes after it wakes us.
            if *self.news.borrow_and_update() {
                return None;
            }
            match self.step() {
                Ok(Step::Given(bytes)) => return Some(bytes),
                Ok(Step::Again) => tokio::task::yield_now().await,
                Ok(Step::Wait) => {
                    self.feed.ask_for_more();
                    self.news.changed().await.ok()?;
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "a stream ended");
                    return None;
                }
            }
        }
    }

    fn step(&mut self) -> anyhow::Result<Step> {
        if let Some(next) = self.next {
            let taken = self.feed.ring().take(next, self.place, &self.want);
            let Some(taken) = taken else {
                self.next = None;
                return Ok(Step::Again);
            };
            self.next = Some(taken.next);
            self.place = taken.place;
            self.feed.counts().note_sent(taken.frames);
            return Ok(match taken.bytes {
                bytes if bytes.is_empty() => Step::Wait,
                bytes => Step::Given(bytes),
            });
        }
        let found = self.feed.ring().find(self.place);
        match found {
            Found::Here(next) => {
                self.next = Some(next);
                self.catching_up = None;
                Ok(Step::Again)
            }
            Found::Toward(to) if to == self.place => Ok(Step::Wait),
            Found::Toward(to) => self.catch_up(to),
        }
    }

    /// One block on the way to a place of the ring.
    fn catch_up(&mut self, to: Cursor) -> anyhow::Result<Step> {
        let mut teller = match self.catching_up.take() {
            Some(teller) => teller,
            None => Box::new((self.begin)(self.place)?),
        };
        let mut block = Block::new();
        let more = teller.tell(to, true, &mut block)?;
        self.place = teller.place();
        if more {
            self.catching_up = Some(teller);
        } else {
            // All before this place is told, also where no event has its very number.
            self.place = to;
        }
        self.feed.counts().note_encoded(block.frames());
        let (bytes, frames) = block.wanted(&self.want);
        self.feed.counts().note_sent(frames);
        Ok(if bytes.is_empty() {
            Step::Again
        } else {
            Step::Given(bytes)
        })
    }
}
