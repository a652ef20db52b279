//! `demo`: a run from request to merge, in a folder that is gone afterwards. It needs git and a POSIX shell; no key,
//! no network.
//!
//! It is a client like any other: `story` tells it call by call. `stage` is what it plays on: a small repository and
//! this same program as a server beside it, with settings of its own.

mod stage;
mod story;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::screen::{self, FAINT, styled};
use crate::config::Surroundings;
use stage::Stage;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep the folder with the repository and the service's files
    #[arg(long)]
    keep: bool,
}

pub fn demo(args: &DemoArgs, around: &Surroundings) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start")?;
    let told = runtime.block_on(until_interrupted(around));
    // Where the story was interrupted, its thread may still wait for an answer that nobody needs.
    runtime.shutdown_background();
    let (stage, told) = told?;
    let folder = stage.close(args.keep);
    told?;
    match folder? {
        Some(kept) => screen::line(format!("The folder is kept: {}", kept.display()))?,
        None => screen::line(styled(
            FAINT,
            "The service is ended, the folder is removed.",
        ))?,
    }
    story::how_with_claude()
}

/// Tells the story, or says that it was interrupted; either way with the stage, which is to be closed.
async fn until_interrupted(
    around: &Surroundings,
) -> Result<(Stage, Result<(), CliError>), CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut stage = Stage::set_up(around).await?;
    let props = match stage.start_service(around) {
        Ok(props) => props,
        Err(why) => return Ok((stage, Err(why))),
    };
    let runtime = Handle::current();
    let telling = tokio::task::spawn_blocking(move || story::tell(props, &runtime));
    let told = tokio::select! {
        told = telling => told.unwrap_or_else(|why| Err(CliError::Failed(why.into()))),
        _ = interrupt.recv() => Err(CliError::Failed(anyhow::anyhow!("interrupted"))),
        _ = terminate.recv() => Err(CliError::Failed(anyhow::anyhow!("interrupted"))),
    };
    Ok((stage, told))
}
