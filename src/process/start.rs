//! Starting a supervisor and hearing from it whether the agent runs.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::containment::{Containment, Placement, end_cgroup};
use super::records::{Launch, Record, RecordError, Refusal, Started};
use super::supervised::{Pidfd, Supervised, watch};
use super::sweep::sweep_attempt;
use crate::effect::{self, Effect};

/// The supervisor's standard error in the attempt's directory.
const LOG: &str = "supervisor.log";
/// How long a supervisor has to report. A few milliseconds are usual; a disk may hang.
const REPORT_BUDGET: Duration = Duration::from_secs(20);
/// Bytes of the end of [`LOG`] that go into an error.
const LOG_TAIL: u64 = 1024;

/// What a supervisor tells its starter, once, as a JSON line on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The agent's program runs.
    Started(Started),
    /// It could not be run.
    Refused(Refusal),
    /// The supervisor itself could not do its part.
    Failed(String),
}

/// Why there is no agent process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The launch could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The supervisor could not be prepared or spawned.
    #[error("starting the supervisor {}: {source}", binary.display())]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The agent's program could not be started.
    #[error("the agent was not started: {0}")]
    Refused(#[from] Refusal),
    /// The supervisor could not do its part, or died.
    #[error("the supervisor did not start the agent: {0}")]
    Supervisor(String),
    /// The supervisor was silent for too long, and was ended.
    #[error("the supervisor said nothing for {} s and was ended", REPORT_BUDGET.as_secs())]
    Silent,
}

/// Starts the launch's agent under a supervisor of its own, contained as it can be, and returns when the agent's program runs.
///
/// `binary` is this program; `dir` is the attempt's own directory, made if it is not there and never used twice.
/// A start that is not waited for to the end goes on, or ends without an agent: [`attach`](super::attach()) finds out.
///
/// # Errors
/// [`StartError`]; no process of the agent is left then.
pub async fn start(
    binary: &Path,
    dir: &Path,
    launch: &Launch,
    containment: &Containment,
) -> Result<Supervised, StartError> {
    let spawn_error = |source| StartError::Spawn {
        binary: binary.to_owned(),
        source,
    };
    let (paths, record) = ((binary.to_owned(), dir.to_owned()), launch.clone());
    let mut child =
        tokio::task::spawn_blocking(move || spawn_supervisor(&paths.0, &paths.1, &record))
            .await
            .map_err(|e| spawn_error(e.into()))??;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let supervisor = pid_of(&child);
    let pidfd = watch_child(child).map_err(spawn_error)?;
    // It waits to be told where it is, and starts nothing before.
    if let Err(error) = super::descriptors::give_back(supervisor) {
        tracing::warn!(%error, "a supervisor keeps the service's limit on open files");
    }
    let placement = containment.place(supervisor, launch).await;
    tell_placement(stdin, &placement);
    let report = async {
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let mut pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?;
            pipe.read_to_string(&mut line).await?;
        }
        io::Result::Ok(line)
    };
    let Ok(line) = tokio::time::timeout(REPORT_BUDGET, report).await else {
        // Its gate and its agent go with it, or at the latest with the sweep.
        let _gone = pidfd_send_signal(pidfd.get_ref(), Signal::KILL);
        let attempt = launch.attempt;
        let _swept = tokio::task::spawn_blocking(move || {
            clear(&placement);
            sweep_attempt(attempt)
        })
        .await;
        return Err(StartError::Silent);
    };
    let error = match serde_json::from_str(&line.map_err(spawn_error)?) {
        Ok(Report::Started(started)) => {
            return Ok(Supervised::new(dir.to_owned(), started, pidfd));
        }
        Ok(Report::Refused(refusal)) => StartError::Refused(refusal),
        Ok(Report::Failed(why)) => StartError::Supervisor(why),
        Err(_) => StartError::Supervisor(log_tail(dir)),
    };
    let _cleared = tokio::task::spawn_blocking(move || clear(&placement)).await;
    Err(error)
}

/// Tells the supervisor where it is. One that is gone meanwhile is told of by its report.
fn tell_placement(stdin: Option<ChildStdin>, placement: &Placement) {
    let Some(mut stdin) = stdin else { return };
    let mut line = serde_json::to_vec(placement).unwrap_or_default();
    line.push(b'\n');
    // Far less than a pipe holds: this does not wait.
    let _unheard = stdin.write_all(&line);
}

/// Takes away the cgroup of an attempt that came to nothing, with all that may be in it.
fn clear(placement: &Placement) {
    if let Some(cgroup) = &placement.cgroup {
        // What stays is found by who looks at the world.
        let _left = end_cgroup(cgroup);
    }
}

/// No `pre_exec`, no user id, no folder but `/`: so that std takes `posix_spawn`, which costs the same however large this
/// process is (a fork of 2 GB takes 82 ms). What else is to be set up, the supervisor does for itself.
fn spawn_supervisor(binary: &Path, dir: &Path, launch: &Launch) -> Result<Child, StartError> {
    let spawn_error = |source| StartError::Spawn {
        binary: binary.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(spawn_error)?;
    launch.write(dir)?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join(LOG))
        .map_err(spawn_error)?;
    effect::begins(Effect::SupervisorSpawn).map_err(|struck| spawn_error(struck.into()))?;
    #[expect(clippy::disallowed_methods, reason = "supervisors are spawned here")]
    let child = Command::new(binary)
        .arg0("agent_runner_api")
        .arg("supervise")
        .arg(dir)
        .env_clear()
        .envs(effect::variables())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(spawn_error)?;
    effect::comes(Effect::SupervisorSpawned);
    Ok(child)
}

fn pid_of(child: &Child) -> Pid {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.expect("the kernel gives positive pids")
}

/// The child's pidfd, and a task that takes the child's zombie away when it has ended.
fn watch_child(mut child: Child) -> io::Result<Arc<Pidfd>> {
    let opened = pidfd_open(pid_of(&child), PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(watch);
    let pidfd = match opened {
        Ok(pidfd) => pidfd,
        Err(e) => {
            // Not to be watched, so not to be left alone either.
            child.kill()?;
            child.wait()?;
            return Err(e);
        }
    };
    let watched = Arc::clone(&pidfd);
    tokio::spawn(async move {
        if watched.readable().await.is_ok() {
            let _reaped = child.try_wait();
        }
    });
    Ok(pidfd)
}

/// The last words of a supervisor that died without a report.
fn log_tail(dir: &Path) -> String {
    let tail = || {
        let mut file = std::fs::File::open(dir.join(LOG))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match tail() {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(_) => "it ended without a word".to_owned(),
    }
}
