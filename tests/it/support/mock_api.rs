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
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

mod scenario;
mod speech;

pub use scenario::{Answer, Scenario};
use speech::{error, spoken};

/// Tokens that each answer says it used: `(input, output, cache read, cache creation)`.
pub const TOKENS: (u64, u64, u64, u64) = (1200, 25, 900, 100);

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
