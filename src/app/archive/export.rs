//! An export: runs that are at rest or have ended, with all that happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::Tell;
use super::error::{ArchiveError, failed};
use super::manifest::{Kind, LeftOut, Manifest, Name, Record};
use super::write::{Aside, Writer, aside, create_private};
use crate::config::Config;
use crate::dod::Payload;
use crate::dod::content::ContentStore;
use crate::journal::append::step;
use crate::run::{Phase, Run, RunId};
use crate::runner::files::{Files, RunFiles};
use crate::shape::view::{EvidenceView, RunView};
use crate::store::events::{self, Line};
use crate::store::{StoreError, whole, workflows};

/// A line of `events.jsonl`. The body is the text that the journal has, not read and written again.
#[derive(Serialize, Deserialize)]
pub(super) struct EventLine {
    pub(super) run: RunId,
    pub(super) version: u32,
    pub(super) at: String,
    pub(super) body: Box<RawValue>,
}

/// Which runs are exported: those that fit all of it.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Ids, or what begins them; all if there are none.
    pub runs: Vec<String>,
    /// The `kanban_app`.
    pub app: Option<String>,
    /// Made at or after.
    pub since: Option<Timestamp>,
    /// Without what agents printed.
    pub without_output: bool,
}

impl Selection {
    fn is_all(&self) -> bool {
        self.runs.is_empty() && self.app.is_none() && self.since.is_none()
    }

    /// The ids that were named.
    fn named(&self, runs: &BTreeMap<RunId, Run>) -> Result<BTreeSet<RunId>, ArchiveError> {
        let ids = self.runs.iter().map(|text| {
            let mut found = runs.keys().filter(|id| id.to_string().starts_with(text));
            match (found.next(), found.next()) {
                (Some(id), None) => Ok(*id),
                (None, _) => Err(ArchiveError::NoRun(text.clone())),
                _ => Err(ArchiveError::ManyRuns(text.clone())),
            }
        });
        ids.collect()
    }

    fn fits(&self, named: &BTreeSet<RunId>, run: &Run) -> bool {
        (named.is_empty() || named.contains(&run.id))
            && (self.app.is_none() || self.app == run.spec.kanban_app)
            && self.since.is_none_or(|since| run.created_at >= since)
    }
}

/// Writes the runs of a selection that are at rest or have ended, whether a server works or not.
///
/// # Errors
/// There is no database or no such run, it is damaged, or the file cannot be written; nothing is left behind then.
pub fn export(
    config: &Config,
    target: &Path,
    selection: &Selection,
    tell: Tell<'_>,
) -> Result<Manifest, ArchiveError> {
    if !config.db.exists() {
        return Err(ArchiveError::NoDatabase(config.db.clone()));
    }
    let moment = whole::open_to_read(&config.db)?;
    let known = whole::newest();
    match whole::schema(&moment)? {
        found if found == known => {}
        found if found > known => return Err(StoreError::TooNew { found, known }.into()),
        found => {
            let path = config.db.clone();
            return Err(ArchiveError::Older { path, found, known });
        }
    }
    tell("looking at the database");
    whole::verify(&moment)?;
    let mut runs: BTreeMap<RunId, Run> = BTreeMap::new();
    events::each_line(&moment, |line| {
        let recorded = line.read()?;
        let run = step(runs.remove(&line.run), &recorded)?;
        runs.insert(line.run, run);
        Ok::<_, StoreError>(())
    })?;
    let named = selection.named(&runs)?;
    runs.retain(|_, run| selection.fits(&named, run));
    let mut manifest = Manifest::new(Kind::Export, known);
    runs.retain(|id, run| {
        let settled = matches!(
            run.phase,
            Phase::AtRest { .. }
                | Phase::Merged { .. }
                | Phase::Aborted {
                    preserving: false,
                    ..
                }
        );
        if !settled {
            let phase = run.phase.word().to_owned();
            manifest.left_out.push(LeftOut { run: *id, phase });
        }
        settled
    });
    manifest.runs = runs.len() as u64;
    tell(&format!("writing the events of {} runs", runs.len()));
    let mut writer = Writer::create(target, manifest)?;
    let mut lines = Lines::beside(target)?;
    events::each_line(&moment, |line| match runs.contains_key(&line.run) {
        true => lines.write(&EventLine::of(line)?),
        false => Ok(()),
    })?;
    writer.manifest.events = lines.count;
    writer.add_file(&Name::Events, lines.finish()?.path())?;
    let mut lines = Lines::beside(target)?;
    for run in runs.values() {
        lines.write(&view(run))?;
    }
    writer.add_file(&Name::Runs, lines.finish()?.path())?;
    let mut lines = Lines::beside(target)?;
    for workflow in workflows::all(&moment)? {
        let used = || runs.values().any(|run| run.spec.mode == workflow.name);
        if selection.is_all() || used() {
            lines.write(&workflow)?;
        }
    }
    writer.add_file(&Name::Workflows, lines.finish()?.path())?;
    let files = Files::below(config.state_root.clone());
    let content = ContentStore::at(files.evidence());
    let payloads = payloads(runs.values());
    tell(&format!("adding {} payloads", payloads.len()));
    for sha256 in payloads {
        writer.add_payload(&content, sha256)?;
    }
    tell("adding records and output");
    for run in runs.values() {
        add_files(&mut writer, &files.of_run(run.id), run, selection)?;
    }
    writer.finish()
}

/// What lies below the state root of a run: of one that came from an archive that may be less than of others.
fn add_files(
    writer: &mut Writer,
    files: &RunFiles,
    run: &Run,
    selection: &Selection,
) -> Result<(), ArchiveError> {
    let output = files.output();
    if !selection.without_output && output.exists() {
        writer.add_file(&Name::Output(run.id), &output)?;
    }
    for attempt in &run.attempts {
        for record in Record::ALL {
            let path = files.attempt(attempt.number).join(record.file());
            let wanted = record != Record::Stderr || !selection.without_output;
            if wanted && path.exists() {
                writer.add_file(&Name::Record(run.id, attempt.number, record), &path)?;
            }
        }
    }
    Ok(())
}

/// The payloads that these runs' evidence names, each once.
pub(super) fn payloads<'a>(runs: impl Iterator<Item = &'a Run>) -> BTreeSet<&'a str> {
    runs.flat_map(|run| &run.evidence)
        .filter(|evidence| matches!(evidence.payload, Payload::File { .. }))
        .map(|evidence| evidence.sha256.as_str())
        .collect()
}

impl EventLine {
    fn of(line: Line) -> Result<EventLine, ArchiveError> {
        let body = RawValue::from_string(line.body).map_err(|error| StoreError::Unreadable {
            what: "event of the run",
            id: line.run.to_string(),
            detail: error.to_string(),
        })?;
        Ok(EventLine {
            run: line.run,
            version: line.version,
            at: line.at,
            body,
        })
    }
}

/// Lines of JSON in a file beside the archive: how many bytes they are must be known before they are a member.
struct Lines {
    file: BufWriter<File>,
    aside: Aside,
    count: u64,
}

impl Lines {
    fn beside(target: &Path) -> Result<Lines, ArchiveError> {
        let aside = Aside(aside(target));
        let file = BufWriter::new(create_private(aside.path())?);
        Ok(Lines {
            file,
            aside,
            count: 0,
        })
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), ArchiveError> {
        let line = serde_json::to_string(value).map_err(io::Error::from);
        line.and_then(|line| writeln!(self.file, "{line}"))
            .map_err(failed("write", self.aside.path()))?;
        self.count += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Aside, ArchiveError> {
        self.file
            .flush()
            .map_err(failed("write", self.aside.path()))?;
        Ok(self.aside)
    }
}

fn view(run: &Run) -> serde_json::Value {
    let head = run.head.as_ref();
    let evidence = run.evidence.iter().map(|evidence| {
        let key = run
            .item(evidence.item_id)
            .map(|item| item.spec.key.as_str());
        EvidenceView::of(evidence, key, head)
    });
    json!({
        "run": RunView::of(run, None),
        "items": run.items,
        "evidence": evidence.collect::<Vec<_>>(),
    })
}
