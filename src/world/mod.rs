//! What must always hold, checked over database, git, processes and files at once.
//!
//! ```text
//! I1  a merge on the base is the one that was recorded      landings
//! I2  what was accepted is in the journal                   journal
//! I3  running means a living process                        processes
//! I4  no process of an agent without a run at work          processes
//! I5  no worktree, branch, ref or trash without a run       places
//! I6  terminal states never change                          journal
//! I7  merged means in the base                              landings
//! I8  every payload is there, byte for byte                 payloads
//! I10 the numbers of events only grow                       journal
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
//! Deliberately absent: what needs a history of looks (an exit code that was another one, a stream with a gap, a
//! checkout of yours that changed: I9, I11, I14). Tests hold those.

mod finding;
mod journal;
mod landings;
mod mend;
mod payloads;
mod places;
mod processes;

use std::collections::BTreeMap;
use std::time::Duration;

pub use finding::{Code, Finding, Level};
pub use mend::{NotMended, mend};

use crate::git;
use crate::run::RunId;
use crate::runner::Context;
use crate::store::StoreError;
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

/// One finding for each thing that should not be. Nothing is changed.
///
/// # Errors
/// Something could not be looked at at all; then nothing is known of the rest either.
pub async fn check_world(context: &Context) -> Result<Vec<Finding>, CheckError> {
    let mut findings = look(context).await?;
    if findings.iter().any(|finding| finding.code.moves()) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let again = look(context).await?;
        findings.retain(|finding| again.contains(finding));
    }
    Ok(findings)
}

async fn look(context: &Context) -> Result<Vec<Finding>, CheckError> {
    // The outside first, then the journal.
    let places = places::seen(context).await?;
    let (store, content) = (context.journal.store().clone(), context.content.clone());
    let read = tokio::task::spawn_blocking(move || {
        let processes = processes::seen()?;
        let audit = store.read(audit)?;
        let payloads = payloads::check(&content, &audit.runs);
        Ok::<_, CheckError>((processes, audit, payloads))
    });
    let (processes, audit, payloads) = read
        .await
        .map_err(|e| failed("read the journal")(e.into()))??;
    let mut findings = journal::check(&audit);
    findings.extend(payloads);
    findings.extend(places::check(context, &places, &audit.runs)?);
    findings.extend(processes::check(&context.files, &processes, &audit.runs)?);
    findings.extend(landings::check(context, &audit.runs).await?);
    Ok(findings)
}
