//! `validate ID EID --by NAME`: somebody other than its author accepts a piece of evidence.

use serde_json::json;
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, GOOD, escape_line, styled};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Id of the evidence, or its beginning
    evidence: String,
    /// Who accepts it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Accept it in the place of the item's check, and why
    #[arg(long = "override", value_name = "REASON")]
    overrides: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub fn validate(args: &ValidateArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let (run, evidence) = (segment(&args.id), segment(&args.evidence));
    let path = format!("/api/runs/{run}/evidence/{evidence}/validate");
    let mut body = json!({"validated_by": args.by});
    if let Some(reason) = &args.overrides {
        body["override"] = json!(reason);
    }
    let answer = client.send(Method::POST, &path, &body)?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let by = escape_line(&args.by);
    screen::line(styled(GOOD, format!("validated by {by}")))
}
