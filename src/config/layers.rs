//! What was said, and by whom: the layers before they are values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::settings::{Fallback, SETTINGS, setting};
use super::value::Raw;
use super::{CONFIG_ENV, ConfigError, ServerArgs, Surroundings, file};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// This environment variable.
    Environment(String),
    /// This flag, without its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => write!(f, "{name}"),
            Source::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// For each setting that somebody gave a value: the value that counts, and where it came from.
#[derive(Debug, Clone)]
pub struct Layers {
    given: BTreeMap<&'static str, (Raw, Source)>,
    file: Option<PathBuf>,
}

impl Layers {
    /// Gathers file, environment and flags; a later one of these covers an earlier one.
    pub fn load(args: &ServerArgs, around: &Surroundings) -> Result<Layers, ConfigError> {
        let file = file_to_read(args, around);
        let mut given = BTreeMap::new();
        if let Some(path) = &file {
            let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Unreadable {
                path: path.clone(),
                why,
            })?;
            given.extend(file::read(path, &text)?);
        }
        for setting in SETTINGS {
            let name = setting.env();
            if let Some(value) = around.variable(&name) {
                let value = Raw::One(value.to_owned());
                given.insert(setting.key, (value, Source::Environment(name)));
            }
        }
        for (key, value) in args.given() {
            let flag = setting(key).flag();
            given.insert(key, (Raw::One(value.to_owned()), Source::Flag(flag)));
        }
        Ok(Layers { given, file })
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Where the value of this setting comes from.
    #[must_use]
    pub fn source(&self, key: &str) -> Source {
        self.given
            .get(key)
            .map_or(Source::Default, |(_, source)| source.clone())
    }

    /// The value given by a flag or a variable or the file, as it was written.
    pub(super) fn written(&self, key: &str) -> Option<&Raw> {
        self.given.get(key).map(|(raw, _)| raw)
    }

    /// The value of a setting whose default is a value.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Raw) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        Ok(self
            .optional(key, parse)?
            .expect("a required setting has a default in the table"))
    }

    /// The value of a setting that may stay without one.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Raw) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let fallback = match setting(key).default {
            Fallback::Value(text) => Some(Raw::One(text.to_owned())),
            Fallback::Found(_) => None,
        };
        let Some(raw) = self.written(key).or(fallback.as_ref()) else {
            return Ok(None);
        };
        parse(raw).map(Some).map_err(|why| ConfigError::Invalid {
            key,
            from: self.source(key),
            value: raw.shown(),
            why,
        })
    }
}

/// `--config`, else `AGENT_RUNNER_CONFIG`, else the user's file if it is there.
fn file_to_read(args: &ServerArgs, around: &Surroundings) -> Option<PathBuf> {
    let named = args
        .config()
        .map(PathBuf::from)
        .or_else(|| around.variable(CONFIG_ENV).map(PathBuf::from));
    named.map(|path| around.current_dir.join(path)).or_else(|| {
        let path = around.config_home()?.join("agent_runner_api/config.toml");
        path.is_file().then_some(path)
    })
}
