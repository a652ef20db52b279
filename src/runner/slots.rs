//! How many agents work at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::run::RunId;

/// The slots of this server.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    taken: Arc<Mutex<HashSet<RunId>>>,
}

/// Leave for one run's agent to work; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    run: RunId,
    taken: Arc<Mutex<HashSet<RunId>>>,
}

impl Slots {
    pub(super) fn new(most: usize) -> Slots {
        Slots {
            most,
            taken: Arc::default(),
        }
    }

    /// A slot, if one is free and the run has none.
    pub(super) fn take(&self, run: RunId) -> Option<Slot> {
        let mut taken = lock(&self.taken);
        if taken.len() >= self.most || taken.contains(&run) {
            return None;
        }
        taken.insert(run);
        Some(Slot {
            run,
            taken: self.taken.clone(),
        })
    }

    /// A slot for an agent that works already, whether one is free or not: it was there before this server. None if the
    /// run has one: then its driver is at work on it.
    pub(super) fn claim(&self, run: RunId) -> Option<Slot> {
        lock(&self.taken).insert(run).then(|| Slot {
            run,
            taken: self.taken.clone(),
        })
    }

    /// Whether the run has a slot.
    pub(super) fn holds(&self, run: RunId) -> bool {
        lock(&self.taken).contains(&run)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        lock(&self.taken).len()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.run);
    }
}

fn lock(taken: &Mutex<HashSet<RunId>>) -> MutexGuard<'_, HashSet<RunId>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> RunId {
        RunId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn there_are_as_many_as_there_are_and_one_comes_back_when_it_is_dropped() {
        let slots = Slots::new(1);
        let slot = slots.take(id(1)).unwrap();
        assert!(slots.take(id(2)).is_none());
        drop(slot);
        assert!(slots.take(id(2)).is_some());
    }

    #[test]
    fn an_agent_that_was_there_before_has_one_even_if_none_is_free() {
        let slots = Slots::new(1);
        let first = slots.claim(id(1)).unwrap();
        assert!(slots.claim(id(1)).is_none());
        let _second = slots.claim(id(2)).unwrap();
        drop(first);
        assert!(slots.take(id(3)).is_none());
    }
}
