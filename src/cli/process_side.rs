//! The hidden commands that the server starts its agents with. Nothing but a door into `process`.

use std::path::PathBuf;

use super::error::CliError;
use super::exit_code::ExitCode;

#[derive(Debug, clap::Args)]
pub struct SuperviseArgs {
    /// The attempt's folder
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct ExecGateArgs {
    /// The attempt's folder
    dir: PathBuf,
}

/// SEAM: becomes `crate::process::supervise_main(&args.dir)`, whose code is the program's.
pub fn supervise(args: &SuperviseArgs) -> Result<ExitCode, CliError> {
    let dir = args.dir.display();
    Err(CliError::Failed(anyhow::anyhow!(
        "this build has no supervisor for {dir}"
    )))
}

/// SEAM: becomes `crate::process::exec_gate_main(&args.dir)`, which does not come back if it succeeds.
pub fn exec_gate(args: &ExecGateArgs) -> Result<ExitCode, CliError> {
    let dir = args.dir.display();
    Err(CliError::Failed(anyhow::anyhow!(
        "this build has no gate for {dir}"
    )))
}
