//! Runs a list of checks at a commit, and says what each came to.
//!
//! ```text
//! folder of the round ─> clean checkout, network, environment ─> each check in order, under a supervisor of its own
//!    ─> log ─> counted, reported, judged ─> told ─> background commands ended, checkouts removed
//! ```
//!
//! One checkout for the list: what an earlier command builds is there for the later ones, and a command in the background
//! goes on until the list is over. A check that could not be run has failed; only a list that is stopped says nothing of
//! the rest.
//!
//! Deliberately absent: when checks run, how many at a time, their results of earlier, the journal.

mod background;
mod environment;
mod folder;
mod foreground;
mod judged;
mod launch;
mod list;
mod log;
mod report;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::Context;
use crate::dod::check::{CheckRecord, CheckSpec};
use crate::process::{self, Attachment};
use crate::run::{CommitId, EndedBy, ItemId, RoundId, RunId};
use crate::worktree;
pub use environment::{Environment, OfCheck, environment};
use folder::RoundFolder;

/// A list of checks to be run at a commit.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run that they are for: its marker is on all their processes.
    pub run: RunId,
    /// The round, which has a folder of its own.
    pub round: RoundId,
    /// Where they run.
    pub commit: CommitId,
    /// Where those with `red_green` run first, and must fail.
    pub base: CommitId,
    /// The checks, in their order.
    pub list: Vec<Ordered>,
}

/// One check of a list.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// The item that it is for.
    pub item: ItemId,
    /// The item's key.
    pub key: String,
    /// What to run.
    pub spec: CheckSpec,
}

/// What a check came to.
#[derive(Debug)]
pub struct Done {
    /// The item.
    pub item: ItemId,
    /// What came of it.
    pub record: CheckRecord,
    /// All that it printed, both streams in their order; there until [`clear`]. A file that is not there is an empty one.
    pub log: PathBuf,
}

/// Runs the whole list and tells what each check came to as soon as that is known; of those in the background that is when
/// the list is over. Nothing that was started is left when this returns, and the checkouts are gone.
///
/// Once `stop` is cancelled, the check under way and those behind it are ended or not begun, and nothing is told of them.
///
/// A check may need what those before it have made (a build), so a list is run whole or not at all.
///
/// # Errors
/// Something of it could not be removed.
pub async fn run_list(
    context: &Arc<Context>,
    order: Order,
    stop: CancellationToken,
    done: mpsc::UnboundedSender<Done>,
) -> anyhow::Result<()> {
    let folder = RoundFolder::of(&context.files, order.round);
    list::walk(context, &folder, &order, &stop, &done).await;
    folder.take_away_checkouts().await
}

/// Ends whatever is left of a round, and removes its folder with its logs. May be repeated; of a round that never began
/// there is nothing to do.
///
/// # Errors
/// It cannot be known whether something of it works, or something of it cannot be removed.
pub async fn clear(context: &Arc<Context>, run: RunId, round: RoundId) -> anyhow::Result<()> {
    let folder = RoundFolder::of(&context.files, round);
    for dir in folder.launched()? {
        match process::attach(&dir).await {
            Ok(Attachment::Live(supervised)) => {
                let killed = supervised.kill(EndedBy::Stop).await;
                tracing::info!(%run, %round, ?killed, "a check of a round that was cut short is ended");
                supervised.ended().await;
            }
            Ok(Attachment::Ended(_) | Attachment::NeverStarted | Attachment::Lost(_)) => {}
            Err(error) => {
                tracing::warn!(%run, %round, %error, "a check is ended by the marker of its run");
                tokio::task::spawn_blocking(move || process::sweep_marked(run)).await?;
            }
        }
    }
    worktree::take_away_clean(folder.root())
        .await
        .with_context(|| format!("remove the folder of round {round}"))
}
