//! How things end: a process ([`Exit`], [`EndedBy`]) and a run's work ([`Outcome`], [`Failure`]).
//!
//! Every way to end has a name here. What is not known is [`Exit::Unknown`], never a number that was
//! guessed, and unknown is never success.

use serde::{Deserialize, Serialize};

/// How a process ended, as `waitpid(2)` told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how", content = "value")]
pub enum Exit {
    /// It called `exit` with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// Nobody was there to see it, or what was written about it cannot be read.
    Unknown,
}

impl Exit {
    /// The agent's own exit code, if it had one.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::Unknown => None,
        }
    }
}

/// Who made the process end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Nobody: it ended by itself.
    Itself,
    /// A request to stop (an abort, an operator).
    Stop,
    /// The wall-clock limit.
    WallClock,
    /// The idle limit: no output for too long.
    Idle,
    /// The limit on the bytes of output.
    OutputSize,
    /// It said its last word and stayed: the watchdog for lingering agents.
    Lingering,
}

/// Why nothing is heard of an agent's supervisor. The agent goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Somebody has stopped it (SIGSTOP).
    Stopped,
    /// A debugger holds it.
    Traced,
    /// It does not answer, again and again.
    Mute,
    /// What it has written cannot be read by this program.
    Unreadable,
}

impl Silence {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Silence::Stopped => "stopped",
            Silence::Traced => "traced",
            Silence::Mute => "mute",
            Silence::Unreadable => "unreadable",
        }
    }
}

/// How a run's work ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit code 0 and a final success: the agent says it has done its part.
    Finished,
    /// Anything else, by name.
    Failed(Failure),
}

/// Why a run's work failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable name of the reason.
    pub code: FailureCode,
    /// One sentence for a person, with what was seen.
    pub detail: String,
}

impl Failure {
    /// A failure of this kind, told in one sentence.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Failure {
            code,
            detail: detail.into(),
        }
    }
}

/// The names of the ways in which a run's work can fail. Stable: clients match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The model's API answered with an error; the detail has the HTTP status.
    ApiError,
    /// The model's API refused the credentials (401, 403), or there were none.
    Auth,
    /// The model's API limits the rate or the quota (429).
    RateLimited,
    /// The limit on turns was reached.
    TurnLimit,
    /// The limit on cost was reached.
    CostLimit,
    /// The wall-clock limit was reached.
    WallClockLimit,
    /// There was no output for longer than the idle limit.
    IdleLimit,
    /// The output grew over its limit.
    OutputLimit,
    /// The kernel killed processes of the agent because its memory was used up.
    OutOfMemory,
    /// A signal that was not ours ended the agent.
    Killed,
    /// An operator asked for the stop.
    Stopped,
    /// The agent's stream ended without its final word, though it exited.
    CutOff,
    /// The agent reported an error of its own.
    AgentError,
    /// The agent exited with a code other than 0.
    ExitCode,
    /// The agent's session to continue does not exist.
    UnknownSession,
    /// The agent's program could not be started.
    SpawnFailed,
    /// The Definition of Done cannot be read at the commit that the run starts from.
    DefinitionUnreadable,
    /// The worktree could not be made.
    PlaceFailed,
    /// Uncommitted work could not be committed at the end.
    SettleFailed,
    /// The service stopped while the worktree was being made.
    InterruptedPreparing,
    /// The run was aborted and then restored.
    Aborted,
    /// It is not known how the agent ended.
    Unknown,
}

/// Tokens that an agent reports to have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt that were not cached.
    pub input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// Tokens of the prompt that were read from the cache.
    pub cache_read_input_tokens: u64,
    /// Tokens of the prompt that were written to the cache.
    pub cache_creation_input_tokens: u64,
}

impl Usage {
    /// The two together, token by token.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens + other.input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens + other.cache_read_input_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens
                + other.cache_creation_input_tokens,
        }
    }
}
