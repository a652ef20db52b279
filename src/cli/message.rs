//! `message ID TEXT`: the same session of the agent goes on in the same worktree, as a new attempt.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::follow::Follow;
use super::run::text_or_stdin;
use super::screen::{self, escape_line, shown};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct MessageArgs {
    /// Id of the run, or its beginning
    id: String,
    /// What to tell the agent; - reads it from standard input
    #[arg(allow_hyphen_values = true, required_unless_present = "conflict")]
    text: Option<String>,
    /// Tell the agent where its work conflicts with the base, and how to resolve that
    #[arg(long)]
    conflict: bool,
    /// Show what the agent does until it ends; exit code 6 if the run fails
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn message(args: &MessageArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let mut body = Map::new();
    if let Some(text) = &args.text {
        body.insert("text".into(), json!(text_or_stdin(text)?));
    }
    if args.conflict {
        body.insert("conflict".into(), json!(true));
    }
    // The stream is open before the message is sent, so that nothing of the answer is missed.
    let follow = match args.follow {
        true => Some(Follow::from_now(&client, &args.id, args.connection.json)?),
        false => None,
    };
    let path = format!("/api/runs/{}/messages", segment(&args.id));
    let answer = client.send(Method::POST, &path, &Value::Object(body))?;
    if args.connection.json {
        screen::json(&answer.text)?;
    } else {
        let status = shown(&answer.value, "status");
        screen::line(format!("sent; the run is {}", escape_line(&status)))?;
    }
    match follow {
        Some(mut follow) => {
            follow.set_status(&answer.value);
            follow.show_to_the_end()
        }
        None => Ok(()),
    }
}
