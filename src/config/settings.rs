//! The settings, one line each. Order is that of `--help` and of the reference.

/// One setting: what `--help`, the file, the environment and the reference need to know of it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key in the file; dots are tables.
    pub key: &'static str,
    /// What stands for the value in `--help`.
    pub value_name: &'static str,
    /// The default as it would be written, or a description of how it is found.
    pub default: Fallback,
    /// One sentence, without its full stop.
    pub meaning: &'static str,
}

/// Where a setting without a given value gets one.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This value.
    Value(&'static str),
    /// It is worked out as told here, or the setting stays unset.
    Found(&'static str),
}

impl Fallback {
    /// The text for help and reference.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Fallback::Value(text) | Fallback::Found(text) => text,
        }
    }
}

impl Setting {
    /// The flag, without its dashes: `limits.timeout_s` is `limits-timeout-s`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable: `limits.timeout_s` is `AGENT_RUNNER_LIMITS_TIMEOUT_S`.
    #[must_use]
    pub fn env(&self) -> String {
        format!(
            "AGENT_RUNNER_{}",
            self.key.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Whether the flag alone, without a value, means `true`.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.value_name == "BOOL"
    }
}

/// The setting of this key. Keys are written in this crate only, so one that is not there is a mistake in it.
pub(super) fn setting(key: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .expect("every key asked for is in the table")
}

const fn line(
    key: &'static str,
    value_name: &'static str,
    default: Fallback,
    meaning: &'static str,
) -> Setting {
    Setting {
        key,
        value_name,
        default,
        meaning,
    }
}

use Fallback::{Found, Value};

/// All settings of the server.
pub const SETTINGS: &[Setting] = &[
    line(
        "port",
        "PORT",
        Value("8486"),
        "Port to listen on; 0 takes a free one and prints it",
    ),
    line(
        "bind",
        "ADDRESS",
        Value("127.0.0.1"),
        "Address to listen on; loopback only",
    ),
    line(
        "db",
        "FILE",
        Value("agent_runs.db"),
        "SQLite database; made if it is not there",
    ),
    line(
        "repo_root",
        "DIR",
        Value("."),
        "Repository that the runs work on",
    ),
    line(
        "worktrees_root",
        "DIR",
        Found("<repo root>-worktrees"),
        "Folder of the runs' worktrees, outside the repository",
    ),
    line(
        "state_root",
        "DIR",
        Found("<db>-files"),
        "Folder of the runs' output files and of the evidence store",
    ),
    line(
        "base_branch",
        "BRANCH",
        Found("the repository's default: master, main, else the branch of its HEAD"),
        "Branch to land on",
    ),
    line(
        "max_running",
        "N",
        Found("4 for each core, one for each 512 MiB of available memory: the smaller"),
        "Agents working at a time; more runs wait in a queue",
    ),
    line(
        "max_checks",
        "N",
        Found("one for each two cores, at least 2"),
        "Runs whose checks run at a time; more of them wait for their turn",
    ),
    line(
        "max_feedback",
        "N",
        Value("2"),
        "Times that an agent is told about the failed check of one item; 0 for never, a workflow may say otherwise",
    ),
    line(
        "limits.timeout_s",
        "SECONDS",
        Value("14400"),
        "Wall-clock limit of an attempt",
    ),
    line(
        "limits.idle_timeout_s",
        "SECONDS",
        Value("1800"),
        "Limit on the time without output",
    ),
    line(
        "limits.max_cost_usd",
        "USD",
        Found("none"),
        "Limit on an attempt's cost",
    ),
    line(
        "limits.max_turns",
        "N",
        Found("none"),
        "Limit on an attempt's turns with the model",
    ),
    line(
        "limits.max_output_bytes",
        "BYTES",
        Value("1GiB"),
        "Limit on an attempt's output; KiB, MiB, GiB may follow the number",
    ),
    line(
        "disk_floor_bytes",
        "BYTES",
        Value("1GiB"),
        "Free bytes below which no agent is started, on each file system that the service writes to; 0 for no floor",
    ),
    line(
        "pool",
        "N",
        Value("2"),
        "Worktrees that stand ready for the next runs, 0 to 64, or adaptive: as many as runs started in the last five minutes, 1 to 8",
    ),
    line(
        "pool_idle_s",
        "SECONDS",
        Value("0"),
        "Time without a new run after which no worktree stands ready, until the next one; 0 for never",
    ),
    line(
        "limits.max_memory_bytes",
        "BYTES",
        Found("none"),
        "Most memory of an attempt; a run may ask for less; KiB, MiB, GiB may follow the number",
    ),
    line(
        "limits.max_tasks",
        "N",
        Found("none"),
        "Most processes and threads of an attempt at a time; a run may ask for less",
    ),
    line(
        "limits.cpu_weight",
        "WEIGHT",
        Found("none"),
        "Share of the processor of an attempt, 1 to 10000, where 100 is what everybody has",
    ),
    line(
        "containment",
        "HOW",
        Value("auto"),
        "What holds an agent's processes together beside its supervisor: systemd (a scope each), cgroup (a cgroup each), none, or auto (the first of these that is there)",
    ),
    line(
        "check_network",
        "WHICH",
        Value("auto"),
        "Network that checks run in: own (one of their own for each list, with nothing in it but loopback), machine (this machine's), or auto (own where the system allows it)",
    ),
    line(
        "stop_grace_s",
        "SECONDS",
        Value("10"),
        "Time that an agent has to end after it was asked to, before it is killed",
    ),
    line(
        "claude",
        "PROGRAM",
        Value("claude"),
        "Program of Claude Code: a name looked for on PATH, or a path",
    ),
    line(
        "stub",
        "BOOL",
        Value("false"),
        "Carry every run by `echo STUB: …` instead of an agent",
    ),
    line(
        "identity.name",
        "NAME",
        Value("agent_runner_api"),
        "Name on the service's own commits",
    ),
    line(
        "identity.email",
        "EMAIL",
        Value("agent_runner_api@localhost"),
        "Address on the service's own commits",
    ),
    line(
        "sign_key",
        "FILE",
        Found("none: merges are not signed"),
        "SSH key that merges are signed with: a private key, or a public one whose private key an agent has (SSH_AUTH_SOCK)",
    ),
    line(
        "push_remote",
        "NAME",
        Found("none: merges are not pushed"),
        "Remote of the repository that each merge is pushed to before it lands; a merge that the remote refuses does not land",
    ),
    line(
        "keep_branch",
        "BOOL",
        Value("false"),
        "Keep a run's branch after its merge",
    ),
    line(
        "preserved_keep_days",
        "DAYS",
        Value("30"),
        "Days for which the work of removed worktrees is kept",
    ),
    line(
        "keep_output_days",
        "DAYS",
        Found("none: it is kept"),
        "Days for which what agents printed is kept after their run has merged or was aborted",
    ),
    line(
        "keep_output_gib",
        "GIB",
        Found("none: it is kept"),
        "How much of what agents of such runs printed is kept; above it the runs that ended first lose theirs",
    ),
    line(
        "allowed_origins",
        "ORIGINS",
        Found("none"),
        "Origins of web pages that may call the API, separated by commas (a list in the file)",
    ),
    line(
        "issues.glob",
        "PATTERN",
        Found("none"),
        "Files below the repository with the text of an issue; {issue_id} stands for the id",
    ),
    line(
        "issues.command",
        "COMMAND",
        Found("none"),
        "Program and arguments that print the text of an issue, separated by blanks (a list in the file); {issue_id} stands for the id",
    ),
    line(
        "app_pages",
        "PATTERN",
        Value("apps/{kanban_app}/*.md"),
        "Pages of an app in the repository, one of which may have e2e_checks in its front matter; {kanban_app} stands for the app",
    ),
    line(
        "seed",
        "PATHS",
        Found("none"),
        "Ignored folders or files that a run's fresh worktree gets from the seed's source, from the root of the repository, separated by commas (a list in the file); a workflow may say otherwise",
    ),
    line(
        "seed_source",
        "DIR",
        Found("the repository's main checkout"),
        "Checkout of the repository that seeds come from",
    ),
    line(
        "seed_copy",
        "BOOL",
        Value("false"),
        "Copy seeds where the file system cannot share their bytes (reflink); without it they are left out there",
    ),
    line(
        "log.level",
        "LEVEL",
        Value("info"),
        "error, warn, info, debug, trace, or directives like info,agent_runner_api::git=debug",
    ),
    line("log.format", "FORMAT", Value("text"), "text or json"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_variable_follow_from_the_key() {
        let timeout = setting("limits.timeout_s");
        assert_eq!(timeout.flag(), "limits-timeout-s");
        assert_eq!(timeout.env(), "AGENT_RUNNER_LIMITS_TIMEOUT_S");
    }

    #[test]
    fn no_two_settings_share_a_flag() {
        let mut flags: Vec<_> = SETTINGS.iter().map(Setting::flag).collect();
        flags.sort();
        flags.dedup();
        assert_eq!(flags.len(), SETTINGS.len());
    }
}
