//! Who gets a slot: a new request at once if one is free and nobody waits, else the oldest that waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Runner;
use super::driver::Ask;
use super::room::FileSystem;
use super::slots::Slot;
use crate::journal::{Creation, NewRun, NotCreated};
use crate::run::{CommitId, Event, Run, RunId};
use crate::store::{StoreError, runs};

/// How often it is looked whether there is room again: nobody tells of it.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

impl Runner {
    /// Stores a request for a run that starts from this commit, and answers once its agent is started or could not be; at
    /// once if it has to wait for a slot.
    ///
    /// With a slot, the intent to make its place is stored in the transaction of the request.
    ///
    /// # Errors
    /// As [`NotCreated`] says; nothing is stored then.
    pub async fn create(&self, new: NewRun, base: CommitId) -> Result<Creation, NotCreated> {
        let runner = self.clone();
        // In a task of its own: a client that goes away does not leave a run behind that is in nobody's hands.
        let stored = tokio::spawn(async move { runner.store_and_start(new, base).await });
        stored
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    async fn store_and_start(
        &self,
        mut new: NewRun,
        base: CommitId,
    ) -> Result<Creation, NotCreated> {
        let slot = self.slot_of_new(new.id).await?;
        if slot.is_some() {
            self.context().containment.expect_one();
            new.events.push(Event::Placing { base_commit: base });
        }
        let created = self.context().journal.create(new).await;
        let run = match (created, slot) {
            (Ok(Creation::Done(run)), Some(slot)) => {
                let (reply, started) = oneshot::channel();
                self.send(run.id, Ask::Start { slot, reply });
                // A driver that is gone has said all that it had to say in the journal.
                (started.await.ok(), run)
            }
            (Ok(Creation::Done(run)), None) => (self.admit(run.id).await?, run),
            (other, slot) => {
                if let Some(slot) = slot {
                    drop(slot);
                    // Who came meanwhile has seen no free slot.
                    self.fill().await;
                }
                return other;
            }
        };
        let run = match run {
            (Some(started), _) => started,
            (None, created) => self.context().journal.run(created.id)?.unwrap_or(created),
        };
        Ok(Creation::Done(run))
    }

    /// A slot for a run that is not stored yet, if one is free and nobody has waited for it.
    async fn slot_of_new(&self, run: RunId) -> Result<Option<Slot>, StoreError> {
        let _one_at_a_time = self.filling.lock().await;
        let queue = self.waiting()?;
        if queue.iter().any(|waits| !self.slots.holds(*waits)) {
            return Ok(None);
        }
        Ok(self.slots.take(run))
    }

    /// The first that wait, in their order. Those that hold a slot already are passed over; the others find none left
    /// after these.
    fn waiting(&self) -> Result<Vec<RunId>, StoreError> {
        let enough = self.slots.taken() + self.context.config.max_running + 1;
        let store = self.context.journal.store();
        store.read(|db| runs::queue(db, enough))
    }

    /// Starts what waits, as far as slots are free, and answers once the agent of `run` is started or could not be.
    /// Nothing if it still waits.
    ///
    /// # Errors
    /// The database failed.
    pub async fn admit(&self, run: RunId) -> Result<Option<Run>, StoreError> {
        let mut started = None;
        self.fill_telling(Some((run, &mut started))).await?;
        match started {
            // Another look at the queue came before this one and has given it a slot: its driver says when it is started.
            None if self.slots.holds(run) => Ok(self.asked(run, |reply| Ask::Tell { reply }).await),
            None => Ok(None),
            // A driver that is gone has said all that it had to say in the journal.
            Some(started) => Ok(started.await.ok()),
        }
    }

    /// Starts what waits, as far as slots are free.
    pub(super) async fn fill(&self) {
        if let Err(error) = self.fill_telling(None).await {
            tracing::error!(%error, "the queue cannot be read");
        }
    }

    pub(super) async fn fill_telling(
        &self,
        mut tell: Option<(RunId, &mut Option<oneshot::Receiver<Run>>)>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.filling.lock().await;
        for run in self.waiting()? {
            if self.slots.holds(run) {
                continue;
            }
            if let Some(low) = self.context.room.low() {
                self.fill_when_there_is_room(&low);
                break;
            }
            let Some(slot) = self.slots.take(run) else {
                break;
            };
            let (reply, started) = oneshot::channel();
            if let Some((wanted, receiver)) = &mut tell
                && *wanted == run
            {
                **receiver = Some(started);
            }
            self.send(run, Ask::Start { slot, reply });
        }
        Ok(())
    }

    /// Looks at the queue again once every file system has room. One task looks, however many ask.
    fn fill_when_there_is_room(&self, low: &FileSystem) {
        if self.looking_for_room.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!("no agent is started: {}", low.sentence());
        let runner = self.clone();
        tokio::spawn(async move {
            let context = runner.context();
            let there_is_room = async {
                while context.room.low().is_some() {
                    tokio::time::sleep(LOOK_FOR_ROOM).await;
                }
            };
            let looked = context.closing.run_until_cancelled(there_is_room).await;
            runner.looking_for_room.store(false, Ordering::Release);
            if looked.is_some() {
                tracing::info!("there is room again; the queue goes on");
                runner.fill().await;
            }
        });
    }
}
