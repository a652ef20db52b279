//! A Messages API on loopback that says what a test tells it to say.
//!
//! The one thing that is faked in the tests with the real Claude Code. A [`Scenario`] is the list of the
//! model's answers in one session; which one is due is read off the request itself (how many answers of the
//! assistant it carries), so retries, resumed sessions and several agents at once need no state here.
//!
//! ```ignore
//! let api = MockApi::start();
//! let url = api.serve(Scenario::edits_a_file_and_runs_a_command());
//! // ANTHROPIC_BASE_URL=<url> ANTHROPIC_API_KEY=anything claude -p …
//! assert!(api.requests().iter().all(|request| request.key.is_some()));
//! ```
//!
//! One server whose runs need different scenarios: give it [`MockApi::url`], and put what
//! [`MockApi::mark`] returns anywhere into each prompt.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// Tokens that each answer says it used: `(input, output, cache read, cache creation)`.
pub const TOKENS: (u64, u64, u64, u64) = (1200, 25, 900, 100);

/// What the model says in one session, answer by answer. After the last one it says that there is no more.
#[derive(Debug, Clone)]
pub struct Scenario {
    answers: Vec<Answer>,
    /// Give this answer to every call, whatever was said before.
    always: Option<Answer>,
}

/// One answer of the model's API.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It says a text and ends its turn.
    Text(String),
    /// It calls a tool. `{cwd}` in the input's texts becomes the agent's current directory.
    Tool(&'static str, Value),
    /// An HTTP error of this status.
    Status(u16),
    /// An HTTP error of this status that asks to wait for so many seconds.
    RetryAfter(u16, u64),
    /// The connection breaks off after these words.
    Cut(String),
    /// It says these words and closes as if that were all, but with no reason for the end: what a gateway makes of a
    /// stream that broke off.
    NoEnd(String),
    /// It says these words, one at a time, with so long between them.
    Slow(String, Duration),
    /// It says a word and then nothing more, until the client goes away.
    Hang,
}

impl Answer {
    /// It says a text and ends its turn.
    pub fn text(text: &str) -> Self {
        Answer::Text(text.to_owned())
    }

    /// It runs a command in the shell tool.
    pub fn bash(command: &str) -> Self {
        Answer::Tool(
            "Bash",
            json!({"command": command, "description": "what the test says", "timeout": 120_000}),
        )
    }

    /// It runs a command in the background and is woken when that ends.
    pub fn background_bash(command: &str) -> Self {
        Answer::Tool(
            "Bash",
            json!({"command": command, "description": "what the test says", "run_in_background": true}),
        )
    }

    /// It writes a file, by its path in the current directory.
    pub fn write(path: &str, content: &str) -> Self {
        Answer::Tool(
            "Write",
            json!({"file_path": format!("{{cwd}}/{path}"), "content": content}),
        )
    }
}

impl Scenario {
    /// These answers, one after the other.
    pub fn of(answers: impl IntoIterator<Item = Answer>) -> Self {
        Scenario {
            answers: answers.into_iter().collect(),
            always: None,
        }
    }

    /// This answer to every call.
    pub fn always(answer: Answer) -> Self {
        Scenario {
            answers: Vec::new(),
            always: Some(answer),
        }
    }

    /// The good case: writes `hello.txt`, runs `cat hello.txt && git status --short`, says `DONE: hello.txt written.`
    pub fn edits_a_file_and_runs_a_command() -> Self {
        Scenario::of([
            Answer::write("hello.txt", "hello from the mock\n"),
            Answer::bash("cat hello.txt && git status --short"),
            Answer::text("DONE: hello.txt written."),
        ])
    }

    /// As the good case, and the agent commits its work itself.
    pub fn edits_a_file_and_commits_it() -> Self {
        Scenario::of([
            Answer::write("hello.txt", "hello from the mock\n"),
            Answer::bash(
                "git add hello.txt && git -c user.name=Agent -c user.email=agent@example.invalid commit -q -m 'hello: written by the agent'",
            ),
            Answer::text("DONE: hello.txt committed."),
        ])
    }

    /// Every call fails with this status.
    pub fn every_call_answers(status: u16) -> Self {
        Scenario::always(Answer::Status(status))
    }

    /// A command that writes its shell's pid into `tool.pid` and goes on until there is a file `tool.stop` (or
    /// for two minutes): for what is done to an agent in mid-tool. Create `tool.stop` at the end: the
    /// shell outlives an agent that is killed.
    pub fn runs_a_command_until_told_to_stop() -> Self {
        Scenario::of([
            Answer::bash(
                "echo $$ > tool.pid.new; mv tool.pid.new tool.pid; i=0; \
                 while [ ! -e tool.stop ] && [ $i -lt 1200 ]; do sleep 0.1; i=$((i+1)); done; echo stopped",
            ),
            Answer::text("DONE: the command was told to stop."),
        ])
    }

    /// A command in the background that ends after the turn does: the agent is woken and has two last words.
    pub fn has_two_last_words() -> Self {
        Scenario::of([
            Answer::background_bash("sleep 1; echo background over"),
            Answer::text("The command runs in the background."),
            Answer::text("DONE: the background command is over."),
        ])
    }

    /// Two turns: the first says `FIRST`, a follow-up that resumes the session gets `SECOND`.
    pub fn answers_a_follow_up() -> Self {
        Scenario::of([Answer::text("FIRST"), Answer::text("SECOND")])
    }

    fn answer(&self, said: usize) -> Answer {
        self.always
            .clone()
            .or_else(|| self.answers.get(said).cloned())
            .unwrap_or_else(|| Answer::text("(the scenario has no more answers)"))
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET`, `POST`, `HEAD` …
    pub method: String,
    /// The path after the scenario's prefix.
    pub path: String,
    /// The key that came with it, by either header.
    pub key: Option<String>,
    /// The body, if it was JSON.
    pub body: Value,
}

impl Seen {
    /// It asks the model for an answer.
    pub fn is_call(&self) -> bool {
        self.method == "POST" && self.path.trim_end_matches('/') == "/v1/messages"
    }

    /// How many answers of the assistant it carries.
    pub fn answers_so_far(&self) -> usize {
        answers_in(&self.body)
    }

    /// All its messages as one text, to look for words in.
    pub fn messages_text(&self) -> String {
        self.body["messages"].to_string()
    }
}

#[derive(Default)]
struct Inner {
    scenarios: HashMap<String, Scenario>,
    seen: Vec<Seen>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    came: Condvar,
}

/// The running mock. It ends when it is dropped.
pub struct MockApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<Infallible>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MockApi {
    /// Starts on a free port of loopback, on a thread of its own: for tests with and without a runtime.
    pub fn start() -> Self {
        let listener =
            std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        listener
            .set_nonblocking(true)
            .expect("a socket can be non-blocking");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<Infallible>();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .expect("the runtime takes the socket");
                let router = Router::new().fallback(answer).with_state(state);
                tokio::select! {
                    served = axum::serve(listener, router) => served.expect("the mock serves"),
                    _ = stopped => {}
                }
            });
        });
        MockApi {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Offers a scenario: the answer is the `ANTHROPIC_BASE_URL` that plays it.
    pub fn serve(&self, scenario: Scenario) -> String {
        format!("{}/s/{}", self.url(), self.add(scenario))
    }

    /// Offers a scenario to whoever uses the bare [`MockApi::url`] and has the returned words in its prompt.
    pub fn mark(&self, scenario: Scenario) -> String {
        format!("[scenario {}]", self.add(scenario))
    }

    /// The bare base URL, for prompts with a [`MockApi::mark`].
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared
            .inner
            .lock()
            .expect("no test panicked in here")
            .seen
            .clone()
    }

    /// The requests so far that asked the model for an answer.
    pub fn calls(&self) -> Vec<Seen> {
        self.requests().into_iter().filter(Seen::is_call).collect()
    }

    /// Waits until the model was asked `count` times; panics if it was not within the deadline.
    pub fn wait_for_calls(&self, count: usize, within: Duration) -> Vec<Seen> {
        let deadline = Instant::now() + within;
        let mut inner = self.shared.inner.lock().expect("no test panicked in here");
        while inner.seen.iter().filter(|seen| seen.is_call()).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the model was not asked {count} times within {within:?}"
            );
            (inner, _) = self
                .shared
                .came
                .wait_timeout(inner, left)
                .expect("no test panicked in here");
        }
        inner
            .seen
            .iter()
            .filter(|seen| seen.is_call())
            .cloned()
            .collect()
    }

    fn add(&self, scenario: Scenario) -> String {
        let mut inner = self.shared.inner.lock().expect("no test panicked in here");
        let name = inner.scenarios.len().to_string();
        inner.scenarios.insert(name.clone(), scenario);
        name
    }
}

impl Drop for MockApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there was seen as a broken connection here.
            let _ = thread.join();
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    let (scenario, path) = split(head.uri.path());
    let header = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let seen = Seen {
        method: head.method.to_string(),
        path,
        key: header("x-api-key").or_else(|| header("authorization")),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let scenario = {
        let mut inner = shared.inner.lock().expect("no test panicked in here");
        inner.seen.push(seen.clone());
        shared.came.notify_all();
        let name = scenario.or_else(|| marked(&seen.body));
        name.and_then(|name| inner.scenarios.get(&name).cloned())
    };
    if seen.method == "HEAD" {
        return StatusCode::OK.into_response();
    }
    if seen.path.ends_with("/count_tokens") {
        return axum::Json(json!({"input_tokens": TOKENS.0})).into_response();
    }
    if !seen.is_call() {
        return error(404, "no such path in the mock");
    }
    match scenario {
        None => error(400, "no such scenario in the mock"),
        Some(scenario) => spoken(scenario.answer(seen.answers_so_far()), &seen.body),
    }
}

/// `/s/<scenario>/rest` becomes the scenario and `/rest`.
fn split(path: &str) -> (Option<String>, String) {
    let Some((scenario, rest)) = path
        .strip_prefix("/s/")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    else {
        return (None, path.to_owned());
    };
    (Some(scenario.to_owned()), format!("/{rest}"))
}

fn marked(body: &Value) -> Option<String> {
    let text = body["messages"].to_string();
    let (_, after) = text.split_once("[scenario ")?;
    after.split_once(']').map(|(name, _)| name.to_owned())
}

fn answers_in(body: &Value) -> usize {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages
        .filter(|message| message["role"] == "assistant")
        .count()
}

fn spoken(answer: Answer, request: &Value) -> Response {
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

fn error(status: u16, message: &str) -> Response {
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
