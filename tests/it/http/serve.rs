//! Streams, and connections over a real socket.

use std::time::Duration;

use agent_runner_api::http::serve::{Stopping, serve_at_most};
use agent_runner_api::http::{Guard, guarded, serve, sse};
use agent_runner_api::journal::{Cursor, Frame, FrameName};
use axum::Extension;
use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

fn frame(seq: u64, json: &str) -> Frame {
    Frame {
        id: Cursor { seq, offset: 12 },
        name: FrameName::Status,
        json: json.to_owned(),
    }
}

#[test]
fn a_frame_is_an_id_a_name_and_one_line() {
    let bytes = frame(7, r#"{"status":"running"}"#).bytes();
    insta::assert_snapshot!(String::from_utf8(bytes.to_vec()).unwrap(), @r#"
    id: 7-12
    event: status
    data: {"status":"running"}
    "#);
}

#[test]
fn a_line_break_cannot_make_a_frame_of_its_own() {
    let bytes = frame(7, "{\n\n\"id\":\r1}").bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.ends_with("data: {  \"id\": 1}\n\n"), "{text}");
    assert_eq!(text.lines().count(), 4);
}

/// The frames as a stream has them.
fn bytes_of(frames: mpsc::Receiver<Frame>) -> impl futures_util::Stream<Item = Bytes> + Send {
    futures_util::stream::unfold(frames, async |mut frames| {
        let frame = frames.recv().await?;
        Some((frame.bytes(), frames))
    })
}

/// A stream that stands on its own.
async fn stream(frames: mpsc::Receiver<Frame>) -> axum::response::Response {
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    sse::answer(bytes_of(frames), place, Stopping::default())
}

#[tokio::test]
async fn a_stream_ends_with_its_frames() {
    let (send, frames) = mpsc::channel(2);
    send.send(frame(1, "{}")).await.unwrap();
    drop(send);
    let response = stream(frames).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let all = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(all, "retry: 1000\n\nid: 1-12\nevent: status\ndata: {}\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_a_heartbeat_each_fifteen_seconds() {
    let (_send, frames) = mpsc::channel(1);
    let mut body = stream(frames).await.into_body();
    let begun = Instant::now();
    let mut beats = Vec::new();
    while beats.len() < 3 {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        beats.push((
            String::from_utf8(piece.to_vec()).unwrap(),
            begun.elapsed().as_secs(),
        ));
    }
    let heartbeat = ": heartbeat\n\n".to_owned();
    let expected = [
        ("retry: 1000\n\n".to_owned(), 0),
        (heartbeat.clone(), 15),
        (heartbeat, 30),
    ];
    assert_eq!(beats, expected);
}

/// A server with one quick route, one stream that never ends by itself, and one answer that never comes.
struct Server {
    port: u16,
    /// Told each time that `/never` is asked for.
    reached: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(most: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let follow = async |Extension(stopping): Extension<Stopping>| {
            let (send, frames) = mpsc::channel(1);
            let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
            tokio::spawn(async move {
                send.closed().await;
            });
            sse::answer(bytes_of(frames), place, stopping)
        };
        let reached = Arc::new(Notify::new());
        let told = Arc::clone(&reached);
        let routes = Router::new()
            .route("/quick", get(async || "quick"))
            .route("/stream", get(follow))
            .route(
                "/never",
                get(async move || {
                    told.notify_one();
                    std::future::pending::<()>().await;
                }),
            );
        let router = guarded(routes, Guard::new(port, vec![]));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(async move {
            match most {
                Some(most) => serve_at_most(most, listener, router, shutdown).await,
                None => serve(listener, router, shutdown).await,
            }
        });
        Server {
            port,
            reached,
            stop,
            served,
        }
    }

    async fn get(&self, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{}\r\n\r\n",
            self.port
        );
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }
}

/// Reads until this has come.
async fn read_until(client: &mut TcpStream, sought: &str) -> String {
    let mut text = String::new();
    while !text.contains(sought) {
        let mut piece = [0; 4096];
        let n = timeout(Duration::from_secs(10), client.read(&mut piece))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(n, 0, "the connection ended; so far: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    text
}

async fn rest(client: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), client.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn when_the_service_stops_streams_end_whole_and_the_rest_is_cut_after_two_seconds() {
    let server = Server::start(None).await;
    let mut following = server.get("/stream").await;
    read_until(&mut following, "retry: 1000").await;
    let mut idle = server.get("/quick").await;
    read_until(&mut idle, "quick").await;
    let mut stuck = server.get("/never").await;
    let reached = timeout(Duration::from_secs(10), server.reached.notified());
    reached.await.unwrap();
    let asked = Instant::now();
    server.stop.send(()).unwrap();
    assert!(
        rest(&mut following).await.ends_with("0\r\n\r\n"),
        "the last chunk is missing"
    );
    assert_eq!(rest(&mut idle).await, "");
    assert!(asked.elapsed() < Duration::from_secs(2));
    server.served.await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4));
    assert_eq!(rest(&mut stuck).await, "");
    assert!(
        TcpStream::connect(("127.0.0.1", server.port))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn beyond_the_cap_a_client_is_told_to_come_back() {
    let server = Server::start(Some(1)).await;
    let mut first = server.get("/stream").await;
    read_until(&mut first, "retry: 1000").await;
    let mut second = server.get("/quick").await;
    let answer = rest(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"too_busy\""), "{answer}");
    drop(first);
    server.stop.send(()).unwrap();
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_next_client_is_served() {
    let server = Server::start(None).await;
    let mut client = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    client
        .write_all(b"\x16\x03\x01 hello\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 400 "));
    let mut next = server.get("/quick").await;
    read_until(&mut next, "quick").await;
    server.stop.send(()).unwrap();
    server.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_middle_of_its_headers_is_let_go() {
    let server = Server::start(None).await;
    let mut client = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    client
        .write_all(b"GET /quick HTTP/1.1\r\nhost: lo")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    timeout(Duration::from_secs(60), read)
        .await
        .unwrap()
        .unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200"));
}
