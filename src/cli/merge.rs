//! `merge ID`: lands the run's branch on the base, if the gate is open; waits for its turn and for the checks on the result.

use std::time::Duration;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, BUSY, EventLines, FAINT, GOOD, escape_line, styled, words};
use super::wire::{Answer, Client, Connection, Heard, Problem, Start, Stream, segment};
use crate::config::Surroundings;

/// How often it is asked how far the merge has come, beside what the stream tells: places in the queue are on no stream.
const LOOK: Duration = Duration::from_secs(2);

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
    /// Do not wait for its turn or for the checks on the result
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
    /// Cancel the merge that is under way
    #[arg(long, conflicts_with_all = ["dry_run", "message", "no_wait"])]
    cancel: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn merge(args: &MergeArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let path = format!("/api/runs/{}/merge", segment(&args.id));
    if args.cancel {
        let answer = client.delete(&path)?;
        return match args.connection.json {
            true => screen::json(&answer.text),
            false => screen::line("the merge is cancelled"),
        };
    }
    let mut body = Map::new();
    if args.dry_run {
        body.insert("dry_run".into(), json!(true));
    }
    if let Some(message) = &args.message {
        body.insert("message".into(), json!(message));
    }
    let answer = client.send(Method::POST, &path, &Value::Object(body))?;
    if answer.status == 202 && !args.no_wait {
        return wait(args, &client, &path);
    }
    if args.connection.json {
        return screen::json(&answer.text);
    }
    screen::line(told(args, &answer))
}

fn told(args: &MergeArgs, answer: &Answer) -> String {
    if args.dry_run {
        let would = styled(GOOD, "it would merge");
        match keys(&answer.value["to_check"]).as_str() {
            "" => would,
            keys => format!("{would}, once these checks pass on the result: {keys}"),
        }
    } else if answer.status == 202 {
        let id = escape_line(&args.id);
        format!(
            "{}; see how far it is with: agent_runner_api show {id}",
            styled(BUSY, "it waits for its turn, or for checks on the result")
        )
    } else {
        landed(&words(&answer.value, "commit"))
    }
}

fn landed(commit: &str) -> String {
    styled(GOOD, format!("merged as {}", escape_line(commit)))
}

/// The keys in a list of them, or of items that have some.
fn keys(list: &Value) -> String {
    let key = |item: &Value| {
        item["item_key"]
            .as_str()
            .or(item.as_str())
            .map(str::to_owned)
    };
    let keys: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(key)
        .collect();
    escape_line(&keys.join(", ")).into_owned()
}

/// Waits for the end, and tells how far it is; an error if it does not land.
fn wait(args: &MergeArgs, client: &Client, path: &str) -> Result<(), CliError> {
    let run = format!("/api/runs/{}", segment(&args.id));
    let mut stream = Stream::open(client, format!("{run}/sse"), Start::Now)?;
    let mut lines = EventLines::default();
    let mut progress = String::new();
    loop {
        match stream.next(Some(LOOK))? {
            Heard::Event(event) => {
                let shown = matches!(event.name.as_str(), "validated" | "rejected");
                if shown && !args.connection.json {
                    let payload = serde_json::from_str(&event.payload).unwrap_or_default();
                    for line in lines.of(&event.name, &payload) {
                        screen::line(line)?;
                    }
                }
            }
            Heard::Nothing => {}
            Heard::Lost(_) => stream.reconnect()?,
        }
        let answer = client.fetch(path)?;
        let merge = &answer.value;
        let now = match words(merge, "stage").as_str() {
            "merged" if args.connection.json => return screen::json(&answer.text),
            "merged" => return screen::line(landed(&words(&merge["candidate"], "commit"))),
            "stopped" => return Err(stopped(args, merge)),
            "queued" => format!("waits for its turn: {}", merge["position"]),
            "checking" => format!("checks run on the result: {}", keys(&merge["items"])),
            _ => continue,
        };
        if now != progress && !args.connection.json {
            screen::line(styled(FAINT, &now))?;
        }
        progress = now;
    }
}

fn stopped(args: &MergeArgs, merge: &Value) -> CliError {
    CliError::Refused(Box::new(Problem {
        status: 409,
        document: json!({
            "title": "The merge has stopped", "detail": merge["detail"], "code": merge["code"],
        }),
        body: String::new(),
        run: Some(args.id.clone()),
    }))
}
