//! What must always hold, checked over database, git, processes and files at once.
//!
//! ```text
//! I1  a merge on the base is the one that was recorded      landings
//! I2  what was accepted is in the journal                   journal
//! I3  running means a living process                        processes
//! I4  no process of an agent without a run at work          processes
//! I5  no worktree, branch, ref or trash without a run       places; files of runs and attempts: attempts
//! I6  terminal states never change                          journal
//! I7  merged means in the base                              landings
//! I8  every payload is there, byte for byte                 payloads
//! I9  an exit is the agent's own or unknown                 attempts
//! I10 the numbers of events only grow, without a gap        journal; bytes of output: attempts
//! I11 no answer is a failure of the service, none panicked  inside
//! I12 the chain of the journal is whole                     journal
//! I13 work that was preserved is there                      places
//! ```
//!
//! `check_world` only looks. `mend` does what a finding's remedy says, and looks again before it does. Unknown is
//! not dead: what is only suspicious is reported and stays, and nothing is removed whose work is not kept.
//!
//! The runs go on meanwhile, so what moves is looked at twice, and only what is found both times counts. Outside facts
//! are read before the journal: what has a row by then is not taken for an orphan, and the second look sees what the
//! first one's journal had told already.
//!
//! By default the look does not grow with the history: the newest events with the runs that they are of, all runs that
//! have not ended, and of payloads whether they are there with as many bytes. The whole is looked at when asked for.
//!
//! Deliberately absent is I14 (your checkouts, index, hooks and configuration are never changed): one look cannot tell
//! whether you or the service changed them, so the tests compare them before and after (`tests/it/support/yours.rs`).
//! Of I10, what a reader of a stream has seen is not known here either: tests hold that.

mod attempts;
mod finding;
mod inside;
mod journal;
mod landings;
mod mend;
mod payloads;
mod places;
mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub use finding::{Code, Finding, Level};
pub use mend::{NotMended, mend};

use crate::git;
use crate::run::RunId;
use crate::runner::Context;
use crate::store::StoreError;
pub use crate::store::audit::Depth;
use crate::store::audit::{Told, audit};

/// Between two looks: longer than a run takes from an effect to its event.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Why the world could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// git failed.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A folder or `/proc` cannot be read.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn failed(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> CheckError {
    let what = what.into();
    move |source| CheckError::Io { what, source }
}

/// Every run, as its events tell it.
type Runs = BTreeMap<RunId, Told>;

/// What was found, and in how much.
#[derive(Debug)]
pub struct World {
    /// One finding for each thing that should not be.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub extent: Extent,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How far back.
    pub depth: Depth,
    /// How many events, the newest ones.
    pub events: u64,
    /// How many events there are.
    pub events_of: u64,
    /// How many runs.
    pub runs: usize,
    /// How many runs there are.
    pub runs_of: usize,
    /// How many payloads.
    pub payloads: u64,
}

/// Looks at the world. Nothing is changed.
///
/// # Errors
/// Something could not be looked at at all; then nothing is known of the rest either.
pub async fn check_world(context: &Context, depth: Depth) -> Result<World, CheckError> {
    let mut world = look(context, depth, depth).await?;
    if world.findings.iter().any(|finding| finding.code.moves()) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        // Payloads do not move.
        let again = look(context, depth, Depth::Newest).await?.findings;
        let stays = |finding: &Finding| !finding.code.moves() || again.contains(finding);
        world.findings.retain(stays);
    }
    Ok(world)
}

async fn look(context: &Context, depth: Depth, of_payloads: Depth) -> Result<World, CheckError> {
    // The outside first, then the journal.
    let places = places::seen(context).await?;
    let cgroups = context.containment.cgroups();
    let cgroups = cgroups.map_err(failed("list the cgroups of attempts"))?;
    let (store, content) = (context.journal.store().clone(), context.content.clone());
    let files = context.files.clone();
    let read = tokio::task::spawn_blocking(move || {
        let processes = processes::seen()?;
        let folders = attempts::seen(&files)?;
        let audit = store.read(|db| audit(db, depth))?;
        let (mut findings, payloads) = payloads::check(&content, &audit.runs, of_payloads);
        findings.extend(attempts::check(&files, &folders, &audit)?);
        Ok::<_, CheckError>((processes, audit, findings, payloads))
    });
    let (processes, audit, of_files, payloads) = read
        .await
        .map_err(|e| failed("read the journal")(e.into()))??;
    let mut findings = journal::check(&audit);
    findings.extend(of_files);
    findings.extend(places::check(context, &places, &audit)?);
    findings.extend(processes::check(&context.files, &processes, &audit)?);
    findings.extend(processes::check_cgroups(&cgroups, &audit));
    findings.extend(landings::check(context, &audit.runs).await?);
    findings.extend(inside::check(&context.failures));
    let (events, events_of) = audit.looked_at;
    Ok(World {
        findings,
        extent: Extent {
            depth,
            events,
            events_of,
            runs: audit.runs.len(),
            runs_of: audit.known.len(),
            payloads,
        },
    })
}

fn names_in(folder: &Path) -> Result<Vec<String>, CheckError> {
    let what = format!("list {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(what)(error)),
    };
    let names = entries.flatten();
    Ok(names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}
