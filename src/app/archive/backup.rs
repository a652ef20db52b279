//! A backup: the database as it is at one moment, and what its rows name.

use std::path::Path;

use super::Tell;
use super::error::ArchiveError;
use super::manifest::{Kind, Manifest, Name};
use super::write::{Aside, Writer, aside, create_private};
use crate::config::Config;
use crate::dod::content::ContentStore;
use crate::runner::files::Files;
use crate::store::whole;

/// Writes a backup, whether a server works or not. What a row names was there before the row, so the database goes first.
///
/// # Errors
/// There is no database, it is damaged, or the file cannot be written; nothing is left behind then.
pub fn backup(
    config: &Config,
    target: &Path,
    with_output: bool,
    tell: Tell<'_>,
) -> Result<Manifest, ArchiveError> {
    if !config.db.exists() {
        return Err(ArchiveError::NoDatabase(config.db.clone()));
    }
    let mut writer = Writer::create(target, Manifest::new(Kind::Backup, 0))?;
    let copy = Aside(aside(target));
    // Private before the first byte is in it.
    drop(create_private(&copy.0)?);
    tell("copying the database");
    whole::copy(&config.db, &copy.0)?;
    tell("looking at the copy");
    let holds = whole::verify_file(&copy.0)?;
    writer.manifest.schema = holds.schema;
    writer.manifest.runs = holds.runs;
    writer.manifest.events = holds.events;
    writer.add_file(&Name::Database, &copy.0)?;
    let files = Files::below(config.state_root.clone());
    let content = ContentStore::at(files.evidence());
    tell(&format!("adding {} payloads", holds.payloads.len()));
    for sha256 in &holds.payloads {
        writer.add_payload(&content, sha256)?;
    }
    if with_output {
        tell("adding output");
        for run in holds.run_ids.iter().filter_map(|id| id.parse().ok()) {
            let output = files.of_run(run).output();
            if output.exists() {
                writer.add_file(&Name::Output(run), &output)?;
            }
        }
    }
    writer.finish()
}
