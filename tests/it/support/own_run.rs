//! What the agent of a run can ask, with what it was given.

use std::fs;

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::run::Run;
use super::server::Server;

/// The mark that lets agents go on that carry out [`WAITING`].
pub const RELEASE: &str = "release";

/// A script whose agent works until it is ended; see [`waiting`] for one that can be let go.
pub const WAITING: &str = "sh echo work > work.txt\nprint at work\nsleep 600";

/// A script whose agent works until the mark `release`.
pub fn waiting(server: &Server) -> String {
    format!(
        "sh echo work > work.txt\nprint at work\nwait-for {}",
        server.mark_path(RELEASE)
    )
}

/// The agent of a run, as far as it asks the service.
pub struct Own {
    client: Client,
    pub token: String,
}

impl Own {
    /// That of the run's first attempt.
    #[track_caller]
    pub fn of(server: &Server, run: &Run<'_>) -> Own {
        let launch = fs::read(server.attempt(&run.id, 1).join("launch.json")).unwrap();
        let launch: Value = serde_json::from_slice(&launch).unwrap();
        let given = |name: &str| {
            let value = find(&launch, name);
            value
                .unwrap_or_else(|| panic!("the agent has no {name}"))
                .to_owned()
        };
        assert_eq!(given("AGENT_RUNNER_RUN_ID"), run.id);
        Own {
            client: Client::of(&given("AGENT_RUNNER_URL")),
            token: given("AGENT_RUNNER_TOKEN"),
        }
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", kind),
            ("accept", "application/json, text/event-stream"),
        ];
        self.client.ask(method, path, &headers, body)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "application/json", b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(
            "POST",
            path,
            "application/json",
            body.to_string().as_bytes(),
        )
    }

    /// Sends a file with these fields.
    #[track_caller]
    pub fn upload(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nbytes\r\n--b--\r\n";
        self.ask(
            "POST",
            path,
            "multipart/form-data; boundary=b",
            body.as_bytes(),
        )
    }

    /// A request of the Model Context Protocol.
    #[track_caller]
    pub fn mcp(&self, method: &str, params: &Value) -> Answer {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.post("/mcp", &call)
    }

    /// The call of a tool.
    #[track_caller]
    pub fn tool(&self, name: &str, arguments: &Value) -> Answer {
        self.mcp("tools/call", &json!({"name": name, "arguments": arguments}))
    }
}

/// The text with this name, wherever it is in there.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let fields = value.as_object()?;
    let here = fields.get(name).and_then(Value::as_str);
    here.or_else(|| fields.values().find_map(|inner| find(inner, name)))
}
