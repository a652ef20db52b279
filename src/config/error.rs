//! Why the settings are no settings.

use std::path::PathBuf;

use super::layers::Source;

/// Why no server can be started with what was given. Each sentence says where the mistake is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read the configuration file {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {why}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// The file has a key that is no setting.
    #[error("{}:{line}: unknown setting `{key}`{}", path.display(), nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its tables.
        key: String,
        /// The setting that is written most like it.
        nearest: Option<&'static str>,
    },
    /// A value does not fit its setting.
    #[error("{from}: {value:?} is no value for `{key}`: {why}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Where the value came from.
        from: Source,
        /// The value, as it was written.
        value: String,
        /// What a value must be.
        why: String,
    },
    /// The repository is the root of the file system, so there is nothing beside it.
    #[error("there is no place for worktrees beside {}: say --worktrees-root", repo_root.display())]
    NoPlaceForWorktrees {
        /// The repository.
        repo_root: PathBuf,
    },
}
