//! `doctor`: looks at what the server needs, here and, if one runs, through the server; says what to do.

mod check;
mod fix;
mod machine;

use serde_json::{Value, json};

use self::check::{Check, Verdict};
use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen::{self, Column, FAINT, style_of, styled, words};
use super::wire::{Client, Connection};
use crate::config::{Config, SERVER_ENV, ServerArgs, Surroundings};

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Show what the server can mend by itself; with --yes, mend it
    #[arg(long)]
    fix: bool,
    /// Mend it
    #[arg(long, requires = "fix")]
    yes: bool,
    /// Have the server look at its whole history and at every byte of evidence
    #[arg(long, conflicts_with = "fix")]
    deep: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    settings: ServerArgs,
}

/// Exit code 1 if something fails.
pub fn doctor(args: &DoctorArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let client = client(args, &config, around)?;
    if args.fix {
        return fix::fix(&client, args.yes, args.connection.json);
    }
    let path = if args.deep {
        "/api/doctor?deep=true"
    } else {
        "/api/doctor"
    };
    let server = match client.fetch(path) {
        Ok(answer) => Some(answer.value),
        Err(CliError::Unreachable { .. }) => None,
        Err(other) => return Err(other),
    };
    let checks = machine::checks(&config, around, server.is_some());
    let failed = checks.iter().any(|check| check.status == Verdict::Fail)
        || findings(server.as_ref()).any(|finding| words(finding, "level") == "error");
    if args.connection.json {
        screen::json_line(&json!({"checks": checks, "server": server}))?;
    } else {
        show(&checks, server.as_ref(), client.server())?;
    }
    Ok(if failed {
        ExitCode::Failed
    } else {
        ExitCode::Ok
    })
}

/// The server that `--server` names, else the one of the settings.
fn client(args: &DoctorArgs, config: &Config, around: &Surroundings) -> Result<Client, CliError> {
    match args.connection.server.is_some() || around.variable(SERVER_ENV).is_some() {
        true => args.connection.client(around),
        false => Client::new(format!("http://127.0.0.1:{}", config.port)),
    }
}

fn show(checks: &[Check], server: Option<&Value>, url: &str) -> Result<(), CliError> {
    let here = checks.iter().map(|check| {
        let advice = check.advice.clone().unwrap_or_default();
        row(check.name, check.status.word(), &check.detail, &advice)
    });
    screen::line(screen::table(
        &["CHECK", "", "SEEN", "WHAT TO DO"],
        here.collect(),
    ))?;
    screen::line("")?;
    let Some(server) = server else {
        return screen::line(styled(FAINT, format!("no server answers at {url}")));
    };
    screen::line(format!("the server at {url}:"))?;
    let there = findings(Some(server)).map(|finding| {
        let level = words(finding, "level");
        let by_itself = if finding["mendable"] == true {
            " (doctor --fix)"
        } else {
            ""
        };
        let seen = Column::text(seen(finding) + by_itself);
        let level = Column::in_style(&level, style_of(&level));
        vec![Column::text(words(finding, "what")), level, seen]
    });
    screen::line(screen::table(
        &["CHECK", "", "SEEN AND WHAT TO DO"],
        there.collect(),
    ))
}

fn row(name: &str, status: &str, detail: &str, advice: &str) -> Vec<Column> {
    vec![
        Column::text(name),
        Column::in_style(status, style_of(status)),
        Column::text(detail),
        Column::text(advice),
    ]
}

/// What was found, where, and what mends it.
fn seen(finding: &Value) -> String {
    let mut text = words(finding, "detail");
    if finding["at"].is_string() {
        text.push_str(&format!(" ({})", words(finding, "at")));
    }
    if finding["mend"].is_string() {
        text.push_str(&format!(": {}", words(finding, "mend")));
    }
    text
}

fn findings(server: Option<&Value>) -> impl Iterator<Item = &Value> {
    server
        .and_then(|server| server["findings"].as_array())
        .into_iter()
        .flatten()
}
