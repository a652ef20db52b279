//! `backup`, `restore-backup`, `export`, `import`: the database and what belongs to it, as one file.
//!
//! These work on the files that the settings name, not through a server: they are for the day on which there is none.

use std::future::Future;
use std::path::PathBuf;

use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen::{self, escape_line};
use crate::app::archive::{self, ArchiveError, ErrorKind, Manifest};
use crate::config::{Config, ServerArgs, Surroundings};

#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// File to write; it must not be there
    file: PathBuf,
    /// Also what the agents printed
    #[arg(long)]
    with_output: bool,
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
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// File to write; it must not be there
    file: PathBuf,
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The export
    file: PathBuf,
    #[command(flatten)]
    settings: ServerArgs,
}

/// Exit code 1 if the backup was made, and payloads are missing in the state root and so in it.
pub fn backup(args: &BackupArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let made = archive::backup(&config, &args.file, args.with_output)?;
    screen::line(format!("backup: {}, {}", shown(&args.file), counted(&made)))?;
    Ok(lacking(&made))
}

/// Exit code 1 if the backup was made without some payloads.
pub fn restore_backup(
    args: &RestoreBackupArgs,
    around: &Surroundings,
) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let restored = block_on(async {
        let restored = archive::restore(&config, &args.file, args.replace).await?;
        let lacks = archive::lacks(&config, around, &restored.runs).await;
        Ok::<_, CliError>((restored, lacks))
    })?;
    let (restored, lacks) = restored;
    screen::line(format!(
        "restored: {}, {}, as they were at {}",
        shown(&config.db),
        counted(&restored.manifest),
        restored.manifest.made_at
    ))?;
    for kept in restored.kept.iter().chain(&restored.kept_output) {
        screen::line(format!("kept: {}", shown(kept)))?;
    }
    tell_lacks(&lacks);
    Ok(lacking(&restored.manifest))
}

/// Exit code 1 if the export was made, and payloads are missing in the state root and so in it.
pub fn export(args: &ExportArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let made = archive::export(&config, &args.file)?;
    screen::line(format!(
        "exported: {}, {}",
        shown(&args.file),
        counted(&made)
    ))?;
    for run in &made.left_out {
        screen::line(format!("left out: {}, which is {}", run.run, run.phase))?;
    }
    Ok(lacking(&made))
}

/// Exit code 1 if the export was made without some payloads.
pub fn import(args: &ImportArgs, around: &Surroundings) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.settings, around)?;
    let (imported, lacks) = block_on(async {
        let imported = archive::import(&config, &args.file).await?;
        let lacks = archive::lacks(&config, around, &imported.runs).await;
        Ok::<_, CliError>((imported, lacks))
    })?;
    screen::line(format!(
        "imported: {} runs, their events with new numbers and a new chain of hashes; {} were here already",
        imported.runs.len(),
        imported.known
    ))?;
    tell_lacks(&lacks);
    Ok(lacking(&imported.manifest))
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

fn shown(path: &std::path::Path) -> String {
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
            ErrorKind::Failed => ExitCode::Failed,
        };
        CliError::Start(code, error.into())
    }
}
