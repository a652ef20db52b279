//! How many runs have checks run at a time: slots of their own, beside those of agents.
//!
//! Whoever came first has its turn first. A list takes one slot, however many checks it has: they run one after the
//! other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::run::RoundId;

/// The slots of this server for checks.
#[derive(Debug)]
pub struct CheckSlots {
    free: Arc<Semaphore>,
    /// The rounds that wait, those that came first before the others.
    waiting: Mutex<Vec<RoundId>>,
}

/// Leave for one list to run; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn(
    #[expect(dead_code, reason = "held, and given back when dropped")] OwnedSemaphorePermit,
);

/// A round that waits, until it has its turn or is given up.
struct Waiting<'a> {
    slots: &'a CheckSlots,
    round: RoundId,
}

impl CheckSlots {
    /// So many slots.
    #[must_use]
    pub fn new(most: usize) -> CheckSlots {
        CheckSlots {
            free: Arc::new(Semaphore::new(most)),
            waiting: Mutex::default(),
        }
    }

    /// Waits for a free slot. Nothing if there will be none any more.
    pub(super) async fn turn(&self, round: RoundId) -> Option<Turn> {
        lock(&self.waiting).push(round);
        let _waiting = Waiting { slots: self, round };
        // Fair: those that came first are served first.
        let permit = self.free.clone().acquire_owned().await;
        permit.ok().map(Turn)
    }

    /// The place of a round among those that wait, from 1; nothing if it does not wait.
    #[must_use]
    pub fn position(&self, round: RoundId) -> Option<u64> {
        let waiting = lock(&self.waiting);
        let at = waiting.iter().position(|other| *other == round)?;
        Some(at as u64 + 1)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.slots.waiting).retain(|other| *other != self.round);
    }
}

fn lock(waiting: &Mutex<Vec<RoundId>>) -> MutexGuard<'_, Vec<RoundId>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(n: u128) -> RoundId {
        RoundId(uuid::Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn who_came_first_has_its_turn_first_and_who_gives_up_is_forgotten() {
        let slots = CheckSlots::new(1);
        let first = slots.turn(round(1)).await.unwrap();
        let mut second = Box::pin(slots.turn(round(2)));
        let mut third = Box::pin(slots.turn(round(3)));
        assert!(futures_poll(&mut second).is_none());
        assert!(futures_poll(&mut third).is_none());
        assert_eq!(slots.position(round(1)), None);
        assert_eq!(slots.position(round(2)), Some(1));
        assert_eq!(slots.position(round(3)), Some(2));
        drop(second);
        assert_eq!(slots.position(round(3)), Some(1));
        drop(first);
        assert!(third.await.is_some());
        assert_eq!(slots.position(round(3)), None);
    }

    /// Polls once.
    fn futures_poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }
}
