//! `backup`, `restore-backup`, `export`, `import`: the database and what belongs to it, as one file.
//!
//! These work on the files that the settings name, not through a server: they are for the day on which there is none.

use std::future::Future;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen::{self, escape_line};
use crate::app::archive::{self, ArchiveError, ErrorKind, Manifest, Selection};
use crate::clock;
use crate::config::{Config, ServerArgs, Surroundings};
use crate::http::read::since;

#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// File to write; it must not be there
    file: PathBuf,
    /// Also what the agents printed
    #[arg(long)]
    with_output: bool,
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub struct RestoreBackupArgs {
    /// The backup
    file: PathBuf,
    /// Put a database that is there beside, under a dated name
    #[arg(long)]
    replace: bool,
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// File to write; it must not be there
    file: PathBuf,
    /// This run only, by its id or what begins it; may be repeated
    #[arg(long = "run", value_name = "ID")]
    runs: Vec<String>,
    /// Runs of this app only
    #[arg(long)]
    app: Option<String>,
    /// Runs made at or after: RFC 3339, unix seconds, or an age (24h, 7d)
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| since::parse(text, clock::now()))]
    since: Option<jiff::Timestamp>,
    /// Leave out what the agents printed
    #[arg(long)]
    without_output: bool,
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The export
    file: PathBuf,
    /// One line of JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

/// Exit code 1 if the backup was made, and payloads are missing in the state root and so in it.
pub fn backup(args: &BackupArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let made = archive::backup(&config, &args.file, args.with_output, &tell)?;
    if args.json {
        screen::json_line(&of_manifest(&args.file, &made))?;
    } else {
        screen::line(format!("backup: {}, {}", shown(&args.file), counted(&made)))?;
    }
    Ok(lacking(&made))
}

/// Exit code 1 if the backup was made without some payloads.
pub fn restore_backup(
    args: &RestoreBackupArgs,
    around: &Surroundings,
) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let (restored, lacks) = block_on(async {
        let restored = archive::restore(&config, &args.file, args.replace, &tell).await?;
        let lacks = archive::lacks(&config, around, &restored.runs).await;
        Ok::<_, CliError>((restored, lacks))
    })?;
    let kept: Vec<_> = restored.kept.iter().chain(&restored.kept_output).collect();
    if args.json {
        let mut said = of_manifest(&args.file, &restored.manifest);
        said["database"] = json!(config.db);
        said["kept"] = json!(kept);
        said["repository_lacks"] = json!(lacks);
        screen::json_line(&said)?;
    } else {
        screen::line(format!(
            "restored: {}, {}, as they were at {}",
            shown(&config.db),
            counted(&restored.manifest),
            restored.manifest.made_at
        ))?;
        for kept in kept {
            screen::line(format!("kept: {}", shown(kept)))?;
        }
    }
    tell_lacks(&lacks);
    Ok(lacking(&restored.manifest))
}

/// Exit code 1 if the export was made, and payloads are missing in the state root and so in it.
pub fn export(args: &ExportArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let selection = Selection {
        runs: args.runs.clone(),
        app: args.app.clone(),
        since: args.since,
        without_output: args.without_output,
    };
    let made = archive::export(&config, &args.file, &selection, &tell)?;
    if args.json {
        screen::json_line(&of_manifest(&args.file, &made))?;
    } else {
        screen::line(format!(
            "exported: {}, {}, output of {} runs",
            shown(&args.file),
            counted(&made),
            made.outputs()
        ))?;
        for run in &made.left_out {
            screen::line(format!("left out: {}, which is {}", run.run, run.phase))?;
        }
    }
    screen::remark(
        "commits are not in it: carry the branches and refs/agent_runner with git (`git bundle`, a mirror)",
    );
    Ok(lacking(&made))
}

/// Exit code 1 if the export was made without some payloads.
pub fn import(args: &ImportArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let (imported, lacks) = block_on(async {
        let imported = archive::import(&config, &args.file, &tell).await?;
        let lacks = archive::lacks(&config, around, &imported.runs).await;
        Ok::<_, CliError>((imported, lacks))
    })?;
    if args.json {
        let mut said = of_manifest(&args.file, &imported.manifest);
        let taken_in: Vec<_> = imported.runs.iter().map(|run| run.id).collect();
        said["taken_in"] = json!(taken_in);
        said["here_already"] = json!(imported.known);
        said["workflows"] = json!(imported.workflows);
        said["workflows_left_as_they_are"] = json!(imported.other_workflows);
        said["repository_lacks"] = json!(lacks);
        screen::json_line(&said)?;
    } else {
        screen::line(format!(
            "imported: {} runs, their events with new numbers and a new chain of hashes; {} were here already; {} workflows",
            imported.runs.len(),
            imported.known.len(),
            imported.workflows.len()
        ))?;
        for name in &imported.other_workflows {
            let name = escape_line(name);
            screen::line(format!(
                "left as it is here: the workflow {name}, which says something else there"
            ))?;
        }
    }
    tell_lacks(&lacks);
    Ok(lacking(&imported.manifest))
}

/// What is being done, for a person who waits.
fn tell(what: &str) {
    screen::remark(format!("{what} …"));
}

/// What the archive says of itself, for programs.
fn of_manifest(file: &Path, manifest: &Manifest) -> Value {
    json!({
        "file": file,
        "made_at": manifest.made_at,
        "schema": manifest.schema,
        "runs": manifest.runs,
        "events": manifest.events,
        "payloads": manifest.payloads(),
        "outputs": manifest.outputs(),
        "lacking": manifest.lacking,
        "left_out": manifest.left_out,
    })
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn counted(manifest: &Manifest) -> String {
    format!(
        "{} runs, {} events, {} payloads",
        manifest.runs,
        manifest.events,
        manifest.payloads()
    )
}

fn shown(path: &Path) -> String {
    escape_line(&path.display().to_string()).into_owned()
}

fn lacking(manifest: &Manifest) -> ExitCode {
    if manifest.lacking.is_empty() {
        return ExitCode::Ok;
    }
    for sha256 in &manifest.lacking {
        screen::remark(format!(
            "the payload {sha256} was missing or damaged in the state root when the archive was made"
        ));
    }
    ExitCode::Failed
}

fn tell_lacks(lacks: &[String]) {
    for sentence in lacks {
        screen::remark(escape_line(sentence));
    }
    if !lacks.is_empty() {
        screen::remark(
            "bring the repository's branches and refs/agent_runner back as well, from a mirror of it",
        );
    }
}

impl From<ArchiveError> for CliError {
    fn from(error: ArchiveError) -> Self {
        let code = match error.kind() {
            ErrorKind::InUse => ExitCode::InUse,
            ErrorKind::Refused => ExitCode::Refused,
            ErrorKind::Damaged => ExitCode::Damaged,
            ErrorKind::Newer => ExitCode::DatabaseNewer,
            ErrorKind::NotFound => ExitCode::NotFound,
            ErrorKind::Failed => ExitCode::Failed,
        };
        CliError::Start(code, error.into())
    }
}
