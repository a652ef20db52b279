//! `stats`: how often what was called done was done, by workflow, agent and model.

use serde_json::Value;

use super::error::CliError;
use super::screen::{self, Column, FAINT, shown, styled};
use super::wire::{Connection, query};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    /// Only runs created since: an age (24h, 7d), RFC 3339, or unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only runs of this application of the board
    #[arg(long)]
    app: Option<String>,
    /// Only runs of this workflow
    #[arg(long)]
    workflow: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// The columns: what stands above them, and what of the answer they show.
const FIGURES: [(&str, &str); 9] = [
    ("RUNS", "runs"),
    ("MERGED", "merged"),
    ("ABORTED", "aborted"),
    ("FAILED", "failed"),
    ("REJECTED", "rejected_evidence"),
    ("REOPENED", "reopened_items"),
    ("CLAIMS", "claims_against_evidence"),
    ("FEEDBACK", "feedback_attempts"),
    ("OVERRIDES", "overrides"),
];

pub fn stats(args: &StatsArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let given = [
        ("since", &args.since),
        ("app", &args.app),
        ("workflow", &args.workflow),
    ];
    let pairs: Vec<(&str, String)> = given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect();
    let answer = client.fetch(&format!("/api/stats{}", query(&pairs)))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let groups = answer.value["groups"].as_array();
    let groups = groups.map_or(&[][..], Vec::as_slice);
    if groups.is_empty() {
        screen::remark(styled(FAINT, "no runs"));
        return Ok(());
    }
    let mut header = vec!["WORKFLOW", "AGENT", "MODEL"];
    header.extend(FIGURES.map(|(above, _)| above));
    header.extend(["FIRST PASS", "TO MERGE", "COST"]);
    let of_group = |group: &Value| {
        let names = ["workflow", "agent", "model"].map(|name| Column::text(shown(group, name)));
        row(names, group)
    };
    let mut rows: Vec<_> = groups.iter().map(of_group).collect();
    if groups.len() > 1 {
        let names = ["all", "", ""].map(Column::text);
        rows.push(row(names, &answer.value["total"]));
    }
    screen::line(screen::table(&header, rows))
}

fn row(names: [Column; 3], figures: &Value) -> Vec<Column> {
    let mut row = Vec::from(names);
    row.extend(FIGURES.map(|(_, name)| Column::text(figures[name].to_string())));
    let number = |name: &str, show: fn(f64) -> String| {
        Column::text(figures[name].as_f64().map_or("-".to_owned(), show))
    };
    row.push(number("first_pass_rate", |rate| {
        format!("{:.0}%", rate * 100.0)
    }));
    row.push(number("median_to_merge_s", |s| format!("{s:.0}s")));
    row.push(number("cost_usd", |cost| format!("${cost:.4}")));
    row
}
