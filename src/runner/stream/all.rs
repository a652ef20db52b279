//! The stream of all runs: what happens to any of them, without output.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::feed::Wake;
use super::ring::Block;
use super::teller::{Rows, Teller, run_at};
use crate::journal::Cursor;
use crate::journal::append::step;
use crate::journal::encode::encode;
use crate::run::{Run, RunId, Status};
use crate::runner::Context;
use crate::shape::request::RunFilter;
use crate::store::{StoreError, events};

/// How many events are read at once.
const BATCH: u32 = 64;
/// How many runs are kept at hand.
const RUNS_KEPT: usize = 64;
/// The slow poll behind the wake-ups.
const POLL: Duration = Duration::from_secs(5);

/// What a filter asks of the run that a frame is about.
#[derive(Debug)]
pub(super) struct Facts {
    status: Status,
    app: Option<String>,
    created_at: Timestamp,
}

impl Facts {
    pub(super) fn fit(&self, filter: &RunFilter) -> bool {
        (filter.status.is_empty() || filter.status.contains(&self.status))
            && (filter.app.is_none() || filter.app == self.app)
            && filter.since.is_none_or(|since| self.created_at >= since)
    }
}

/// Tells of all runs.
pub(super) struct AllTeller {
    context: Arc<Context>,
    seq: u64,
    rows: Rows<events::Read>,
    at_hand: HashMap<RunId, Run>,
}

impl AllTeller {
    pub(super) fn new(context: Arc<Context>, place: Cursor) -> AllTeller {
        AllTeller {
            context,
            seq: place.seq,
            rows: Rows::new(),
            at_hand: HashMap::new(),
        }
    }

    /// The run after this event, and what readers are told of it.
    fn tell_one(&mut self, row: events::Read, block: &mut Block<Facts>) -> Result<(), StoreError> {
        let row = row.event?;
        let run = match self.at_hand.remove(&row.run) {
            Some(run) => step(Some(run), &row)?,
            None => run_at(&self.context.journal, row.run, row.seq)?
                .ok_or_else(|| StoreError::NoRun(row.run.to_string()))?,
        };
        if let Some((name, json)) = encode(&row, &run) {
            let facts = Facts {
                status: run.status(),
                app: run.spec.kanban_app.clone(),
                created_at: run.created_at,
            };
            block.push(self.place(), name, &json, facts);
        }
        if self.at_hand.len() >= RUNS_KEPT {
            self.at_hand.clear();
        }
        self.at_hand.insert(run.id, run);
        Ok(())
    }
}

impl Teller for AllTeller {
    type Mark = Facts;

    fn place(&self) -> Cursor {
        Cursor {
            seq: self.seq,
            offset: 0,
        }
    }

    fn look_again(&mut self) {
        self.rows.forget();
    }

    fn tell(
        &mut self,
        to: Cursor,
        _partial: bool,
        block: &mut Block<Facts>,
    ) -> anyhow::Result<bool> {
        // Events that nobody is told of fill no block: they are counted as well.
        for _ in 0..BATCH {
            if block.is_full() {
                break;
            }
            let (journal, seq) = (&self.context.journal, self.seq);
            let read = || {
                journal
                    .store()
                    .read(|db| events::each_after(db, seq, BATCH))
            };
            let row = self.rows.peek(journal, read)?;
            if row.is_none_or(|row| row.seq > to.seq) {
                return Ok(false);
            }
            let Some(row) = self.rows.pop() else { continue };
            self.seq = row.seq;
            let run = row.run.clone();
            // One row that cannot be read must not hide what happens to other runs.
            if let Err(error) = self.tell_one(row, block) {
                tracing::error!(seq = self.seq, run, %error, "readers of all runs are not told of an event");
            }
        }
        Ok(true)
    }
}

/// Wakes the hub of all runs.
pub(super) struct AllWake(pub(super) watch::Receiver<u64>);

impl Wake for AllWake {
    fn arm(&mut self) {
        self.0.mark_unchanged();
    }

    async fn woken(&mut self) -> bool {
        tokio::select! {
            _ = self.0.changed() => false,
            () = tokio::time::sleep(POLL) => true,
        }
    }
}
