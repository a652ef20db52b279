//! Rows of the journal.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::error::{Attempted, StoreError};
use crate::clock;
use crate::dod::content::hex;
use crate::run::event::VERSION;
use crate::run::{Event, Recorded, RunId};

/// What the first row is chained to.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Appends an event and gives it its place.
///
/// # Errors
/// The row cannot be written.
pub fn append(connection: &Connection, run: RunId, event: Event) -> Result<Recorded, StoreError> {
    let at = clock::now();
    let body = serde_json::to_string(&event).map_err(|error| StoreError::Unreadable {
        what: "event",
        id: run.to_string(),
        detail: error.to_string(),
    })?;
    let seq = insert(connection, run, VERSION, &clock::rfc3339(at), &body)?;
    Ok(Recorded {
        seq,
        run,
        at,
        event,
    })
}

/// An event as its row has it, without its place: what is carried from one journal to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The run it happened to.
    pub run: RunId,
    /// The version of the stored form.
    pub version: u32,
    /// When, as it is written.
    pub at: String,
    /// What, as it is written.
    pub body: String,
}

impl Line {
    /// The event, as a journal's reader has it; it has no place yet.
    ///
    /// # Errors
    /// It is of a newer version, or is no event.
    pub fn read(&self) -> Result<Recorded, StoreError> {
        if self.version > VERSION {
            return Err(StoreError::Unreadable {
                what: "event of the run",
                id: self.run.to_string(),
                detail: format!("version {}, this program knows {VERSION}", self.version),
            });
        }
        recorded((0, self.run.to_string(), self.at.clone(), self.body.clone()))
    }
}

/// Appends an event of another journal, its time and body as they are, and gives it its place in this one.
///
/// # Errors
/// It cannot be read, or the row cannot be written.
pub fn append_line(connection: &Connection, line: &Line) -> Result<Recorded, StoreError> {
    // Read before it is written: what no start could read is not taken in.
    let recorded = line.read()?;
    let seq = insert(connection, line.run, line.version, &line.at, &line.body)?;
    Ok(Recorded { seq, ..recorded })
}

/// All events of one run as their rows have them, in their order.
///
/// # Errors
/// The rows cannot be read.
pub fn lines_of(connection: &Connection, run: RunId) -> Result<Vec<Line>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT version, at, body FROM events WHERE run_id = ? ORDER BY seq")
        .attempted("prepare to read events")?;
    statement
        .query_map(params![run.to_string()], |row| line(run, row, 0))
        .attempted("read events")?
        .collect::<Result<_, _>>()
        .attempted("read events")
}

/// Shows all events of all runs as their rows have them, in their order, until `see` fails.
///
/// # Errors
/// The rows cannot be read, or `see` failed.
pub fn each_line<E: From<StoreError>>(
    connection: &Connection,
    mut see: impl FnMut(Line) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection
        .prepare("SELECT run_id, version, at, body FROM events ORDER BY seq")
        .attempted("prepare to read events")?;
    let mut rows = statement.query([]).attempted("read events")?;
    while let Some(row) = rows.next().attempted("read events")? {
        let id: String = row.get(0).attempted("read events")?;
        let run = id
            .parse()
            .map_err(|error: uuid::Error| StoreError::Unreadable {
                what: "event of the run",
                id,
                detail: error.to_string(),
            })?;
        see(line(run, row, 1).attempted("read events")?)?;
    }
    Ok(())
}

fn line(run: RunId, row: &Row<'_>, from: usize) -> Result<Line, rusqlite::Error> {
    Ok(Line {
        run,
        version: row.get(from)?,
        at: row.get(from + 1)?,
        body: row.get(from + 2)?,
    })
}

fn insert(
    connection: &Connection,
    run: RunId,
    version: u32,
    at: &str,
    body: &str,
) -> Result<u64, StoreError> {
    let previous: Option<String> = connection
        .prepare_cached("SELECT hash FROM events WHERE seq = (SELECT max(seq) FROM events)")
        .attempted("prepare to read the last event")?
        .query_row([], |row| row.get(0))
        .optional()
        .attempted("read the last event")?;
    let previous = previous.unwrap_or_else(|| GENESIS.to_owned());
    let name = name(body);
    let hash = chained(&previous, &run.to_string(), &name, at, body);
    connection
        .prepare_cached(
            "INSERT INTO events (run_id, name, version, at, body, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .attempted("prepare to append an event")?
        .execute(params![
            run.to_string(),
            name,
            version,
            at,
            body,
            previous,
            hash
        ])
        .attempted("append an event")?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or(0))
}

/// The hash that chains a row to the one before: over lengths and contents, so that no two rows can be read as one.
pub(super) fn chained(previous: &str, run: &str, name: &str, at: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    for part in [previous, run, name, at, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// The tag that serde wrote into the body: first of all where we have written it.
fn name(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Tagged {
        event: String,
    }
    let tag = body.strip_prefix(r#"{"event":""#);
    match tag.and_then(|rest| rest.split_once('"')) {
        Some((tag, _)) if !tag.contains('\\') => tag.to_owned(),
        _ => serde_json::from_str(body).map_or_else(|_| String::new(), |read: Tagged| read.event),
    }
}

/// All events of one run, in their order.
///
/// # Errors
/// The rows cannot be read.
pub fn of_run(connection: &Connection, run: RunId) -> Result<Vec<Recorded>, StoreError> {
    select(
        connection,
        "SELECT seq, run_id, at, body FROM events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        params![run.to_string(), 0, i64::MAX],
    )
}

/// At most `limit` events of one run after `seq`.
///
/// # Errors
/// The rows cannot be read.
pub fn of_run_after(
    connection: &Connection,
    run: RunId,
    seq: u64,
    limit: u32,
) -> Result<Vec<Recorded>, StoreError> {
    select(
        connection,
        "SELECT seq, run_id, at, body FROM events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        params![run.to_string(), seq, limit],
    )
}

/// The hash of the event with this number, which all events before it go into; nothing if there is none.
///
/// # Errors
/// The row cannot be read.
pub fn hash_of(connection: &Connection, seq: u64) -> Result<Option<String>, StoreError> {
    connection
        .prepare_cached("SELECT hash FROM events WHERE seq = ?")
        .attempted("prepare to read the hash of an event")?
        .query_row(params![seq], |row| row.get(0))
        .optional()
        .attempted("read the hash of an event")
}

/// A row of the journal: the event, or why it cannot be read.
#[derive(Debug)]
pub struct Read {
    /// Its number.
    pub seq: u64,
    /// The run that it is of, as it is written.
    pub run: String,
    /// What it tells.
    pub event: Result<Recorded, StoreError>,
}

/// At most `limit` events of all runs after `seq`, those that cannot be read as well.
///
/// # Errors
/// The rows cannot be read at all.
pub fn each_after(connection: &Connection, seq: u64, limit: u32) -> Result<Vec<Read>, StoreError> {
    each(
        connection,
        "SELECT seq, run_id, at, body FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        params![seq, limit],
    )
}

/// All events of a run, by its id as it is written, those that cannot be read as well.
///
/// # Errors
/// The rows cannot be read at all.
pub fn each_of_run(connection: &Connection, run: &str) -> Result<Vec<Read>, StoreError> {
    each(
        connection,
        "SELECT seq, run_id, at, body FROM events WHERE run_id = ?1 ORDER BY seq",
        params![run],
    )
}

/// The number of the newest event; 0 if there is none.
///
/// # Errors
/// The row cannot be read.
pub fn last_seq(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| {
            row.get(0)
        })
        .attempted("read the number of the newest event")
}

/// When the newest event was written; nothing if there is none.
///
/// # Errors
/// The row cannot be read.
pub fn newest_at(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<String> = connection
        .query_row(
            "SELECT at FROM events WHERE seq = (SELECT max(seq) FROM events)",
            [],
            |row| row.get(0),
        )
        .optional()
        .attempted("read the time of the newest event")?;
    at.map(|at| {
        at.parse()
            .map_err(|error: jiff::Error| StoreError::Unreadable {
                what: "time of the newest event",
                id: at.clone(),
                detail: error.to_string(),
            })
    })
    .transpose()
}

fn select(
    connection: &Connection,
    sql: &'static str,
    with: impl rusqlite::Params,
) -> Result<Vec<Recorded>, StoreError> {
    let rows = each(connection, sql, with)?;
    rows.into_iter().map(|row| row.event).collect()
}

fn each(
    connection: &Connection,
    sql: &'static str,
    with: impl rusqlite::Params,
) -> Result<Vec<Read>, StoreError> {
    let mut statement = connection
        .prepare_cached(sql)
        .attempted("prepare to read events")?;
    let rows = statement
        .query_map(with, raw)
        .attempted("read events")?
        .collect::<Result<Vec<_>, _>>()
        .attempted("read events")?;
    let read = |row: (u64, String, String, String)| Read {
        seq: row.0,
        run: row.1.clone(),
        event: recorded(row),
    };
    Ok(rows.into_iter().map(read).collect())
}

fn raw(row: &Row<'_>) -> Result<(u64, String, String, String), rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn recorded((seq, run, at, body): (u64, String, String, String)) -> Result<Recorded, StoreError> {
    let unreadable = |detail: String| StoreError::Unreadable {
        what: "event",
        id: seq.to_string(),
        detail,
    };
    Ok(Recorded {
        seq,
        run: run
            .parse()
            .map_err(|e: uuid::Error| unreadable(e.to_string()))?,
        at: at
            .parse()
            .map_err(|e: jiff::Error| unreadable(e.to_string()))?,
        event: serde_json::from_str(&body).map_err(|e| unreadable(e.to_string()))?,
    })
}

/// The number of the first row that is not what was written, if the chain is broken.
///
/// # Errors
/// The rows cannot be read.
pub fn first_broken_link(connection: &Connection) -> Result<Option<u64>, StoreError> {
    first_broken_link_after(connection, 0)
}

/// The same for the rows after `seq`, which is itself taken as it is.
///
/// # Errors
/// The rows cannot be read.
pub fn first_broken_link_after(
    connection: &Connection,
    seq: u64,
) -> Result<Option<u64>, StoreError> {
    let before: Option<String> = connection
        .query_row(
            "SELECT hash FROM events WHERE seq = ?",
            params![seq],
            |row| row.get(0),
        )
        .optional()
        .attempted("read the chain")?;
    let mut previous = before.unwrap_or_else(|| GENESIS.to_owned());
    let mut statement = connection
        .prepare(
            "SELECT seq, run_id, name, at, body, previous_hash, hash FROM events WHERE seq > ? ORDER BY seq",
        )
        .attempted("prepare to read the chain")?;
    let mut rows = statement.query(params![seq]).attempted("read the chain")?;
    while let Some(row) = rows.next().attempted("read the chain")? {
        let text = |i| row.get::<_, String>(i).attempted("read the chain");
        let (run, name, at, body) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let hash = chained(&previous, &run, &name, &at, &body);
        if text(5)? != previous || text(6)? != hash {
            return Ok(Some(row.get(0).attempted("read the chain")?));
        }
        previous = hash;
    }
    Ok(None)
}
