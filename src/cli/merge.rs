//! `merge ID`: lands the run's branch on the base, if the gate is open.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, BUSY, GOOD, escape_line, styled, words};
use super::wire::{Answer, Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Only say whether it would merge
    #[arg(long)]
    dry_run: bool,
    /// Message of the merge commit
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub fn merge(args: &MergeArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let mut body = Map::new();
    if args.dry_run {
        body.insert("dry_run".into(), json!(true));
    }
    if let Some(message) = &args.message {
        body.insert("message".into(), json!(message));
    }
    let path = format!("/api/runs/{}/merge", segment(&args.id));
    let answer = client.send(Method::POST, &path, &Value::Object(body))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    screen::line(told(args, &answer))
}

fn told(args: &MergeArgs, answer: &Answer) -> String {
    let commit = words(&answer.value, "commit");
    if args.dry_run {
        styled(GOOD, "it would merge")
    } else if answer.status == 202 {
        let id = escape_line(&args.id);
        format!(
            "{}; see the end with: agent_runner_api show {id}",
            styled(BUSY, "checks run on the result of the merge")
        )
    } else {
        styled(GOOD, format!("merged as {}", escape_line(&commit)))
    }
}
