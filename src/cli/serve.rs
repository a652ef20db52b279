//! No command: be the server.

use super::error::CliError;
use super::exit_code::ExitCode;
use super::screen::line;
use crate::app::{self, StartError};
use crate::config::{self, Config, Layers, ServerArgs, Surroundings};

/// Decides the settings, starts the logs, and serves until it is told to stop.
pub fn serve(args: &ServerArgs, around: &Surroundings) -> Result<(), CliError> {
    let config = Config::load(args, around)?;
    crate::telemetry::start(&config.log).map_err(|why| CliError::Failed(why.into()))?;
    start_server(config, around)
}

/// Prints the settings in force.
pub fn print_config(args: &ServerArgs, around: &Surroundings) -> Result<(), CliError> {
    let layers = Layers::load(args, around)?;
    let config = Config::from_layers(&layers, around)?;
    line(config::effective(&config, &layers).trim_end())
}

fn start_server(config: Config, around: &Surroundings) -> Result<(), CliError> {
    app::serve(config, around).map_err(|error| {
        let code = match &error {
            StartError::NotARepository(_) => ExitCode::NotARepository,
            StartError::NoSuchBase(_) => ExitCode::NoSuchBase,
            StartError::Git(_) => ExitCode::GitTooOld,
            StartError::DatabaseNewer(_) => ExitCode::DatabaseNewer,
            StartError::Damaged { .. } => ExitCode::Damaged,
            StartError::PortTaken { .. } => ExitCode::PortTaken,
            StartError::InUse(_) => ExitCode::InUse,
            StartError::NotContained(_)
            | StartError::NoNetwork(_)
            | StartError::NotSigning(_)
            | StartError::NotPushing(_) => ExitCode::ConfigWrong,
            StartError::NotWritable { .. } => ExitCode::FolderNotWritable,
            StartError::Database { .. } | StartError::Failed(_) => ExitCode::Failed,
        };
        CliError::Start(code, error.into())
    })
}
