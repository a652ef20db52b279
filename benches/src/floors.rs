//! The floor of a server: the same library for HTTP, the same answers, no database, and each reader's frames encoded for
//! that reader alone, as a server of a few lines does it. A process of its own, as the service is.

use std::convert::Infallible;
use std::io::BufRead as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::printer::LAST;
use crate::processes::program;

/// How many frames may wait for a reader.
const WAITING: usize = 65_536;

#[derive(Debug)]
struct Shared {
    list: Value,
    frames: broadcast::Sender<Option<Arc<str>>>,
}

/// Serves until its standard input ends. First comes a line with the answer of the list; then each line `N` sends N
/// frames to all readers.
pub fn serve() -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let list: Value = serde_json::from_str(&lines.next().context("no answer")??)?;
    let (frames, _) = broadcast::channel(WAITING);
    let shared = Arc::new(Shared { list, frames });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/api/runs", get(list_of).post(insert))
        .route("/sse", get(follow))
        .route("/health", get(|| async { "ok" }))
        .route("/nothing", post(|| async {}))
        .with_state(shared.clone());
    runtime.spawn(async move {
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router).await
    });
    for line in lines {
        let count: u64 = line?.trim().parse()?;
        for n in 0..count {
            let text: Arc<str> = format!("{}{:07}", "x".repeat(92), n).into();
            // Nobody listens: nothing to send.
            let _ = shared.frames.send(Some(text));
        }
        let _ = shared.frames.send(None);
    }
    Ok(())
}

async fn list_of(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    // Encoded each time, as an answer that was read from somewhere is.
    Json(shared.list.clone())
}

async fn insert(State(_): State<Arc<Shared>>, Json(body): Json<Value>) -> impl IntoResponse {
    let answer = json!({
        "run_id": "0196f0a0-0000-7000-8000-000000000000", "branch": "auto/x", "worktree_path": "/tmp/x",
        "sse_url": "/api/runs/x/sse", "status": "queued", "prompt": body["prompt"],
    });
    (
        axum::http::StatusCode::ACCEPTED,
        [(CONTENT_TYPE, "application/json")],
        answer.to_string(),
    )
}

async fn follow(
    State(shared): State<Arc<Shared>>,
) -> Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>> {
    let inbox = shared.frames.subscribe();
    Sse::new(stream::unfold(
        (inbox, 0_u64),
        |(mut inbox, n)| async move {
            let text = match inbox.recv().await {
                Ok(Some(text)) => text,
                Ok(None) => LAST.into(),
                Err(_) => return None,
            };
            let body = json!({"run_id": "0196f0a0-0000-7000-8000-000000000000", "attempt": 1, "text": &*text});
            let event = Event::default()
                .id(format!("1-{n}"))
                .event("output")
                .json_data(body);
            Some((Ok(event.unwrap_or_default()), (inbox, n + 1)))
        },
    ))
}

/// The floor at work, from the outside.
pub struct Floor {
    pub url: String,
    child: Child,
    input: ChildStdin,
}

impl Floor {
    pub fn start(list: &Value) -> anyhow::Result<Floor> {
        use std::io::Write as _;
        let own = std::env::current_exe()?;
        let mut child = program(&own.display().to_string())
            .arg("--as-floor")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("no stdin")?;
        writeln!(input, "{list}")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no stdout")?;
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .context("the floor does not start")?;
        Ok(Floor {
            url: url.to_owned(),
            child,
            input,
        })
    }

    pub fn send(&mut self, frames: u64) -> anyhow::Result<()> {
        use std::io::Write as _;
        writeln!(self.input, "{frames}")?;
        self.input.flush()?;
        Ok(())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
