//! The door for programs: requests become calls of `App`, its answers become JSON.
//!
//! No business here: what may be asked and what comes of it is decided behind `App`. A request passes, from
//! the outside in: `serve` (connections and their limits), `failed` (answers that are the service's fault are noted),
//! `finish` (ids, headers, problems written out), the catch for panics, `guard`, `caller` (whose token it is, and what
//! that opens), and one of the `routes`. Absent: tokens of people, TLS, HTTP/2.

mod caller;
mod docs;
mod failed;
mod finish;
pub mod guard;
mod mcp;
pub mod problem;
pub mod read;
mod routes;
pub mod serve;
pub mod sse;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;

pub use docs::openapi;
pub use guard::Guard;
pub use serve::serve;

use problem::Problem;

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct Door {
    app: Arc<App>,
    guard: Guard,
    /// Where agents ask about their own run.
    mcp: mcp::Endpoint,
    /// A permit for each stream that is open at the same time.
    streams: Arc<Semaphore>,
}

/// All routes behind all layers.
pub fn router(app: Arc<App>, guard: Guard) -> Router {
    let door = Door {
        mcp: mcp::Endpoint::new(app.clone()),
        app,
        guard: guard.clone(),
        streams: Arc::new(Semaphore::new(serve::most_streams())),
    };
    let app = door.app.clone();
    let (routes, _) = routes::all().split_for_parts();
    let routes = answered(routes.with_state(door));
    let known = routes.layer(from_fn_with_state(app.clone(), caller::look));
    layered(known, guard).layer(from_fn_with_state(app, failed::note))
}

/// These routes behind the layers that every answer passes, those for unknown paths included.
pub fn guarded(routes: Router, guard: Guard) -> Router {
    layered(answered(routes), guard)
}

/// These routes, with an answer for each path and method that they do not have.
fn answered(routes: Router) -> Router {
    routes
        .fallback(async || Problem::of_status(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::of_status(StatusCode::METHOD_NOT_ALLOWED))
}

fn layered(routes: Router, guard: Guard) -> Router {
    routes
        // Each reader of a body has its own limit and counts for itself.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(guard, guard::look))
        .layer(CatchPanicLayer::custom(of_panic))
        .layer(from_fn(finish::finish))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that the layer asks for"
)]
fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("nothing");
    Problem::internal(anyhow::anyhow!("a handler panicked: {said}")).into_response()
}
