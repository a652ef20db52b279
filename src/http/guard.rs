//! Who may ask at all: the first look at every request, whatever its method and path.
//!
//! A web page that somebody visits can send requests to loopback addresses, and by DNS rebinding it can do so
//! under a name of its own. So the `Host` must be ours to the letter, an `Origin` must be ours or named in the
//! configuration, and what the browser says of the sender (`Sec-Fetch-Site`) must not be another site.
//! Absent here: tokens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderName, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};

/// The names under which a loopback listener is reached.
const LOOPBACK_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The port that a `Host` without one means.
const HTTP_PORT: u16 = 80;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whom the door lets in.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    port: u16,
    hosts: Vec<String>,
    own_origins: Vec<String>,
    allowed_origins: Vec<String>,
}

impl Guard {
    /// The guard of a listener on this port. Pages from `allowed_origins` (`http://localhost:3000`, to the
    /// letter) may ask as well.
    #[must_use]
    pub fn new(port: u16, allowed_origins: Vec<String>) -> Self {
        let mut hosts: Vec<String> = LOOPBACK_NAMES.map(|n| format!("{n}:{port}")).into();
        if port == HTTP_PORT {
            hosts.extend(LOOPBACK_NAMES.map(str::to_owned));
        }
        let own_origins = hosts.iter().map(|host| format!("http://{host}")).collect();
        Guard(Arc::new(Rules {
            port,
            hosts,
            own_origins,
            allowed_origins,
        }))
    }

    /// The port of the listener.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The listed origin that asks, if one does.
    fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
        self.admit_host(uri, headers)?;
        let listed = self.admit_origin(headers)?;
        if listed.is_none() {
            admit_site(headers)?;
        }
        Ok(listed)
    }

    fn admit_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let ours = |host: &str| self.0.hosts.iter().any(|h| h.eq_ignore_ascii_case(host));
        let named = only(headers, &HOST).is_some_and(|host| host.to_str().is_ok_and(ours));
        // A request line with a whole address in it counts more than `Host` (RFC 9112, 3.2.2).
        let in_line = uri.authority().is_none_or(|a| ours(a.as_str()));
        if named && in_line {
            return Ok(());
        }
        let hosts = self.0.hosts.join(", ");
        Err(Problem::new(
            Code::Misdirected,
            format!("send exactly one `Host`, of: {hosts}"),
        ))
    }

    fn admit_origin(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
        if !headers.contains_key(ORIGIN) {
            return Ok(None);
        }
        let is_in = |list: &[String], origin: &HeaderValue| {
            list.iter().any(|o| o.as_bytes() == origin.as_bytes())
        };
        match only(headers, &ORIGIN) {
            Some(origin) if origin == "null" => {}
            Some(origin) if is_in(&self.0.allowed_origins, origin) => {
                return Ok(Some(origin.clone()));
            }
            Some(origin) if is_in(&self.0.own_origins, origin) => return Ok(None),
            _ => {}
        }
        Err(Problem::new(
            Code::OriginRefused,
            "pages of this origin may not ask; the configuration can name it",
        ))
    }
}

fn admit_site(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(&SEC_FETCH_SITE) {
        return Ok(());
    }
    match only(headers, &SEC_FETCH_SITE) {
        Some(site) if site == "same-origin" || site == "none" => Ok(()),
        _ => Err(Problem::new(
            Code::CrossSiteRefused,
            "the browser says that another site asks",
        )),
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

/// The layer: lets the request through to `next`, or refuses it.
pub(super) async fn look(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let listed = match guard.admit(request.uri(), request.headers()) {
        Ok(listed) => listed,
        Err(problem) => return problem.into_response(),
    };
    let Some(origin) = listed else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        preflight_answer()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("location, retry-after, x-output-offset, x-request-id"),
    );
    response
}

fn preflight_answer() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type, idempotency-key, last-event-id, x-request-id"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
