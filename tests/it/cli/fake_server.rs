//! A server on loopback that answers what it is told to, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

/// What a request gets.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    media_type: &'static str,
    body: Bytes,
    stays_open: bool,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply::text(status, "application/json", &body.to_string())
    }

    pub fn problem(status: u16, body: &Value) -> Reply {
        Reply::text(status, "application/problem+json", &body.to_string())
    }

    pub fn text(status: u16, media_type: &'static str, body: &str) -> Reply {
        Reply {
            status,
            media_type,
            body: Bytes::copy_from_slice(body.as_bytes()),
            stays_open: false,
        }
    }

    /// A stream of `(id, event, data)` that is closed after its last event.
    pub fn events(events: &[(&str, &str, Value)]) -> Reply {
        let frame = |(id, event, payload): &(&str, &str, Value)| {
            format!("id: {id}\nevent: {event}\ndata: {payload}\n\n")
        };
        let frames: String = events.iter().map(frame).collect();
        Reply::text(200, "text/event-stream", &frames)
    }

    /// The connection stays open after the body.
    pub fn staying_open(mut self) -> Reply {
        self.stays_open = true;
        self
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path with query.
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct World {
    replies: HashMap<String, VecDeque<Reply>>,
    asked: Vec<Asked>,
}

pub struct FakeServer {
    pub url: String,
    world: Arc<Mutex<World>>,
    _runtime: tokio::runtime::Runtime,
}

impl FakeServer {
    /// Replies by `METHOD /path` without query. Of several for one path each is given once, the last one for ever.
    pub fn start(replies: Vec<(&str, Reply)>) -> FakeServer {
        let mut world = World::default();
        for (line, reply) in replies {
            world
                .replies
                .entry(line.to_owned())
                .or_default()
                .push_back(reply);
        }
        let world = Arc::new(Mutex::new(world));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(world.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        FakeServer {
            url,
            world,
            _runtime: runtime,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.world.lock().unwrap().asked.clone()
    }

    /// The only request that there was.
    pub fn asked_once(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let key = format!("{} {}", parts.method, parts.uri.path());
    let headers = parts.headers.iter();
    let asked = Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let mut world = world.lock().unwrap();
    world.asked.push(asked);
    let reply = match world.replies.get_mut(&key) {
        Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
        Some(replies) => replies[0].clone(),
        None => Reply::problem(
            404,
            &json!({"title": "Not found", "status": 404, "code": "not_found"}),
        ),
    };
    let body = match reply.stays_open {
        true => Body::from_stream(
            stream::iter([Ok::<_, std::io::Error>(reply.body)]).chain(stream::pending()),
        ),
        false => Body::from(reply.body),
    };
    Response::builder()
        .status(reply.status)
        .header("content-type", reply.media_type)
        .body(body)
        .unwrap()
}
