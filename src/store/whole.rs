//! Whether a database is whole, and copies of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};

use super::error::{Attempted, StoreError};
use super::{BUSY_TIMEOUT, events, migrate};

/// The version from which on there is a journal.
const VERSION_WITH_JOURNAL: i64 = 6;
/// The first bytes of a WAL that holds no commit.
const WAL_HEADER: u64 = 32;

/// How many events a start looks at: a start has to be quick however long the history is.
const LOOKED_AT_BY_A_START: u64 = 2_000;
/// The most pages that a start looks at: those of a larger database are looked at beside its work.
const PAGES_OF_A_START: u64 = 4_096;

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// The version of its tables.
    pub schema: i64,
    /// How many runs.
    pub runs: u64,
    /// How many events.
    pub events: u64,
    /// SHA-256 of the payloads that evidence names, each once.
    pub payloads: Vec<String>,
    /// The ids of the runs.
    pub run_ids: Vec<String>,
}

/// Copies the database, as it is at one moment, into a new file that stands alone. Others may write meanwhile.
///
/// # Errors
/// One of the two cannot be opened, or the copy failed.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    // To write, so that what a crash has left in the log is taken up; never to make a database.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).attempted("open the database")?;
    source
        .busy_timeout(BUSY_TIMEOUT)
        .attempted("set the busy timeout")?;
    let mut target = Connection::open(to).attempted("make a copy of the database")?;
    // All pages in one step: one moment, which a write of others does not begin anew.
    Backup::new(&source, &mut target)
        .and_then(|backup| backup.run_to_completion(i32::MAX, Duration::from_millis(50), None))
        .attempted("copy the database")?;
    target
        .pragma_update(None, "journal_mode", "DELETE")
        .attempted("let the copy stand alone")
}

/// A database as it is at one moment, to read from only.
pub type Moment = Connection;

/// Opens a database that is there, to read one moment of it.
///
/// # Errors
/// It cannot be opened.
pub fn open_to_read(path: &Path) -> Result<Moment, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).attempted("open the database")?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .attempted("set the busy timeout")?;
    connection
        .execute_batch("BEGIN")
        .attempted("begin to read")?;
    Ok(connection)
}

/// The version of the database.
///
/// # Errors
/// It cannot be read.
pub fn schema(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .attempted("read the version of the database")
}

/// The version that this program writes.
#[must_use]
pub fn newest() -> i64 {
    i64::try_from(migrate::newest()).unwrap_or(i64::MAX)
}

/// Looks at every page, index and row of the journal of this file, and tells what it holds.
///
/// # Errors
/// It is damaged, or was written by a newer program.
pub fn verify_file(path: &Path) -> Result<Holds, StoreError> {
    let connection = open_to_read(path)?;
    pages(&connection, "PRAGMA integrity_check(1)")?;
    let (schema, known) = (schema(&connection)?, newest());
    if schema > known {
        return Err(StoreError::TooNew {
            found: schema,
            known,
        });
    }
    let mut holds = Holds {
        schema,
        runs: 0,
        events: 0,
        payloads: Vec::new(),
        run_ids: Vec::new(),
    };
    if schema >= VERSION_WITH_JOURNAL {
        journal(&connection, 0)?;
        holds.run_ids = texts(&connection, "SELECT id FROM runs ORDER BY id")?;
        holds.runs = holds.run_ids.len() as u64;
        holds.events = connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .attempted("count the events")?;
        holds.payloads = texts(
            &connection,
            "SELECT DISTINCT sha256 FROM dod_evidence WHERE kind = 'file' ORDER BY sha256",
        )?;
    }
    Ok(holds)
}

/// What a start looks at: the structure of all pages of a database that is not large, the chain of the newest events, and
/// that journal and list have the same runs. The rest of a large one is looked at beside the work ([`structure`]), and
/// the whole chain by the doctor.
///
/// # Errors
/// The database is damaged.
pub fn verify(connection: &Connection) -> Result<(), StoreError> {
    if !is_large(connection)? {
        structure(connection)?;
    }
    match events::last_seq(connection)?.saturating_sub(LOOKED_AT_BY_A_START) {
        0 => journal(connection, 0),
        after => newest_of_the_journal(connection, after),
    }
}

/// Whether a start leaves the structure of its pages to be looked at later.
///
/// # Errors
/// The database cannot be read.
pub fn is_large(connection: &Connection) -> Result<bool, StoreError> {
    let pages: u64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .attempted("read the size of the database")?;
    Ok(pages > PAGES_OF_A_START)
}

/// Looks at the structure of all pages. Reads the whole file.
///
/// # Errors
/// The database is damaged.
pub fn structure(connection: &Connection) -> Result<(), StoreError> {
    pages(connection, "PRAGMA quick_check(1)")
}

fn pages(connection: &Connection, check: &str) -> Result<(), StoreError> {
    let found: String = connection
        .query_row(check, [], |row| row.get(0))
        .attempted("check the database")?;
    if found == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged(found.replace('\n', " ")))
    }
}

fn journal(connection: &Connection, after: u64) -> Result<(), StoreError> {
    chain_is_whole(connection, after)?;
    let lost = texts(
        connection,
        "SELECT id FROM (SELECT DISTINCT run_id AS id FROM events EXCEPT SELECT id FROM runs) LIMIT 1",
    )?;
    let strange = texts(
        connection,
        "SELECT id FROM (SELECT id FROM runs EXCEPT SELECT run_id FROM events) LIMIT 1",
    )?;
    same_runs(&lost, &strange)
}

/// The same of the events after this one, and of as many of the newest runs.
fn newest_of_the_journal(connection: &Connection, after: u64) -> Result<(), StoreError> {
    chain_is_whole(connection, after)?;
    let find = |sql, with| -> Result<Vec<String>, StoreError> {
        connection
            .prepare(sql)
            .attempted("prepare to look")?
            .query_map(params![with], |row| row.get(0))
            .and_then(Iterator::collect)
            .attempted("look at the database")
    };
    let lost = find(
        "SELECT run_id FROM events WHERE seq > ? AND NOT EXISTS (SELECT 1 FROM runs WHERE id = run_id) LIMIT 1",
        after,
    )?;
    let strange = find(
        "SELECT id FROM (SELECT id FROM runs WHERE created_at > '' ORDER BY created_at DESC, id DESC LIMIT ?) \
         WHERE NOT EXISTS (SELECT 1 FROM events WHERE run_id = id) LIMIT 1",
        LOOKED_AT_BY_A_START,
    )?;
    same_runs(&lost, &strange)
}

fn chain_is_whole(connection: &Connection, after: u64) -> Result<(), StoreError> {
    match events::first_broken_link_after(connection, after)? {
        None => Ok(()),
        Some(seq) => Err(StoreError::Damaged(format!(
            "event {seq} of the journal is not what was written"
        ))),
    }
}

/// Runs that only the journal has, and those that only the list has: none of both.
fn same_runs(lost: &[String], strange: &[String]) -> Result<(), StoreError> {
    match (lost.first(), strange.first()) {
        (None, None) => Ok(()),
        (Some(id), _) => Err(StoreError::Damaged(format!(
            "the run {id} has events and is not in the list"
        ))),
        (None, Some(id)) => Err(StoreError::Damaged(format!(
            "the run {id} is in the list and has no events"
        ))),
    }
}

fn texts(connection: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(sql).attempted("prepare to look")?;
    statement
        .query_map([], |row| row.get(0))
        .attempted("look at the database")?
        .collect::<Result<_, _>>()
        .attempted("look at the database")
}

/// The write-ahead log beside a database.
#[must_use]
pub fn wal_of(db: &Path) -> PathBuf {
    beside(db, "-wal")
}

/// The index of that log.
#[must_use]
pub fn shm_of(db: &Path) -> PathBuf {
    beside(db, "-shm")
}

/// Takes up what is in the log, so that the file has all of the database. Nobody else may work on it.
///
/// Whether that is so now: a damaged database stays as it is.
#[must_use]
pub fn stands_alone(db: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let taken_up = Connection::open_with_flags(db, flags).and_then(|connection| {
        // The last to close takes the log away.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
    });
    let left = std::fs::metadata(wal_of(db)).map_or(0, |log| log.len());
    matches!(taken_up, Ok(0)) && left == 0
}

/// Where a restore keeps its database until it is put in place.
#[must_use]
pub fn restoring(db: &Path) -> PathBuf {
    beside(db, ".restoring")
}

fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A database that is not there, or empty, though something of it is: not to be taken for a new one.
///
/// # Errors
/// It is so.
pub(super) fn not_lost(db: &Path) -> Result<(), StoreError> {
    let len = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    if len(db) > 0 {
        return Ok(());
    }
    if len(&wal_of(db)) > WAL_HEADER {
        return Err(StoreError::Damaged(
            "its file is empty or gone, and its write-ahead log is there".to_owned(),
        ));
    }
    if restoring(db).exists() {
        return Err(StoreError::Damaged(
            "restore-backup was interrupted; repeat it".to_owned(),
        ));
    }
    Ok(())
}
