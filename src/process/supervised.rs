//! A supervisor that lives, from the server's side.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

use super::containment::Cgroup;
use super::control::{Request, Status, Unanswered, ask};
use super::force;
use super::readable::readable;
use super::records::{ExitRecord, Record, Started};
use crate::run::{EndedBy, Exit, Strain};

/// A pidfd that the runtime watches: readable once its process has ended.
pub(super) type Pidfd = AsyncFd<OwnedFd>;

/// Puts a pidfd under the runtime's watch.
pub(super) fn watch(pidfd: OwnedFd) -> io::Result<Arc<Pidfd>> {
    readable(pidfd).map(Arc::new)
}

/// An agent at work under its supervisor. Dropping it changes nothing for them.
#[derive(Debug, Clone)]
pub struct Supervised {
    dir: PathBuf,
    started: Started,
    /// Of the supervisor: it ends after the agent, when the exit record is on disk.
    pidfd: Arc<Pidfd>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Its supervisor saw it and wrote it down.
    Recorded(ExitRecord),
    /// Nobody knows.
    Lost(Lost),
}

impl Ended {
    /// How the agent's main process ended.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Ended::Recorded(record) => record.exit,
            Ended::Lost(_) => Exit::Unknown,
        }
    }

    /// What its cgroup counted.
    #[must_use]
    pub fn strain(&self) -> Strain {
        match self {
            Ended::Recorded(record) => record.strain,
            Ended::Lost(lost) => lost.strain,
        }
    }
}

/// An attempt that started and of whose end nothing is known. Nothing of it is left running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// What is missing or torn, for a person.
    pub why: String,
    /// Processes that were still there, and were killed.
    pub swept: usize,
    /// What its cgroup counted until then, if that was still there.
    pub strain: Strain,
}

/// How a [`kill`](Supervised::kill) went.
#[derive(Debug)]
pub enum Killed {
    /// The supervisor took the request and sees to it.
    Asked(Status),
    /// The supervisor did not answer: it, the agent and all that they started were killed from here.
    ByForce {
        /// Why it came to this.
        because: Unanswered,
        /// Processes that were killed, without the supervisor.
        swept: usize,
    },
}

impl Supervised {
    pub(super) fn new(dir: PathBuf, started: Started, pidfd: Arc<Pidfd>) -> Supervised {
        Supervised {
            dir,
            started,
            pidfd,
        }
    }

    /// Who runs.
    #[must_use]
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The attempt's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits for the end, of the agent and of all that it started. May be dropped and asked again.
    pub async fn ended(&self) -> Ended {
        // An error means that the runtime is shutting down: its tasks are dropped, so this never answers falsely.
        if self.pidfd.readable().await.is_err() {
            return std::future::pending().await;
        }
        let (dir, started) = (self.dir.clone(), self.started.clone());
        tokio::task::spawn_blocking(move || concluded(&dir, &started))
            .await
            .unwrap_or_else(|e| {
                Ended::Lost(Lost {
                    why: format!("the end could not be read: {e}"),
                    swept: 0,
                    strain: Strain::default(),
                })
            })
    }

    /// Asks for a gentle stop. A second time means now.
    ///
    /// # Errors
    /// [`Unanswered`] after at most two seconds; [`kill`](Self::kill) then helps.
    pub async fn stop(&self, ended_by: EndedBy) -> Result<Status, Unanswered> {
        ask(&self.dir, Request::Stop { ended_by }).await
    }

    /// How it is.
    ///
    /// # Errors
    /// [`Unanswered`] after at most two seconds.
    pub async fn status(&self) -> Result<Status, Unanswered> {
        ask(&self.dir, Request::Status {}).await
    }

    /// Ends it now: by its supervisor, or without it if it does not answer within two seconds.
    ///
    /// When this returns by force, nothing is left; when the supervisor was asked, [`ended`](Self::ended) tells. Of one that had
    /// ended already, nothing is killed and the record stays.
    pub async fn kill(&self, ended_by: EndedBy) -> Killed {
        match ask(&self.dir, Request::Kill { ended_by }).await {
            Ok(status) => Killed::Asked(status),
            Err(because) => {
                let started = self.started.clone();
                let swept = tokio::task::spawn_blocking(move || force::kill_all(&started))
                    .await
                    .unwrap_or(0);
                Killed::ByForce { because, swept }
            }
        }
    }
}

/// How it ended, when its supervisor is gone. Without a valid record, nothing of it is left running. Blocks.
pub(super) fn concluded(dir: &Path, started: &Started) -> Ended {
    let why = match ExitRecord::load(dir) {
        Ok(Some(record)) => {
            put_away(started);
            return Ended::Recorded(record);
        }
        Ok(None) => "the supervisor ended without an exit record".to_owned(),
        Err(e) => e.to_string(),
    };
    let strain = started.cgroup.as_ref().map(Cgroup::strain);
    let swept = force::kill_all(started);
    put_away(started);
    Ended::Lost(Lost {
        why,
        swept,
        strain: strain.unwrap_or_default(),
    })
}

/// Removes the cgroup of an attempt whose supervisor is gone.
pub(super) fn put_away(started: &Started) {
    if let Some(cgroup) = &started.cgroup {
        // One that is not empty has somebody that could not be killed; who looks at the world tells of it.
        let _left = cgroup.remove();
    }
}
