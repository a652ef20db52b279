//! `reject ID EID --by NAME --reason TEXT`: a piece of evidence does not convince.

use serde_json::json;
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, escape_line};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct RejectArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Id of the evidence, or its beginning
    evidence: String,
    /// Who refuses it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn reject(args: &RejectArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let (run, evidence) = (segment(&args.id), segment(&args.evidence));
    let path = format!("/api/runs/{run}/evidence/{evidence}/reject");
    let body = json!({"validated_by": args.by, "reason": args.reason});
    let answer = client.send(Method::POST, &path, &body)?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    screen::line(format!("rejected by {}", escape_line(&args.by)))
}
