//! `gc`: lets go of what is past its time, and says what went, what stays, and why.

use serde_json::{Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::screen::{self, Column, words};
use super::wire::Connection;
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn gc(args: &GcArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let answer = client.send(Method::POST, "/api/gc", &json!({"dry_run": args.dry_run}))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let freed = answer.value["freed_bytes"].as_u64().unwrap_or_default();
    let said = match args.dry_run {
        true => "would go",
        false => "gone",
    };
    show(said, &answer.value["gone"])?;
    show("left", &answer.value["left"])?;
    screen::line(match args.dry_run {
        true => format!("{freed} bytes would be free"),
        false => format!("{freed} bytes are free again"),
    })
}

fn show(said: &str, items: &Value) -> Result<(), CliError> {
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return screen::line(format!("{said}: nothing"));
    }
    screen::line(format!("{said}:"))?;
    let rows = items.iter().map(|item| {
        vec![
            Column::text(words(item, "what")),
            Column::text(item["bytes"].as_u64().unwrap_or_default().to_string()),
            Column::text(format!("{}: {}", words(item, "at"), words(item, "why"))),
        ]
    });
    screen::line(screen::table(
        &["WHAT", "BYTES", "WHERE AND WHY"],
        rows.collect(),
    ))
}
