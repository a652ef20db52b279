//! `doctor --fix`: what the server can mend by itself; shown first, done with `--yes`.

use serde_json::{Value, json};
use ureq::http::Method;

use super::seen;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::screen::{self, Column, style_of, words};
use crate::cli::wire::Client;

/// Exit code 1 if an error is left.
pub fn fix(client: &Client, yes: bool, as_json: bool) -> Result<ExitCode, CliError> {
    let answer = client.send(Method::POST, "/api/doctor/fix", &json!({"dry_run": !yes}))?;
    let (mended, left) = (list(&answer.value, "mended"), list(&answer.value, "left"));
    if as_json {
        screen::json(&answer.text)?;
    } else {
        let said = match (mended.is_empty(), yes) {
            (true, _) => "nothing to mend",
            (false, true) => "mended:",
            (false, false) => "would be mended:",
        };
        show(said, mended)?;
        if !left.is_empty() {
            screen::line("")?;
            show("left for you:", left)?;
        }
        if !yes && !mended.is_empty() {
            screen::line("")?;
            screen::line("do it with: agent_runner_api doctor --fix --yes")?;
        }
    }
    let wrong = |finding: &Value| words(finding, "level") == "error";
    let is_wrong = left.iter().any(wrong) || (!yes && mended.iter().any(wrong));
    Ok(if is_wrong {
        ExitCode::Failed
    } else {
        ExitCode::Ok
    })
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

fn show(said: &str, findings: &[Value]) -> Result<(), CliError> {
    screen::line(said)?;
    if findings.is_empty() {
        return Ok(());
    }
    let rows = findings.iter().map(|finding| {
        let level = words(finding, "level");
        vec![
            Column::text(words(finding, "code")),
            Column::in_style(&level, style_of(&level)),
            Column::text(seen(finding)),
        ]
    });
    screen::line(screen::table(
        &["FOUND", "", "SEEN AND WHAT MENDS IT"],
        rows.collect(),
    ))
}
