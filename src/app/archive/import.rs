//! Taking runs of another database in: each as it was, its place in this journal new.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::error::{ArchiveError, failed};
use super::export::{EventLine, payloads};
use super::manifest::{Kind, Manifest, Name};
use super::read::Archive;
use super::restore::{make_private, put_payload, take};
use crate::config::Config;
use crate::dod::content::ContentStore;
use crate::journal::Journal;
use crate::journal::append::step;
use crate::run::{Run, RunId};
use crate::runner::files::Files;
use crate::store::events::Line;
use crate::store::{Store, StoreError};

/// What an import did.
#[derive(Debug)]
pub struct Imported {
    /// What the archive said of itself.
    pub manifest: Manifest,
    /// The runs that were taken in.
    pub runs: Vec<Run>,
    /// How many runs were here already.
    pub known: usize,
}

/// Takes in the runs of an export that are not here. The server must be stopped; a database that is not there is made.
///
/// # Errors
/// A server works, the archive is damaged, or a run is here with other events: nothing is changed then.
pub async fn import(config: &Config, from: &Path) -> Result<Imported, ArchiveError> {
    let mut archive = Archive::open(from, Kind::Export)?;
    let damaged = |why: String| ArchiveError::Damaged {
        path: from.to_owned(),
        why,
    };
    let mut lines = Vec::new();
    archive.each(|name, bytes| {
        if name == Name::Events {
            for line in BufReader::new(bytes).lines() {
                let line = line.map_err(failed("read", from))?;
                let line: EventLine =
                    serde_json::from_str(&line).map_err(|error| damaged(error.to_string()))?;
                lines.push(Line {
                    run: line.run,
                    version: line.version,
                    at: line.at,
                    body: line.body.get().to_owned(),
                });
            }
        }
        Ok(())
    })?;
    let runs = replayed(&lines)?;
    let _alone = take(&config.db).await?;
    let store = Store::open(&config.db)?;
    store.verify()?;
    let journal = Journal::open(store)?;
    let missing: BTreeSet<RunId> = journal.missing(&lines)?.into_iter().collect();
    let all = runs.len();
    let runs: Vec<Run> = runs
        .into_values()
        .filter(|run| missing.contains(&run.id))
        .collect();
    // A payload is there before a row names it.
    put_payloads(&mut archive, config, &runs)?;
    lines.retain(|line| missing.contains(&line.run));
    journal.carry(lines).await?;
    Ok(Imported {
        manifest: archive.manifest,
        known: all - runs.len(),
        runs,
    })
}

fn replayed(lines: &[Line]) -> Result<BTreeMap<RunId, Run>, StoreError> {
    let mut runs = BTreeMap::new();
    for line in lines {
        let run = step(runs.remove(&line.run), &line.read()?)?;
        runs.insert(line.run, run);
    }
    Ok(runs)
}

fn put_payloads(archive: &mut Archive, config: &Config, runs: &[Run]) -> Result<(), ArchiveError> {
    let wanted = payloads(runs.iter());
    if wanted.is_empty() {
        return Ok(());
    }
    make_private(&config.state_root)?;
    let evidence = Files::below(config.state_root.clone()).evidence();
    let content = ContentStore::open(evidence.clone())
        .map_err(|error| failed("make", &evidence)(std::io::Error::other(error)))?;
    archive.each(|name, bytes| match name {
        Name::Payload(sha256) if wanted.contains(sha256.as_str()) => {
            put_payload(&content, &sha256, bytes)
        }
        _ => Ok(()),
    })
}
