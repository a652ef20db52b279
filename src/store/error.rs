//! What can go wrong with the database.

use crate::effect::Struck;
use crate::run::Illegal;

/// The database failed, or what is in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer version of this program has written the database.
    #[error(
        "the database is of version {found}, this program knows {known}: start the newer program, or name another file with --db"
    )]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The file is no database, or a damaged one.
    #[error("the database is damaged ({0}): bring back a backup, or name another file with --db")]
    Damaged(String),
    /// SQLite could not do it.
    #[error("{attempted}: {source}")]
    Sqlite {
        /// What was attempted.
        attempted: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The migrations could not be carried out.
    #[error("the database could not be brought up to date: {0}")]
    Migration(#[from] rusqlite_migration::Error),
    /// A stored row is not what was written.
    #[error("the {what} `{id}` in the database cannot be read: {detail}")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
        /// Which.
        id: String,
        /// Why.
        detail: String,
    },
    /// An event that cannot follow.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// There is no such run.
    #[error("there is no run `{0}`")]
    NoRun(String),
    /// The transaction was not committed; nothing of it is stored.
    #[error("nothing was stored: {0}")]
    NotCommitted(String),
    /// The writer has stopped.
    #[error("the database is closed")]
    Closed,
}

impl From<Struck> for StoreError {
    fn from(struck: Struck) -> StoreError {
        StoreError::NotCommitted(struck.to_string())
    }
}

/// Says what was attempted when SQLite fails.
pub(super) trait Attempted<T> {
    /// The value, or the error with what was attempted.
    fn attempted(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Attempted<T> for Result<T, rusqlite::Error> {
    fn attempted(self, attempted: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                StoreError::Damaged(source.to_string())
            }
            _ => StoreError::Sqlite { attempted, source },
        })
    }
}
