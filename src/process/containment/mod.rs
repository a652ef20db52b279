//! What holds the processes of an attempt together beside its supervisor: a scope of the user's systemd, a cgroup of
//! our own, or nothing. Found once, at the start of the service; what was found and why not more is told.
//!
//! ```text
//! server: spawns the supervisor ── puts it into a scope or cgroup ── tells it by a line on its standard input
//! supervisor: puts the gate's process into `agent` below that ── started.json ── opens the gate
//! ```
//!
//! So no program of an agent runs outside, and the record says where. A cgroup is ended as one (`cgroup.kill`), counts what
//! the kernel did to it, and holds limits where the controllers are there. A restart of the service leaves a scope alone.
//!
//! Deliberately absent: cgroup version 1; moving other processes out of the way to get controllers; jails.

mod cgroup;
mod folder;
mod hierarchy;
mod left;
mod scope;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::records::{Launch, LaunchLimits};
use crate::run::{Notice, NoticeCode};
pub use cgroup::Cgroup;
use folder::{Folder, controllers};
pub use left::{LeftCgroup, end_cgroup};
use scope::Scopes;
pub use scope::bus_address;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The best that there is.
    Best,
    /// A scope of the user's systemd, or no start.
    Systemd,
    /// A cgroup of our own, or no start.
    Cgroup,
    /// Nothing.
    Nothing,
}

/// What was asked for is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be had: {why}")]
pub struct NotHad {
    /// What.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// What holds the processes of attempts together.
#[derive(Debug)]
pub struct Containment {
    way: Way,
    /// Why nothing better was taken.
    passed_over: Vec<String>,
}

#[derive(Debug)]
enum Way {
    Systemd(Scopes),
    Cgroup(Folder),
    Nothing,
}

/// Where a supervisor was put: the line that it reads before it starts its agent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Placement {
    pub cgroup: Option<Cgroup>,
    pub notices: Vec<Notice>,
}

impl Containment {
    /// Nothing but the supervisor.
    #[must_use]
    pub fn nothing() -> Containment {
        Containment {
            way: Way::Nothing,
            passed_over: Vec::new(),
        }
    }

    /// Finds what there is. `bus` is the address of the user's D-Bus, if there is one. Takes a second at most.
    ///
    /// # Errors
    /// What was asked for is not there.
    pub async fn find(wanted: Wanted, bus: Option<&str>) -> Result<Containment, NotHad> {
        let scopes = async {
            match bus {
                Some(bus) => Scopes::find(bus).await,
                None => Err("the environment names no D-Bus of this user".to_owned()),
            }
        };
        let not_had = |what| move |why| NotHad { what, why };
        let mut passed_over = Vec::new();
        let way = match wanted {
            Wanted::Nothing => Way::Nothing,
            Wanted::Systemd => Way::Systemd(scopes.await.map_err(not_had("a user's systemd"))?),
            Wanted::Cgroup => Way::Cgroup(Folder::below_own().map_err(not_had("a cgroup"))?),
            Wanted::Best => match scopes.await {
                Ok(scopes) => Way::Systemd(scopes),
                Err(why) => {
                    passed_over.push(format!("no scopes of systemd: {why}"));
                    match Folder::below_own() {
                        Ok(folder) => Way::Cgroup(folder),
                        Err(why) => {
                            passed_over.push(format!("no cgroups: {why}"));
                            Way::Nothing
                        }
                    }
                }
            },
        };
        Ok(Containment { way, passed_over })
    }

    /// The word for it: `systemd`, `cgroup` or `none`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.way {
            Way::Systemd(_) => "systemd",
            Way::Cgroup(_) => "cgroup",
            Way::Nothing => "none",
        }
    }

    /// What it is, for a person.
    #[must_use]
    pub fn detail(&self) -> String {
        match &self.way {
            Way::Systemd(scopes) => format!(
                "each attempt has a scope of the user's systemd {} in {}",
                scopes.version,
                scopes.folder().display()
            ),
            Way::Cgroup(folder) => {
                format!("each attempt has a cgroup in {}", folder.path.display())
            }
            Way::Nothing => "each attempt has its supervisor alone".to_owned(),
        }
    }

    /// Why nothing better was taken, for a person.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The limits that can be held, by the names of their controllers: `memory`, `pids`, `cpu`.
    ///
    /// Of scopes it is what systemd may hand down; whether it does is asked of each scope.
    #[must_use]
    pub fn controllers(&self) -> Vec<&'static str> {
        match &self.way {
            Way::Systemd(scopes) => controllers(&scopes.root.join("cgroup.controllers")),
            Way::Cgroup(folder) => controllers(&folder.path.join("cgroup.subtree_control")),
            Way::Nothing => Vec::new(),
        }
    }

    /// Says that a supervisor is about to be placed.
    ///
    /// The kernel lets nobody fork or exit while it moves a process to another cgroup, and the first such move after a rest
    /// waits until all processors have heard of it: 6 to 30 ms. One that follows takes 0.2 ms. So this process moves itself
    /// to where it is, beside what else a start waits for.
    pub fn expect_one(&self) {
        if let Way::Cgroup(_) = self.way {
            // A supervisor that finds it undone waits for itself.
            drop(tokio::task::spawn_blocking(folder::move_nowhere));
        }
    }

    /// Puts a supervisor that has not started its agent where the launch's attempt belongs. What cannot be done is a notice.
    pub(super) async fn place(&self, supervisor: Pid, launch: &Launch) -> Placement {
        let pid = supervisor.as_raw_nonzero().get().cast_unsigned();
        let made = match &self.way {
            Way::Nothing => None,
            Way::Systemd(scopes) => {
                let name = format!("agent_runner-{}-{}.scope", launch.run, launch.number);
                let description = format!("attempt {} of run {}", launch.number, launch.run);
                let made = scopes.start(&name, &description, &launch.limits, pid);
                Some(made.await.map_err(|e| e.to_string()))
            }
            Way::Cgroup(folder) => {
                let name = format!("agent_runner-{}-{}", launch.run, launch.number);
                let made = folder.start(&name, &launch.limits, pid);
                Some(made.map_err(|e| e.to_string()))
            }
        };
        let made = made.map(|made| {
            made.and_then(|cgroup| {
                cgroup.make_agents().map_err(|e| e.to_string())?;
                Ok(cgroup)
            })
        });
        let mut notices = Vec::new();
        let cgroup = match made {
            Some(Err(why)) => {
                let detail = format!("it is held together by its supervisor alone: {why}");
                notices.push(Notice::new(NoticeCode::NotContained, detail));
                None
            }
            Some(Ok(cgroup)) => Some(cgroup),
            None => None,
        };
        notices.extend(not_held(cgroup.as_ref(), &launch.limits));
        Placement { cgroup, notices }
    }
}

/// What is to be told of limits that nothing holds.
fn not_held(cgroup: Option<&Cgroup>, limits: &LaunchLimits) -> Option<Notice> {
    let (names, why) = match cgroup {
        Some(cgroup) => (
            cgroup.not_held(limits),
            "its cgroup lacks the controllers for them",
        ),
        None => (cgroup::names(limits), "it has no cgroup of its own"),
    };
    (!names.is_empty()).then(|| {
        let detail = format!("{} not enforced: {why}", names.join(", "));
        Notice::new(NoticeCode::LimitsNotEnforced, detail)
    })
}
