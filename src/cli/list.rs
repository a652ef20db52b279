//! `list`: runs, newest first.

use serde_json::Value;

use super::error::CliError;
use super::screen::{self, Column, FAINT, age, escape_line, id, shown, style_of, styled, words};
use super::wire::{Connection, query};
use crate::clock;
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only runs of this status; may be repeated, or be a list with commas
    #[arg(long)]
    status: Vec<String>,
    /// Only runs of this application of the board
    #[arg(long)]
    app: Option<String>,
    /// Only runs created since: an age (24h, 7d), RFC 3339, or unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on where an earlier list stopped
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub fn list(args: &ListArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.extend(args.status.iter().map(|status| ("status", status.clone())));
    let single = [
        ("app", args.app.clone()),
        ("since", args.since.clone()),
        ("limit", args.limit.map(|limit| limit.to_string())),
        ("cursor", args.cursor.clone()),
    ];
    pairs.extend(
        single
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let answer = client.fetch(&format!("/api/runs{}", query(&pairs)))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let runs = answer.value["runs"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if runs.is_empty() {
        screen::remark(styled(FAINT, "no runs"));
        return Ok(());
    }
    let header = ["RUN", "STATUS", "FOR", "AGENT", "BRANCH", "AGE", "COST"];
    screen::line(screen::table(&header, runs.iter().map(row).collect()))?;
    if let Some(cursor) = answer.value["next_cursor"].as_str() {
        screen::remark(styled(
            FAINT,
            format!("more: --cursor {}", escape_line(cursor)),
        ));
    }
    Ok(())
}

fn row(run: &Value) -> Vec<Column> {
    let status = words(run, "status");
    vec![
        Column::text(id(run)),
        Column::in_style(&status, style_of(&status)),
        Column::text(what_for(run)),
        Column::text(shown(run, "agent")),
        Column::text(shown(run, "branch")),
        Column::text(age(&words(run, "created_at"), clock::now())),
        Column::text(cost(run)),
    ]
}

/// The issue or card, else the workflow.
fn what_for(run: &Value) -> String {
    let found = ["issue_id", "card_id", "workflow", "mode"].map(|field| words(run, field));
    found
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| "-".into())
}

fn cost(run: &Value) -> String {
    match run["cost_usd"].as_f64() {
        Some(cost) => format!("${cost:.4}"),
        None => "-".into(),
    }
}
