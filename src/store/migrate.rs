//! The tables, made and brought up to date: forward only, safe to run again.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::error::{Attempted, StoreError};

/// The migrations, in their order. The first five make the five tables of the contract; a new one is added at the end.
pub const STEPS: &[&str] = &[
    include_str!("migrations/0001_workflows.sql"),
    include_str!("migrations/0002_runs.sql"),
    include_str!("migrations/0003_worktrees.sql"),
    include_str!("migrations/0004_dod_items.sql"),
    include_str!("migrations/0005_dod_evidence.sql"),
    include_str!("migrations/0006_events.sql"),
    include_str!("migrations/0007_idempotency.sql"),
    include_str!("migrations/0008_checks.sql"),
    include_str!("migrations/0009_flat.sql"),
];

/// The version that this program writes.
#[must_use]
pub fn newest() -> usize {
    STEPS.len()
}

/// Makes the tables of the newest version in an empty database that nobody keeps.
pub(super) fn make_tables(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch(&STEPS.concat())
        .attempted("make the tables")
}

/// Brings the database to the newest version.
///
/// # Errors
/// A newer program has written it, it is damaged, or a step failed.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    take(connection, STEPS)
}

/// Brings the database to this version; tests stop at older ones.
///
/// # Errors
/// As for [`migrate`].
pub fn migrate_to(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    take(connection, STEPS.get(..version).unwrap_or(STEPS))
}

/// Takes all of these steps that the database has not taken yet. They begin with [`STEPS`], or are its beginning.
///
/// # Errors
/// As for [`migrate`].
pub(super) fn take(connection: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .attempted("read the version of the database")?;
    let known = i64::try_from(steps.len().max(newest())).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    Migrations::new(steps.iter().map(|sql| M::up(sql)).collect()).to_latest(connection)?;
    Ok(())
}
