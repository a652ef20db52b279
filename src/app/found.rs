//! What of the machine a start finds: what holds attempts together, which networks checks get, where Claude Code is.

use std::path::Path;

use crate::agent::claude::{self, locate::locate_at};
use crate::config::{self, Config, Surroundings};
use crate::process::{Containment, Networks, NotHad, Wanted, WantedNetwork, bus_address};

/// What holds attempts together, as the settings ask for it; said in the log.
pub(super) async fn containment(
    config: &Config,
    around: &Surroundings,
) -> Result<Containment, NotHad> {
    let wanted = match config.containment {
        config::Containment::Auto => Wanted::Best,
        config::Containment::Systemd => Wanted::Systemd,
        config::Containment::Cgroup => Wanted::Cgroup,
        config::Containment::None => Wanted::Nothing,
    };
    let bus = bus_address(
        around.variable("DBUS_SESSION_BUS_ADDRESS"),
        around.variable("XDG_RUNTIME_DIR"),
    );
    let found = Containment::find(wanted, bus.as_deref()).await?;
    for why in found.passed_over() {
        tracing::info!("{why}");
    }
    tracing::info!(controllers = ?found.controllers(), "{}", found.detail());
    Ok(found)
}

/// The networks that checks run in, as the settings ask for them; said in the log if they are not checks' own.
pub(super) async fn networks(config: &Config, binary: &Path) -> Result<Networks, NotHad> {
    let wanted = match config.check_network {
        config::CheckNetwork::Auto => WantedNetwork::Best,
        config::CheckNetwork::Own => WantedNetwork::Own,
        config::CheckNetwork::Machine => WantedNetwork::Machines,
    };
    let found = Networks::find(wanted, binary).await?;
    if let Some(why) = found.why_not_own() {
        tracing::info!("checks run in the machine's network: {why}");
    }
    Ok(found)
}

/// Claude Code: the program that the configuration names, or what its name is on PATH.
pub(super) fn find_claude(named: &Path, path: &str) -> Result<claude::Program, String> {
    let found = if named.components().count() > 1 {
        Some(named.to_owned())
    } else {
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(named))
            .find(|file| file.is_file())
    };
    match found {
        None => Err(format!("no `{}` was found on PATH", named.display())),
        Some(file) => locate_at(&file).map_err(|error| error.to_string()),
    }
}
