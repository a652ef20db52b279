//! A lane for each base branch: one landing at a time, and one candidate under test.
//!
//! Two things are given out. The lock is held for the moments in which a landing is made, by whoever lands. The turn is
//! held by the first in the queue from its candidate to its end, while checks run. Who waits, and in which order, is in
//! the journal alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::Runner;
use super::super::driver::Ask;
use crate::run::RunId;
use crate::store::runs;

/// The lanes of this service.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<HashMap<String, Lane>>);

#[derive(Debug, Default)]
struct Lane {
    landing: Arc<tokio::sync::Mutex<()>>,
    turn: Option<RunId>,
}

impl Lanes {
    /// The lock of a base branch: who holds it may land there.
    pub(in crate::runner) fn landing(&self, base: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.lock()
            .entry(base.to_owned())
            .or_default()
            .landing
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the turn of this lane was free; it is the run's now.
    fn take(&self, base: &str, run: RunId) -> bool {
        let mut lanes = self.lock();
        let turn = &mut lanes.entry(base.to_owned()).or_default().turn;
        if turn.is_some() {
            return false;
        }
        *turn = Some(run);
        true
    }

    fn give_back(&self, base: &str) {
        self.lock().entry(base.to_owned()).or_default().turn = None;
    }
}

/// The turn of one run on its base. Dropped, the next in the queue gets it.
#[derive(Debug)]
pub(in crate::runner) struct Turn {
    runner: Runner,
    base: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.runner.context().lanes.give_back(&self.base);
        let (runner, base) = (self.runner.clone(), std::mem::take(&mut self.base));
        // Without a runtime the service is at its end, and the next start gives the turn.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { runner.next_in_lane(&base) });
        }
    }
}

impl Runner {
    /// Gives the turn of this base to the first in its queue, unless somebody has it.
    pub(in crate::runner) fn next_in_lane(&self, base: &str) {
        let context = self.context();
        if context.closing.is_cancelled() {
            return;
        }
        let queue = context
            .journal
            .store()
            .read(|db| runs::merge_queue(db, base));
        let first = match queue {
            Ok(queue) => queue.first().copied(),
            Err(error) => {
                tracing::error!(%error, base, "the merge queue cannot be read");
                return;
            }
        };
        if let Some(run) = first
            && context.lanes.take(base, run)
        {
            let turn = Turn {
                runner: self.clone(),
                base: base.to_owned(),
            };
            self.send(run, Ask::TakeTurn { turn });
        }
    }
}
