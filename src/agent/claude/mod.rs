//! Claude Code, headless: one process an attempt, its prompt on stdin, its stream in a file.
//!
//! Observed with 2.1.330. Exit codes and `subtype` both lie (an interrupted agent exits 0; a failed API call
//! is a `success` with `is_error`), so an end is judged from all marks together, in `classify`.
//!
//! Deliberately absent: its bidirectional mode (`--input-format stream-json`), which needs a pipe that dies
//! with the service.

pub mod locate;
mod reach;
pub mod stream;

pub use locate::{Form, NotLocated, Program, locate};

use super::environment::Environment;
use super::invocation::{Companion, Refused, Session, Work};
use crate::run::AgentSettings;

/// The most bytes that Claude Code reads from stdin.
pub const PROMPT_MAX: usize = 10_000_000;

/// The permission mode without a setting: nobody is there to be asked, and the worktree is the agent's own.
const DEFAULT_PERMISSION_MODE: &str = "bypassPermissions";

const PERMISSION_MODES: &[&str] = &[
    DEFAULT_PERMISSION_MODE,
    "acceptEdits",
    "dontAsk",
    "default",
    "plan",
];

/// The settings files that are read without a setting. In headless mode Claude Code runs the hooks and MCP
/// servers of a repository's own `.claude/` and `.mcp.json` without asking; `user` leaves those out.
const DEFAULT_SETTING_SOURCE: &str = "user";

const SETTING_SOURCES: &[&str] = &[DEFAULT_SETTING_SOURCE, "project", "local"];

/// What belongs to Claude Code in the service's environment: keys, where to send them, which model.
const ITS_OWN: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_MAX_RETRIES",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "API_TIMEOUT_MS",
    "BASH_DEFAULT_TIMEOUT_MS",
    "BASH_MAX_TIMEOUT_MS",
];

/// It works and does nothing else: no telemetry, no reports, no update of itself under our feet.
const SWITCHES: &[&str] = &[
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_AUTOUPDATER",
];

pub(crate) fn environment(env: &mut Environment, work: &Work<'_>) {
    env.pass(work.server_env, ITS_OWN.iter().copied());
    for switch in SWITCHES {
        env.set(switch, "1");
    }
    if work.as_root && permission_mode(work) == DEFAULT_PERMISSION_MODE {
        // Without it, root is refused to bypass permissions.
        env.set("IS_SANDBOX", "1");
    }
}

pub(crate) fn argv(work: &Work<'_>) -> Result<(Vec<String>, Vec<Companion>), Refused> {
    if work.prompt.trim().is_empty() {
        return Err(Refused::PromptEmpty);
    }
    if work.prompt.len() > PROMPT_MAX {
        return Err(Refused::PromptTooLong {
            bytes: work.prompt.len(),
            max: PROMPT_MAX,
        });
    }
    let program = work.claude.ok_or(Refused::NoClaude)?;
    let mut argv = vec![program.path.clone()];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));

    // stream-json is refused without --verbose.
    add(&["-p", "--output-format", "stream-json", "--verbose"]);
    match &work.session {
        Session::Fresh(id) => add(&["--session-id", &id.hyphenated().to_string()]),
        Session::Resume(id) => add(&["--resume", word("session_id", id)?]),
    }
    if let Some(model) = &work.spec.model {
        add(&["--model", word("model", model)?]);
    }

    argv.extend(of_settings(&work.spec.settings)?);
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(turns) = work.spec.limits.max_turns {
        add(&["--max-turns", &turns.to_string()]);
    }
    if let Some(max_usd) = work.spec.limits.max_cost_usd {
        let left = max_usd - work.spent_usd;
        if left <= 0.0 {
            return Err(Refused::NothingLeftToSpend {
                spent_usd: work.spent_usd,
                max_usd,
            });
        }
        add(&["--max-budget-usd", &left.to_string()]);
    }
    let mut files = Vec::new();
    if let Some(reach) = &work.reach {
        let (more, with_them) = reach::arguments(&work.spec.settings, reach);
        argv.extend(more);
        files = with_them;
    }
    Ok((argv, files))
}

/// The arguments that a workflow's settings come to.
///
/// # Errors
/// A setting that Claude Code does not know, by its name.
pub fn of_settings(settings: &AgentSettings) -> Result<Vec<String>, Refused> {
    let mut argv = Vec::new();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    let mode = settings
        .permission_mode
        .as_deref()
        .unwrap_or(DEFAULT_PERMISSION_MODE);
    match one_of("permission_mode", mode, PERMISSION_MODES)? {
        DEFAULT_PERMISSION_MODE => add(&["--dangerously-skip-permissions"]),
        mode => add(&["--permission-mode", mode]),
    }
    let sources = match &settings.setting_sources {
        None => DEFAULT_SETTING_SOURCE.to_owned(),
        Some(named) => {
            for source in named {
                one_of("setting_sources", source, SETTING_SOURCES)?;
            }
            named.join(",")
        }
    };
    add(&["--setting-sources", &sources, "--strict-mcp-config"]);
    for (flag, setting, tools) in [
        ("--allowedTools", "allowed_tools", &settings.allowed_tools),
        (
            "--disallowedTools",
            "disallowed_tools",
            &settings.disallowed_tools,
        ),
    ] {
        for tool in tools {
            add(&[flag, word(setting, tool)?]);
        }
    }
    if settings.stop_hook_blocks > AgentSettings::STOP_HOOK_BLOCKS_MAX {
        return Err(Refused::Setting {
            setting: "stop_hook_blocks",
            value: settings.stop_hook_blocks.to_string(),
            why: "Claude Code itself ends after 8",
        });
    }
    Ok(argv)
}

fn permission_mode<'a>(work: &Work<'a>) -> &'a str {
    let mode = work.spec.settings.permission_mode.as_deref();
    mode.unwrap_or(DEFAULT_PERMISSION_MODE)
}

/// A value that cannot be taken for an option.
fn word<'a>(setting: &'static str, value: &'a str) -> Result<&'a str, Refused> {
    let why = if value.is_empty() {
        "it is empty"
    } else if value.starts_with('-') {
        "it begins with a dash"
    } else if value.chars().any(char::is_control) {
        "it has control characters in it"
    } else {
        return Ok(value);
    };
    Err(Refused::Setting {
        setting,
        value: value.to_owned(),
        why,
    })
}

fn one_of<'a>(setting: &'static str, value: &'a str, known: &[&str]) -> Result<&'a str, Refused> {
    if known.contains(&value) {
        return Ok(value);
    }
    Err(Refused::Setting {
        setting,
        value: value.to_owned(),
        why: "Claude Code knows no such value",
    })
}
