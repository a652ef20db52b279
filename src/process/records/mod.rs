//! What the server and the supervisor tell each other through files: [`Launch`], [`Started`], [`ExitRecord`].
//!
//! JSON, each with a version. Fields may be added without a new version: unknown ones are ignored and new ones have
//! a default. The version is raised when an older reader would misunderstand, and a newer one is refused by name.
//! A file that is not whole is an error by name, never half a record.

mod file;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cgroup, Identity};
use crate::run::{AttemptId, EndedBy, Exit, Notice, RunId, Strain};
pub(super) use file::Record;
pub use file::RecordError;
use whole::Survives;

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
    /// The holder of the network that it runs in; the machine's own if there is none.
    #[serde(default)]
    pub network: Option<u32>,
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
    /// Bytes of memory; held by the attempt's cgroup, as the next two are.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at a time, the supervisor among them.
    pub tasks: Option<u32>,
    /// Share of the processor, where 100 is what everybody has.
    pub cpu_weight: Option<u32>,
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
    /// The cgroup that all of it is in, if it has one of its own.
    #[serde(default)]
    pub cgroup: Option<Cgroup>,
    /// What a person should know of how it was started.
    #[serde(default)]
    pub notices: Vec<Notice>,
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
    /// What its cgroup counted, if it had one.
    #[serde(default)]
    pub strain: Strain,
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

/// How the attempt in this folder ended; nothing if nobody has written it down.
///
/// # Errors
/// The record cannot be read, or is not whole.
pub fn exit_of(dir: &Path) -> Result<Option<ExitRecord>, RecordError> {
    ExitRecord::load(dir)
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
