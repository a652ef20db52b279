//! The one way into the journal: decide, apply, store, in one transaction.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::watch;

use super::at_hand::AtHand;
use crate::run::{Command, Decision, Event, Recorded, Refusal, Run, RunId, apply, begin, decide};
use crate::store::{Store, StoreError, events, idempotency, runs};

/// The journal of all runs.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Store,
    latest: watch::Sender<u64>,
    at_hand: Arc<AtHand>,
}

/// The answer to a command.
#[derive(Debug)]
pub enum Answer {
    /// It is done, and this is the run now.
    Done(Run),
    /// It was so already.
    Already(Run),
    /// No, because.
    No(Refusal),
}

/// A request for a run, ready to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What happens first: `Created`, what its Definition of Done was made of, and the queueing of its first attempt.
    pub events: Vec<Event>,
    /// The card and issue that it is for, unless others may be at work on them too.
    pub alone_for: Vec<(&'static str, String)>,
    /// How the request is known again.
    pub key: Option<IdempotencyKey>,
}

/// How a request is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key.
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_sha256: String,
}

/// What became of a request for a run.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one match")]
pub enum Creation {
    /// It is stored.
    Done(Run),
    /// The same request came before.
    Again {
        /// The run that it made.
        run: RunId,
        /// The answer that it got, if it got one.
        answer_json: Option<String>,
    },
}

/// Why a request for a run is not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// Another run for the same card or issue is going on.
    #[error("run {run} for the same {what} is going on")]
    LiveRun {
        /// `card_id` or `issue_id`.
        what: &'static str,
        /// That run.
        run: RunId,
    },
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    KeyMismatch,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Journal {
    /// The journal in this database.
    ///
    /// # Errors
    /// The number of its newest event cannot be read.
    pub fn open(store: Store) -> Result<Journal, StoreError> {
        let (latest, _) = watch::channel(store.read(events::last_seq)?);
        Ok(Journal {
            store,
            latest,
            at_hand: Arc::default(),
        })
    }

    /// The database that it is in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The number of the newest event.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// The number of the newest event, as it grows. Arm it before you read.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The run as its events tell it; nothing if there is none of this id.
    ///
    /// # Errors
    /// The events cannot be read.
    pub fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.store
            .read(|connection| self.at_hand.run(connection, id))
    }

    /// Stores a request for a run, unless it may not be.
    ///
    /// # Errors
    /// As [`NotCreated`] says; nothing is stored then.
    pub async fn create(&self, new: NewRun) -> Result<Creation, NotCreated> {
        let at_hand = self.at_hand.clone();
        let (creation, seq) = self
            .store
            .write(move |connection| create(connection, &at_hand, new))
            .await?;
        self.tell(seq);
        Ok(creation)
    }

    /// Asks for something, and does it if it may be.
    ///
    /// # Errors
    /// There is no such run, or the database failed.
    pub async fn ask(&self, id: RunId, command: Command) -> Result<Answer, StoreError> {
        let at_hand = self.at_hand.clone();
        let (answer, seq) = self
            .store
            .write(move |connection| {
                let run = at_hand.run(connection, id)?.ok_or_else(|| no_run(id))?;
                match decide(&run, &command) {
                    Decision::Already => Ok((Answer::Already(run), 0)),
                    Decision::No(refusal) => Ok((Answer::No(refusal), 0)),
                    Decision::Do(events) => {
                        let (run, seq) = store(connection, &at_hand, run, events)?;
                        Ok::<_, StoreError>((Answer::Done(run), seq))
                    }
                }
            })
            .await?;
        self.tell(seq);
        Ok(answer)
    }

    /// Records what happened.
    ///
    /// # Errors
    /// There is no such run, an event cannot follow, or the database failed; nothing is stored then.
    pub async fn record(&self, id: RunId, events: Vec<Event>) -> Result<Run, StoreError> {
        let at_hand = self.at_hand.clone();
        let (run, seq) = self
            .store
            .write(move |connection| {
                let run = at_hand.run(connection, id)?.ok_or_else(|| no_run(id))?;
                store(connection, &at_hand, run, events)
            })
            .await?;
        self.tell(seq);
        Ok(run)
    }

    pub(super) fn tell(&self, seq: u64) {
        self.latest.send_if_modified(|latest| {
            let newer = seq > *latest;
            *latest = seq.max(*latest);
            newer
        });
    }
}

fn no_run(id: RunId) -> StoreError {
    StoreError::NoRun(id.to_string())
}

/// The run after one more event.
///
/// # Errors
/// The event cannot follow.
pub fn step(run: Option<Run>, recorded: &Recorded) -> Result<Run, StoreError> {
    Ok(match run {
        None => begin(recorded.run, recorded.at, &recorded.event)?,
        Some(run) => apply(run, recorded.at, &recorded.event)?,
    })
}

fn store(
    connection: &Connection,
    at_hand: &AtHand,
    mut run: Run,
    events: Vec<Event>,
) -> Result<(Run, u64), StoreError> {
    let mut seq = 0;
    for event in events {
        let recorded = events::append(connection, run.id, event)?;
        run = apply(run, recorded.at, &recorded.event)?;
        runs::project(connection, &run, &recorded)?;
        seq = recorded.seq;
    }
    at_hand.keep(connection, &run, seq)?;
    Ok((run, seq))
}

fn create(
    connection: &Connection,
    at_hand: &AtHand,
    new: NewRun,
) -> Result<(Creation, u64), NotCreated> {
    if let Some(key) = &new.key {
        if let Some(known) = idempotency::known(connection, &key.key)? {
            if known.body_sha256 != key.body_sha256 {
                return Err(NotCreated::KeyMismatch);
            }
            let run =
                known
                    .run_id
                    .parse()
                    .map_err(|error: uuid::Error| StoreError::Unreadable {
                        what: "idempotency key",
                        id: key.key.clone(),
                        detail: error.to_string(),
                    })?;
            let answer_json = known.answer_json;
            return Ok((Creation::Again { run, answer_json }, 0));
        }
        idempotency::claim(connection, &key.key, &key.body_sha256, new.id)?;
    }
    for (what, value) in &new.alone_for {
        if let Some(run) = runs::live_for(connection, what, value)? {
            return Err(NotCreated::LiveRun { what, run });
        }
    }
    let mut events = new.events.into_iter();
    let first = events
        .next()
        .ok_or_else(|| no_run(new.id))
        .and_then(|event| events::append(connection, new.id, event))?;
    let run = step(None, &first)?;
    runs::project(connection, &run, &first)?;
    let (run, seq) = store(connection, at_hand, run, events.collect())?;
    Ok((Creation::Done(run), seq.max(first.seq)))
}
