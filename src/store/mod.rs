//! The only SQL: SQLite with one writer thread and readers in place.
//!
//! Writes are handed to the writer, which commits what has come in together (`synchronous=FULL`, so a commit is
//! on disk before its writer hears of it). Reads use a connection of the reader's own, called where the
//! reader is. The write-ahead log is carried over beside both. The agents' output is never in here.

pub mod audit;
pub mod chain;
mod checkpoint;
mod error;
pub mod events;
pub mod evidence;
pub mod idempotency;
pub mod list;
pub mod migrate;
pub mod output;
pub mod runs;
pub mod stats;
pub mod whole;
pub mod workflows;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use checkpoint::Log;
use error::Attempted;
pub use error::StoreError;
use writer::Writer;

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The most idle reader connections that are kept.
const KEPT_READERS: usize = 16;
/// The statements that a connection keeps prepared: more than there are, so that none is prepared twice.
const KEPT_STATEMENTS: usize = 128;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
}

impl Inner {
    fn rest(&self) {
        match checkpointing(&self.path) {
            Ok(connection) => checkpoint::rest(&connection),
            Err(error) => tracing::debug!(%error, "the write-ahead log is left to the next start"),
        }
    }
}

impl Drop for Inner {
    /// Whoever takes the file away after a command that wrote to it takes all of it.
    fn drop(&mut self) {
        self.rest();
    }
}

impl Store {
    /// Opens the database, makes it if there is none, and brings it up to date.
    ///
    /// # Errors
    /// It cannot be opened, is damaged, or was written by a newer program.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_with(path, migrate::STEPS)
    }

    /// The same by the steps of another program: those of this one and its own behind them.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_with(path: &Path, steps: &[&str]) -> Result<Store, StoreError> {
        whole::not_lost(path)?;
        let mut connection = Connection::open(path).attempted("open the database")?;
        prepare(&connection)?;
        migrate::take(&mut connection, steps)?;
        connection
            .pragma_update(None, "wal_autocheckpoint", 0)
            .attempted("leave the log to be carried over beside the writes")?;
        let log = Log::carry_over(checkpointing(path)?, path.to_owned());
        Ok(Store {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                writer: Writer::start(connection, log),
                readers: Mutex::new(Vec::new()),
            }),
        })
    }

    /// Looks whether the database is whole, as a start does.
    ///
    /// # Errors
    /// It is damaged.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.read(whole::verify)
    }

    /// Carries the write-ahead log over into the file. For a stop: a database at rest is one file.
    pub fn rest(&self) {
        self.inner.rest();
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Does `work` in a transaction, and answers once it is on disk.
    ///
    /// # Errors
    /// `work` failed, and nothing of it is stored; or the commit failed.
    pub async fn write<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.inner.writer.write(work).await
    }

    /// Does `work` with a connection that only reads, here and now.
    ///
    /// # Errors
    /// `work` failed, or no connection could be had.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.readers().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.reader()?,
        };
        let answer = work(&connection);
        let mut readers = self.readers();
        if readers.len() < KEPT_READERS {
            readers.push(connection);
        }
        answer
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.inner
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.inner.path, flags)
            .attempted("open the database for reading")?;
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .attempted("set the busy timeout")?;
        connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
        Ok(connection)
    }
}

/// A connection that carries over the log, and waits for nobody.
fn checkpointing(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).attempted("open the database for its log")?;
    prepare(&connection)?;
    connection
        .busy_timeout(Duration::ZERO)
        .attempted("set the busy timeout")?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .attempted("set the busy timeout")?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .attempted("use a write-ahead log")?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .attempted("make commits durable")?;
    connection
        .pragma_update(None, "foreign_keys", "ON")
        .attempted("hold foreign keys")?;
    connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
    Ok(())
}
