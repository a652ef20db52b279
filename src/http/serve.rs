//! Connections: accepted up to a cap, each with a limit on how long its headers and its readers take.
//!
//! Absent: HTTP/2 and TLS; this is a door on loopback.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use axum::middleware::{from_fn, map_response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::problem::{Code, Problem};

/// A client that has not sent its headers by then is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that takes no byte of what is sent to it for so long is let go; milliseconds for the kernel.
const STUCK_READER_MS: u32 = 30_000;

/// How long answers and streams have to end once the service stops, which is to be over after two seconds.
const GOODBYE: Duration = Duration::from_millis(1500);

/// The most connections, whatever the limit on file descriptors would allow.
const MOST_CONNECTIONS: usize = 16_384;

/// Bytes that a connection holds of what is to be sent, and the longest head of a request.
const BUFFER: usize = 64 * 1024;

/// How many more are told that there are too many; beyond these they are closed without a word.
const MOST_TURNED_AWAY: usize = 32;

/// How long to wait when the system has no file descriptor for a new connection.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// In each request: ends when the service stops, so that streams end with it.
#[derive(Debug, Clone, Default)]
pub struct Stopping(CancellationToken);

impl Stopping {
    /// Comes back when the service stops.
    pub async fn told(&self) {
        self.0.cancelled().await;
    }
}

/// At most half of the file descriptors: the rest is for git, agents and the database.
fn most_connections() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .and_then(|most| usize::try_from(most / 2).ok())
        .map_or(MOST_CONNECTIONS, |half| half.clamp(2, MOST_CONNECTIONS))
}

/// At most half of the connections: the rest is for requests that end.
pub(super) fn most_streams() -> usize {
    most_connections() / 2
}

/// Serves until `shutdown` comes back, and then for at most 1.5 more seconds.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_at_most(most_connections(), listener, router, shutdown).await
}

/// Serves at most so many connections at once; further ones are told to come back.
///
/// # Errors
/// The listener fails for good.
pub async fn serve_at_most(
    most: usize,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let busy = Router::new()
        .fallback(async || Problem::new(Code::TooBusy, "too many connections are open; try again"))
        .layer(from_fn(super::finish::finish))
        .layer(map_response(close));
    let stopping = Stopping::default();
    let places = Arc::new(Semaphore::new(most));
    let turned_away = Arc::new(Semaphore::new(MOST_TURNED_AWAY));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let served = loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) if is_of_one_connection(&e) => continue,
            Err(e) if is_shortage(&e) => {
                tracing::warn!("no more connections for now: {e}");
                tokio::time::sleep(NO_DESCRIPTOR).await;
                continue;
            }
            Err(e) => break Err(e),
        };
        let (place, router) = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => (place, router.clone()),
            Err(_) => match Arc::clone(&turned_away).try_acquire_owned() {
                Ok(place) => (place, busy.clone()),
                Err(_) => continue,
            },
        };
        let stopping = stopping.clone();
        connections.spawn(async move {
            converse(stream, stopping, router).await;
            drop(place);
        });
    };
    drop(listener);
    stopping.0.cancel();
    let gone = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, gone).await.is_err() {
        tracing::warn!("connections that did not end in time are closed");
    }
    served
}

/// The client was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// The system is short of file descriptors or memory; accept(2).
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

/// After this answer the connection ends.
async fn close(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// One connection, from its first request to its end.
async fn converse(stream: TcpStream, stopping: Stopping, router: Router) {
    // Without these the connection works as well, only slower or longer.
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_user_timeout(&stream, STUCK_READER_MS);
    let for_requests = stopping.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(for_requests.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.told() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection ended: {e}");
    }
}
