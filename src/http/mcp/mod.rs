//! `/mcp`: the Model Context Protocol over streamable HTTP, for the agent of a run, which its token names.
//!
//! Stateless, each request answered by one JSON document: there is no session that a restart of the service could lose,
//! so the agent's client goes on after one as if nothing had been. It lies behind the same guard as everything else; the
//! protocol's own look at `Host` is done there already, to the letter.
//!
//! Deliberately absent: streams from the service to the agent (`GET` is 405), prompts, resources, and every tool that
//! judges, changes a run's life, or looks at another run.

mod tools;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::Door;
use super::caller::Caller;
use super::docs::Answers;
use super::problem::Problem;
use super::read::body::whole;
use crate::app::App;

use tools::Tools;

/// The endpoint.
#[derive(Clone)]
pub(super) struct Endpoint(StreamableHttpService<Tools, NeverSessionManager>);

impl Endpoint {
    pub(super) fn new(app: Arc<App>) -> Endpoint {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The guard has looked at `Host` and `Origin`.
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let tools = Tools::new(app);
        let manager = Arc::new(NeverSessionManager::default());
        Endpoint(StreamableHttpService::new(
            move || Ok(tools.clone()),
            manager,
            config,
        ))
    }
}

/// What an agent can ask and do, by the Model Context Protocol
///
/// Only with the token of a run's agent. The tools are `definition_of_done`, `attach_evidence` and `check_results`, of that
/// run.
#[utoipa::path(
    post, path = "/mcp", tag = "agent", operation_id = "mcp",
    request_body(content_type = "application/json", description = "A JSON-RPC request or notification"),
    responses(
        (status = 200, content_type = "application/json", description = "The JSON-RPC answer"),
        (status = 202, description = "A notification was taken"),
        Answers<408>, Answers<413>, Answers<415>, Answers<422>,
    ),
)]
pub(super) async fn post(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    caller.own_run()?;
    let (parts, body) = request.into_parts();
    let bytes = whole(Request::new(body)).await?;
    let request = Request::from_parts(parts, Body::from(bytes));
    Ok(door.mcp.0.handle(request).await.into_response())
}
