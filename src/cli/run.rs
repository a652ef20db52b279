//! `run`: asks for a run, and follows it if wanted.

use std::io::Read as _;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::error::CliError;
use super::follow::Follow;
use super::screen::{self, FAINT, escape_line, id, shown, styled, words};
use super::wire::{Answer, Connection};
use crate::config::Surroundings;

/// The largest prompt read from standard input; the server's limit for a request is below it.
const MAX_STDIN_BYTES: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Workflow, by the name that the API calls its mode [default: auto with --issue or --card, else prompt]
    #[arg(long)]
    mode: Option<String>,
    /// Workflow, if it is another one than the mode names
    #[arg(long)]
    workflow: Option<String>,
    /// Issue that this run is for
    #[arg(long, value_name = "ID")]
    issue: Option<String>,
    /// Card that this run is for
    #[arg(long, value_name = "ID")]
    card: Option<String>,
    /// The board's application that the card belongs to
    #[arg(long)]
    app: Option<String>,
    /// What to do; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Agent: claude, command or stub
    #[arg(long)]
    agent: Option<String>,
    /// Model of the agent
    #[arg(long)]
    model: Option<String>,
    /// Branch to land on
    #[arg(long, value_name = "BRANCH")]
    base: Option<String>,
    /// Wall-clock limit
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    timeout_s: Option<u64>,
    /// Limit on the time without output
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    idle_timeout_s: Option<u64>,
    /// Limit on the cost
    #[arg(long, value_name = "USD", help_heading = "Limits")]
    max_cost_usd: Option<f64>,
    /// Limit on turns of the agent with its model
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_turns: Option<u32>,
    /// Limit on the output
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    max_output_bytes: Option<u64>,
    /// Limit on the memory
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    max_memory_bytes: Option<u64>,
    /// Limit on processes and threads at a time
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_tasks: Option<u32>,
    /// Share of the processor, where 100 is what everybody has
    #[arg(long, value_name = "WEIGHT", help_heading = "Limits")]
    cpu_weight: Option<u32>,
    /// A word of your own for this run; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A variable for the agent; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// One more required item of the Definition of Done, or an item as a JSON object; may be repeated
    #[arg(long, value_name = "KEY[=TITLE]|JSON", value_parser = dod_item)]
    dod: Vec<Value>,
    /// Start it even if the card or issue has a live run
    #[arg(long)]
    allow_parallel: bool,
    /// Show what the agent does until it ends; exit code 6 if the run fails
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

pub fn run(args: &RunArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let answer = client.send(Method::POST, "/api/runs", &request(args)?)?;
    if args.connection.json {
        screen::json(&answer.text)?;
    } else {
        for line in told(&answer, args.follow) {
            screen::line(line)?;
        }
    }
    if args.follow {
        let run = id(&answer.value);
        return Follow::replay(&client, &run, args.connection.json)?.show_to_the_end();
    }
    Ok(())
}

/// The body: only what was asked for, so that the server's defaults hold for the rest.
fn request(args: &RunArgs) -> Result<Value, CliError> {
    let mode = match (&args.mode, &args.workflow, &args.issue, &args.card) {
        (Some(mode), ..) => mode.clone(),
        (None, Some(workflow), ..) => workflow.clone(),
        (None, None, None, None) => "prompt".into(),
        (None, None, ..) => "auto".into(),
    };
    let prompt = args.prompt.as_deref().map(text_or_stdin).transpose()?;
    let limits = given([
        ("timeout_s", json!(args.timeout_s)),
        ("idle_timeout_s", json!(args.idle_timeout_s)),
        ("max_cost_usd", json!(args.max_cost_usd)),
        ("max_turns", json!(args.max_turns)),
        ("max_output_bytes", json!(args.max_output_bytes)),
        ("max_memory_bytes", json!(args.max_memory_bytes)),
        ("max_tasks", json!(args.max_tasks)),
        ("cpu_weight", json!(args.cpu_weight)),
    ]);
    Ok(Value::Object(given([
        ("mode", json!(mode)),
        ("workflow", json!(args.workflow)),
        ("issue_id", json!(args.issue)),
        ("card_id", json!(args.card)),
        ("kanban_app", json!(args.app)),
        ("prompt", json!(prompt)),
        ("agent", json!(args.agent)),
        ("model", json!(args.model)),
        ("base", json!(args.base)),
        ("limits", Value::Object(limits)),
        ("labels", object(&args.label)),
        ("env", object(&args.env)),
        ("dod", json!(args.dod)),
        ("allow_parallel", json!(args.allow_parallel.then_some(true))),
    ])))
}

fn told(answer: &Answer, followed: bool) -> Vec<String> {
    let run = &answer.value;
    let field = |name: &str| escape_line(&shown(run, name)).into_owned();
    let mut lines = vec![
        format!("run       {}", escape_line(&id(run))),
        format!("status    {}{}", field("status"), place_in_queue(run)),
        format!("branch    {}", field("branch")),
        format!("worktree  {}", field("worktree_path")),
    ];
    let stub = words(run, "stub_reason");
    if !stub.is_empty() {
        lines.push(format!("agent     stub: {}", escape_line(&stub)));
    }
    if !followed {
        let id = escape_line(&id(run)).into_owned();
        lines.push(styled(
            FAINT,
            format!("follow it with: agent_runner_api logs {id} -f"),
        ));
    }
    lines
}

fn place_in_queue(run: &Value) -> String {
    match run["queue_position"].as_u64() {
        Some(position) => format!(", number {position} in the queue"),
        None => String::new(),
    }
}

/// The text, or all of standard input for `-`.
pub(super) fn text_or_stdin(text: &str) -> Result<String, CliError> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut all = String::new();
    std::io::stdin()
        .take(MAX_STDIN_BYTES)
        .read_to_string(&mut all)
        .context("cannot read standard input")?;
    Ok(all)
}

/// The fields that have a value.
fn given<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let has_value = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let fields = fields.into_iter().filter(|(_, value)| has_value(value));
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn object(pairs: &[(String, String)]) -> Value {
    let fields = pairs.iter().map(|(key, value)| (key.clone(), json!(value)));
    Value::Object(fields.collect())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as KEY=VALUE".into()),
    }
}

fn dod_item(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|why| format!("not a JSON object: {why}"));
    }
    let (key, title) = text.split_once('=').unwrap_or((text, text));
    match key.is_empty() {
        true => Err("write it as KEY or KEY=TITLE".into()),
        false => Ok(json!({"key": key, "title": title, "required": true})),
    }
}
