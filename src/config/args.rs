//! The server's flags, made from the table of settings.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::settings::SETTINGS;
use super::{CONFIG_ENV, Setting};

const HEADING: &str = "Server settings";

/// The flags that were given, not yet looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerArgs {
    given: BTreeMap<&'static str, String>,
    config: Option<OsString>,
}

impl ServerArgs {
    /// Each setting that was given by a flag, with its text.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.given.iter().map(|(key, text)| (*key, text.as_str()))
    }

    /// The file that `--config` named.
    #[must_use]
    pub fn config(&self) -> Option<&OsStr> {
        self.config.as_deref()
    }
}

impl Args for ServerArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(OsString))
            .help_heading(HEADING)
            .help(format!(
                "TOML file with these settings [env: {CONFIG_ENV}] [default: \
                 $XDG_CONFIG_HOME/agent_runner_api/config.toml, if it is there]"
            ));
        command.args(SETTINGS.iter().map(argument)).arg(config)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(setting: &Setting) -> Arg {
    let help = format!(
        "{} [env: {}] [default: {}]",
        setting.meaning,
        setting.env(),
        setting.default.shown()
    );
    let argument = Arg::new(setting.key)
        .long(setting.flag())
        .value_name(setting.value_name)
        .action(ArgAction::Set)
        .help_heading(HEADING)
        .help(help);
    if setting.is_switch() {
        argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        argument
    }
}

impl FromArgMatches for ServerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = ServerArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for setting in SETTINGS {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.given.insert(setting.key, text.clone());
            }
        }
        if let Some(path) = matches.get_one::<OsString>("config") {
            self.config = Some(path.clone());
        }
        Ok(())
    }
}
