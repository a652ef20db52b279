//! What the server and the supervisor tell each other through files: [`Launch`], [`Started`], [`ExitRecord`].
//!
//! JSON, each with a version. Fields may be added without a new version: unknown ones are ignored and new ones have
//! a default. The version is raised when an older reader would misunderstand, and a newer one is refused by name.
//! A file that is not whole is an error by name, never half a record.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Identity;
use super::durable::{Survives, write_whole};
use crate::run::{AttemptId, EndedBy, Exit, RunId};

/// The version of all three records.
const VERSION: u32 = 1;

/// The variable in the environment of every process of a run: the run's id.
pub const RUN_MARKER: &str = "AGENT_RUNNER_RUN_ID";
/// The variable in the environment of every process of an attempt: the attempt's id.
pub const ATTEMPT_MARKER: &str = "AGENT_RUNNER_ATTEMPT_ID";

/// What is to be run and how: `launch.json`, written by the server before the supervisor starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The run.
    pub run: RunId,
    /// The attempt of the run.
    pub attempt: AttemptId,
    /// Which attempt of the run this is, from 1.
    pub number: u32,
    /// The program (an absolute path) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment; the supervisor adds [`RUN_MARKER`] and [`ATTEMPT_MARKER`] and nothing else.
    pub env: BTreeMap<String, String>,
    /// The directory to run in.
    pub cwd: PathBuf,
    /// The file that the agent reads as its standard input.
    pub stdin: PathBuf,
    /// The file that gets its standard output, appended; the attempts of a run share one.
    pub output: PathBuf,
    /// The file that gets its standard error, appended.
    pub stderr: PathBuf,
    /// When the supervisor ends it by itself.
    #[serde(default)]
    pub limits: LaunchLimits,
    /// The gentle part of a stop; SIGKILL always follows.
    #[serde(default = "StopStep::defaults")]
    pub stop: Vec<StopStep>,
}

/// When a supervisor ends its agent by itself. `None` is no limit. All measured on the monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchLimits {
    /// Milliseconds from the agent's start.
    pub wall_clock_ms: Option<u64>,
    /// Milliseconds without a new byte of output; noticed up to an eighth later.
    pub idle_ms: Option<u64>,
    /// Bytes of output of this attempt; what is written until it is noticed (milliseconds) comes on top.
    pub output_bytes: Option<u64>,
}

/// One step of a gentle stop: a signal to the agent's process group, and the time it has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// The signal.
    pub signal: StopSignal,
    /// Milliseconds until the next step.
    pub grace_ms: u64,
}

impl StopStep {
    /// INT and two seconds (Claude Code then tells its cost), TERM and five.
    #[must_use]
    pub fn defaults() -> Vec<StopStep> {
        let step = |signal, grace_ms| StopStep { signal, grace_ms };
        vec![step(StopSignal::Int, 2_000), step(StopSignal::Term, 5_000)]
    }
}

/// A signal that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// SIGHUP
    Hup,
    /// SIGINT
    Int,
    /// SIGTERM
    Term,
}

/// Who runs: `started.json`, written by the supervisor before the agent's exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The agent's main process; also its session and process group.
    pub agent: Identity,
    /// The supervisor.
    pub supervisor: Identity,
    /// Bytes in the output file before the agent's first.
    pub output_from: u64,
    /// When.
    pub started_at: Timestamp,
}

/// Who has taken a launch: `supervisor.json`, written by a supervisor as soon as it holds the lock on the launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The supervisor.
    pub supervisor: Identity,
}

/// How it ended: `exit.json`, written by the supervisor when no process of the agent is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How the agent's main process ended.
    pub exit: Exit,
    /// Who made it end.
    pub ended_by: EndedBy,
    /// When the main process was gone.
    pub ended_at: Timestamp,
    /// Milliseconds from its start to its end.
    pub duration_ms: u64,
    /// Processes that the agent left behind and that were killed.
    #[serde(default)]
    pub swept: u32,
    /// Processes that could not be killed in time (another user's, or stuck in the kernel).
    #[serde(default)]
    pub left: u32,
    /// Bytes in the output file before the agent's first.
    #[serde(default)]
    pub output_from: u64,
    /// Bytes in the output file after the last process of the agent was gone.
    pub output_to: u64,
    /// Resident memory of its largest process in KiB, of those that were waited for.
    #[serde(default)]
    pub max_rss_kib: u64,
    /// Milliseconds of processor time in user mode, of the processes that were waited for.
    #[serde(default)]
    pub user_ms: u64,
    /// The same in the kernel.
    #[serde(default)]
    pub system_ms: u64,
    /// Why the agent never ran, if it did not; `exit` is then [`Exit::Unknown`].
    #[serde(default)]
    pub refused: Option<Refusal>,
}

/// Why the agent's program could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{at}: {text}")]
pub struct Refusal {
    /// What was attempted.
    pub at: RefusedAt,
    /// The error number of the system, 0 where there was none.
    pub errno: i32,
    /// The path and the error, for a person.
    pub text: String,
}

/// The steps before an agent's program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedAt {
    /// The gate process itself.
    Gate,
    /// Entering the working directory.
    Cwd,
    /// Opening the standard input.
    Stdin,
    /// The `execve(2)` of the program.
    Exec,
}

impl std::fmt::Display for RefusedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RefusedAt::Gate => "starting the agent's process",
            RefusedAt::Cwd => "entering the working directory",
            RefusedAt::Stdin => "opening the standard input",
            RefusedAt::Exec => "executing the program",
        })
    }
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read or written.
    #[error("record {}: {source}", path.display())]
    Io {
        /// The record's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a whole record.
    #[error("record {} is torn: {detail}", path.display())]
    Torn {
        /// The record's file.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// It was written by a newer version of this program.
    #[error("record {} has version {found}, this program knows {VERSION}", path.display())]
    Newer {
        /// The record's file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// A record with a file name of its own in the attempt's directory.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &'static str;
    /// What it has to survive.
    const SURVIVES: Survives;

    /// Writes it, readable by its owner only.
    fn write(&self, dir: &Path) -> Result<(), RecordError> {
        let versioned = Versioned {
            version: VERSION,
            record: self,
        };
        serde_json::to_vec(&versioned)
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(dir, Self::FILE, &bytes, Self::SURVIVES))
            .map_err(|source| RecordError::Io {
                path: dir.join(Self::FILE),
                source,
            })
    }

    /// Reads it; `None` where there is no such file.
    fn load(dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = dir.join(Self::FILE);
        match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RecordError::Io { path, source }),
        }
    }
}

impl Record for Launch {
    const FILE: &'static str = "launch.json";
    // Of use only to processes of this boot.
    const SURVIVES: Survives = Survives::Crash;
}
impl Record for Claim {
    const FILE: &'static str = "supervisor.json";
    // Of use only to processes of this boot.
    const SURVIVES: Survives = Survives::Crash;
}
impl Record for Started {
    const FILE: &'static str = "started.json";
    const SURVIVES: Survives = Survives::PowerCut;
}
impl Record for ExitRecord {
    const FILE: &'static str = "exit.json";
    const SURVIVES: Survives = Survives::PowerCut;
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RecordError> {
    let torn = |e: serde_json::Error| RecordError::Torn {
        path: path.to_owned(),
        detail: e.to_string(),
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(torn)?;
    if version > VERSION {
        return Err(RecordError::Newer {
            path: path.to_owned(),
            found: version,
        });
    }
    serde_json::from_slice(bytes).map_err(torn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ExitRecord {
        ExitRecord {
            exit: Exit::Code(3),
            ended_by: EndedBy::Itself,
            ended_at: "2026-11-23T08:00:00.100Z".parse().unwrap(),
            duration_ms: 12,
            swept: 2,
            left: 0,
            output_from: 7,
            output_to: 99,
            max_rss_kib: 1,
            user_ms: 2,
            system_ms: 3,
            refused: None,
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        record().write(dir.path()).unwrap();
        assert_eq!(ExitRecord::load(dir.path()).unwrap(), Some(record()));
    }

    #[test]
    fn a_record_that_was_never_written_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ExitRecord::load(dir.path()).unwrap(), None);
    }

    #[test]
    fn every_cut_of_a_record_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        record().write(dir.path()).unwrap();
        let path = dir.path().join(ExitRecord::FILE);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let outcome = ExitRecord::load(dir.path());
            assert!(
                matches!(outcome, Err(RecordError::Torn { .. })),
                "{length}: {outcome:?}"
            );
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_fields_of_later_are_defaulted() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"exit":{"how":"code","value":0},"ended_by":"itself","mood":"good",
            "ended_at":"2026-11-23T08:00:00.1Z","duration_ms":1,"output_to":5}"#;
        fs::write(dir.path().join(ExitRecord::FILE), text).unwrap();
        let record = ExitRecord::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            (record.exit, record.output_to, record.swept),
            (Exit::Code(0), 5, 0)
        );
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ExitRecord::FILE), r#"{"version":2}"#).unwrap();
        let outcome = ExitRecord::load(dir.path());
        assert!(
            matches!(outcome, Err(RecordError::Newer { found: 2, .. })),
            "{outcome:?}"
        );
    }
}
