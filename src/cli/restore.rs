//! `restore ID`: brings back the branch and worktree of an aborted run.

use serde_json::json;
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, escape_line, shown};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Id of the run, or its beginning
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn restore(args: &RestoreArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let path = format!("/api/runs/{}/restore", segment(&args.id));
    let answer = client.send(Method::POST, &path, &json!({}))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let field = |name: &str| escape_line(&shown(&answer.value, name)).into_owned();
    screen::line(format!(
        "restored: branch {}, worktree {}",
        field("branch"),
        field("worktree_path")
    ))
}
