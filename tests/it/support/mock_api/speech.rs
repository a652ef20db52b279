//! How the model's API says it: server-sent events, whole messages, errors.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::TOKENS;
use super::scenario::Answer;

/// The answer to this request, in the words of the Messages API.
pub(super) fn spoken(answer: Answer, request: &Value) -> Response {
    let model = request["model"].as_str().unwrap_or("mock").to_owned();
    let answer = match answer {
        Answer::Tool(name, input) => Answer::Tool(name, in_directory(input, &directory(request))),
        other => other,
    };
    // Claude Code asks again without a stream where streams break off.
    if request["stream"] != true
        && let Some(message) = whole_message(&answer, &model)
    {
        return axum::Json(message).into_response();
    }
    match answer {
        Answer::Status(status) => error(status, &format!("mock {status}")),
        Answer::RetryAfter(status, seconds) => {
            let mut response = error(status, &format!("mock {status}"));
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Answer::Text(text) => stream(
            vec![start(&model), text_block(&text), end(Some("end_turn"))],
            Then::Ends,
        ),
        Answer::NoEnd(text) => stream(
            vec![start(&model), text_block(&text), end(None)],
            Then::Ends,
        ),
        Answer::Tool(name, input) => stream(
            vec![
                start(&model),
                tool_block(name, &input),
                end(Some("tool_use")),
            ],
            Then::Ends,
        ),
        Answer::Cut(words) => stream(vec![start(&model), text_begun(&words)], Then::Breaks),
        Answer::Hang => stream(vec![start(&model), text_begun("word ")], Then::Hangs),
        Answer::Slow(words, pause) => {
            let mut pieces = vec![
                start(&model),
                block_start(&json!({"type": "text", "text": ""})),
            ];
            pieces.extend(words.split_inclusive(' ').map(text_delta));
            pieces.push(event(&json!({"type": "content_block_stop", "index": 0})));
            pieces.push(end(Some("end_turn")));
            stream(pieces, Then::EndsSlowly(pause))
        }
    }
}

/// The answer in one piece, where it has an end.
fn whole_message(answer: &Answer, model: &str) -> Option<Value> {
    let (block, reason) = match answer {
        Answer::Text(text) | Answer::Slow(text, _) => {
            (json!({"type": "text", "text": text}), Some("end_turn"))
        }
        Answer::NoEnd(text) => (json!({"type": "text", "text": text}), None),
        Answer::Tool(name, input) => (
            json!({"type": "tool_use", "id": tool_id(), "name": name, "input": input}),
            Some("tool_use"),
        ),
        Answer::Status(_) | Answer::RetryAfter(..) | Answer::Cut(_) | Answer::Hang => return None,
    };
    let mut message = empty_message(model);
    message["content"] = json!([block]);
    message["stop_reason"] = json!(reason);
    message["usage"]["output_tokens"] = json!(TOKENS.1);
    Some(message)
}

enum Then {
    Ends,
    EndsSlowly(Duration),
    Breaks,
    Hangs,
}

fn stream(pieces: Vec<String>, then: Then) -> Response {
    let pause = if let Then::EndsSlowly(pause) = then {
        Some(pause)
    } else {
        None
    };
    let pieces = futures_util::stream::iter(pieces).then(move |piece| async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(Bytes::from(piece))
    });
    let body = match then {
        Then::Ends | Then::EndsSlowly(_) => Body::from_stream(pieces),
        Then::Hangs => Body::from_stream(pieces.chain(futures_util::stream::pending())),
        Then::Breaks => {
            let breaks = futures_util::stream::once(async {
                Err(std::io::Error::other("the mock breaks off"))
            });
            Body::from_stream(pieces.chain(breaks))
        }
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn event(value: &Value) -> String {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n")
}

fn start(model: &str) -> String {
    event(&json!({"type": "message_start", "message": empty_message(model)}))
}

fn empty_message(model: &str) -> Value {
    let (input, _, read, creation) = TOKENS;
    json!({
        "id": format!("msg_{}", uuid::Uuid::now_v7().simple()), "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": input, "output_tokens": 1, "cache_read_input_tokens": read, "cache_creation_input_tokens": creation},
    })
}

fn end(reason: Option<&str>) -> String {
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": TOKENS.1}});
    event(&delta) + &event(&json!({"type": "message_stop"}))
}

fn block_start(block: &Value) -> String {
    event(&json!({"type": "content_block_start", "index": 0, "content_block": block}))
}

fn text_delta(text: &str) -> String {
    event(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    )
}

fn text_begun(text: &str) -> String {
    block_start(&json!({"type": "text", "text": ""})) + &text_delta(text)
}

fn text_block(text: &str) -> String {
    text_begun(text) + &event(&json!({"type": "content_block_stop", "index": 0}))
}

fn tool_block(name: &str, input: &Value) -> String {
    block_start(&json!({"type": "tool_use", "id": tool_id(), "name": name, "input": {}}))
        + &event(
            &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": input.to_string()}}),
        )
        + &event(&json!({"type": "content_block_stop", "index": 0}))
}

fn tool_id() -> String {
    format!("toolu_{}", uuid::Uuid::now_v7().simple())
}

/// The agent's current directory, which Claude Code tells the model.
fn directory(request: &Value) -> String {
    let told = format!("{}{}", request["system"], request["messages"]);
    let after = told
        .split_once("working directory: ")
        .map_or("", |(_, after)| after);
    let end = after.find(['\\', '"', '<']).unwrap_or(0);
    after[..end].to_owned()
}

fn in_directory(input: Value, directory: &str) -> Value {
    match input {
        Value::String(text) => Value::String(text.replace("{cwd}", directory)),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, in_directory(value, directory)))
            .collect(),
        other => other,
    }
}

/// The API's way to say no.
pub(super) fn error(status: u16, message: &str) -> Response {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let status = StatusCode::from_u16(status).expect("a test names a real status");
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    (status, axum::Json(body)).into_response()
}
