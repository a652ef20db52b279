//! What the process finds around itself. The one place that asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::machine;
use crate::run::given;

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
    /// The file of this program, if the system tells.
    pub program: Option<PathBuf>,
}

/// How the agent of a run, in whose environment this process is, reaches the service.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnRun {
    /// The address of the service.
    pub url: String,
    /// The token of the run.
    pub token: String,
    /// The id of the run.
    pub run_id: String,
    /// The id of the attempt.
    pub attempt_id: String,
}

impl fmt::Debug for OwnRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("OwnRun");
        told.field("run_id", &self.run_id).finish_non_exhaustive()
    }
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
            program: std::env::current_exe().ok(),
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

    /// The run of the agent that has started this process.
    ///
    /// # Errors
    /// The name of a variable that an agent of ours would have.
    pub fn own_run(&self) -> Result<OwnRun, &'static str> {
        let of = |name| self.variable(name).map(str::to_owned).ok_or(name);
        Ok(OwnRun {
            url: of(given::URL)?,
            token: of(given::TOKEN)?,
            run_id: of(given::RUN_ID)?,
            attempt_id: of(given::ATTEMPT_ID)?,
        })
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
