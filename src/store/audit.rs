//! Whether the tables are what the journal tells, and making them so again.
//!
//! The projection is made anew from the events in a database in memory, by the same code that writes it in the first
//! place, and then compared row by row.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params};

use super::error::{Attempted, StoreError};
use super::{events, migrate, runs};
use crate::run::{CommitId, Event, Illegal, Recorded, Run, RunId, apply, begin};

/// The tables that follow from the journal, parents before children; and the column that names the run.
const TABLES: &[(&str, &str, &str)] = &[
    ("runs", "id", "SELECT * FROM runs ORDER BY id"),
    // Without its number, which nothing names and a rebuilt row has not kept.
    (
        "worktrees",
        "run_id",
        "SELECT run_id, path, branch, base_commit, created_at, removed_at FROM worktrees ORDER BY run_id, created_at, id",
    ),
    (
        "dod_items",
        "run_id",
        "SELECT * FROM dod_items ORDER BY run_id, id",
    ),
    (
        "dod_evidence",
        "run_id",
        "SELECT * FROM dod_evidence ORDER BY run_id, id",
    ),
];

/// What the journal and the tables say, read at one moment.
#[derive(Debug)]
pub struct Audit {
    /// The first row of the journal that is not what was written, if there is one.
    pub broken_at: Option<u64>,
    /// How many events were written at the end of the journal and are not there any more.
    pub missing_at_end: u64,
    /// Every run as its events tell it, by its id.
    pub runs: BTreeMap<RunId, Told>,
    /// Events that cannot follow, by their number, with the run and why.
    pub impossible: Vec<(u64, RunId, String)>,
    /// Runs whose rows are not what their events tell, with the tables that differ.
    pub differing: BTreeMap<String, BTreeSet<&'static str>>,
    /// Runs that were answered for (by an idempotency key) and have no event.
    pub unrecorded: Vec<String>,
}

/// A run as its events tell it.
#[derive(Debug)]
pub struct Told {
    /// The run.
    pub run: Run,
    /// What it was last allowed to land.
    pub landing: Option<Landing>,
}

/// A landing that was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// Where the base was.
    pub onto: CommitId,
    /// The head that the gate was open for.
    pub head: CommitId,
}

/// Compares the tables with the journal.
///
/// # Errors
/// The database cannot be read, or an event in it cannot.
pub fn audit(connection: &Connection) -> Result<Audit, StoreError> {
    // One moment for all that is read.
    let moment = connection
        .unchecked_transaction()
        .attempted("begin to read")?;
    let all = events::after(&moment, 0, u32::MAX)?;
    let expected = in_memory()?;
    let (runs, impossible) = replay(&expected, &all)?;
    Ok(Audit {
        broken_at: events::first_broken_link(&moment)?,
        missing_at_end: missing_at_end(&moment, &all)?,
        differing: differing(&moment, &expected)?,
        unrecorded: unrecorded(&moment)?,
        runs,
        impossible,
    })
}

/// Writes the rows of one run anew from its events. The rows of a run that has none stay.
///
/// # Errors
/// The rows cannot be written, or an event cannot follow; nothing is changed then.
pub fn rebuild(connection: &Connection, run: RunId) -> Result<(), StoreError> {
    let told = events::of_run(connection, run)?;
    if told.is_empty() {
        return Err(StoreError::NoRun(run.to_string()));
    }
    for (table, column, _) in TABLES.iter().rev() {
        connection
            .execute(
                &format!("DELETE FROM {table} WHERE {column} = ?"),
                params![run.to_string()],
            )
            .attempted("clear the rows of a run")?;
    }
    let mut state = None;
    for recorded in &told {
        let next = step(state, recorded)?;
        runs::project(connection, &next, recorded)?;
        state = Some(next);
    }
    Ok(())
}

fn step(run: Option<Run>, recorded: &Recorded) -> Result<Run, Illegal> {
    match run {
        None => begin(recorded.run, recorded.at, &recorded.event),
        Some(run) => apply(run, recorded.at, &recorded.event),
    }
}

fn in_memory() -> Result<Connection, StoreError> {
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_in_memory_with_flags(flags).attempted("open a database in memory")?;
    migrate::make_tables(&connection)?;
    Ok(connection)
}

type Replayed = (BTreeMap<RunId, Told>, Vec<(u64, RunId, String)>);

fn replay(into: &Connection, all: &[Recorded]) -> Result<Replayed, StoreError> {
    let transaction = into
        .unchecked_transaction()
        .attempted("begin a transaction in memory")?;
    let mut told: BTreeMap<RunId, Told> = BTreeMap::new();
    let mut impossible = Vec::new();
    for recorded in all {
        let before = told.get(&recorded.run);
        let landing = match &recorded.event {
            Event::MergeStarted { onto, head, .. } => Some(Landing {
                onto: onto.clone(),
                head: head.clone(),
            }),
            _ => before.and_then(|told| told.landing.clone()),
        };
        match step(before.map(|told| told.run.clone()), recorded) {
            Ok(run) => {
                runs::project(&transaction, &run, recorded)?;
                told.insert(recorded.run, Told { run, landing });
            }
            Err(illegal) => impossible.push((recorded.seq, recorded.run, illegal.to_string())),
        }
    }
    transaction.commit().attempted("commit in memory")?;
    Ok((told, impossible))
}

/// SQLite remembers the highest number that it has given to an event, also of one that is gone.
fn missing_at_end(connection: &Connection, all: &[Recorded]) -> Result<u64, StoreError> {
    let given: u64 = connection
        .query_row(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'",
            [],
            |row| row.get(0),
        )
        .attempted("read how many events there were")?;
    let last = all.last().map_or(0, |recorded| recorded.seq);
    Ok(given.saturating_sub(last))
}

fn unrecorded(connection: &Connection) -> Result<Vec<String>, StoreError> {
    connection
        .prepare(
            "SELECT run_id FROM idempotency WHERE run_id NOT IN (SELECT run_id FROM events) ORDER BY run_id",
        )
        .attempted("prepare to read idempotency keys")?
        .query_map([], |row| row.get(0))
        .attempted("read idempotency keys")?
        .collect::<Result<_, _>>()
        .attempted("read idempotency keys")
}

fn differing(
    found: &Connection,
    expected: &Connection,
) -> Result<BTreeMap<String, BTreeSet<&'static str>>, StoreError> {
    let mut differing: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (table, column, select) in TABLES {
        let (found, expected) = (
            rows(found, select, column)?,
            rows(expected, select, column)?,
        );
        for run in found.keys().chain(expected.keys()) {
            if found.get(run) != expected.get(run) {
                differing.entry(run.clone()).or_default().insert(table);
            }
        }
    }
    Ok(differing)
}

/// The rows of each run.
fn rows(
    connection: &Connection,
    select: &str,
    column: &str,
) -> Result<BTreeMap<String, Vec<Vec<Value>>>, StoreError> {
    let mut statement = connection.prepare(select).attempted("prepare to compare")?;
    let columns = statement.column_count();
    let run = statement.column_index(column).attempted("find the run")?;
    let mut cursor = statement.query([]).attempted("compare")?;
    let mut all: BTreeMap<String, Vec<Vec<Value>>> = BTreeMap::new();
    while let Some(row) = cursor.next().attempted("compare")? {
        let id = match row.get_ref(run).attempted("compare")? {
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        };
        let values = (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>();
        all.entry(id)
            .or_default()
            .push(values.attempted("compare")?);
    }
    Ok(all)
}
