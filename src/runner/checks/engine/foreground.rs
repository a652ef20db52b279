//! A command that is run to its end.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::environment::Variables;
use super::folder::RoundFolder;
use super::judged::{Judged, judged};
use super::launch::{self, Start};
use super::report;
use crate::dod::check::{CheckSpec, End};
use crate::run::RunId;
use crate::runner::Context;

/// A check's command, where it runs and with what.
pub(super) struct Command<'a> {
    pub(super) run: RunId,
    /// Which of the round it is.
    pub(super) number: usize,
    pub(super) spec: &'a CheckSpec,
    pub(super) checkout: PathBuf,
    pub(super) variables: Variables,
    pub(super) network: Option<u32>,
}

/// Runs it and judges it.
pub(super) async fn run(
    context: &Context,
    folder: &RoundFolder,
    command: Command<'_>,
    stop: &CancellationToken,
) -> Judged {
    let (spec, log) = (command.spec, folder.log(command.number));
    let checkout = command.checkout.clone();
    let end = match to_its_end(context, folder, command, stop).await {
        Ok(end) | Err(end) => end,
    };
    judged(spec, end, Some(log), &checkout).await
}

async fn to_its_end(
    context: &Context,
    folder: &RoundFolder,
    command: Command<'_>,
    stop: &CancellationToken,
) -> Result<End, End> {
    let spec = command.spec;
    report::take_away(&command.checkout, spec).map_err(|error| End::NotStarted {
        detail: format!("what lies where its report is to be written cannot be removed: {error}"),
    })?;
    let start = Start {
        run: command.run,
        number: command.number,
        cmd: &spec.cmd,
        cwd: &command.checkout,
        variables: command.variables,
        network: command.network,
        timeout_s: Some(spec.timeout_s()),
    };
    let supervised = launch::start(context, folder, start).await?;
    Ok(launch::ended(&supervised, spec.timeout_s(), stop).await)
}
