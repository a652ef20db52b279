//! `retry ID`: starts the agent of an ended run afresh, as a new attempt.

use serde_json::json;
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, escape_line, shown};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    /// Id of the run, or its beginning
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn retry(args: &RetryArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let path = format!("/api/runs/{}/retry", segment(&args.id));
    let answer = client.send(Method::POST, &path, &json!({}))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let status = shown(&answer.value, "status");
    screen::line(format!("a new attempt, {}", escape_line(&status)))
}
