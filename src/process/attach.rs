//! Finding an attempt again by its directory, after a restart of the server.
//!
//! ```text
//! exit.json            -> Ended
//! no started.json      -> NeverStarted, and sealed: a supervisor that comes late finds no launch
//! started.json, supervisor lives  -> Live
//! started.json, supervisor gone   -> Ended if its record is there by now, else Lost, and nothing is left running
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::records::{Claim, ExitRecord, Launch, Record, RecordError, Started};
use super::supervised::{Ended, Lost, Supervised, concluded, put_away, watch};
use super::sweep::sweep_attempt;
use crate::effect::{self, Effect};
use crate::run::Strain;

/// What a launch is called once it must not be started any more.
const ABANDONED: &str = "launch.abandoned.json";
/// How long a supervisor that is just starting its agent has for it; afterwards it is killed.
const STARTING_BUDGET: Duration = Duration::from_secs(2);
/// Between two looks at a supervisor that is just starting its agent.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What there is of an attempt.
#[derive(Debug)]
pub enum Attachment {
    /// It runs.
    Live(Supervised),
    /// It ended, and its supervisor saw how.
    Ended(ExitRecord),
    /// Its agent never ran, and never will.
    NeverStarted,
    /// It ran, and nobody knows how it ended. Nothing of it is left running.
    Lost(Lost),
}

/// What there is of an attempt cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A record is of a newer version, or cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The system does not tell.
    #[error("attempt {}: {source}", dir.display())]
    Io {
        /// The attempt's directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A supervisor holds the launch, has not started its agent for seconds, and cannot be killed.
    #[error("attempt {}: a supervisor that does not start its agent cannot be ended", dir.display())]
    Held {
        /// The attempt's directory.
        dir: PathBuf,
    },
}

/// Finds the attempt in `dir` again. Takes milliseconds; some seconds where something has to be ended first.
///
/// # Errors
/// [`AttachError`]; the attempt may be running then.
pub async fn attach(dir: &Path) -> Result<Attachment, AttachError> {
    let io = |source| AttachError::Io {
        dir: dir.to_owned(),
        source,
    };
    effect::awaits(Effect::AttachLook)
        .await
        .map_err(|struck| io(struck.into()))?;
    let place = dir.to_owned();
    let found = tokio::task::spawn_blocking(move || look(&place))
        .await
        .map_err(|e| io(e.into()))??;
    Ok(match found {
        Found::Live(started, pidfd) => {
            let pidfd = watch(pidfd).map_err(io)?;
            Attachment::Live(Supervised::new(dir.to_owned(), started, pidfd))
        }
        Found::Ended(record) => Attachment::Ended(record),
        Found::NeverStarted => Attachment::NeverStarted,
        Found::Lost(lost) => Attachment::Lost(lost),
    })
}

/// An [`Attachment`] that no runtime watches yet.
enum Found {
    Live(Started, OwnedFd),
    Ended(ExitRecord),
    NeverStarted,
    Lost(Lost),
}

fn look(dir: &Path) -> Result<Found, AttachError> {
    let io = |source| AttachError::Io {
        dir: dir.to_owned(),
        source,
    };
    let begun = Instant::now();
    loop {
        match Started::load(dir) {
            Ok(Some(started)) => return of_started(dir, started),
            Err(RecordError::Torn { detail, .. }) => {
                return Ok(Found::Lost(anonymous(dir, detail)));
            }
            Err(e) => return Err(e.into()),
            Ok(None) => {}
        }
        match seal(dir).map_err(io)? {
            Seal::Sealed => return Ok(Found::NeverStarted),
            Seal::Started => {}
            Seal::Held if begun.elapsed() < STARTING_BUDGET => thread::sleep(LOOK_AGAIN),
            Seal::Held if begun.elapsed() < STARTING_BUDGET * 2 => {
                if let Ok(Some(Claim { supervisor })) = Claim::load(dir)
                    && let Some(pidfd) = supervisor.open().map_err(io)?
                {
                    // Its gate goes with it: the agent's program has not been reached.
                    let _gone = pidfd_send_signal(&pidfd, Signal::KILL);
                }
                thread::sleep(LOOK_AGAIN);
            }
            Seal::Held => {
                return Err(AttachError::Held {
                    dir: dir.to_owned(),
                });
            }
        }
    }
}

fn of_started(dir: &Path, started: Started) -> Result<Found, AttachError> {
    match ExitRecord::load(dir) {
        Ok(Some(record)) => {
            // The supervisor may still be on its way out; its cgroup then is for who looks at the world.
            put_away(&started);
            return Ok(Found::Ended(record));
        }
        Ok(None) | Err(RecordError::Torn { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    let supervisor = started
        .supervisor
        .open()
        .map_err(|source| AttachError::Io {
            dir: dir.to_owned(),
            source,
        })?;
    Ok(match supervisor {
        Some(pidfd) => Found::Live(started, pidfd),
        None => match concluded(dir, &started) {
            Ended::Recorded(record) => Found::Ended(record),
            Ended::Lost(lost) => Found::Lost(lost),
        },
    })
}

/// Without identities there is only the marker to go by.
fn anonymous(dir: &Path, detail: String) -> Lost {
    let swept = match Launch::load(dir) {
        Ok(Some(launch)) => sweep_attempt(launch.attempt),
        Ok(None) | Err(_) => 0,
    };
    Lost {
        why: format!("the start record is torn: {detail}"),
        swept,
        strain: Strain::default(),
    }
}

enum Seal {
    /// Nobody can start it any more.
    Sealed,
    /// Somebody has, meanwhile.
    Started,
    /// Somebody may be about to.
    Held,
}

/// Takes the launch away from supervisors to come: each holds a lock on it for life, and looks again once it has the lock.
fn seal(dir: &Path) -> io::Result<Seal> {
    let path = dir.join(Launch::FILE);
    let launch: File = match OpenOptions::new().read(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Seal::Sealed),
        Err(e) => return Err(e),
    };
    match flock(&launch, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Seal::Held),
        Err(e) => return Err(e.into()),
    }
    if dir.join(Started::FILE).try_exists()? {
        return Ok(Seal::Started);
    }
    effect::begins(Effect::AttachSeal)?;
    fs::rename(&path, dir.join(ABANDONED))?;
    Ok(Seal::Sealed)
}
