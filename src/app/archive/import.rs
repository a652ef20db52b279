//! Taking runs of another database in: each as it was, its place in this journal new.
//!
//! Files are put first and hurt nobody; the rows then come in one transaction. Whatever moment it is interrupted in,
//! either none of the runs is here or all of them are, and it can be done again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::Tell;
use super::error::{ArchiveError, failed};
use super::export::{EventLine, payloads};
use super::manifest::{Kind, Manifest, Name};
use super::read::Archive;
use super::restore::{make_private, put_file, put_output, put_payload, take};
use crate::config::Config;
use crate::dod::content::ContentStore;
use crate::journal::Journal;
use crate::journal::append::step;
use crate::run::{Run, RunId};
use crate::runner::files::Files;
use crate::store::events::Line;
use crate::store::{Store, StoreError, workflows};

/// What an import did.
#[derive(Debug)]
pub struct Imported {
    /// What the archive said of itself.
    pub manifest: Manifest,
    /// The runs that were taken in.
    pub runs: Vec<Run>,
    /// The runs that were here already.
    pub known: Vec<RunId>,
    /// The workflows that were taken in, by name.
    pub workflows: Vec<String>,
    /// The workflows that are here with other words, and were left as they are here.
    pub other_workflows: Vec<String>,
}

/// Takes in the runs of an export that are not here. The server must be stopped; a database that is not there is made.
///
/// # Errors
/// A server works, the archive is damaged, or a run is here with other events: nothing is changed then.
pub async fn import(
    config: &Config,
    from: &Path,
    tell: Tell<'_>,
) -> Result<Imported, ArchiveError> {
    tell("reading the archive");
    let mut archive = Archive::open(from, Kind::Export)?;
    let (mut lines, theirs) = rows(&mut archive, from)?;
    let runs = replayed(&lines)?;
    let _alone = take(&config.db).await?;
    let store = Store::open(&config.db)?;
    store.verify()?;
    let journal = Journal::open(store)?;
    let missing: BTreeSet<RunId> = journal.missing(&lines)?.into_iter().collect();
    let (mut workflows, mut other_workflows) = (Vec::new(), Vec::new());
    for workflow in theirs {
        match journal
            .store()
            .read(|db| workflows::by_name(db, &workflow.name))?
        {
            None => workflows.push(workflow),
            Some(ours) if ours.workflow == workflow.workflow => {}
            Some(ours) => other_workflows.push(ours.name),
        }
    }
    let (new, known): (Vec<Run>, Vec<Run>) = runs
        .into_values()
        .partition(|run| missing.contains(&run.id));
    tell(&format!("taking in {} runs", new.len()));
    // What a row names is there before the row.
    put_files(&mut archive, config, &new)?;
    lines.retain(|line| missing.contains(&line.run));
    let names = workflows.iter().map(|workflow| workflow.name.clone());
    let names = names.collect();
    journal.carry(lines, workflows).await?;
    Ok(Imported {
        manifest: archive.manifest,
        known: known.iter().map(|run| run.id).collect(),
        runs: new,
        workflows: names,
        other_workflows,
    })
}

/// The lines of events and of workflows.
fn rows(
    archive: &mut Archive,
    from: &Path,
) -> Result<(Vec<Line>, Vec<workflows::Stored>), ArchiveError> {
    let damaged = |error: serde_json::Error| ArchiveError::Damaged {
        path: from.to_owned(),
        why: error.to_string(),
    };
    let (mut events, mut workflows) = (Vec::new(), Vec::new());
    archive.each(|name, bytes| {
        if !matches!(name, Name::Events | Name::Workflows) {
            return Ok(());
        }
        for line in BufReader::new(bytes).lines() {
            let line = line.map_err(failed("read", from))?;
            if name == Name::Workflows {
                workflows.push(serde_json::from_str(&line).map_err(damaged)?);
                continue;
            }
            let line: EventLine = serde_json::from_str(&line).map_err(damaged)?;
            events.push(Line {
                run: line.run,
                version: line.version,
                at: line.at,
                body: line.body.get().to_owned(),
            });
        }
        Ok(())
    })?;
    Ok((events, workflows))
}

fn replayed(lines: &[Line]) -> Result<BTreeMap<RunId, Run>, StoreError> {
    let mut runs = BTreeMap::new();
    for line in lines {
        let run = step(runs.remove(&line.run), &line.read()?)?;
        runs.insert(line.run, run);
    }
    Ok(runs)
}

/// Payloads, output and records of these runs. Done again, it is the same.
fn put_files(archive: &mut Archive, config: &Config, runs: &[Run]) -> Result<(), ArchiveError> {
    if runs.is_empty() {
        return Ok(());
    }
    let payloads = payloads(runs.iter());
    let ids: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
    make_private(&config.state_root)?;
    let files = Files::below(config.state_root.clone());
    let evidence = files.evidence();
    let content = ContentStore::open(evidence.clone())
        .map_err(|error| failed("make", &evidence)(std::io::Error::other(error)))?;
    archive.each(|name, bytes| match name {
        Name::Payload(sha256) if payloads.contains(sha256.as_str()) => {
            put_payload(&content, &sha256, bytes)
        }
        Name::Output(run) if ids.contains(&run) => {
            let of_run = files.of_run(run);
            of_run.make().map_err(failed("make", &of_run.output()))?;
            put_output(&of_run.output(), bytes).map(drop)
        }
        Name::Record(run, number, record) if ids.contains(&run) => {
            let folder = files.of_run(run).attempt(number);
            std::fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
            put_file(&folder.join(record.file()), bytes)
        }
        _ => Ok(()),
    })
}
