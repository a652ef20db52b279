//! `service install|uninstall|status`: the server as a unit of the user's systemd.
//!
//! Deliberately absent: system-wide units. Agents run as the user whose repository, keys and tools they use.

mod systemctl;
mod unit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::systemctl::systemctl;
pub use self::systemctl::{UserManager, user_manager};
use self::unit::Unit;
use super::error::CliError;
use super::screen::{self, BUSY, styled};
use crate::config::{self, Config, Layers, ServerArgs, Surroundings};

const UNIT: &str = "agent_runner_api.service";

#[derive(Debug, clap::Args)]
pub struct ServiceArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write the unit with these settings, and start it
    Install(InstallArgs),
    /// Stop the unit and remove it; runs, database and worktrees stay
    Uninstall,
    /// Say whether the unit is installed and running
    Status,
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    #[command(flatten)]
    settings: ServerArgs,
}

pub fn service(args: &ServiceArgs, around: &Surroundings) -> Result<(), CliError> {
    let file = unit_file(around)?;
    match &args.action {
        Action::Install(args) => install(&args.settings, &file, around),
        Action::Uninstall => uninstall(&file, around),
        Action::Status => status(&file, around),
    }
}

fn install(settings: &ServerArgs, file: &Path, around: &Surroundings) -> Result<(), CliError> {
    let layers = Layers::load(settings, around)?;
    let config = Config::from_layers(&layers, around)?;
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    let environment_file = config_home(around)?.join("agent_runner_api/environment");
    let unit = Unit {
        program: &program,
        flags: config::frozen(&config, &layers),
        working_directory: &config.repo_root,
        path: around
            .variable("PATH")
            .unwrap_or("/usr/local/bin:/usr/bin:/bin"),
        environment_file: &environment_file,
    };
    write(file, &unit.text()).with_context(|| format!("cannot write {}", file.display()))?;
    screen::line(format!("wrote {}", shown(file)))?;
    match user_manager(around) {
        UserManager::Running => {
            systemctl(&["daemon-reload"])?;
            systemctl(&["enable", UNIT])?;
            // Not `enable --now`: a server that runs already must take the new settings.
            systemctl(&["restart", UNIT])?;
            screen::line(format!("started, on http://127.0.0.1:{}", config.port))?;
            screen::line("its log: journalctl --user -u agent_runner_api -f")?;
            screen::line("to have it run while you are not logged in: loginctl enable-linger")
        }
        UserManager::Absent(why) => {
            screen::line(styled(BUSY, screen::escape_line(&why)))?;
            screen::line("the unit is written, but nothing was started. What to do:")?;
            screen::line(
                "  - where you log in with systemd (not as another user by su or sudo): systemctl --user enable --now agent_runner_api",
            )?;
            screen::line("  - on a server without a login: loginctl enable-linger, then the same")?;
            screen::line(
                "  - in a container or WSL without systemd: start the line ExecStart= of the unit yourself",
            )
        }
    }
}

fn uninstall(file: &Path, around: &Surroundings) -> Result<(), CliError> {
    let running = user_manager(around) == UserManager::Running;
    if running && file.exists() {
        systemctl(&["disable", "--now", UNIT])?;
    }
    match fs::remove_file(file) {
        Ok(()) => screen::line(format!("removed {}", shown(file)))?,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            screen::line(format!("there is no {}", shown(file)))?;
        }
        Err(why) => {
            let why = anyhow::Error::new(why).context(format!("cannot remove {}", file.display()));
            return Err(why.into());
        }
    }
    if running {
        systemctl(&["daemon-reload"])?;
    }
    Ok(())
}

fn status(file: &Path, around: &Surroundings) -> Result<(), CliError> {
    let installed = if file.exists() {
        "installed"
    } else {
        "not installed"
    };
    screen::line(format!("unit      {installed} ({})", shown(file)))?;
    match user_manager(around) {
        UserManager::Running => {
            // `show` answers also for a unit that is not there, and its form is stable.
            let properties = "--property=ActiveState,SubState,MainPID";
            let state = systemctl(&["show", properties, "--value", UNIT])?;
            let state = state.lines().collect::<Vec<_>>().join(" ");
            screen::line(format!("state     {}", screen::escape_line(&state)))
        }
        UserManager::Absent(why) => {
            screen::line(format!("state     {}", screen::escape_line(&why)))
        }
    }
}

/// The whole file or the old one, never a half.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let aside = file.with_extension("service.new");
    fs::write(&aside, text)?;
    fs::rename(&aside, file)
}

fn unit_file(around: &Surroundings) -> Result<PathBuf, CliError> {
    Ok(config_home(around)?.join("systemd/user").join(UNIT))
}

fn config_home(around: &Surroundings) -> anyhow::Result<PathBuf> {
    around
        .config_home()
        .context("neither HOME nor XDG_CONFIG_HOME is set: there is no place for the unit")
}

fn shown(path: &Path) -> String {
    screen::escape_line(&path.to_string_lossy()).into_owned()
}
