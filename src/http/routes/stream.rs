//! What goes on, as it goes on: events of one run, of all runs, and the agent's raw output.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use crate::http::docs::Answers;
use crate::http::problem::{Code, Problem};
use crate::http::read::since::Moment;
use crate::http::read::{Query, Segments};
use crate::http::serve::Stopping;
use crate::http::sse::FrameShape;
use crate::http::{Door, sse};
use crate::journal::Cursor;
use crate::run::Status;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_OUTPUT_OFFSET: HeaderName = HeaderName::from_static("x-output-offset");

/// Follow one run
#[utoipa::path(
    get, path = "/api/runs/{id}/sse", tag = "streams", operation_id = "follow_run",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,18}(-[0-9]{1,18})?$",
            description = "The id of the last frame that was seen; `0` replays all"),
        ("last-event-id" = Option<String>, Header, pattern = "^([0-9]{1,18}(-[0-9]{1,18})?)?$",
            description = "The same, as browsers send it; wins over `after`"),
    ),
    responses((status = 200, content_type = "text/event-stream", body = FrameShape, description = "Frames like this one, for as long as there are any"),
        Answers<404>, Answers<409>, Answers<422>),
)]
pub async fn run(
    State(door): State<Door>,
    stopping: Option<Extension<Stopping>>,
    Segments(run): Segments<String>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let after = query.text("after");
    query.finish()?;
    let after = cursor(&headers, after)?;
    let place = door.stream_place()?;
    let frames = door.app.follow_run(&run, after).await?;
    Ok(sse::answer(frames, place, told(stopping)))
}

/// Follow all runs
#[utoipa::path(
    get, path = "/api/events", tag = "streams", operation_id = "follow_all",
    params(
        ("status" = Option<Vec<Status>>, Query, description = "Of these statuses; may repeat or be a comma list"),
        ("app" = Option<String>, Query, max_length = 512, description = "Of this `kanban_app`"),
        ("since" = inline(Option<Moment>), Query,
            description = "Made at or after: RFC 3339, unix seconds, or an age (`24h`, `7d`)"),
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,18}(-[0-9]{1,18})?$",
            description = "The id of the last frame that was seen; `0` replays all"),
        ("last-event-id" = Option<String>, Header, pattern = "^([0-9]{1,18}(-[0-9]{1,18})?)?$",
            description = "The same, as browsers send it; wins over `after`"),
    ),
    responses((status = 200, content_type = "text/event-stream", body = FrameShape, description = "Frames like this one, for as long as there are any"),
        Answers<422>),
)]
pub async fn all(
    State(door): State<Door>,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let (filter, after) = (query.filter(), query.text("after"));
    query.finish()?;
    let after = cursor(&headers, after)?;
    let place = door.stream_place()?;
    let frames = door.app.follow_all(filter, after).await?;
    Ok(sse::answer(frames, place, told(stopping)))
}

/// What the agent printed
#[utoipa::path(
    get, path = "/api/runs/{id}/output", tag = "streams", operation_id = "run_output",
    params(
        ("id" = String, Path, description = "The run's id, or 6 or more characters that begin it"),
        ("after" = Option<i64>, Query, minimum = 0, description = "From this byte on; 0 if absent"),
        ("follow" = Option<bool>, Query, description = "Whether to wait for more until the run is at rest; no if absent"),
    ),
    responses((status = 200, content_type = "application/octet-stream", description = "Raw bytes",
            headers(("x-output-offset" = u64, description = "The offset of the first byte"))),
        Answers<404>, Answers<409>, Answers<410>, Answers<422>),
)]
pub async fn output(
    State(door): State<Door>,
    stopping: Option<Extension<Stopping>>,
    Segments(run): Segments<String>,
    mut query: Query,
) -> Result<Response, Problem> {
    let after = query.one::<Offset>("after", "a number of bytes");
    let follow = query.one("follow", "`true` or `false`").unwrap_or(false);
    query.finish()?;
    let after = after.map_or(0, |Offset(bytes)| bytes);
    let place = door.stream_place()?;
    let pieces = door.app.output(&run, after, follow).await?;
    let mut response = Response::new(body(pieces, place, told(stopping)));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_OUTPUT_OFFSET, HeaderValue::from(after));
    Ok(response)
}

/// A place in a file: no file is longer than the largest signed number.
struct Offset(u64);

impl FromStr for Offset {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let signed = text.parse::<i64>().map_err(|_| ())?;
        u64::try_from(signed).map(Offset).map_err(|_| ())
    }
}

/// The pieces as a body that ends with them, or when the service stops.
fn body(
    pieces: impl Stream<Item = Bytes> + Send + 'static,
    place: OwnedSemaphorePermit,
    stopping: Stopping,
) -> Body {
    let stopped = async move { stopping.told().await };
    let pieces = pieces.map(move |piece| {
        let _until_the_end = &place;
        Ok::<_, Infallible>(piece)
    });
    Body::from_stream(pieces.take_until(stopped))
}

/// Where the reader is: as its browser says, else as the address says.
fn cursor(headers: &HeaderMap, after: Option<String>) -> Result<Option<Cursor>, Problem> {
    let resumed = headers
        .get(LAST_EVENT_ID)
        .filter(|value| !value.is_empty())
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let place = |text: String| {
        text.parse()
            .map_err(|e: crate::journal::NotACursor| Problem::new(Code::BadCursor, e.to_string()))
    };
    let (resumed, after) = (resumed.map(place), after.map(place));
    Ok(resumed.transpose()?.or(after.transpose()?))
}

fn told(stopping: Option<Extension<Stopping>>) -> Stopping {
    stopping.map_or_else(Stopping::default, |Extension(stopping)| stopping)
}

impl Door {
    fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| Problem::new(Code::TooBusy, "too many streams are open; try again"))
    }
}
