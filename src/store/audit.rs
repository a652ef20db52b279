//! Whether the tables are what the journal tells, and making them so again.
//!
//! The projection is made anew from the events in a database in memory, by the same code that writes it in the first
//! place, and then compared row by row. Runs that have ended long ago are looked at only if the whole is asked for.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params};

use super::chain::{count, given};
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

/// How far back is looked: what is looked at by default must not grow with the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The newest [`NEWEST`] events, with the runs that they are of and all that are neither merged nor aborted.
    Newest,
    /// All.
    Whole,
}

/// How many events are the newest.
pub const NEWEST: u64 = 20_000;

/// What the journal and the tables say, read at one moment.
#[derive(Debug)]
pub struct Audit {
    /// How many events were looked at, and how many there are.
    pub looked_at: (u64, u64),
    /// The first row of the journal that is not what was written, if there is one.
    pub broken_at: Option<u64>,
    /// How many events were written at the end of the journal and are not there any more.
    pub missing_at_end: u64,
    /// How many are not there in the middle of it.
    pub missing_between: u64,
    /// Every run that was looked at, as its events tell it, by its id.
    pub runs: BTreeMap<RunId, Told>,
    /// Every run that the journal has events of, and its branch as the tables have it.
    pub known: BTreeMap<RunId, Option<String>>,
    /// Events that cannot follow, by their number, with the run and why.
    pub impossible: Vec<(u64, RunId, String)>,
    /// Events that cannot be read, by their number, with the run as it is written and why. Of these runs nothing is
    /// told.
    pub unreadable: Vec<(u64, String, String)>,
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
/// The database cannot be read.
pub fn audit(connection: &Connection, depth: Depth) -> Result<Audit, StoreError> {
    // One moment for all that is read.
    let moment = connection
        .unchecked_transaction()
        .attempted("begin to read")?;
    let last = events::last_seq(&moment)?;
    let after = match depth {
        Depth::Newest => last.saturating_sub(NEWEST),
        Depth::Whole => 0,
    };
    let all = all_runs(&moment)?;
    let looked_at = match depth {
        Depth::Newest => recent_runs(&moment, after)?,
        Depth::Whole => all.keys().cloned().collect(),
    };
    let expected = in_memory()?;
    let replayed = replay(&moment, &expected, &looked_at)?;
    let others = all.keys().filter(|run| !looked_at.contains(*run));
    let lost = replayed.unreadable.iter().map(|(_, run, _)| run);
    let let_alone: BTreeSet<&String> = others.chain(lost).collect();
    Ok(Audit {
        looked_at: (last - after, last),
        broken_at: events::first_broken_link_after(&moment, after)?,
        missing_at_end: given(&moment)?.saturating_sub(last),
        missing_between: last.saturating_sub(count(&moment)?),
        differing: differing(&moment, &expected, &let_alone)?,
        unrecorded: unrecorded(&moment)?,
        runs: replayed.runs,
        known: known(all),
        impossible: replayed.impossible,
        unreadable: replayed.unreadable,
    })
}

/// Runs that have events, with their branches.
fn all_runs(connection: &Connection) -> Result<BTreeMap<String, Option<String>>, StoreError> {
    connection
        .prepare(
            "SELECT told, branch FROM (SELECT DISTINCT run_id AS told FROM events) LEFT JOIN runs ON id = told",
        )
        .attempted("prepare to list the runs")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .attempted("list the runs")?
        .collect::<Result<_, _>>()
        .attempted("list the runs")
}

/// Those to which something has happened after this event, or may still happen.
fn recent_runs(connection: &Connection, after: u64) -> Result<BTreeSet<String>, StoreError> {
    connection
        .prepare(
            "SELECT run_id FROM events WHERE seq > ?1 UNION \
             SELECT id FROM runs WHERE phase IN ('queued', 'preparing', 'running', 'checking', 'at_rest', 'merge_queued', \
             'merging', 'aborting') AND EXISTS (SELECT 1 FROM events WHERE events.run_id = runs.id)",
        )
        .attempted("prepare to list the newest runs")?
        .query_map(params![after], |row| row.get(0))
        .attempted("list the newest runs")?
        .collect::<Result<_, _>>()
        .attempted("list the newest runs")
}

fn known(all: BTreeMap<String, Option<String>>) -> BTreeMap<RunId, Option<String>> {
    all.into_iter()
        .filter_map(|(run, branch)| Some((run.parse().ok()?, branch)))
        .collect()
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

/// The tables in which the rows of one run are not what its events tell.
///
/// # Errors
/// The database cannot be read, or an event cannot follow.
pub fn differing_of(
    connection: &Connection,
    run: RunId,
) -> Result<BTreeSet<&'static str>, StoreError> {
    let expected = in_memory()?;
    let mut state = None;
    for recorded in events::of_run(connection, run)? {
        let next = step(state, &recorded)?;
        runs::project(&expected, &next, &recorded)?;
        state = Some(next);
    }
    let mut differing = BTreeSet::new();
    for (table, column, select) in TABLES {
        let of_run = format!("SELECT * FROM ({select}) WHERE {column} = '{run}'");
        let none = BTreeSet::new();
        if rows(connection, &of_run, column, &none)? != rows(&expected, &of_run, column, &none)? {
            differing.insert(*table);
        }
    }
    Ok(differing)
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

#[derive(Default)]
struct Replayed {
    runs: BTreeMap<RunId, Told>,
    impossible: Vec<(u64, RunId, String)>,
    unreadable: Vec<(u64, String, String)>,
}

fn replay(
    from: &Connection,
    into: &Connection,
    runs: &BTreeSet<String>,
) -> Result<Replayed, StoreError> {
    let transaction = into
        .unchecked_transaction()
        .attempted("begin a transaction in memory")?;
    let mut replayed = Replayed::default();
    for run in runs {
        let rows = events::each_of_run(from, run)?;
        let mut told = None;
        for row in rows {
            match row.event {
                Ok(recorded) => told = replayed.follow(&transaction, told, &recorded)?,
                Err(error) => {
                    let why = error.to_string();
                    replayed.unreadable.push((row.seq, row.run, why));
                    told = None;
                    break;
                }
            }
        }
        if let Some(told) = told {
            replayed.runs.insert(told.run.id, told);
        }
    }
    replayed.impossible.sort_by_key(|(seq, ..)| *seq);
    replayed.unreadable.sort();
    transaction.commit().attempted("commit in memory")?;
    Ok(replayed)
}

impl Replayed {
    /// The run after one more event; as it was, if that cannot follow.
    fn follow(
        &mut self,
        into: &Connection,
        told: Option<Told>,
        recorded: &Recorded,
    ) -> Result<Option<Told>, StoreError> {
        let landing = match &recorded.event {
            Event::MergeStarted { onto, head, .. } => Some(Landing {
                onto: onto.clone(),
                head: head.clone(),
            }),
            _ => told.as_ref().and_then(|told| told.landing.clone()),
        };
        match step(told.as_ref().map(|told| told.run.clone()), recorded) {
            Ok(run) => {
                runs::project(into, &run, recorded)?;
                Ok(Some(Told { run, landing }))
            }
            Err(illegal) => {
                let impossible = (recorded.seq, recorded.run, illegal.to_string());
                self.impossible.push(impossible);
                Ok(told)
            }
        }
    }
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

/// The runs whose rows are not as they should be, but for those that are let alone.
fn differing(
    found: &Connection,
    expected: &Connection,
    let_alone: &BTreeSet<&String>,
) -> Result<BTreeMap<String, BTreeSet<&'static str>>, StoreError> {
    let mut differing: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (table, column, select) in TABLES {
        let (found, expected) = (
            rows(found, select, column, let_alone)?,
            rows(expected, select, column, let_alone)?,
        );
        for run in found.keys().chain(expected.keys()) {
            if found.get(run) != expected.get(run) {
                differing.entry(run.clone()).or_default().insert(table);
            }
        }
    }
    Ok(differing)
}

/// The rows of each run that is not let alone.
fn rows(
    connection: &Connection,
    select: &str,
    column: &str,
    let_alone: &BTreeSet<&String>,
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
        if let_alone.contains(&id) {
            continue;
        }
        let values = (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>();
        all.entry(id)
            .or_default()
            .push(values.attempted("compare")?);
    }
    Ok(all)
}
