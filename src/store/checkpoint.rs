//! The write-ahead log is carried over into the database's file beside the writes, never inside a commit.
//!
//! ```text
//! writes        every PAUSE what is committed is carried over; neither writers nor readers wait (PASSIVE)
//! a long log    the writer, between two commits, has the rest carried over and cuts it (TRUNCATE)
//! quiet         the log is carried over and cut to nothing (TRUNCATE)
//! ```
//!
//! A reader that stays at an old moment keeps the log from being begun anew: it grows then, which is told, and nobody is
//! held up. What is committed is on disk in the log; when it is carried over changes nothing of that.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::{Attempted, StoreError};

/// Between two looks while there are writes.
const PAUSE: Duration = Duration::from_millis(100);
/// After so long without a commit the log is cut.
const QUIET: Duration = Duration::from_secs(1);
/// A log of more bytes is cut by the writer.
const LONG: u64 = 16 * 1024 * 1024;
/// A log of more pages is told of: 256 MiB.
const TOO_LONG: u64 = 65_536;
/// How long the writer waits for readers before it cuts the log.
const READERS_PATIENCE: Duration = Duration::from_millis(50);
/// How long after that was in vain it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Carried {
    /// Somebody was in the way of all of it.
    busy: bool,
    /// Pages in the log.
    pages: u64,
}

/// The writer's side: tells of commits, and cuts a long log.
#[derive(Debug)]
pub(super) struct Log {
    commits: SyncSender<()>,
    wal: PathBuf,
    not_before: Option<Instant>,
}

impl Log {
    /// Starts the thread that carries over; it ends with this. It has a connection of its own.
    pub(super) fn carry_over(connection: Connection, path: PathBuf) -> Log {
        let (commits, told) = sync_channel(1);
        let wal = super::whole::wal_of(&path);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        // Without the thread the log grows, and the next start carries it over.
        if let Err(error) = thread.spawn(move || serve(&connection, &path, &told)) {
            tracing::error!(%error, "the write-ahead log of the database is not carried over");
        }
        Log {
            commits,
            wal,
            not_before: None,
        }
    }

    /// After a commit, with the connection that made it.
    pub(super) fn committed(&mut self, writer: &Connection) {
        // Full: it knows already.
        let _ = self.commits.try_send(());
        let wait = self.not_before.is_some_and(|then| Instant::now() < then);
        let is_long = || std::fs::metadata(&self.wal).is_ok_and(|log| log.len() > LONG);
        if wait || !is_long() {
            return;
        }
        let begun = writer
            .busy_timeout(READERS_PATIENCE)
            .attempted("wait for readers")
            .and_then(|()| carried(writer, "PRAGMA wal_checkpoint(TRUNCATE)"));
        if !matches!(begun, Ok(Carried { busy: false, .. })) {
            self.not_before = Some(Instant::now() + AGAIN_AFTER);
        }
        if let Err(error) = writer.busy_timeout(super::BUSY_TIMEOUT) {
            tracing::warn!(%error, "the writer waits for locks no longer than a moment");
        }
    }
}

fn serve(connection: &Connection, path: &Path, told: &Receiver<()>) {
    let mut warned = false;
    while told.recv().is_ok() {
        loop {
            std::thread::sleep(PAUSE);
            match carried(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
                Ok(Carried { pages, .. }) => {
                    if pages > TOO_LONG && !warned {
                        warned = true;
                        let mib = pages / 256;
                        tracing::warn!(mib, db = %path.display(), "the write-ahead log is long: somebody reads an old moment of the database");
                    }
                }
                Err(error) => tracing::warn!(%error, "the write-ahead log was not carried over"),
            }
            match told.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if cut(connection) {
                        warned = false;
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }
    cut(connection);
}

/// Carries over all of the log and cuts it to nothing; whether it could be: not while somebody reads or writes.
fn cut(connection: &Connection) -> bool {
    let cut = carried(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
    matches!(cut, Ok(Carried { busy: false, .. }))
}

fn carried(connection: &Connection, checkpoint: &str) -> Result<Carried, StoreError> {
    connection
        .query_row(checkpoint, [], |row| {
            Ok(Carried {
                busy: row.get(0)?,
                pages: row.get::<_, i64>(1)?.try_into().unwrap_or(0),
            })
        })
        .attempted("carry over the write-ahead log")
}

/// Carries over all of the log of a database that nobody writes to any more, as far as readers let it.
pub(super) fn rest(connection: &Connection) {
    if !cut(connection) {
        tracing::debug!("the write-ahead log is left to the next start");
    }
}
