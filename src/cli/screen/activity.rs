//! What an agent does, in lines for a person.

use std::borrow::Cow;

use serde_json::Value;

use super::{BAD, BOLD, BUSY, FAINT, GOOD, escape, escape_line, shown, styled, words};

/// Letters shown of a tool's input or result: about two lines of a terminal.
const SUMMARY_LETTERS: usize = 160;

/// The line or lines for one activity; `None` for what a person need not see.
pub(super) fn lines(activity: &Value) -> Option<String> {
    let text = words(activity, "text");
    match activity["type"].as_str()? {
        "text" if text.trim().is_empty() => None,
        "text" => Some(escape(text.trim_end()).into_owned()),
        "thinking" => Some(styled(FAINT, escape(text.trim_end()))),
        "notice" => Some(styled(BUSY, format!("! {}", escape(text.trim_end())))),
        "tool_start" => Some(format!(
            "{} {}",
            styled(BOLD, format!("> {}", escape_line(&shown(activity, "name")))),
            summary(&words(activity, "input"))
        )),
        "tool_end" if activity["is_error"] == Value::Bool(true) => {
            Some(styled(BAD, format!("  x {}", summary(&text))))
        }
        "tool_end" if text.trim().is_empty() => None,
        "tool_end" => Some(styled(FAINT, format!("  {}", summary(&text)))),
        "session" => Some(styled(FAINT, session(activity))),
        "retry" => Some(styled(BUSY, retry(activity))),
        "final" => Some(last_word(activity)),
        _ => None,
    }
}

fn session(activity: &Value) -> String {
    let id = escape_line(&shown(activity, "session_id")).into_owned();
    match activity["model"].as_str() {
        Some(model) => format!("session {id}, {}", escape_line(model)),
        None => format!("session {id}"),
    }
}

fn retry(activity: &Value) -> String {
    let why = match activity["status"].as_u64() {
        Some(status) => format!("answered {status}"),
        None => "did not answer".into(),
    };
    let wait = match activity["delay_ms"].as_u64() {
        Some(delay) => format!(" in {:.1} s", delay as f64 / 1000.0),
        None => String::new(),
    };
    let of = match activity["max"].as_u64() {
        Some(max) => format!(" of {max}"),
        None => String::new(),
    };
    format!(
        "! the model's API {why}; again{wait} (try {}{of})",
        words(activity, "attempt")
    )
}

fn last_word(activity: &Value) -> String {
    let good = activity["success"] == Value::Bool(true);
    let mut told = if good {
        "= done".to_owned()
    } else {
        "= failed".to_owned()
    };
    if !good {
        let reasons = ["terminal_reason", "subtype", "api_error_status", "errors"];
        let reasons: Vec<String> = reasons
            .iter()
            .map(|field| words(activity, field))
            // Claude Code calls a failed call of its API a `success` of its own.
            .filter(|reason| !reason.is_empty() && reason != "success")
            .collect();
        if !reasons.is_empty() {
            told += &format!(" ({})", escape_line(&reasons.join(", ")));
        }
        told += &format!(" {}", summary(&words(activity, "text")));
    }
    if let Some(turns) = activity["turns"].as_u64() {
        told += &format!(", {turns} turns");
    }
    if let Some(tokens) = tokens(&activity["usage"]) {
        told += &format!(", {tokens}");
    }
    if let Some(cost) = activity["cost_usd"].as_f64() {
        told += &format!(", ${cost:.4}");
    }
    styled(if good { GOOD } else { BAD }, told)
}

/// Tokens in and out; nothing where none were told.
pub(super) fn tokens(usage: &Value) -> Option<String> {
    let count = |field: &str| usage[field].as_u64().unwrap_or(0);
    let taken = count("input_tokens")
        + count("cache_read_input_tokens")
        + count("cache_creation_input_tokens");
    let written = count("output_tokens");
    (taken + written > 0).then(|| format!("{taken} tokens in, {written} out"))
}

/// One line, not too long, safe for a terminal.
fn summary(text: &str) -> String {
    let trimmed = text.trim();
    let first = trimmed.lines().next().unwrap_or_default();
    let more = trimmed.lines().count().saturating_sub(1);
    let mut line: Cow<'_, str> = escape_line(first);
    if let Some((end, _)) = line.char_indices().nth(SUMMARY_LETTERS) {
        line = format!("{}…", &line[..end]).into();
    }
    match more {
        0 => line.into_owned(),
        1 => format!("{line} (1 more line)"),
        more => format!("{line} ({more} more lines)"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(activity: &Value) -> Option<String> {
        lines(activity).map(|line| anstream::adapter::strip_str(&line).to_string())
    }

    #[test]
    fn each_activity_has_its_line() {
        let cases = [
            (
                json!({"type": "text", "text": "I look.\n"}),
                Some("I look."),
            ),
            (
                json!({"type": "tool_start", "id": "1", "name": "Bash", "input": "ls\npwd"}),
                Some("> Bash ls (1 more line)"),
            ),
            (
                json!({"type": "tool_end", "id": "1", "is_error": true, "text": "no such file"}),
                Some("  x no such file"),
            ),
            (
                json!({"type": "tool_end", "id": "1", "is_error": false, "text": ""}),
                None,
            ),
            (
                json!({"type": "retry", "attempt": 2, "max": 10, "status": 529, "delay_ms": 1500}),
                Some("! the model's API answered 529; again in 1.5 s (try 2 of 10)"),
            ),
            (
                json!({"type": "final", "success": true, "turns": 3, "cost_usd": 0.01234, "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 2}}),
                Some("= done, 3 turns, 10 tokens in, 2 out, $0.0123"),
            ),
            (
                json!({"type": "final", "success": false, "subtype": "success", "terminal_reason": "api_error", "api_error_status": 500, "text": "API Error"}),
                Some("= failed (api_error, 500) API Error"),
            ),
            (json!({"type": "of a later version"}), None),
            (json!("no object"), None),
        ];
        for (activity, expected) in cases {
            assert_eq!(plain(&activity).as_deref(), expected, "{activity}");
        }
    }

    #[test]
    fn escapes_of_an_agent_do_not_reach_the_terminal() {
        let line =
            plain(&json!({"type": "tool_start", "name": "B\u{9b}2J", "input": "echo \u{202e}x"}));
        assert_eq!(line.as_deref(), Some("> B\\u009b2J echo \\u202ex"));
    }
}
