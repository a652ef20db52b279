//! The streams: state events from the journal and output from its file, in one order, to any number of readers.
//!
//! While somebody reads, one task a stream, its hub, follows the journal and the output file and makes each frame once, as
//! bytes that all readers share. It keeps the newest ones in a ring. A reader whose place is in the ring takes from it; one
//! that is behind it, or comes back with an old id, catches up for itself to a place of the ring and goes on there. A
//! place is a [`Cursor`]; what a reader has seen is never sent again and what follows is never skipped.
//!
//! A reader that takes no bytes is let go by its connection, and comes back with its last id. When the service stops, the
//! door ends its answers, and so these.

mod all;
mod feed;
mod raw;
mod reader;
mod ring;
mod teller;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use serde_json::json;
use tokio::sync::watch;

use super::Context;
use super::output::OutputFile;
use crate::journal::append::step;
use crate::journal::{Cursor, Frame, FrameName};
use crate::process::{Growth, Woken};
use crate::run::{Run, RunId};
use crate::shape::request::RunFilter;
use crate::shape::view::RunView;
use crate::store::{StoreError, events, runs};

use all::{AllTeller, AllWake, Facts};
pub use feed::Counts;
use feed::{Feed, Wake};
pub use raw::raw;
use reader::Reader;
use teller::{RunTeller, Teller, is_at_work};

/// The hubs at work.
#[derive(Debug, Default)]
pub struct Streams {
    runs: Mutex<HashMap<RunId, OfRun>>,
    all: Mutex<Option<Arc<Feed<Facts>>>>,
    counts: Arc<Counts>,
}

/// What the readers of one run share.
#[derive(Debug, Clone)]
struct OfRun {
    feed: Arc<Feed<()>>,
    output: Arc<OutputFile>,
}

impl Streams {
    /// How many frames were made and sent.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, OfRun>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> MutexGuard<'_, Option<Arc<Feed<Facts>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the hub of this run, unless somebody reads from it (or whoever does); whether it is forgotten.
    fn leave_run(&self, run: RunId, feed: &Arc<Feed<()>>, unless_read: bool) -> bool {
        let mut runs = self.runs();
        let leaves = !unless_read || feed.is_unread();
        if leaves
            && runs
                .get(&run)
                .is_some_and(|known| Arc::ptr_eq(&known.feed, feed))
        {
            runs.remove(&run);
        }
        leaves
    }

    fn leave_all(&self, feed: &Arc<Feed<Facts>>, unless_read: bool) -> bool {
        let mut all = self.all();
        let leaves = !unless_read || feed.is_unread();
        if leaves && all.as_ref().is_some_and(|known| Arc::ptr_eq(known, feed)) {
            *all = None;
        }
        leaves
    }
}

/// Frames of one run from `after` on; without it `connected` and what follows.
///
/// # Errors
/// There is no such run, or it cannot be read.
pub fn follow_run(
    context: &Arc<Context>,
    id: RunId,
    after: Option<Cursor>,
) -> Result<impl Stream<Item = Bytes> + Send + use<>, StoreError> {
    let (of_run, news) = join_run(context, id)?;
    // Before the events are read: what is printed until then is not behind them.
    let offset = of_run.feed.ring().at().offset;
    let (now, seq) = run_now(context, id)?;
    let place = match after {
        // What nobody can have seen is not waited for.
        Some(after) => Cursor {
            seq: after.seq.min(seq),
            offset: after.offset.min(of_run.output.len().max(offset)),
        },
        None => Cursor { seq, offset },
    };
    let hello = Frame {
        id: place,
        name: FrameName::Connected,
        json: json!({"run_id": id, "run": RunView::of(&now, None)}).to_string(),
    };
    let begun = Arc::clone(context);
    let output = of_run.output;
    let begin = move |place| Ok(RunTeller::new(begun.clone(), id, output.clone(), place)?);
    Ok(frames(Reader::new(
        of_run.feed,
        news,
        place,
        hello.bytes(),
        Box::new(begin),
        Box::new(|()| true),
    )))
}

/// State events of all runs that fit the filter from `after` on; without it `connected` and what follows.
///
/// # Errors
/// The database cannot be read.
pub fn follow_all(
    context: &Arc<Context>,
    filter: RunFilter,
    after: Option<Cursor>,
) -> Result<impl Stream<Item = Bytes> + Send + use<>, StoreError> {
    let (feed, news) = join_all(context)?;
    let store = context.journal.store();
    let newest = store.read(events::last_seq)?;
    let seq = after.map_or(newest, |after| after.seq.min(newest));
    let place = Cursor { seq, offset: 0 };
    let counts: HashMap<String, u64> = store.read(runs::counts)?.into_iter().collect();
    let hello = Frame {
        id: place,
        name: FrameName::Connected,
        json: json!({"seq": seq, "runs": counts}).to_string(),
    };
    let begun = Arc::clone(context);
    let begin = move |place| Ok(AllTeller::new(begun.clone(), place));
    Ok(frames(Reader::new(
        feed,
        news,
        place,
        hello.bytes(),
        Box::new(begin),
        Box::new(move |facts: &Facts| facts.fit(&filter)),
    )))
}

fn frames<T: Teller>(reader: Reader<T>) -> impl Stream<Item = Bytes> + Send + use<T> {
    unfold(reader, async |mut reader| {
        let bytes = reader.next().await?;
        Some((bytes, reader))
    })
}

/// The run as it is, and the number of its newest event.
fn run_now(context: &Context, id: RunId) -> Result<(Run, u64), StoreError> {
    let rows = context.journal.store().read(|db| events::of_run(db, id))?;
    let (mut run, mut seq) = (None, 0);
    for row in &rows {
        run = Some(step(run, row)?);
        seq = row.seq;
    }
    let run = run.ok_or_else(|| StoreError::NoRun(id.to_string()))?;
    Ok((run, seq))
}

/// One more reader of this run, whose hub begins with its first one.
fn join_run(
    context: &Arc<Context>,
    id: RunId,
) -> Result<(OfRun, watch::Receiver<bool>), StoreError> {
    let streams = &context.streams;
    if let Some(of_run) = streams.runs().get(&id) {
        return Ok((of_run.clone(), of_run.feed.subscribe()));
    }
    let path = context.files.of_run(id).output();
    // Armed and measured before the events are read: so nothing is behind them that they do not tell of.
    let growth = context.growths.of(&path);
    let latest = context.journal.latest();
    let printed = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    let (run, seq) = run_now(context, id)?;
    let output = Arc::new(OutputFile::at(path, run.spec.agent));
    // A hub begins with a line: what it makes of it is then the same whoever came first.
    let offset = match run.attempts.last() {
        Some(attempt) if is_at_work(&run) => output.line_start(printed).max(attempt.output_from),
        _ => printed,
    };
    let place = Cursor { seq, offset };
    let teller = RunTeller::new(Arc::clone(context), id, Arc::clone(&output), place)?;
    let mut runs = streams.runs();
    if let Some(of_run) = runs.get(&id) {
        return Ok((of_run.clone(), of_run.feed.subscribe()));
    }
    let feed = Feed::new(place, Arc::clone(&streams.counts));
    let of_run = OfRun {
        feed: Arc::clone(&feed),
        output,
    };
    let news = feed.subscribe();
    runs.insert(id, of_run.clone());
    drop(runs);
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let left = Leaving(|| {
            context.streams.leave_run(id, &feed, false);
            feed.fail();
        });
        let leave = || context.streams.leave_run(id, &feed, true);
        if let Err(error) = feed.fill(teller, RunWake { latest, growth }, leave).await {
            tracing::error!(run = %id, error = format!("{error:#}"), "the streams of a run ended");
        }
        drop(left);
    });
    Ok((of_run, news))
}

/// One more reader of all runs.
fn join_all(
    context: &Arc<Context>,
) -> Result<(Arc<Feed<Facts>>, watch::Receiver<bool>), StoreError> {
    let mut all = context.streams.all();
    if let Some(feed) = &*all {
        return Ok((Arc::clone(feed), feed.subscribe()));
    }
    let wake = AllWake(context.journal.latest());
    let seq = context.journal.store().read(events::last_seq)?;
    let place = Cursor { seq, offset: 0 };
    let feed = Feed::new(place, Arc::clone(&context.streams.counts));
    let news = feed.subscribe();
    *all = Some(Arc::clone(&feed));
    drop(all);
    let joined = Arc::clone(&feed);
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let left = Leaving(|| {
            context.streams.leave_all(&feed, false);
            feed.fail();
        });
        let teller = AllTeller::new(Arc::clone(&context), place);
        let leave = || context.streams.leave_all(&feed, true);
        if let Err(error) = feed.fill(teller, wake, leave).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the streams of all runs ended"
            );
        }
        drop(left);
    });
    Ok((joined, news))
}

/// Done when a hub ends, however it does.
struct Leaving<F: Fn()>(F);

impl<F: Fn()> Drop for Leaving<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Wakes the hub of a run.
struct RunWake {
    latest: watch::Receiver<u64>,
    growth: Growth,
}

impl Wake for RunWake {
    fn arm(&mut self) {
        self.latest.mark_unchanged();
    }

    async fn woken(&mut self) -> bool {
        tokio::select! {
            _ = self.latest.changed() => false,
            woken = self.growth.changed() => woken == Woken::Quiet,
        }
    }
}
