//! `show ID`: a run with what is proven and what is missing.

use serde_json::Value;

use super::error::CliError;
use super::screen::{
    self, BAD, BOLD, BUSY, Column, FAINT, GOOD, escape_line, id, shown, style_of, styled, words,
};
use super::wire::{Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Id of the run, or its beginning
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn show(args: &ShowArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let answer = client.fetch(&format!("/api/runs/{}", segment(&args.id)))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let run = &answer.value;
    for line in facts(run).into_iter().chain(gate(run)) {
        screen::line(line)?;
    }
    let items = list(&run["dod_items"]);
    if !items.is_empty() {
        let with_check = items.iter().any(|item| item["check"].is_object());
        let header = ["ITEM", "REQUIRED", "STATUS", "TITLE", "CHECK"];
        let columns = if with_check { 5 } else { 4 };
        let rows = items.iter().map(|one| {
            let mut row = item(one);
            row.truncate(columns);
            row
        });
        screen::line("")?;
        screen::line(screen::table(&header[..columns], rows.collect()))?;
    }
    let evidence: Vec<_> = items
        .iter()
        .flat_map(|item| list(&item["evidence"]))
        .collect();
    if !evidence.is_empty() {
        screen::line("")?;
        screen::line(evidence_table(&evidence))?;
    }
    Ok(())
}

/// The evidence as a table; also for `evidence list`.
pub(super) fn evidence_table(evidence: &[&Value]) -> String {
    let header = ["EVIDENCE", "ITEM", "KIND", "STATE", "BY", "PAYLOAD"];
    let rows = evidence.iter().map(|evidence| {
        let (state, style) = state(evidence);
        let payload = ["payload_text", "payload_path", "payload_url"]
            .map(|field| words(evidence, field))
            .concat();
        vec![
            Column::text(evidence_id(evidence)),
            Column::text(shown(evidence, "item_key")),
            Column::text(shown(evidence, "kind")),
            Column::in_style(state, style),
            Column::text(shown(evidence, "author")),
            Column::text(
                payload
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(60)
                    .collect::<String>(),
            ),
        ]
    });
    screen::table(&header, rows.collect())
}

/// The id of a piece of evidence, under either of its names.
pub(super) fn evidence_id(evidence: &Value) -> String {
    let id = words(evidence, "evidence_id");
    if id.is_empty() {
        words(evidence, "id")
    } else {
        id
    }
}

fn state(evidence: &Value) -> (String, anstyle::Style) {
    let stale = if evidence["stale"] == Value::Bool(true) {
        ", stale"
    } else {
        ""
    };
    if evidence["rejected_at"].is_string() {
        ("rejected".into(), BAD)
    } else if evidence["validated_at"].is_string() {
        let by = words(evidence, "validated_by");
        let style = if stale.is_empty() { GOOD } else { BUSY };
        (format!("validated by {by}{stale}"), style)
    } else {
        (format!("not validated{stale}"), BUSY)
    }
}

fn facts(run: &Value) -> Vec<String> {
    let status = words(run, "status");
    let mut lines = vec![
        fact("run", &id(run)),
        format!(
            "{:<12} {}",
            "status",
            styled(style_of(&status), escape_line(&status))
        ),
    ];
    let silent = words(run, "supervisor_silent");
    if !silent.is_empty() {
        let told = format!("not heard of ({silent}); the agent goes on");
        lines.push(format!("{:<12} {}", "supervisor", escape_line(&told)));
    }
    let failure = &run["failure"];
    if failure.is_object() {
        let told = format!("{}: {}", words(failure, "code"), words(failure, "detail"));
        lines.push(format!(
            "{:<12} {}",
            "failure",
            styled(BAD, escape_line(&told))
        ));
    }
    let fields = [
        ("workflow", "workflow"),
        ("issue", "issue_id"),
        ("card", "card_id"),
        ("app", "kanban_app"),
        ("agent", "agent"),
        ("stub because", "stub_reason"),
        ("model", "model"),
        ("branch", "branch"),
        ("worktree", "worktree_path"),
        ("base", "base"),
        ("head", "head"),
        ("session", "session_id"),
        ("cost", "cost_usd"),
        ("created", "created_at"),
        ("started", "started_at"),
        ("ended", "ended_at"),
        ("merged as", "merge_commit"),
        ("prompt", "prompt"),
    ];
    for (name, field) in fields {
        let text = words(run, field);
        if !text.is_empty() {
            lines.push(fact(name, &text));
        }
    }
    let sources = sources(run);
    if !sources.is_empty() {
        lines.push(fact("done as by", &sources));
    }
    let attempts = list(&run["attempts"]).len();
    if attempts > 1 {
        lines.push(fact("attempts", &attempts.to_string()));
    }
    lines
}

fn fact(name: &str, text: &str) -> String {
    format!("{name:<12} {}", escape_line(text))
}

fn gate(run: &Value) -> Vec<String> {
    let gate = &run["gate"];
    match gate["open"].as_bool() {
        None => Vec::new(),
        Some(true) => vec![format!("{:<12} {}", "gate", styled(GOOD, "open"))],
        Some(false) => {
            let mut lines = vec![format!("{:<12} {}", "gate", styled(BUSY, "shut"))];
            for blocker in list(&gate["blockers"]) {
                let item = words(blocker, "item_key");
                let told = format!("{}: {}", words(blocker, "code"), words(blocker, "detail"));
                lines.push(format!(
                    "  - {} {}",
                    styled(BOLD, escape_line(&item)),
                    styled(FAINT, escape_line(&told))
                ));
            }
            lines
        }
    }
}

fn item(item: &Value) -> Vec<Column> {
    let required = match item["required"].as_bool() {
        Some(true) => "yes",
        _ => "no",
    };
    let status = if item["applies"] == Value::Bool(false) {
        Column::in_style("does not apply", FAINT)
    } else {
        let status = words(item, "status");
        Column::in_style(&status, style_of(&status))
    };
    vec![
        Column::text(shown(item, "item_key")),
        Column::text(required),
        status,
        Column::text(words(item, "title")),
        Column::text(check(&item["check"])),
    ]
}

/// The first line of a check's command, and the URL that shows it.
fn check(check: &Value) -> String {
    let cmd = words(check, "cmd");
    let mut lines = cmd.lines();
    let first: String = lines.next().unwrap_or_default().chars().take(60).collect();
    let more = if first.len() < cmd.len() { " …" } else { "" };
    match words(check, "health") {
        url if url.is_empty() => format!("{first}{more}"),
        url => format!("{first}{more}, until {url} answers"),
    }
}

/// Where the items were written.
fn sources(run: &Value) -> String {
    let name = |source: &Value| match words(source, "kind").as_str() {
        "workflow" => format!("workflow {}", words(source, "name")),
        "request" => "the request".to_owned(),
        _ => words(source, "name"),
    };
    let all: Vec<String> = list(&run["dod_sources"]).iter().map(name).collect();
    all.join(", ")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
