//! Claude Code's `stream-json`, a line at a time.

use serde_json::Value;

use crate::agent::activity::{Activity, Final, NAME_MAX, SUMMARY_MAX, TEXT_MAX, capped};
use crate::run::Usage;

/// More tokens than one call can have used: a number beyond it is cut, so that sums of them cannot overflow.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// The model that Claude Code names where it speaks itself.
const SYNTHETIC_MODEL: &str = "<synthetic>";

/// What a line says. A line that is not a JSON object says nothing.
pub(crate) fn parse(line: &[u8]) -> Vec<Activity> {
    let Ok(event @ Value::Object(_)) = serde_json::from_slice::<Value>(line) else {
        return Vec::new();
    };
    match text_of(&event, "type") {
        "system" => system(&event),
        "assistant" => assistant(&event),
        "user" => user(&event),
        "result" => vec![Activity::Final(result(&event))],
        kind => vec![other(kind, text_of(&event, "subtype"))],
    }
}

fn system(event: &Value) -> Vec<Activity> {
    let activity = match text_of(event, "subtype") {
        "init" => Activity::Session {
            session_id: capped(text_of(event, "session_id"), NAME_MAX),
            model: some_text(event, "model"),
        },
        "api_retry" => Activity::Retry {
            attempt: number(event, "attempt").unwrap_or(0),
            max: number(event, "max_retries"),
            status: number(event, "error_status"),
            delay_ms: event.get("retry_delay_ms").and_then(whole),
        },
        "permission_denied" => Activity::Notice {
            text: capped(
                &format!(
                    "{} was denied: {}",
                    text_of(event, "tool_name"),
                    text_of(event, "message")
                ),
                SUMMARY_MAX,
            ),
        },
        "informational" => notice(text_of(event, "content")),
        "notification" => notice(text_of(event, "text")),
        subtype => other("system", subtype),
    };
    vec![activity]
}

fn assistant(event: &Value) -> Vec<Activity> {
    let message = &event["message"];
    if text_of(message, "model") == SYNTHETIC_MODEL {
        return vec![synthetic(event)];
    }
    let mut activities: Vec<Activity> = blocks(message)
        .map(|block| match text_of(block, "type") {
            "text" => Activity::Text {
                text: capped(text_of(block, "text"), TEXT_MAX),
            },
            "thinking" => Activity::Thinking {
                text: capped(text_of(block, "thinking"), TEXT_MAX),
            },
            "tool_use" => Activity::ToolStart {
                id: capped(text_of(block, "id"), NAME_MAX),
                name: capped(text_of(block, "name"), NAME_MAX),
                input: tool_input(&block["input"]),
            },
            kind => other("assistant", kind),
        })
        .collect();
    let used = usage(&message["usage"]);
    if used != Usage::default() {
        activities.push(Activity::Usage {
            call: capped(text_of(message, "id"), NAME_MAX),
            usage: used,
        });
    }
    activities
}

/// What the program says in the model's place.
fn synthetic(event: &Value) -> Activity {
    let text = result_text(&event["message"]["content"]);
    match some_text(event, "error") {
        None => notice(&text),
        Some(error) => Activity::ApiError {
            error,
            text: capped(&text, SUMMARY_MAX),
        },
    }
}

fn user(event: &Value) -> Vec<Activity> {
    let message = &event["message"];
    if let Some(text) = message["content"].as_str() {
        return vec![notice(text)];
    }
    blocks(message)
        .map(|block| match text_of(block, "type") {
            "tool_result" => Activity::ToolEnd {
                id: capped(text_of(block, "tool_use_id"), NAME_MAX),
                is_error: block["is_error"].as_bool().unwrap_or(false),
                text: capped(&result_text(&block["content"]), SUMMARY_MAX),
            },
            "text" => notice(text_of(block, "text")),
            kind => other("user", kind),
        })
        .collect()
}

/// A result is a success only with every mark of one: `is_error` false, the subtype `success`, a
/// `terminal_reason` (older versions have none) of `completed`, and a model that came to its end: where a stream
/// broke off and a gateway passed on what there was, all else looks like a success, and `stop_reason` is null. (It
/// is also null where no model was asked, for a slash command; older versions have none.)
fn result(event: &Value) -> Final {
    let subtype = some_text(event, "subtype");
    let terminal_reason = some_text(event, "terminal_reason");
    let marked = event["is_error"].as_bool() == Some(false)
        && subtype.as_deref() == Some("success")
        && terminal_reason
            .as_deref()
            .is_none_or(|reason| reason == "completed");
    let used = usage(&event["usage"]);
    let cut_off =
        marked && event.get("stop_reason").is_some_and(Value::is_null) && used.output_tokens > 0;
    let errors: Vec<&str> = event["errors"]
        .as_array()
        .map(|errors| errors.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    Final {
        success: marked && !cut_off,
        cut_off,
        subtype,
        terminal_reason,
        stop_reason: some_text(event, "stop_reason"),
        api_error_status: number(event, "api_error_status"),
        text: capped(text_of(event, "result"), TEXT_MAX),
        errors: (!errors.is_empty()).then(|| capped(&errors.join("; "), SUMMARY_MAX)),
        turns: number(event, "num_turns"),
        cost_usd: event["total_cost_usd"].as_f64(),
        usage: used,
    }
}

/// What a tool is to do: the one field that tells it where there is one, else the input as JSON.
fn tool_input(input: &Value) -> String {
    let telling = [
        "command",
        "file_path",
        "notebook_path",
        "pattern",
        "url",
        "query",
        "description",
    ]
    .iter()
    .find_map(|field| input[*field].as_str());
    match telling {
        Some(text) => capped(text, SUMMARY_MAX),
        None if input.is_null() => String::new(),
        None => capped(&input.to_string(), SUMMARY_MAX),
    }
}

/// A tool's result is a text, or blocks of which some are texts.
fn result_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks
                .iter()
                .filter_map(|block| block["text"].as_str())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn usage(value: &Value) -> Usage {
    let count = |field| {
        value
            .get(field)
            .and_then(whole)
            .unwrap_or(0)
            .min(TOKENS_MAX)
    };
    Usage {
        input_tokens: count("input_tokens"),
        output_tokens: count("output_tokens"),
        cache_read_input_tokens: count("cache_read_input_tokens"),
        cache_creation_input_tokens: count("cache_creation_input_tokens"),
    }
}

fn notice(text: &str) -> Activity {
    Activity::Notice {
        text: capped(text, SUMMARY_MAX),
    }
}

fn other(kind: &str, subtype: &str) -> Activity {
    let kind = if subtype.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}/{subtype}")
    };
    Activity::Other {
        kind: capped(&kind, NAME_MAX),
    }
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["content"].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn some_text(value: &Value, field: &str) -> Option<String> {
    let text = value.get(field).and_then(Value::as_str)?;
    Some(capped(text, NAME_MAX))
}

fn number<N: TryFrom<u64>>(value: &Value, field: &str) -> Option<N> {
    N::try_from(value.get(field).and_then(whole)?).ok()
}

/// A number that is whole and not negative, however it is written (`571`, `571.0`).
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (0.0..9e15).contains(&number).then_some(number as u64)
    })
}
