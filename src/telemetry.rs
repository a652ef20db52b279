//! Logs: lines on standard error, for people or for programs. Under systemd the journal takes them from there.
//!
//! Deliberately absent: log files and their rotation (the journal does it), and sending spans anywhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

/// Starts the logs of this process. The first call counts; another one changes nothing.
pub fn start(log: &Log) -> Result<(), ParseError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level)?)
        // A line that cannot be written (the log is a file on a full disk) is lost. To say so is `eprintln!`, which panics
        // there, and with it whoever had something to log.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second subscriber is refused by tracing; in tests several servers share one process.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// What a library of ours says of each request that is well, and nobody wants to know: unless directives name it.
const QUIET: &str = "rmcp=error";

/// What a level or directives let through.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
}
