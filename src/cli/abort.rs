//! `abort ID`: ends a run; what it did is preserved first. Can be repeated.

use serde_json::json;
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, escape_line, shown};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct AbortArgs {
    /// Id of the run, or its beginning
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn abort(args: &AbortArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let path = format!("/api/runs/{}/abort", segment(&args.id));
    let answer = client.send(Method::POST, &path, &json!({}))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let id = escape_line(&args.id);
    screen::line(format!(
        "{}; bring it back with: agent_runner_api restore {id}",
        escape_line(&shown(&answer.value, "status"))
    ))
}
