//! Why a command did not do what was asked, and how a person is told.

use std::io;

use super::exit_code::ExitCode;
use super::screen::escape;
use super::wire::Problem;
use crate::config::ConfigError;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// The options do not fit together.
    Usage(String),
    /// The settings are wrong.
    Config(ConfigError),
    /// No server answers at this URL.
    Unreachable {
        /// The server's URL.
        server: String,
        /// What was seen.
        why: String,
    },
    /// The server said no.
    Refused(Box<Problem>),
    /// The run that was followed did not end well.
    RunFailed(String),
    /// A check that was waited for did not pass, or was not run.
    CheckFailed(String),
    /// Whoever reads our output has closed it: no failure, and nobody is left to be told.
    OutputClosed,
    /// The server could not be started, for a reason with a code of its own.
    Start(ExitCode, anyhow::Error),
    /// Anything else.
    Failed(anyhow::Error),
}

impl CliError {
    /// The code that the program ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Usage(_) => ExitCode::Usage,
            CliError::Config(_) => ExitCode::ConfigWrong,
            CliError::Unreachable { .. } => ExitCode::Unreachable,
            CliError::Refused(problem) => match problem.status {
                404 => ExitCode::NotFound,
                401 | 403 | 409 => ExitCode::Refused,
                _ => ExitCode::Failed,
            },
            CliError::RunFailed(_) => ExitCode::RunFailed,
            CliError::CheckFailed(_) => ExitCode::CheckFailed,
            CliError::OutputClosed => ExitCode::Ok,
            CliError::Start(code, _) => *code,
            CliError::Failed(_) => ExitCode::Failed,
        }
    }

    /// What a person is told, in one or more lines, safe for a terminal. `None` if nobody is there to read it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let told = match self {
            CliError::Usage(why) => why.clone(),
            CliError::Config(why) => why.to_string(),
            CliError::Unreachable { server, why } => format!(
                "no server answers at {server}: {why}\n  hint: start one with `agent_runner_api --repo-root PATH`, \
                 or name another with --server"
            ),
            CliError::Refused(problem) => problem.told(),
            CliError::RunFailed(why) | CliError::CheckFailed(why) => why.clone(),
            CliError::OutputClosed => return None,
            CliError::Start(_, why) | CliError::Failed(why) => format!("{why:#}"),
        };
        Some(escape(&told).into_owned())
    }
}

impl From<io::Error> for CliError {
    fn from(why: io::Error) -> Self {
        if why.kind() == io::ErrorKind::BrokenPipe {
            CliError::OutputClosed
        } else {
            CliError::Failed(why.into())
        }
    }
}

impl From<anyhow::Error> for CliError {
    fn from(why: anyhow::Error) -> Self {
        CliError::Failed(why)
    }
}

impl From<ConfigError> for CliError {
    fn from(why: ConfigError) -> Self {
        CliError::Config(why)
    }
}
