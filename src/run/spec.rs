//! What was asked for: the request as it was accepted, before anything of it was done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cone::Cone;

/// Which program works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// Claude Code, headless.
    Claude,
    /// Any program: the workflow's `command`.
    Command,
    /// `echo STUB: …`, where no agent is to be had or none is wanted.
    Stub,
}

impl AgentKind {
    /// The word for it in the API, the tables and the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AgentKind::Claude => "claude",
            AgentKind::Command => "command",
            AgentKind::Stub => "stub",
        }
    }
}

/// What a run may use. `None` is the server's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock seconds of one attempt.
    #[schema(minimum = 1, maximum = 3_155_760_000_u64)]
    pub timeout_s: Option<u64>,
    /// Seconds without a byte of output.
    #[schema(minimum = 1, maximum = 3_155_760_000_u64)]
    pub idle_timeout_s: Option<u64>,
    /// US dollars, as the agent counts them.
    #[schema(exclusive_minimum = 0, maximum = 1_000_000_000)]
    pub max_cost_usd: Option<f64>,
    /// Turns of the agent with its model.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub max_turns: Option<u32>,
    /// Bytes of output of one attempt.
    #[schema(minimum = 1, maximum = 1_125_899_906_842_624_u64)]
    pub max_output_bytes: Option<u64>,
    /// Bytes of memory of one attempt, all its processes together. Held where the attempt has a cgroup with the controller.
    #[schema(minimum = 16_777_216, maximum = 1_125_899_906_842_624_u64)]
    pub max_memory_bytes: Option<u64>,
    /// Processes and threads of one attempt at a time. Held as the memory is.
    #[schema(minimum = 16, maximum = 4_194_304)]
    pub max_tasks: Option<u32>,
    /// Share of the processor beside others, where 100 is what everybody has. Held as the memory is.
    #[schema(minimum = 1, maximum = 10_000)]
    pub cpu_weight: Option<u32>,
}

impl Limits {
    /// The most seconds of a limit: a hundred years, beyond which clocks do not count.
    pub const SECONDS_MAX: u64 = 3_155_760_000;
    /// The most dollars and the most turns.
    pub const COUNT_MAX: u32 = 1_000_000_000;
    /// The most bytes of output: 1 PiB.
    pub const OUTPUT_MAX: u64 = 1 << 50;
    /// The least and the most bytes of memory: an agent's runtime alone needs more than 16 MiB.
    pub const MEMORY: (u64, u64) = (16 << 20, 1 << 50);
    /// The least processes and threads, for the supervisor counts among them, and the most that Linux has (`PID_MAX_LIMIT`).
    pub const TASKS: (u32, u32) = (16, 1 << 22);
    /// The least and the most weight (`CGROUP_WEIGHT_MAX`).
    pub const WEIGHT: (u32, u32) = (1, 10_000);

    /// These limits, with those of `fallback` where there is none.
    #[must_use]
    pub fn or(&self, fallback: &Limits) -> Limits {
        Limits {
            timeout_s: self.timeout_s.or(fallback.timeout_s),
            idle_timeout_s: self.idle_timeout_s.or(fallback.idle_timeout_s),
            max_cost_usd: self.max_cost_usd.or(fallback.max_cost_usd),
            max_turns: self.max_turns.or(fallback.max_turns),
            max_output_bytes: self.max_output_bytes.or(fallback.max_output_bytes),
            max_memory_bytes: self.max_memory_bytes.or(fallback.max_memory_bytes),
            max_tasks: self.max_tasks.or(fallback.max_tasks),
            cpu_weight: self.cpu_weight.or(fallback.cpu_weight),
        }
    }

    /// These limits, with what the machine gives (memory, tasks) at most that of `most`.
    #[must_use]
    pub fn within(self, most: &Limits) -> Limits {
        fn least<T: Ord>(asked: Option<T>, most: Option<T>) -> Option<T> {
            match (asked, most) {
                (Some(asked), Some(most)) => Some(asked.min(most)),
                (one, other) => one.or(other),
            }
        }
        Limits {
            max_memory_bytes: least(self.max_memory_bytes, most.max_memory_bytes),
            max_tasks: least(self.max_tasks, most.max_tasks),
            ..self
        }
    }
}

/// What the repository's hooks are to an agent's own commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hooks {
    /// `core.hooksPath` in the agent's environment points at nothing.
    #[default]
    Skip,
    /// The agent's commits run the repository's hooks.
    Inherit,
}

/// How the agent is started, from the workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Claude Code's permission mode: `bypassPermissions` (the default), `acceptEdits`, `dontAsk`, `default`, `plan`.
    pub permission_mode: Option<String>,
    /// Tools that need no permission (`--allowedTools`).
    pub allowed_tools: Vec<String>,
    /// Tools that are denied whatever the mode (`--disallowedTools`).
    pub disallowed_tools: Vec<String>,
    /// Which settings files Claude Code reads (`--setting-sources`): of `user`, `project`, `local`. Default: `user`.
    pub setting_sources: Option<Vec<String>>,
    /// What the repository's hooks are to the agent's commits.
    pub hooks: Hooks,
    /// The program and arguments of the agent `command`.
    pub command: Option<Vec<String>>,
    /// Names of variables that the agent gets from the service's own environment.
    pub pass_env: Vec<String>,
    /// How often the agent is told about the failed check of one item, at most 100; 0 for never. The service's
    /// `max_feedback` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub feedback: Option<u32>,
    /// Whether Claude Code gets the service's MCP server: its Definition of Done, evidence, results of checks. Default: yes.
    #[schema(default = true)]
    pub mcp: bool,
    /// How often an attempt is sent back at most, before it ends, with what it could still bring: 0 to 8. Default: 2.
    #[schema(default = 2, maximum = 8)]
    pub stop_hook_blocks: u32,
    /// The folders that a run's worktree has, with the files directly in the folders above them; all if absent.
    /// `{kanban_app}` stands for the run's app. A request's `sparse` takes their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub sparse: Option<Vec<String>>,
    /// Ignored folders or files, from the root of the repository, that a run's fresh worktree gets from the seed's source.
    /// The service's `seed` if absent; an empty list for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub seed: Option<Vec<String>>,
}

impl AgentSettings {
    /// How often an attempt can be sent back at most: what Claude Code itself allows.
    pub const STOP_HOOK_BLOCKS_MAX: u32 = 8;
}

impl Default for AgentSettings {
    fn default() -> Self {
        AgentSettings {
            permission_mode: None,
            allowed_tools: Vec::new(),
            disallowed_tools: Vec::new(),
            setting_sources: None,
            hooks: Hooks::default(),
            command: None,
            pass_env: Vec::new(),
            feedback: None,
            mcp: true,
            stop_hook_blocks: 2,
            sparse: None,
            seed: None,
        }
    }
}

/// A request for a run, as it was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The workflow that was followed.
    pub workflow: String,
    /// The mode that the client named.
    pub mode: String,
    /// The issue that this run is for.
    pub issue_id: Option<String>,
    /// The card that this run is for.
    pub card_id: Option<String>,
    /// The board's application that the card belongs to.
    pub kanban_app: Option<String>,
    /// The prompt of the request.
    pub prompt: Option<String>,
    /// The prompt that the agent gets: the workflow's template, filled in.
    pub full_prompt: String,
    /// Which program works.
    pub agent: AgentKind,
    /// Why it is the stub, if it is.
    pub stub: Option<StubReason>,
    /// The model, if one was named.
    pub model: Option<String>,
    /// The branch to land on.
    pub base: String,
    /// The folders that its worktree has.
    #[serde(default, skip_serializing_if = "Cone::is_whole")]
    pub sparse: Cone,
    /// The limits in force.
    pub limits: Limits,
    /// More environment for the agent.
    pub env: BTreeMap<String, String>,
    /// The client's own words for this run.
    pub labels: BTreeMap<String, String>,
    /// How the agent is started.
    pub settings: AgentSettings,
}

/// Why a run is carried by the stub instead of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StubReason {
    /// `AGENT_RUNNER_STUB=1`: wanted; such a run has an empty commit and can go through its whole life.
    Wanted,
    /// No `claude` on PATH: an accident; such a run has no commit and never merges.
    NoAgent,
}

impl StubReason {
    /// The sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            StubReason::Wanted => "AGENT_RUNNER_STUB=1 is set",
            StubReason::NoAgent => "no `claude` was found on PATH",
        }
    }
}
