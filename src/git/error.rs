//! git failed, with what was attempted.

use std::path::PathBuf;
use std::time::Duration;

use crate::effect::Struck;

/// A call of git that did not do what it was for. Not a *no*: those are enums of the operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("git could not be started for `{call}`")]
    NotStarted {
        /// The subcommand and its arguments.
        call: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It ended with a code that this call has no meaning for.
    #[error("`{call}` failed ({code}): {stderr}")]
    Failed {
        /// The subcommand and its arguments.
        call: String,
        /// The exit code, or the signal.
        code: String,
        /// What it said, for people.
        stderr: String,
    },
    /// Somebody killed it.
    #[error("`{call}` was killed: {stderr}")]
    Killed {
        /// The subcommand and its arguments.
        call: String,
        /// What it had said until then, for people.
        stderr: String,
    },
    /// It was stopped because it took too long.
    #[error("`{call}` was stopped after {} s", limit.as_secs())]
    TimedOut {
        /// The subcommand and its arguments.
        call: String,
        /// How long it may take.
        limit: Duration,
    },
    /// It printed more than can be held.
    #[error("`{call}` printed more than {limit} bytes")]
    TooMuch {
        /// The subcommand and its arguments.
        call: String,
        /// How much it may print.
        limit: usize,
    },
    /// It printed something that is not what its documentation says.
    #[error("`{call}` printed something unexpected: {what}")]
    Unreadable {
        /// The subcommand and its arguments.
        call: String,
        /// What was not understood.
        what: String,
    },
    /// A file or folder beside git's own work.
    #[error("could not {what} {}", path.display())]
    Io {
        /// What was attempted, a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<Struck> for Error {
    fn from(struck: Struck) -> Error {
        Error::io("carry out", "an effect")(struck.into())
    }
}

impl Error {
    /// For `map_err`: this attempt on this path failed.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}
