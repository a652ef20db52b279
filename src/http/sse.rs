//! Server-sent events: the frames of a stream as an answer, with a heartbeat between them.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use utoipa::ToSchema;

use super::serve::Stopping;
use crate::journal::FrameName;

/// How often a comment is sent, so that both sides notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Tells the client how soon to come back when the connection ends.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// The last word of a service that stops. Without an id, so that its reader stays where it is.
const STOPPING: &[u8] = b"retry: 1000\nevent: stopping\ndata: {\"retry_ms\":1000}\n\n";

/// The fields of a frame.
#[derive(Debug, ToSchema)]
#[schema(as = Frame)]
#[expect(dead_code, reason = "the shape, for the OpenAPI document")]
pub struct FrameShape {
    /// The cursor that resumes after this frame.
    #[schema(pattern = "^[0-9]+-[0-9]+$")]
    id: String,
    /// What it is.
    event: FrameName,
    /// One line of JSON.
    data: String,
}

/// What an open stream holds on to.
struct Open<F> {
    frames: Pin<Box<F>>,
    heartbeat: Interval,
    stopping: Stopping,
    over: bool,
    _place: OwnedSemaphorePermit,
}

enum Next {
    Frames(Bytes),
    Heartbeat,
    Stopping,
    End,
}

/// The frames as a response that ends with them, or says that the service stops.
#[must_use]
pub fn answer(
    frames: impl Stream<Item = Bytes> + Send + 'static,
    place: OwnedSemaphorePermit,
    stopping: Stopping,
) -> Response {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        frames: Box::pin(frames),
        heartbeat,
        stopping,
        over: false,
        _place: place,
    };
    let first =
        stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from_static(RETRY)) });
    let rest = stream::unfold(open, async |mut open| {
        let bytes = match open.next().await {
            Next::Frames(bytes) => bytes,
            Next::Heartbeat => Bytes::from_static(b": heartbeat\n\n"),
            Next::Stopping => Bytes::from_static(STOPPING),
            Next::End => return None,
        };
        Some((Ok(bytes), open))
    });
    let mut response = Response::new(Body::from_stream(first.chain(rest)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

impl<F: Stream<Item = Bytes>> Open<F> {
    async fn next(&mut self) -> Next {
        if self.over {
            return Next::End;
        }
        tokio::select! {
            biased;
            () = self.stopping.told() => {
                self.over = true;
                Next::Stopping
            }
            bytes = self.frames.next() => bytes.map_or(Next::End, Next::Frames),
            _ = self.heartbeat.tick() => Next::Heartbeat,
        }
    }
}
