//! Why an archive was not made or not taken in.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::NotCarried;
use crate::store::StoreError;

/// Why an archive was not made, or not put in place: a sentence for a person, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A server works on the database.
    #[error("a server works on the database {}; stop it, or name another with --db", .0.display())]
    InUse(PathBuf),
    /// The database that is to be restored is there already.
    #[error("there is a database {}; --replace keeps it beside under another name", .0.display())]
    DatabaseThere(PathBuf),
    /// The database that is to be archived is not there.
    #[error("there is no database {}; name it with --db", .0.display())]
    NoDatabase(PathBuf),
    /// The file that is to be written is there already.
    #[error("{} is there already; name another file", .0.display())]
    FileThere(PathBuf),
    /// Standard output or input.
    #[error("an archive is read from its end and put in place by its name: name a file, not `-`")]
    NoFile,
    /// No run of this id is there to be exported.
    #[error("there is no run `{0}`")]
    NoRun(String),
    /// More than one run is meant.
    #[error("`{0}` begins the id of more than one run; write more of it")]
    ManyRuns(String),
    /// The archive is not what was written.
    #[error("the archive {} is damaged or cut short ({why}); nothing was changed: take another", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// The archive is whole, and of another kind.
    #[error("{} is no {wanted} but {found}; {advice}", path.display())]
    OtherKind {
        /// Its file.
        path: PathBuf,
        /// What was wanted.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A newer program has written the archive.
    #[error("{} was written by a newer version of this program ({version}); take that one", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// The version that has written it.
        version: String,
    },
    /// Only the program that has brought a database up to date can export from it.
    #[error("the database {} is of version {found}, this program's is {known}; start the server once, which brings it up to date", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// Runs are there with other events.
    #[error("{0}; nothing was changed")]
    NotCarried(NotCarried),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading or writing a file failed.
    #[error("{attempted} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What kind of no it is: each has an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A server works.
    InUse,
    /// What is there would be overwritten.
    Refused,
    /// Archive or database are not what was written.
    Damaged,
    /// A newer program has written it.
    Newer,
    /// There is no such run.
    NotFound,
    /// Anything else.
    Failed,
}

impl ArchiveError {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ArchiveError::InUse(_) => ErrorKind::InUse,
            ArchiveError::DatabaseThere(_)
            | ArchiveError::FileThere(_)
            | ArchiveError::OtherKind { .. }
            | ArchiveError::NoFile
            | ArchiveError::ManyRuns(_)
            | ArchiveError::NotCarried(_) => ErrorKind::Refused,
            ArchiveError::Damaged { .. } | ArchiveError::Store(StoreError::Damaged(_)) => {
                ErrorKind::Damaged
            }
            ArchiveError::Newer { .. } | ArchiveError::Store(StoreError::TooNew { .. }) => {
                ErrorKind::Newer
            }
            ArchiveError::NoRun(_) => ErrorKind::NotFound,
            ArchiveError::NoDatabase(_)
            | ArchiveError::Older { .. }
            | ArchiveError::Store(_)
            | ArchiveError::Io { .. } => ErrorKind::Failed,
        }
    }
}

impl From<NotCarried> for ArchiveError {
    fn from(error: NotCarried) -> Self {
        match error {
            NotCarried::Store(error) => ArchiveError::Store(error),
            other => ArchiveError::NotCarried(other),
        }
    }
}

/// Says what was attempted with which file when the system fails.
pub(super) fn failed(
    attempted: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> ArchiveError {
    move |source| ArchiveError::Io {
        attempted,
        path: path.to_owned(),
        source,
    }
}
