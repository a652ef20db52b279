//! `check ID`: runs the checks of a run's items on its work, and waits for what they come to.

use serde_json::{Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::follow::{Follow, Until};
use super::screen::{self, BAD, FAINT, GOOD, escape_line, shown, styled, words};
use super::wire::{Client, Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Key of an item whose check is to run; may repeat. Without it, the checks of all items that apply
    #[arg(long = "item", value_name = "KEY")]
    items: Vec<String>,
    /// Run also what is known to pass on this tree
    #[arg(long)]
    afresh: bool,
    /// Stop the round that is under way instead
    #[arg(long, conflicts_with_all = ["items", "afresh"])]
    stop: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn check(args: &CheckArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let path = format!("/api/runs/{}/checks", segment(&args.id));
    if args.stop {
        let answer = client.delete(&path)?;
        return match args.connection.json {
            true => screen::json(&answer.text),
            false => screen::line("no checks run"),
        };
    }
    // Open before the checks begin, so that their end is not missed.
    let mut follow = Follow::unseen(&client, &args.id)?;
    let mut body = json!({"afresh": args.afresh});
    if !args.items.is_empty() {
        body["items"] = json!(args.items);
    }
    let round = client.send(Method::POST, &path, &body)?.value;
    follow.set_status(&json!({"status": "checking"}));
    if !args.connection.json {
        let head = words(&round, "head");
        let head = head.get(..12).unwrap_or(&head);
        screen::line(format!("checking {}", escape_line(head)))?;
    }
    follow.show(Until::Rest)?;
    told(args, &client, &path, &round)
}

/// What the round has come to, an item a line.
fn told(args: &CheckArgs, client: &Client, path: &str, round: &Value) -> Result<(), CliError> {
    let answer = client.fetch(path)?;
    if args.connection.json {
        screen::json(&answer.text)?;
    }
    let wanted = round["items"].as_array().map_or(&[][..], Vec::as_slice);
    let items = answer.value["items"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let mut fallen = Vec::new();
    for item in items
        .iter()
        .filter(|item| wanted.contains(&item["item_key"]))
    {
        let key = shown(item, "item_key");
        let newest = &item["newest"];
        // What is known of another tree says nothing of this one.
        let check = match newest["tree"] == round["tree"] {
            true => &newest["check"],
            false => &Value::Null,
        };
        let passed = check["passed"] == Value::Bool(true);
        if !passed {
            fallen.push(key.clone());
        }
        if !args.connection.json {
            screen::line(line(&key, check, passed))?;
        }
    }
    match fallen.is_empty() {
        true => Ok(()),
        false => Err(CliError::CheckFailed(format!(
            "did not pass: {}",
            fallen.join(", ")
        ))),
    }
}

fn line(key: &str, check: &Value, passed: bool) -> String {
    let key = escape_line(key);
    if check.is_null() {
        return styled(BAD, format!("- {key} was not run"));
    }
    let took = check["duration_ms"].as_u64().unwrap_or_default();
    let how = match check["cached_from"].as_str() {
        Some(from) => format!("known from evidence {}", escape_line(from)),
        None => format!("{took} ms"),
    };
    let how = styled(FAINT, how);
    match passed {
        true => format!("{} {how}", styled(GOOD, format!("+ {key} passed"))),
        false => {
            let why = format!("{}: {}", words(check, "code"), words(check, "detail"));
            let told = format!("- {key} failed: {}", escape_line(&why));
            format!("{} {how}", styled(BAD, told))
        }
    }
}
