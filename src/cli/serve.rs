//! No command: be the server.

use super::error::CliError;
use super::screen::line;
use crate::config::{self, Config, Layers, ServerArgs, Surroundings};

/// Decides the settings, starts the logs, and serves until it is told to stop.
pub fn serve(args: &ServerArgs, around: &Surroundings) -> Result<(), CliError> {
    let config = Config::load(args, around)?;
    crate::telemetry::start(&config.log).map_err(|why| CliError::Failed(why.into()))?;
    start_server(config)
}

/// Prints the settings in force.
pub fn print_config(args: &ServerArgs, around: &Surroundings) -> Result<(), CliError> {
    let layers = Layers::load(args, around)?;
    let config = Config::from_layers(&layers, around)?;
    line(config::effective(&config, &layers).trim_end())
}

/// SEAM: becomes `crate::app::serve(config)`, whose errors become [`CliError::Start`] with their code.
fn start_server(_config: Config) -> Result<(), CliError> {
    Err(CliError::Failed(anyhow::anyhow!(
        "this build has no server"
    )))
}
