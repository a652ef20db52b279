//! `workflows list|show|put|delete`: prompt templates with their Definition of Done.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use ureq::http::Method;

use super::error::CliError;
use super::run::text_or_stdin;
use super::screen::{self, Column, escape, escape_line, shown};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct WorkflowsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List all workflows
    List(ListArgs),
    /// Show a workflow
    Show(NameArgs),
    /// Make or change a workflow
    Put(PutArgs),
    /// Delete a workflow
    Delete(NameArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct NameArgs {
    /// Name of the workflow
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct PutArgs {
    /// Name of the workflow
    name: String,
    /// File with the workflow as a JSON object, as `workflows show --json` prints it; - reads standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

pub fn workflows(args: &WorkflowsArgs, around: &Surroundings) -> Result<(), CliError> {
    match &args.action {
        Action::List(args) => list(args, around),
        Action::Show(args) => show(args, around),
        Action::Put(args) => put(args, around),
        Action::Delete(args) => delete(args, around),
    }
}

fn list(args: &ListArgs, around: &Surroundings) -> Result<(), CliError> {
    let answer = args.connection.client(around)?.fetch("/api/workflows")?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let workflows = answer.value["workflows"].as_array();
    let rows = workflows.into_iter().flatten().map(|workflow| {
        let built_in = workflow["built_in"] == Value::Bool(true);
        vec![
            Column::text(shown(workflow, "name")),
            Column::text(if built_in { "built in" } else { "yours" }),
            Column::text(shown(workflow, "updated_at")),
        ]
    });
    screen::line(screen::table(
        &["WORKFLOW", "WHOSE", "CHANGED"],
        rows.collect(),
    ))
}

fn show(args: &NameArgs, around: &Surroundings) -> Result<(), CliError> {
    let answer = args.connection.client(around)?.fetch(&path(&args.name))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let pretty = serde_json::to_string_pretty(&answer.value).context("cannot write JSON")?;
    screen::line(escape(&pretty))
}

fn put(args: &PutArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let file = args.file.display();
    let text = if args.file.as_os_str() == "-" {
        text_or_stdin("-")?
    } else {
        std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {file}"))?
    };
    let workflow: Value =
        serde_json::from_str(&text).with_context(|| format!("{file} is not JSON"))?;
    let answer = client.send(Method::PUT, &path(&args.name), &workflow)?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let made = if answer.status == 201 {
        "made"
    } else {
        "changed"
    };
    screen::line(format!("workflow {} {made}", escape_line(&args.name)))
}

fn delete(args: &NameArgs, around: &Surroundings) -> Result<(), CliError> {
    let answer = args.connection.client(around)?.delete(&path(&args.name))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    screen::line(format!("workflow {} deleted", escape_line(&args.name)))
}

fn path(name: &str) -> String {
    format!("/api/workflows/{}", segment(name))
}
