//! What the process finds around itself. The one place that asks for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::machine;

/// What the process finds around itself: everything that settings depend on besides flags and files, as plain values,
/// so that a test can give others.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The environment; what is not UTF-8 is left out.
    pub environment: BTreeMap<String, String>,
    /// The folder that relative paths start from.
    pub current_dir: PathBuf,
    /// The cores that this process may use.
    pub cores: usize,
    /// Bytes of memory that could be used now, if the system tells.
    pub available_memory: Option<u64>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Surroundings {
        Surroundings {
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            available_memory: machine::available_memory(),
        }
    }

    /// A variable; one that is set to nothing counts as not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The folder of the user's configuration files: `$XDG_CONFIG_HOME`, else `~/.config`.
    ///
    /// A relative `$XDG_CONFIG_HOME` is ignored (XDG Base Directory Specification).
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        let given = self.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        given.filter(|path| path.is_absolute()).or_else(|| {
            self.variable("HOME")
                .map(|home| PathBuf::from(home).join(".config"))
        })
    }
}
