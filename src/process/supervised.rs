//! A supervisor that lives, from the server's side.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use super::containment::Cgroup;
use super::control::{Request, Status, Unanswered, ask};
use super::force;
use super::proc_fs;
use super::readable::readable;
use super::records::{ExitRecord, Record, Started};
use crate::run::{EndedBy, Exit, Silence, Strain};

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

    /// Waits until the supervisor is gone. May be dropped and asked again.
    pub async fn gone(&self) {
        // An error means that the runtime is shutting down: its tasks are dropped, so this never answers falsely.
        if self.pidfd.readable().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for the end, of the agent and of all that it started. What is left of it is swept, which may take seconds on
    /// a busy machine and begins anew with each call: whoever waits beside other things waits for [`gone`](Self::gone) first.
    pub async fn ended(&self) -> Ended {
        self.gone().await;
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

    /// Why its supervisor can do nothing now, if somebody holds it.
    #[must_use]
    pub fn held(&self) -> Option<Silence> {
        // Its number is its own as long as its end was not seen, and then nobody asks any more.
        let pid = Pid::from_raw(self.started.supervisor.pid)?;
        match proc_fs::stat(pid).ok()??.state {
            'T' => Some(Silence::Stopped),
            't' => Some(Silence::Traced),
            _ => None,
        }
    }

    /// Lets its supervisor go on that somebody has stopped (SIGCONT).
    pub fn wake(&self) {
        // Gone meanwhile is as good.
        let _gone = pidfd_send_signal(self.pidfd.get_ref(), Signal::CONT);
    }

    /// Ends it now, without a word to its supervisor; how many processes there were. Nothing is left when this returns.
    /// Of one that had ended already, the record stays.
    pub async fn end_by_force(&self) -> usize {
        let started = self.started.clone();
        tokio::task::spawn_blocking(move || force::kill_all(&started))
            .await
            .unwrap_or(0)
    }

    /// Ends it now without a question to its supervisor, which has left enough of them open.
    pub async fn kill_unasked(&self) -> Killed {
        Killed::ByForce {
            because: Unanswered::Held(Silence::Mute),
            swept: self.end_by_force().await,
        }
    }

    /// Ends it now: by its supervisor, which is woken if it has to be, or without it if it does not answer within two seconds.
    ///
    /// When this returns by force, nothing is left; when the supervisor was asked, [`ended`](Self::ended) tells. Of one that had
    /// ended already, nothing is killed and the record stays.
    pub async fn kill(&self, ended_by: EndedBy) -> Killed {
        let asked = match self.held() {
            Some(held @ (Silence::Traced | Silence::Mute | Silence::Unreadable)) => {
                Err(Unanswered::Held(held))
            }
            Some(Silence::Stopped) => {
                self.wake();
                ask(&self.dir, Request::Kill { ended_by }).await
            }
            None => ask(&self.dir, Request::Kill { ended_by }).await,
        };
        match asked {
            Ok(status) => Killed::Asked(status),
            Err(because) => Killed::ByForce {
                because,
                swept: self.end_by_force().await,
            },
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
