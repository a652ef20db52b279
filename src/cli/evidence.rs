//! `evidence add|list`: what proves an item of the Definition of Done.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use ureq::SendBody;
use ureq::http::Method;

use super::error::CliError;
use super::run::text_or_stdin;
use super::screen::{self, FAINT, escape_line, shown, styled, words};
use super::show::{evidence_id, evidence_table};
use super::wire::{Answer, Client, Connection, segment};
use crate::config::Surroundings;

#[derive(Debug, clap::Args)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add evidence for an item
    Add(AddArgs),
    /// List the evidence of a run
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
#[group(id = "payload", required = true, multiple = false, args = ["text", "file", "url"])]
struct AddArgs {
    /// Id of the run, or its beginning
    id: String,
    /// Key of the item
    #[arg(long, value_name = "KEY")]
    item: String,
    /// What it is [default: as the payload tells]
    #[arg(long)]
    kind: Option<Kind>,
    /// The evidence in words; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// A file: named if it is in the run's worktree, else uploaded
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Where it can be seen; the server never fetches it
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Text,
    File,
    Url,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Id of the run, or its beginning
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn evidence(args: &EvidenceArgs, around: &Surroundings) -> Result<(), CliError> {
    match &args.action {
        Action::Add(args) => add(args, around),
        Action::List(args) => list(args, around),
    }
}

fn add(args: &AddArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let told = match (&args.text, &args.file) {
        (Some(_), _) => Kind::Text,
        (None, Some(_)) => Kind::File,
        (None, None) => Kind::Url,
    };
    if args.kind.is_some_and(|kind| kind != told) {
        let why = "--kind does not fit the payload: give --text, --file or --url".to_owned();
        return Err(CliError::Usage(why));
    }
    let path = format!("/api/runs/{}/evidence", segment(&args.id));
    let with = |kind: &str, field: &str, payload: Value| {
        let body = json!({"item_key": args.item, "kind": kind, field: payload});
        client.send(Method::POST, &path, &body)
    };
    let answer = if let Some(text) = &args.text {
        with("text", "payload_text", json!(text_or_stdin(text)?))?
    } else if let Some(url) = &args.url {
        with("url", "payload_url", json!(url))?
    } else {
        let file = args.file.as_deref().unwrap_or(Path::new(""));
        match path_in_worktree(&client, &args.id, file)? {
            Some(inside) => with("file", "payload_path", json!(inside))?,
            None => upload(&client, &path, &args.item, file)?,
        }
    };
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let id = escape_line(&evidence_id(&answer.value)).into_owned();
    let item = escape_line(&shown(&answer.value, "item_key")).into_owned();
    screen::line(format!("evidence {id} for {item}"))?;
    screen::remark(styled(
        FAINT,
        format!(
            "have it validated: agent_runner_api validate {} {id} --by NAME",
            escape_line(&args.id)
        ),
    ));
    Ok(())
}

fn list(args: &ListArgs, around: &Surroundings) -> Result<(), CliError> {
    let client = args.connection.client(around)?;
    let answer = client.fetch(&format!("/api/runs/{}/evidence", segment(&args.id)))?;
    if args.connection.json {
        return screen::json(&answer.text);
    }
    let evidence: Vec<&Value> = answer.value["evidence"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if evidence.is_empty() {
        screen::remark(styled(FAINT, "no evidence"));
        return Ok(());
    }
    screen::line(evidence_table(&evidence))
}

/// The file's path from the worktree's root, if the file is in the run's worktree.
fn path_in_worktree(client: &Client, run: &str, file: &Path) -> Result<Option<String>, CliError> {
    let file = file
        .canonicalize()
        .with_context(|| format!("cannot find {}", file.display()))?;
    let run = client.fetch(&format!("/api/runs/{}", segment(run)))?.value;
    let worktree = PathBuf::from(words(&run, "worktree_path"));
    let Ok(worktree) = worktree.canonicalize() else {
        return Ok(None);
    };
    let inside = file.strip_prefix(&worktree).ok();
    Ok(inside.and_then(Path::to_str).map(str::to_owned))
}

/// Sends the file as `multipart/form-data` (RFC 7578) with the fields `item_key`, `kind` and `file`, as it is read.
fn upload(client: &Client, path: &str, item: &str, file: &Path) -> Result<Answer, CliError> {
    let content = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let boundary = format!("agent-runner-{}", uuid::Uuid::now_v7().simple());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.replace(['"', '\r', '\n'], "_");
    let field = |name: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let before = format!(
        "{}{}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        field("item_key", item),
        field("kind", "file"),
    );
    let after = format!("\r\n--{boundary}--\r\n");
    let body = Cursor::new(before).chain(content).chain(Cursor::new(after));
    let media_type = format!("multipart/form-data; boundary={boundary}");
    client.send_bytes(
        Method::POST,
        path,
        &media_type,
        SendBody::from_owned_reader(body),
    )
}
