//! An export: runs that are at rest or have ended, with all that happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::error::{ArchiveError, failed};
use super::manifest::{Kind, LeftOut, Manifest, Name};
use super::write::{Aside, Writer, aside, create_private};
use crate::config::Config;
use crate::dod::Payload;
use crate::dod::content::ContentStore;
use crate::journal::append::step;
use crate::run::{Phase, Run, RunId};
use crate::runner::files::Files;
use crate::shape::view::{EvidenceView, RunView};
use crate::store::events::{self, Line};
use crate::store::{StoreError, whole};

/// A line of `events.jsonl`. The body is the text that the journal has, not read and written again.
#[derive(Serialize, Deserialize)]
pub(super) struct EventLine {
    pub(super) run: RunId,
    pub(super) version: u32,
    pub(super) at: String,
    pub(super) body: Box<RawValue>,
}

/// Writes all runs that are at rest or have ended, whether a server works or not.
///
/// # Errors
/// There is no database, it is damaged, or the file cannot be written; nothing is left behind then.
pub fn export(config: &Config, target: &Path) -> Result<Manifest, ArchiveError> {
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
    whole::verify(&moment)?;
    let mut runs: BTreeMap<RunId, Run> = BTreeMap::new();
    events::each_line(&moment, |line| {
        let recorded = line.read()?;
        let run = step(runs.remove(&line.run), &recorded)?;
        runs.insert(line.run, run);
        Ok::<_, StoreError>(())
    })?;
    let mut manifest = Manifest::new(Kind::Export, known);
    runs.retain(|id, run| {
        let settled = matches!(
            run.phase,
            Phase::AtRest { .. } | Phase::Merged { .. } | Phase::Aborted { .. }
        );
        if !settled {
            let phase = run.phase.word().to_owned();
            manifest.left_out.push(LeftOut { run: *id, phase });
        }
        settled
    });
    manifest.runs = runs.len() as u64;
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
    let content = ContentStore::at(Files::below(config.state_root.clone()).evidence());
    for sha256 in payloads(runs.values()) {
        writer.add_payload(&content, sha256)?;
    }
    writer.finish()
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
