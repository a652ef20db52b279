//! A short command of the service itself, run to its end and read: not an agent.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ShortError {
    /// There is nothing to run.
    #[error("the command is empty")]
    Empty,
    /// It could not be started or read.
    #[error("`{program}`: {source}")]
    Io {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("`{0}` took too long")]
    TimedOut(String),
    /// It failed.
    #[error("`{program}` ended with {status}")]
    Failed {
        /// The program.
        program: String,
        /// How.
        status: std::process::ExitStatus,
    },
    /// It printed something else than text.
    #[error("`{0}` printed something that is not UTF-8")]
    NotText(String),
}

/// What the command prints, at most `max` bytes of it; in the service's own environment.
///
/// # Errors
/// It could not be started, took too long, failed, or printed no text.
pub async fn run(
    argv: &[String],
    cwd: &Path,
    timeout: Duration,
    max: u64,
) -> Result<String, ShortError> {
    run_with(argv, cwd, None, timeout, max).await
}

/// The same with this environment and nothing of the service's own, if there is one.
///
/// # Errors
/// As of [`run`].
pub async fn run_with(
    argv: &[String],
    cwd: &Path,
    environment: Option<&BTreeMap<String, String>>,
    timeout: Duration,
    max: u64,
) -> Result<String, ShortError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(ShortError::Empty);
    };
    let io = |source| ShortError::Io {
        program: program.clone(),
        source,
    };
    #[expect(clippy::disallowed_methods, reason = "the home of short commands")]
    let mut command = tokio::process::Command::new(program);
    if let Some(environment) = environment {
        command.env_clear().envs(environment);
    }
    let mut child = command
        .args(arguments)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let mut stdout = child.stdout.take();
    let answer = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout.take() {
            stdout.take(max).read_to_end(&mut bytes).await?;
        }
        Ok((child.wait().await?, bytes))
    };
    let (status, bytes) = tokio::time::timeout(timeout, answer)
        .await
        .map_err(|_| ShortError::TimedOut(program.clone()))?
        .map_err(io)?;
    if !status.success() {
        return Err(ShortError::Failed {
            program: program.clone(),
            status,
        });
    }
    String::from_utf8(bytes).map_err(|_| ShortError::NotText(program.clone()))
}
