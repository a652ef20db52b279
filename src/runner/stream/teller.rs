//! What a run's stream says from one place on. The hub and a reader that catches up tell by the same code, so that who
//! reads makes no difference to what is said.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ring::Block;
use crate::journal::append::step;
use crate::journal::encode::encode;
use crate::journal::{Cursor, FrameName, Journal};
use crate::run::state::AttemptStage;
use crate::run::{Event, Recorded, Run, RunId};
use crate::runner::Context;
use crate::runner::output::{OutputFile, OutputReader};
use crate::store::{StoreError, events};

/// How many events are read at once.
const BATCH: u32 = 32;

/// The end of what there is.
pub(super) const END: Cursor = Cursor {
    seq: u64::MAX,
    offset: u64::MAX,
};

/// Makes frames of what comes after a place.
pub(super) trait Teller: Send + 'static {
    /// What is known of a frame beside its bytes.
    type Mark: Send + Sync + 'static;

    /// Where it is.
    fn place(&self) -> Cursor;

    /// The database is asked the next time, whether it seems to have grown or not.
    fn look_again(&mut self);

    /// Fills the block with what comes next, not over `to`; a line that is not whole is told only if `partial`. Whether
    /// the block was full before there was nothing more.
    fn tell(
        &mut self,
        to: Cursor,
        partial: bool,
        block: &mut Block<Self::Mark>,
    ) -> anyhow::Result<bool>;
}

/// Rows of the journal that were read and not yet told.
#[derive(Debug)]
pub(super) struct Rows<R> {
    rows: VecDeque<R>,
    /// The newest event when nothing was left to be read.
    known: Option<u64>,
}

impl<R> Rows<R> {
    pub(super) fn new() -> Rows<R> {
        Rows {
            rows: VecDeque::new(),
            known: None,
        }
    }

    /// The next one, read by `read` if there may be one: the database is asked only after it has grown.
    pub(super) fn peek(
        &mut self,
        journal: &Journal,
        read: impl FnOnce() -> Result<Vec<R>, StoreError>,
    ) -> Result<Option<&R>, StoreError> {
        if self.rows.is_empty() {
            let newest = journal.newest();
            if self.known == Some(newest) {
                return Ok(None);
            }
            self.rows = read()?.into();
            if self.rows.is_empty() {
                self.known = Some(newest);
            }
        }
        Ok(self.rows.front())
    }

    pub(super) fn pop(&mut self) -> Option<R> {
        self.rows.pop_front()
    }

    /// The database is asked the next time.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

/// Tells of one run.
pub(super) struct RunTeller {
    context: Arc<Context>,
    id: RunId,
    place: Cursor,
    /// The run as it is at its place.
    run: Option<Run>,
    rows: Rows<Recorded>,
    output: OutputReader,
}

impl RunTeller {
    /// One at this place.
    pub(super) fn new(
        context: Arc<Context>,
        id: RunId,
        output: Arc<OutputFile>,
        place: Cursor,
    ) -> Result<RunTeller, StoreError> {
        Ok(RunTeller {
            run: run_at(&context.journal, id, place.seq)?,
            output: OutputReader::new(output, place.offset),
            context,
            id,
            place,
            rows: Rows::new(),
        })
    }

    /// Tells one piece of output up to `limit`; whether there was one.
    fn print(&mut self, limit: u64, partial: bool, block: &mut Block<()>) -> anyhow::Result<bool> {
        let Some(piece) = self.output.next(limit, partial)? else {
            return Ok(false);
        };
        let attempt = self.run.as_ref().and_then(|run| {
            let started = |a: &&crate::run::state::Attempt| {
                a.stage != AttemptStage::Waiting && a.output_from <= piece.from
            };
            run.attempts.iter().rev().find(started).map(|a| a.number)
        });
        self.place.offset = piece.end;
        block.push_of(
            self.place,
            FrameName::Output,
            &piece.shown(self.id, attempt),
            (),
        );
        Ok(true)
    }
}

impl Teller for RunTeller {
    type Mark = ();

    fn place(&self) -> Cursor {
        self.place
    }

    fn look_again(&mut self) {
        self.rows.forget();
    }

    fn tell(&mut self, to: Cursor, partial: bool, block: &mut Block<()>) -> anyhow::Result<bool> {
        while !block.is_full() {
            let (journal, id, seq) = (&self.context.journal, self.id, self.place.seq);
            let read = || {
                journal
                    .store()
                    .read(|db| events::of_run_after(db, id, seq, BATCH))
            };
            let row = self.rows.peek(journal, read)?;
            if let Some(row) = row.filter(|row| row.seq <= to.seq) {
                // What the agent printed comes before the news that it has ended.
                if let Event::AttemptEnded { end, .. } = &row.event {
                    let limit = end.output_to.min(to.offset);
                    if self.print(limit, true, block)? {
                        continue;
                    }
                }
                let Some(row) = self.rows.pop() else { continue };
                let run = step(self.run.take(), &row)?;
                self.place.seq = row.seq;
                if let Some((name, json)) = encode(&row, &run) {
                    block.push(self.place, name, &json, ());
                }
                self.run = Some(run);
            } else {
                let partial = partial || !self.run.as_ref().is_some_and(is_at_work);
                if !self.print(to.offset, partial, block)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Whether its output grows.
pub(super) fn is_at_work(run: &Run) -> bool {
    matches!(
        run.attempt().map(|attempt| &attempt.stage),
        Some(AttemptStage::Starting | AttemptStage::Started { .. })
    )
}

/// The run as it was after this event; nothing before its first one.
pub(super) fn run_at(journal: &Journal, id: RunId, seq: u64) -> Result<Option<Run>, StoreError> {
    let rows = journal.store().read(|db| events::of_run(db, id))?;
    let mut seen = rows.iter().take_while(|row| row.seq <= seq);
    seen.try_fold(None, |run, row| step(run, row).map(Some))
}
