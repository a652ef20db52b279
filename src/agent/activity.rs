//! What an agent does, in our own words: one vocabulary for all agents, sent to clients as it is.
//!
//! Parsing is lenient, because agents change faster than we do: what is not known is
//! [`Activity::Other`], what is missing is `None`, and nothing that an agent prints is an error of ours.
//! It is stateless, a line at a time, so that any line of the output can be shown without the ones before it.
//! Texts are capped here; the raw output keeps every byte.

use serde::{Deserialize, Serialize};

use crate::run::{AgentKind, Usage};

/// Bytes kept of what an agent says or thinks in one block: a screenful many times over, and small
/// enough that a follower can hold hundreds of them.
pub const TEXT_MAX: usize = 16 * 1024;

/// Bytes kept of a tool's input, a tool's result or an error: a line or two for a person.
pub const SUMMARY_MAX: usize = 400;

/// Bytes kept of an identifier or a name (a session, a tool, a model). Real ones are under 100.
pub const NAME_MAX: usize = 200;

/// One thing that an agent did or told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Activity {
    /// A turn begins: the agent's own session (which a follow-up resumes) and its model.
    Session {
        /// The agent's id of the session.
        session_id: String,
        /// The model, where it is told.
        model: Option<String>,
    },
    /// The agent says something.
    Text {
        /// What it says; capped.
        text: String,
    },
    /// The agent thinks aloud.
    Thinking {
        /// What it thinks; capped.
        text: String,
    },
    /// A tool begins.
    ToolStart {
        /// The id that its end will carry.
        id: String,
        /// The tool's name (`Bash`, `Write`, …).
        name: String,
        /// What it is to do, in a line: the command, the path, or the input as JSON; capped.
        input: String,
    },
    /// A tool ended.
    ToolEnd {
        /// The id that its start had.
        id: String,
        /// It failed, or was refused.
        is_error: bool,
        /// What came of it; capped.
        text: String,
    },
    /// What one call of the model used, as far as known while it goes on. The same call can be told
    /// several times: the last one counts.
    Usage {
        /// The id of the model's answer.
        call: String,
        /// Its tokens.
        usage: Usage,
    },
    /// The model's API failed, and the agent waits to call it again.
    Retry {
        /// Which try failed, from 1.
        attempt: u32,
        /// How many there will be, where it is told.
        max: Option<u32>,
        /// The HTTP status; `None` where there was no answer.
        status: Option<u16>,
        /// How long the agent waits, in milliseconds.
        delay_ms: Option<u64>,
    },
    /// The agent could not use the model's API, and gave up: its program says so in the model's place.
    ApiError {
        /// The agent's word for what went wrong (`authentication_failed`, `rate_limit`, `server_error`, …).
        error: String,
        /// What it says about it; capped.
        text: String,
    },
    /// Something that a person should see: a refused permission, a hook's feedback, an interruption.
    Notice {
        /// What it is; capped.
        text: String,
    },
    /// The agent's last word on a turn. There can be several in one attempt: the last one counts.
    Final(Final),
    /// A kind of event that we have no word for.
    Other {
        /// The agent's word for it.
        kind: String,
    },
}

/// The agent's last word on a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Final {
    /// The agent says that it succeeded: none of the marks of a failure are there, whatever `subtype` says.
    pub success: bool,
    /// All marks are those of a success but one: the model's answer has no end, so this is a part of it.
    pub cut_off: bool,
    /// The agent's word for the result (`success`, `error_max_turns`, …). Claude Code says `success` also
    /// where the API failed.
    pub subtype: Option<String>,
    /// Why the turn ended (`completed`, `api_error`, `max_turns`, `budget_exhausted`, `aborted_tools`, …).
    pub terminal_reason: Option<String>,
    /// Why the model stopped (`end_turn`, …); `None` where its answer never came to an end.
    pub stop_reason: Option<String>,
    /// The HTTP status of the API's failure, if that was it.
    pub api_error_status: Option<u16>,
    /// The answer, or the error in words; capped.
    pub text: String,
    /// The errors that are listed, in one text; capped.
    pub errors: Option<String>,
    /// Turns of the agent with its model.
    pub turns: Option<u32>,
    /// US dollars, as the agent counts them: of the whole session so far, over all its attempts.
    pub cost_usd: Option<f64>,
    /// Tokens of this turn.
    pub usage: Usage,
}

/// What one line of an agent's output says; a line's newline may be there or not. Never panics.
/// A line that is not in the agent's format says nothing.
#[must_use]
pub fn parse(kind: AgentKind, line: &[u8]) -> Vec<Activity> {
    match kind {
        AgentKind::Claude => super::claude::stream::parse(line),
        AgentKind::Command => super::command::parse(line),
        AgentKind::Stub => super::stub::parse(line),
    }
}

/// The text's beginning: at most `max` bytes, cut between characters, with `…` where something was cut off.
pub(crate) fn capped(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_cuts_between_characters_and_says_so() {
        assert_eq!(capped("short", 10), "short");
        assert_eq!(capped("ääääää", 8), "ää…");
        assert!(capped(&"x".repeat(1000), SUMMARY_MAX).len() <= SUMMARY_MAX);
    }
}
