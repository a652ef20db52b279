//! Who asks, by the token that they show, and what that opens.
//!
//! A request without a token is open: this is a door on loopback. A request with the token of a run's agent opens what is
//! on the list here, of that run, and nothing else: what is new is closed until it stands on the list. A token that
//! nobody knows opens nothing. Absent: tokens of people.

use std::sync::Arc;

use axum::RequestPartsExt as _;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};
use crate::app::App;
use crate::app::request::NewEvidence;
use crate::dod::Author;
use crate::run::RunId;

/// What the token of an agent opens, of its own run.
const OPEN_TO_AGENTS: &[(&str, &str)] = &[
    ("GET", "/api/runs/{id}"),
    ("GET", "/api/runs/{id}/gate"),
    ("GET", "/api/runs/{id}/checks"),
    ("GET", "/api/runs/{id}/evidence"),
    ("GET", "/api/runs/{id}/evidence/{eid}/payload"),
    ("POST", "/api/runs/{id}/evidence"),
    ("POST", "/api/runs/{id}/may-end"),
    ("POST", "/mcp"),
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody on this machine who showed no token.
    Open,
    /// The agent of this run.
    Agent(RunId),
}

impl Caller {
    /// The run whose agent asks, for what nobody else can ask.
    pub(crate) fn own_run(self) -> Result<RunId, Problem> {
        match self {
            Caller::Agent(run) => Ok(run),
            Caller::Open => Err(Problem::new(
                Code::Unauthorized,
                "only the agent of a run can ask this; it has a token in AGENT_RUNNER_TOKEN",
            )),
        }
    }

    /// Evidence of an agent is an agent's and nobody else's, whatever it says.
    pub(crate) fn signs(self, evidence: &mut NewEvidence) {
        if let Caller::Agent(_) = self {
            evidence.author = Some(Author::Agent);
            evidence.attached_by = None;
        }
    }
}

/// The layer: says to handlers who asks, or refuses.
pub(super) async fn look(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match caller(&app, &mut parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn caller(app: &App, parts: &mut Parts) -> Result<Caller, Problem> {
    let Some(token) = bearer(&parts.headers)? else {
        return Ok(Caller::Open);
    };
    let run = app.agent_of(token)?;
    if is_open_to(run, parts).await {
        return Ok(Caller::Agent(run));
    }
    Err(Problem::new(
        Code::Forbidden,
        "the token of an agent opens what its own run must show and what was shown for it, and nothing else",
    ))
}

/// The token, if one is shown.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = all.next() else {
        return Ok(None);
    };
    let token = first.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    match (token, all.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(Problem::new(
            Code::Unauthorized,
            "send one `Authorization: Bearer <token>`, or none",
        )),
    }
}

async fn is_open_to(run: RunId, parts: &mut Parts) -> bool {
    let Some(path) = parts.extensions.get::<MatchedPath>().cloned() else {
        return false;
    };
    // Whoever may read may ask for the head of it.
    let method = match &parts.method {
        &Method::HEAD => "GET",
        other => other.as_str(),
    };
    if !OPEN_TO_AGENTS.contains(&(method, path.as_str())) {
        return false;
    }
    let Ok(variables) = parts.extract::<RawPathParams>().await else {
        return false;
    };
    let own = run.to_string();
    // The beginning of its id stands for this run, or for no single one.
    let named = variables.iter().find(|(name, _)| *name == "id");
    named.is_none_or(|(_, id)| own.starts_with(&id.to_ascii_lowercase()))
}
