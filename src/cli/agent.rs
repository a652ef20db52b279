//! `agent dod|evidence|checks|stop-hook`: what the agent of a run can ask from a shell, with what it was given in its
//! environment. The answers are those of the MCP tools, so there is one way to say each thing.

use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::run::text_or_stdin;
use super::screen::{self, escape};
use super::wire::{Client, segment};
use crate::config::{OwnRun, Surroundings};

/// How long a hook waits for the service: less than Claude Code waits for the hook.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of what a hook is told.
const HOOK_INPUT_MAX: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what the run must show, and what is missing
    Dod(Shown),
    /// Attach evidence for an item; commit first
    Evidence(EvidenceArgs),
    /// Show what the service's checks came to
    Checks(Shown),
    /// For a Stop hook: say whether the agent may end
    ///
    /// Reads what the hook is told on standard input. Prints what the agent could still bring, if it is to go on; prints
    /// nothing if it may end, or if the service cannot be asked.
    StopHook,
}

#[derive(Debug, clap::Args)]
struct Shown {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(id = "payload", required = true, multiple = false, args = ["text", "path", "url"])]
struct EvidenceArgs {
    /// Key of the item
    #[arg(long, value_name = "KEY")]
    item: String,
    /// What shows it, in words; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// A file in the worktree, from its root
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Where it can be seen; the service never fetches it
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

pub fn agent(args: &AgentArgs, around: &Surroundings) -> Result<(), CliError> {
    match &args.action {
        Action::Dod(shown) => tool(around, "definition_of_done", &json!({}), shown),
        Action::Checks(shown) => tool(around, "check_results", &json!({}), shown),
        Action::Evidence(args) => evidence(args, around),
        Action::StopHook => {
            if let Err(why) = stop_hook(around) {
                // A hook is a courtesy: whatever goes wrong, the agent may end.
                let told = why.message().unwrap_or_default();
                screen::remark(format!("the service was not asked: {told}"));
            }
            Ok(())
        }
    }
}

fn evidence(args: &EvidenceArgs, around: &Surroundings) -> Result<(), CliError> {
    let (field, payload) = match (&args.text, &args.path, &args.url) {
        (Some(text), _, _) => ("text", text_or_stdin(text)?),
        (_, Some(path), _) => ("path", path.clone()),
        (_, _, url) => ("url", url.clone().unwrap_or_default()),
    };
    let arguments = json!({"item_key": args.item, field: payload});
    tool(around, "attach_evidence", &arguments, &args.shown)
}

/// Calls a tool of the service's MCP server, and shows what it says.
fn tool(
    around: &Surroundings,
    name: &str,
    arguments: &Value,
    shown: &Shown,
) -> Result<(), CliError> {
    let own = own_run(around)?;
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    });
    let answer = client(&own)?.send(Method::POST, "/mcp", &call)?.value;
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str();
    let Some(text) = text else {
        let why = answer["error"]["message"].as_str().unwrap_or("no answer");
        return Err(anyhow::anyhow!("{name}: {why}").into());
    };
    if result["isError"] == Value::Bool(true) {
        return Err(anyhow::anyhow!("{text}").into());
    }
    if shown.json {
        return screen::json_line(&result["_meta"]["agent_runner_api/answer"]);
    }
    screen::line(escape(text.trim_end()))
}

fn stop_hook(around: &Surroundings) -> Result<(), CliError> {
    let own = own_run(around)?;
    let mut told = Vec::new();
    std::io::stdin()
        .take(HOOK_INPUT_MAX)
        .read_to_end(&mut told)?;
    let told: Value = serde_json::from_slice(&told).unwrap_or_default();
    let ending = json!({
        "attempt_id": own.attempt_id,
        "stop_hook_active": told["stop_hook_active"].as_bool().unwrap_or(false),
    });
    let path = format!("/api/runs/{}/may-end", segment(&own.run_id));
    let client = client(&own)?.with_patience(HOOK_PATIENCE);
    let answer = client.send(Method::POST, &path, &ending)?.value;
    match (answer["may_end"].as_bool(), answer["reason"].as_str()) {
        (Some(false), Some(reason)) => {
            screen::json_line(&json!({"decision": "block", "reason": reason}))
        }
        _ => Ok(()),
    }
}

fn own_run(around: &Surroundings) -> Result<OwnRun, CliError> {
    around.own_run().map_err(|name| {
        CliError::Usage(format!(
            "{name} is not set: only the agent of a run has it in its environment"
        ))
    })
}

fn client(own: &OwnRun) -> Result<Client, CliError> {
    Ok(Client::new(own.url.clone())?.with_token(&own.token))
}
