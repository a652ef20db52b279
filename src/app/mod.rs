//! The service as its doors see it: what can be asked of it, and what it answers.
//!
//! Each call looks at what was asked (`create`, `proof`, `end`, `workflows`), asks the journal or the runner,
//! and shows what came of it in the shapes of the API. A refusal (`refused`) has changed nothing.

pub mod alone;
pub mod archive;
mod attest;
mod checks;
pub mod create;
pub mod doctor;
pub mod end;
mod fields;
mod found;
mod gc;
pub mod own;
mod payload;
mod pool;
pub mod prompt;
pub mod proof;
pub mod refused;
pub mod serve;
mod sparse;
mod stats;
pub mod verify;
pub mod watch;
pub mod workflows;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rusqlite::Connection;

pub use crate::journal::IdempotencyKey;
pub use crate::shape::view::{DiffFormat, DiffView};
pub use crate::shape::{request, schema, view};
pub use create::Created;
pub use end::Merged;
pub use proof::PayloadFile;
pub use refused::{FieldProblem, Refused};
pub use serve::{StartError, serve, serve_with};

use crate::git;
use crate::run::{Phase, Run, RunId, Status};
use crate::runner::{Context, Runner, ask_gate, current_head};
use crate::store::{StoreError, list, runs};
use request::{PageRequest, RunFilter};
use view::{DetailView, DiffFile, GateView, RunPage};

/// The fewest characters that stand for an id.
const PREFIX_MIN: usize = 6;

/// The service.
#[derive(Debug)]
pub struct App {
    runner: Runner,
    port: u16,
    started_at: Timestamp,
    /// What agents were told when they were about to end.
    endings: own::Endings,
}

impl App {
    /// The service around this runner, reached at this port.
    #[must_use]
    pub fn new(runner: Runner, port: u16) -> App {
        App {
            runner,
            port,
            started_at: crate::clock::now(),
            endings: own::Endings::default(),
        }
    }

    fn runner(&self) -> &Runner {
        &self.runner
    }

    fn context(&self) -> &Arc<Context> {
        self.runner.context()
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, Refused> {
        Ok(self.context().journal.store().read(work)?)
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        Ok(self.context().journal.store().write(work).await?)
    }

    /// The run that a client means.
    fn run_id(&self, text: &str) -> Result<RunId, Refused> {
        let not_found = || Refused::NotFound {
            what: "run",
            id: text.to_owned(),
        };
        if !is_prefix(text) {
            return Err(not_found());
        }
        let prefix = text.to_ascii_lowercase();
        let ids = self.read(|db| runs::ids_by_prefix(db, &prefix))?;
        match ids.as_slice() {
            [id] => Ok(*id),
            [] => Err(not_found()),
            _ => Err(Refused::AmbiguousId {
                what: "run",
                prefix: text.to_owned(),
            }),
        }
    }

    fn load(&self, id: RunId) -> Result<Run, Refused> {
        self.context()
            .journal
            .run(id)?
            .ok_or_else(|| Refused::NotFound {
                what: "run",
                id: id.to_string(),
            })
    }

    /// The run, with its branch looked at: a head that has moved is recorded, and its checks begin.
    async fn seen(&self, id: RunId) -> Result<Run, Refused> {
        let run = self.load(id)?;
        let head = self.runner().notice_head(&run).await?;
        if head == run.head {
            Ok(run)
        } else {
            self.load(id)
        }
    }

    fn queue_position(&self, run: &Run) -> Result<Option<u64>, Refused> {
        if run.status() != Status::Queued {
            return Ok(None);
        }
        self.read(|db| runs::queue_position(db, run.id))
    }

    /// The merge of a run, with its place in the queue of its base.
    fn merge_view(&self, run: &Run) -> Result<Option<view::MergeView>, Refused> {
        let position = match run.phase {
            Phase::MergeQueued { .. } => {
                let queue = self.read(|db| runs::merge_queue(db, &run.spec.base))?;
                let at = queue.iter().position(|id| *id == run.id);
                at.map(|at| at as u64 + 1)
            }
            _ => None,
        };
        Ok(view::MergeView::of(run, position))
    }

    /// What a run in the queue waits for.
    fn waits_for(&self) -> &'static str {
        match self.context().room.low() {
            Some(_) => "disk",
            None => "slot",
        }
    }

    /// Refuses where there is too little room for anything new.
    fn has_room(&self) -> Result<(), Refused> {
        match self.context().room.low() {
            Some(low) => Err(Refused::DiskLow(low)),
            None => Ok(()),
        }
    }

    /// Runs that fit the filter, the newest first.
    ///
    /// # Errors
    /// The cursor is none of ours, or the database failed.
    pub async fn list(&self, filter: RunFilter, page: PageRequest) -> Result<RunPage, Refused> {
        let after = match &page.cursor {
            None => None,
            Some(text) => Some(page_end(text).ok_or_else(|| {
                Refused::Invalid(vec![FieldProblem::new(
                    "/cursor",
                    "must be a `next_cursor` of this list",
                )])
            })?),
        };
        let limit = page.limit.clamp(1, 500);
        // One more than asked for tells whether there is another page.
        let mut runs = self.read(|db| list::page(db, &filter, after.as_ref(), limit + 1))?;
        let more = runs.len() > limit as usize;
        runs.truncate(limit as usize);
        if runs.iter().any(|run| run.status == Status::Queued) {
            let waits_for = self.waits_for();
            let queued = runs.iter_mut().filter(|run| run.status == Status::Queued);
            let mut queued: Vec<&mut view::RunView> = queued.collect();
            let ids: Vec<&str> = queued.iter().map(|run| run.id.as_str()).collect();
            let positions = self.read(|db| runs::queue_positions(db, &ids))?;
            for (run, position) in queued.iter_mut().zip(positions) {
                run.queue_position = position;
                run.waits_for = Some(waits_for);
            }
        }
        let next_cursor = runs
            .last()
            .filter(|_| more)
            .map(|run| URL_SAFE_NO_PAD.encode(format!("{}|{}", run.created_at, run.id)));
        Ok(RunPage { runs, next_cursor })
    }

    /// A run with all that belongs to it.
    ///
    /// # Errors
    /// There is none.
    pub async fn detail(&self, run: &str) -> Result<DetailView, Refused> {
        let run = self.seen(self.run_id(run)?).await?;
        let asked = ask_gate(self.context(), &run).await?;
        let position = self.queue_position(&run)?;
        let gate = gate_view(asked.answer);
        let head = asked.head.as_ref();
        let mut view = DetailView::of(&run, position, head, asked.changed.as_deref(), gate);
        self.show_feedback(&run, &mut view);
        view.run.waits_for = position.map(|_| self.waits_for());
        view.merge = self.merge_view(&run)?;
        Ok(view)
    }

    /// May it merge?
    ///
    /// # Errors
    /// There is no such run.
    pub async fn gate(&self, run: &str) -> Result<GateView, Refused> {
        let run = self.seen(self.run_id(run)?).await?;
        Ok(gate_view(ask_gate(self.context(), &run).await?.answer))
    }

    /// What the run has changed.
    ///
    /// # Errors
    /// There is no such run, or it has no commit yet.
    pub async fn diff(&self, run: &str, format: DiffFormat) -> Result<DiffView, Refused> {
        let run = self.load(self.run_id(run)?)?;
        let head = current_head(self.context(), &run).await?;
        let (Some(base), Some(head)) = (run.base_commit.clone(), head) else {
            return Err(Refused::State(crate::run::Refusal::NoHead));
        };
        let repository = &self.context().repository;
        let mut view = DiffView {
            run_id: run.id.to_string(),
            base_commit: base.to_string(),
            head: head.commit.to_string(),
            truncated: false,
            patch: None,
            stat: None,
            files: None,
        };
        match format {
            DiffFormat::Patch => {
                let wanted = git::DiffFormat::Patch;
                if let git::Diff::Patch { text, truncated } =
                    repository.diff(&base, &head.commit, wanted).await?
                {
                    view.patch = Some(String::from_utf8_lossy(&text).into_owned());
                    view.truncated = truncated;
                }
            }
            DiffFormat::Stat => {
                let wanted = git::DiffFormat::Stat;
                if let git::Diff::Stat(files) = repository.diff(&base, &head.commit, wanted).await?
                {
                    let lines = files.iter().map(|file| {
                        let count = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
                        format!(
                            "{}\t{}\t{}\n",
                            count(file.added),
                            count(file.removed),
                            file.path
                        )
                    });
                    view.stat = Some(lines.collect());
                }
            }
            DiffFormat::Files => {
                let stat = repository
                    .diff(&base, &head.commit, git::DiffFormat::Stat)
                    .await?;
                let files = repository
                    .diff(&base, &head.commit, git::DiffFormat::Files)
                    .await?;
                if let (git::Diff::Stat(stat), git::Diff::Files(files)) = (stat, files) {
                    view.files = Some(
                        files
                            .into_iter()
                            .map(|file| diff_file(file, &stat))
                            .collect(),
                    );
                }
            }
        }
        Ok(view)
    }
}

fn diff_file(file: git::ChangedFile, stat: &[git::FileStat]) -> DiffFile {
    let lines = stat.iter().find(|stat| stat.path == file.path);
    DiffFile {
        added: lines.and_then(|stat| stat.added),
        removed: lines.and_then(|stat| stat.removed),
        path: file.path,
        status: file.change.to_owned(),
    }
}

fn gate_view<T>(answer: Result<T, Vec<crate::gate::Blocker>>) -> GateView {
    match answer {
        Ok(_) => GateView {
            open: true,
            blockers: Vec::new(),
        },
        Err(blockers) => GateView {
            open: false,
            blockers,
        },
    }
}

/// Whether a client's text can stand for an id: 6 or more of its first characters.
fn is_prefix(text: &str) -> bool {
    (PREFIX_MIN..=36).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Whether a client's text stands for this id.
fn fits(id: &str, text: &str) -> bool {
    is_prefix(text) && id.starts_with(&text.to_ascii_lowercase())
}

fn page_end(cursor: &str) -> Option<list::PageEnd> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (created_at, id) = text.split_once('|')?;
    created_at.parse::<Timestamp>().ok()?;
    id.parse::<RunId>().ok()?;
    Some(list::PageEnd {
        created_at: created_at.to_owned(),
        id: id.to_owned(),
    })
}
