//! Answers to requests that a client may send again.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::{Attempted, StoreError};
use crate::clock;
use crate::run::RunId;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the first request's body.
    pub body_sha256: String,
    /// The run that the first request made.
    pub run_id: String,
    /// The first answer, once it was given.
    pub answer_json: Option<String>,
}

/// What is known of this key, if it was used.
///
/// # Errors
/// The row cannot be read.
pub fn known(connection: &Connection, key: &str) -> Result<Option<Known>, StoreError> {
    connection
        .prepare_cached("SELECT body_sha256, run_id, answer_json FROM idempotency WHERE key = ?")
        .attempted("prepare a statement")?
        .query_row(params![key], |row| {
            Ok(Known {
                body_sha256: row.get(0)?,
                run_id: row.get(1)?,
                answer_json: row.get(2)?,
            })
        })
        .optional()
        .attempted("look for an idempotency key")
}

/// Keeps a key for the run that its request makes.
///
/// # Errors
/// The row cannot be written.
pub fn claim(
    connection: &Connection,
    key: &str,
    body_sha256: &str,
    run: RunId,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency (key, body_sha256, run_id, created_at) VALUES (?, ?, ?, ?)",
        )
        .attempted("prepare a statement")?
        .execute(params![
            key,
            body_sha256,
            run.to_string(),
            clock::rfc3339(clock::now())
        ])
        .attempted("keep an idempotency key")?;
    Ok(())
}

/// How many keys were first used before this moment.
///
/// # Errors
/// The rows cannot be read.
pub fn count_before(connection: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    connection
        .prepare_cached("SELECT count(*) FROM idempotency WHERE created_at < ?")
        .attempted("prepare a statement")?
        .query_row(params![clock::rfc3339(before)], |row| row.get(0))
        .attempted("count idempotency keys")
}

/// Forgets the keys that were first used before this moment; how many there were.
///
/// # Errors
/// The rows cannot be written.
pub fn forget_before(connection: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    connection
        .prepare_cached("DELETE FROM idempotency WHERE created_at < ?")
        .attempted("prepare a statement")?
        .execute(params![clock::rfc3339(before)])
        .attempted("forget idempotency keys")
}

/// Keeps the answer for this key.
///
/// # Errors
/// The row cannot be written.
pub fn answered(connection: &Connection, key: &str, answer_json: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE idempotency SET answer_json = ? WHERE key = ?")
        .attempted("prepare a statement")?
        .execute(params![answer_json, key])
        .attempted("keep an answer")?;
    Ok(())
}
