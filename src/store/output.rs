//! Which runs' output may go: those that have merged or were aborted, the first to end first. The output itself is in files.

use rusqlite::{Connection, params};

use super::error::{Attempted, StoreError};
use crate::run::RunId;

/// A run that is over and has its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// When it merged or was aborted, as it is written.
    pub at: String,
    /// Its id.
    pub run: RunId,
}

/// At most `limit` runs that are over and have their output, the first to end first, behind `after`.
///
/// # Errors
/// The rows cannot be read.
pub fn kept_after(
    connection: &Connection,
    after: Option<&Over>,
    limit: u32,
) -> Result<Vec<Over>, StoreError> {
    let (at, run) = after.map_or_else(Default::default, |over| {
        (over.at.clone(), over.run.to_string())
    });
    let rows = connection
        .prepare_cached(
            "SELECT over_at, id FROM runs INDEXED BY runs_with_output \
             WHERE output_pruned_at IS NULL AND over_at IS NOT NULL AND (over_at, id) > (?1, ?2) \
             ORDER BY over_at, id LIMIT ?3",
        )
        .attempted("prepare to look for output")?
        .query_map(params![at, run, limit], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?))
        })
        .and_then(Iterator::collect::<Result<Vec<(String, String)>, _>>)
        .attempted("look for output")?;
    rows.into_iter()
        .map(|(at, id)| {
            Ok(Over {
                at,
                run: run_id(&id)?,
            })
        })
        .collect()
}

/// The runs whose output was let go last, at most `limit`.
///
/// # Errors
/// The rows cannot be read.
pub fn pruned_last(connection: &Connection, limit: u32) -> Result<Vec<RunId>, StoreError> {
    let ids = connection
        .prepare_cached(
            "SELECT id FROM runs WHERE output_pruned_at > '' ORDER BY output_pruned_at DESC, id DESC LIMIT ?",
        )
        .attempted("prepare to look for output that went")?
        .query_map(params![limit], |row| row.get(0))
        .and_then(Iterator::collect::<Result<Vec<String>, _>>)
        .attempted("look for output that went")?;
    ids.iter().map(|id| run_id(id)).collect()
}

fn run_id(text: &str) -> Result<RunId, StoreError> {
    text.parse()
        .map_err(|error: uuid::Error| StoreError::Unreadable {
            what: "run",
            id: text.to_owned(),
            detail: error.to_string(),
        })
}
