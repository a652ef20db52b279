//! The chain of hashes over the journal: all of it, and the links of one run.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{Attempted, StoreError};
use super::events::{self, GENESIS, chained};
use crate::run::RunId;

/// What the chain says of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// How many events there are.
    pub events: u64,
    /// The number of the newest.
    pub newest: u64,
    /// Its hash, which all before it go into; nothing if there is no event.
    pub head: Option<String>,
    /// The first row that is not what was written, if there is one.
    pub broken_at: Option<u64>,
    /// How many events were written at the end and are not there any more.
    pub missing_at_end: u64,
    /// How many are not there in the middle.
    pub missing_between: u64,
}

impl Chain {
    /// Whether every event that was written is there as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken_at.is_none() && self.missing_at_end == 0 && self.missing_between == 0
    }
}

/// Follows the whole chain.
///
/// # Errors
/// The rows cannot be read.
pub fn chain(connection: &Connection) -> Result<Chain, StoreError> {
    let newest = events::last_seq(connection)?;
    let events = count(connection)?;
    let head = connection
        .query_row(
            "SELECT hash FROM events WHERE seq = (SELECT max(seq) FROM events)",
            [],
            |row| row.get(0),
        )
        .optional()
        .attempted("read the end of the chain")?;
    Ok(Chain {
        events,
        newest,
        head,
        broken_at: events::first_broken_link(connection)?,
        missing_at_end: given(connection)?.saturating_sub(newest),
        missing_between: newest.saturating_sub(events),
    })
}

/// The number of the first event of this run that is not what was written, or does not follow the one before it in the
/// journal.
///
/// # Errors
/// The rows cannot be read.
pub fn first_broken_link_of(
    connection: &Connection,
    run: RunId,
) -> Result<Option<u64>, StoreError> {
    let mut statement = connection
        .prepare(
            "SELECT seq, run_id, name, at, body, hash, \
             coalesce((SELECT before.hash FROM events AS before WHERE before.seq = events.seq - 1), ?2) \
             FROM events WHERE run_id = ?1 ORDER BY seq",
        )
        .attempted("prepare to read the chain")?;
    let mut rows = statement
        .query(params![run.to_string(), GENESIS])
        .attempted("read the chain")?;
    while let Some(row) = rows.next().attempted("read the chain")? {
        let text = |i| row.get::<_, String>(i).attempted("read the chain");
        let hash = chained(&text(6)?, &text(1)?, &text(2)?, &text(3)?, &text(4)?);
        if hash != text(5)? {
            return Ok(Some(row.get(0).attempted("read the chain")?));
        }
    }
    Ok(None)
}

/// SQLite remembers the highest number that it has given to an event, also of one that is gone.
pub(super) fn given(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .query_row(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'",
            [],
            |row| row.get(0),
        )
        .attempted("read how many events there were")
}

/// Numbers are given without a gap: a transaction that is undone gives its numbers back.
pub(super) fn count(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
        .attempted("count the events")
}
