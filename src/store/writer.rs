//! The one thread that writes. What waits together is committed together, and each hears of its own after the commit.

use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::checkpoint::Log;
use super::error::{Attempted, StoreError};
use crate::effect::{self, Effect};

/// The most jobs in one commit: bounds how long the first of them waits.
const BATCH: usize = 256;

/// Tells a job's owner how the commit went.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Does a job's work and says whether it is to be kept; without a transaction it does nothing.
type Job = Box<dyn FnOnce(Option<&Connection>) -> (bool, Reply) + Send>;

#[derive(Debug)]
pub(super) struct Writer {
    jobs: Sender<Job>,
}

impl Writer {
    /// The writer on this connection; its thread ends when the writer is dropped.
    pub(super) fn start(connection: Connection, log: Log) -> Writer {
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        // Without the thread every write answers `Closed`: the channel's other end is gone.
        if let Err(error) = thread.spawn(move || serve(connection, log, &inbox)) {
            tracing::error!(%error, "the writer of the database could not be started");
        }
        Writer { jobs }
    }

    pub(super) async fn write<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let answer = tx.map(work);
            let keep = matches!(answer, Some(Ok(_)));
            let reply: Reply = Box::new(move |committed| {
                // Nobody listens any more: the request was dropped, and what is stored stays stored.
                let _ = tell.send(match (answer, committed) {
                    // Its own failure says more than that of the transaction which it took down (SQLITE_FULL).
                    (Some(Err(own)), _) => Err(own),
                    (_, Err(error)) => Err(error.into()),
                    (Some(Ok(done)), Ok(())) => Ok(done),
                    (None, Ok(())) => Err(StoreError::Closed.into()),
                });
            });
            (keep, reply)
        });
        self.jobs
            .send(job)
            .map_err(|_| E::from(StoreError::Closed))?;
        told.await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }
}

fn serve(mut connection: Connection, mut log: Log, inbox: &Receiver<Job>) {
    while let Ok(first) = inbox.recv() {
        let mut replies = Vec::new();
        let committed = batch(&mut connection, first, inbox, &mut replies);
        if let Err(error) = &committed {
            tracing::error!(%error, "a commit failed");
        }
        let failure = committed.err().map(|error| error.to_string());
        for reply in replies {
            reply(match &failure {
                None => Ok(()),
                Some(why) => Err(StoreError::NotCommitted(why.clone())),
            });
        }
        // After the answers: nobody waits for it.
        log.committed(&connection);
    }
}

/// One transaction: `first` and what waits behind it, each in a savepoint of its own.
fn batch(
    connection: &mut Connection,
    first: Job,
    inbox: &Receiver<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), StoreError> {
    let begun = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .attempted("begin a transaction");
    let mut tx = match begun {
        Ok(tx) => tx,
        Err(error) => {
            replies.push(first(None).1);
            return Err(error);
        }
    };
    let mut next = Some(first);
    while let Some(job) = next.take() {
        let savepoint = match tx.savepoint().attempted("set a savepoint") {
            Ok(savepoint) => savepoint,
            Err(error) => {
                replies.push(job(None).1);
                return Err(error);
            }
        };
        let (keep, reply) = job(Some(&savepoint));
        replies.push(reply);
        if keep {
            savepoint.commit().attempted("keep a savepoint")?;
        } else {
            // A savepoint that is not kept rolls back.
            savepoint.finish().attempted("undo a savepoint")?;
        }
        if replies.len() < BATCH {
            next = inbox.try_recv().ok();
        }
    }
    effect::begins(Effect::StoreCommit)?;
    tx.commit().attempted("commit")?;
    effect::comes(Effect::StoreCommitted);
    Ok(())
}
