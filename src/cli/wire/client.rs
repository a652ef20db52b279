//! Requests and answers.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{AsSendBody, Body};

use super::Problem;
use crate::cli::error::CliError;
use crate::config::{ServerArgs, Surroundings};

/// Time to reach a server on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time until an answer begins. The slowest is a merge that waits for its place in the queue.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The largest answer that is held: a list of runs is far smaller. Streams and raw output have no such limit.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Which server is meant, and how its answers are shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Connection {
    /// URL of the server [env: AGENT_RUNNER_SERVER] [default: http://127.0.0.1:<port of the settings>]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub server: Option<String>,
    /// Print the API's JSON unchanged
    #[arg(long, help_heading = "Connection")]
    pub json: bool,
}

impl Connection {
    /// The server that is meant. Not yet reached.
    pub fn client(&self, around: &Surroundings) -> Result<Client, CliError> {
        let named = self
            .server
            .as_deref()
            .or_else(|| around.variable(crate::config::SERVER_ENV));
        let server = match named {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => match crate::config::port(&ServerArgs::default(), around)? {
                0 => {
                    let why = "port 0 in the settings names no server: say --server URL".to_owned();
                    return Err(CliError::Usage(why));
                }
                port => format!("http://127.0.0.1:{port}"),
            },
        };
        Client::new(server)
    }
}

/// An answer with a good status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as it came.
    pub text: String,
    /// The body as JSON; `Null` if it is empty.
    pub value: Value,
}

/// A server that can be asked.
#[derive(Clone)]
pub struct Client {
    server: String,
    agent: ureq::Agent,
    /// The whole header, with the token of who asks.
    authorization: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Client");
        told.field("server", &self.server).finish_non_exhaustive()
    }
}

impl Client {
    /// The server at this URL (`http://host:port`).
    pub fn new(server: String) -> Result<Client, CliError> {
        if !server.starts_with("http://") {
            let why =
                format!("{server} is no URL of a server: write it like http://127.0.0.1:8486");
            return Err(CliError::Usage(why));
        }
        Ok(Client {
            server,
            agent: agent(ANSWER_TIMEOUT),
            authorization: None,
        })
    }

    /// The same, with the token of who asks.
    #[must_use]
    pub fn with_token(self, token: &str) -> Client {
        Client {
            authorization: Some(format!("Bearer {token}")),
            ..self
        }
    }

    /// The same, that waits for an answer only so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Client {
        Client {
            agent: agent(patience),
            ..self
        }
    }

    /// The server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Asks for JSON.
    pub fn fetch(&self, path: &str) -> Result<Answer, CliError> {
        self.answer(self.open(path, &[])?)
    }

    /// Sends JSON.
    pub fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer, CliError> {
        self.send_bytes(method, path, "application/json", body.to_string())
    }

    /// Sends a request without a body.
    pub fn delete(&self, path: &str) -> Result<Answer, CliError> {
        let request = self.request(Method::DELETE, path).body(());
        self.answer(self.call(request)?)
    }

    /// Sends a body of this media type.
    pub fn send_bytes(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: impl AsSendBody,
    ) -> Result<Answer, CliError> {
        let request = self.request(method, path);
        self.answer(self.call(request.header("content-type", media_type).body(body))?)
    }

    /// Opens an answer to read it as it comes.
    pub fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, CliError> {
        let mut request = self.request(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(()))
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server));
        if let Some(authorization) = &self.authorization {
            // What the Model Context Protocol asks of clients; the API takes no notice of it.
            request = request
                .header("authorization", authorization)
                .header("accept", "application/json, text/event-stream");
        }
        request
    }

    fn call<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
    ) -> Result<Response<Body>, CliError> {
        let request = request.map_err(|why| CliError::Usage(format!("{}: {why}", self.server)))?;
        let path = request.uri().path().to_owned();
        let mut response = self
            .agent
            .run(request)
            .map_err(|why| self.unreachable(&why))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read_text(response.body_mut()).unwrap_or_default();
        Err(CliError::Refused(Box::new(Problem {
            status: status.as_u16(),
            document: serde_json::from_str(&body).unwrap_or_default(),
            body,
            run: run_in(&path),
        })))
    }

    fn unreachable(&self, why: &ureq::Error) -> CliError {
        CliError::Unreachable {
            server: self.server.clone(),
            why: match why {
                ureq::Error::Io(why) => why.to_string(),
                other => other.to_string(),
            },
        }
    }

    fn answer(&self, mut response: Response<Body>) -> Result<Answer, CliError> {
        let status = response.status().as_u16();
        let text = read_text(response.body_mut()).context("the server's answer broke off")?;
        let value = match text.trim() {
            "" => Value::Null,
            json => serde_json::from_str(json)
                .with_context(|| format!("what answers at {} is not this API", self.server))?,
        };
        Ok(Answer {
            status,
            text,
            value,
        })
    }
}

fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(patience))
        .build()
        .new_agent()
}

fn read_text(body: &mut Body) -> std::io::Result<String> {
    let mut text = String::new();
    let mut reader = body.with_config().limit(MAX_ANSWER_BYTES).reader();
    reader.read_to_string(&mut text)?;
    Ok(text)
}

/// The run that a path is about, as the person named it.
fn run_in(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/api/runs/")?;
    rest.split('/').next().map(str::to_owned)
}
