//! The network that a command runs in: one of its own, with nothing in it but loopback, so that what listens there on a
//! fixed port meets nobody else's, and nobody else's answer is taken for its own; or the machine's.
//!
//! ```text
//! server ── starts ──> holder: makes the namespace and keeps it until its standard input closes
//!    │  questions, a line each: a free port? what does this URL answer?       (asked from inside)
//!    └─ launch.network = the holder's pid ──> gate: enters the namespace, then becomes the command
//! ```
//!
//! Without root this takes a user namespace, in which everybody is who they were. Some systems forbid it: then
//! [`Networks`](crate::process::Networks) says so. A network lives as long as somebody is in it; its holder ends with the
//! server, whatever ends that.
//!
//! Deliberately absent: a way out. What needs other hosts runs in the machine's own network.

mod ask;
mod holder;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::NotHad;
pub use ask::Answer;
pub(super) use holder::enter;
pub use holder::hold_main;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedNetwork {
    /// One of its own, where the machine lets us.
    Best,
    /// One of its own, or no start.
    Own,
    /// The machine's.
    Machines,
}

/// Gives networks to those who are to be started.
#[derive(Debug)]
pub struct Networks {
    binary: PathBuf,
    wanted: WantedNetwork,
    /// Why there are none of their own.
    why_not: Option<String>,
}

/// A network, for as long as this lives.
#[derive(Debug)]
pub enum Network {
    /// One of its own.
    Own(Box<Holder>),
    /// The machine's.
    Machines,
}

/// The process that keeps a network. Dropping it ends it.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// What a holder is asked, from inside of its network: a JSON line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    /// A port that nobody listens on.
    FreePort,
    /// What a URL answers.
    Get(String),
}

impl Networks {
    /// Finds out whether there are any. Takes milliseconds.
    ///
    /// # Errors
    /// What was asked for by name cannot be had.
    pub async fn find(wanted: WantedNetwork, binary: &Path) -> Result<Networks, NotHad> {
        let why_not = match wanted {
            WantedNetwork::Machines => Some("the settings say so".to_owned()),
            WantedNetwork::Own | WantedNetwork::Best => {
                Holder::start(binary).await.err().map(|e| e.to_string())
            }
        };
        match (wanted, why_not) {
            (WantedNetwork::Own, Some(why)) => Err(not_had(why)),
            (_, why_not) => Ok(Networks {
                binary: binary.to_owned(),
                wanted,
                why_not,
            }),
        }
    }

    /// Why each has the machine's network, if that is so.
    #[must_use]
    pub fn why_not_own(&self) -> Option<&str> {
        self.why_not.as_deref()
    }

    /// A network. The machine's, if none of its own can be made now and none was asked for by name.
    ///
    /// # Errors
    /// One of its own was asked for by name and cannot be made.
    pub async fn take(&self) -> Result<Network, NotHad> {
        if self.why_not.is_some() {
            return Ok(Network::Machines);
        }
        match (Holder::start(&self.binary).await, self.wanted) {
            (Ok(holder), _) => Ok(Network::Own(Box::new(holder))),
            (Err(error), WantedNetwork::Own) => Err(not_had(error.to_string())),
            (Err(error), WantedNetwork::Best | WantedNetwork::Machines) => {
                tracing::warn!(%error, "no network of its own can be made now; the machine's is used");
                Ok(Network::Machines)
            }
        }
    }
}

fn not_had(why: String) -> NotHad {
    NotHad {
        what: "a network of their own for checks",
        why,
    }
}

impl Network {
    /// Whether it is one of its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Network::Own(_))
    }

    /// For a launch: by whose id it is entered.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        match self {
            Network::Own(holder) => holder.child.id(),
            Network::Machines => None,
        }
    }

    /// A port of loopback that nobody listens on at this moment.
    ///
    /// # Errors
    /// There is none, or the holder is gone.
    pub async fn free_port(&mut self) -> io::Result<u16> {
        match self {
            Network::Own(holder) => holder
                .answer::<Result<u16, String>>(&Question::FreePort)
                .await?
                .map_err(io::Error::other),
            Network::Machines => ask::free_port(),
        }
    }

    /// What this http URL of loopback answers. Takes some seconds at most. To be waited for to its end: an answer that
    /// nobody took would be taken for that of the next question.
    ///
    /// # Errors
    /// The holder is gone.
    pub async fn get(&mut self, url: &str) -> io::Result<Answer> {
        let url = url.to_owned();
        match self {
            Network::Own(holder) => holder.answer(&Question::Get(url)).await,
            Network::Machines => tokio::task::spawn_blocking(move || ask::get(&url))
                .await
                .map_err(io::Error::other),
        }
    }
}

impl Holder {
    async fn start(binary: &Path) -> io::Result<Holder> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the holder of a network is started here"
        )]
        let mut child = tokio::process::Command::new(binary)
            .args(["hold-network", "-"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C on the server's terminal is not for it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the holder of the network has no pipes"));
        };
        let mut holder = Holder {
            child,
            stdin,
            stdout: BufReader::new(stdout).lines(),
        };
        match holder.hear::<Result<(), String>>().await? {
            Ok(()) => Ok(holder),
            Err(why) => Err(io::Error::other(why)),
        }
    }

    async fn answer<T: DeserializeOwned>(&mut self, question: &Question) -> io::Result<T> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        self.hear().await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let line = self.stdout.next_line().await?;
        let line =
            line.ok_or_else(|| io::Error::other("the holder of the network ended without a word"))?;
        Ok(serde_json::from_str(&line)?)
    }
}
