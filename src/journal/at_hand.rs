//! Runs at hand, as their events made them: a run of ten thousand events is appended to as fast as a new one.
//!
//! Each state is kept with the number and the hash of the event that made it last. That hash goes over all events before
//! it, so where the journal has it, the state is what those events tell; only what came later is read and applied. Where
//! the journal does not have it (the transaction was undone, or the reader sees an earlier moment), the run is read from
//! its beginning. So nothing has to be told when a transaction fails.
//!
//! Deliberately absent: all live runs. The few that something happens to now are at hand, and no other run's history is
//! long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::append::step;
use crate::run::{Run, RunId};
use crate::store::{StoreError, events};

/// The most runs at hand.
const MOST: usize = 64;
/// The longest prompt of a run that is kept, in bytes: bounds what all of them take.
const LONGEST_PROMPT: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct AtHand {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    states: HashMap<RunId, State>,
    /// Counts the uses.
    now: u64,
}

#[derive(Debug, Clone)]
struct State {
    run: Run,
    /// The event that made it last.
    seq: u64,
    hash: String,
    used: u64,
}

impl AtHand {
    /// The run as its events tell it; nothing if there are none.
    ///
    /// # Errors
    /// The events cannot be read.
    pub(super) fn run(
        &self,
        connection: &Connection,
        id: RunId,
    ) -> Result<Option<Run>, StoreError> {
        let (mut run, mut seq) = match self.state(id) {
            Some(state)
                if events::hash_of(connection, state.seq)?.as_ref() == Some(&state.hash) =>
            {
                (Some(state.run), state.seq)
            }
            _ => (None, 0),
        };
        let known = seq;
        for recorded in events::of_run_after(connection, id, seq, u32::MAX)? {
            run = Some(step(run, &recorded)?);
            seq = recorded.seq;
        }
        if let Some(run) = &run
            && seq > known
        {
            self.keep(connection, run, seq)?;
        }
        Ok(run)
    }

    /// Keeps the run as it is after this event.
    ///
    /// # Errors
    /// The event cannot be read.
    pub(super) fn keep(
        &self,
        connection: &Connection,
        run: &Run,
        seq: u64,
    ) -> Result<(), StoreError> {
        if run.spec.full_prompt.len() > LONGEST_PROMPT {
            return Ok(());
        }
        let Some(hash) = events::hash_of(connection, seq)? else {
            return Ok(());
        };
        let mut kept = self.kept();
        kept.now += 1;
        if kept.states.len() >= MOST && !kept.states.contains_key(&run.id) {
            let states = kept.states.iter();
            let oldest = states
                .min_by_key(|(_, state)| state.used)
                .map(|(id, _)| *id);
            oldest.and_then(|id| kept.states.remove(&id));
        }
        let state = State {
            run: run.clone(),
            seq,
            hash,
            used: kept.now,
        };
        kept.states.insert(run.id, state);
        Ok(())
    }

    fn state(&self, id: RunId) -> Option<State> {
        let mut kept = self.kept();
        kept.now += 1;
        let now = kept.now;
        let state = kept.states.get_mut(&id)?;
        state.used = now;
        Some(state.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
