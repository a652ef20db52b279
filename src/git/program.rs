//! The git program: where it is and that it is new enough.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::call::Call;
use super::error::Error;

/// The oldest git that will do: `merge-tree --write-tree -z` and `safe.bareRepository` came with 2.38.
pub const MINIMUM_VERSION: Version = Version(2, 38);

/// A version of git: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// From `git version 2.47.3 (Apple Git-145)` and the like.
    fn parse(text: &str) -> Option<Version> {
        let numbers = text.strip_prefix("git version ")?;
        let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
        Some(Version(
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }
}

/// Why there is no usable git.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// No folder of the search path has it.
    #[error("git was not found on PATH; install git {MINIMUM_VERSION} or newer")]
    Missing,
    /// It is older than what is needed.
    #[error("{} is version {found}; git {MINIMUM_VERSION} or newer is needed", path.display())]
    TooOld {
        /// Which program.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// It does not say its version.
    #[error("{} does not answer `git version` as git does: {answer:?}", path.display())]
    NotGit {
        /// Which program.
        path: PathBuf,
        /// What it said.
        answer: String,
    },
    /// It could not be asked.
    #[error(transparent)]
    Git(#[from] Error),
}

/// A git program that is new enough.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    version: Version,
}

impl Program {
    /// The first `git` in `search_path` (the value of `PATH`), asked for its version.
    pub async fn find(search_path: &OsStr) -> Result<Program, ProgramError> {
        let path = find_executable(search_path, "git").ok_or(ProgramError::Missing)?;
        let output = Call::bare(&path, "version").run().await?;
        let answer = String::from_utf8_lossy(output.stdout()).trim().to_owned();
        match Version::parse(&answer) {
            None => Err(ProgramError::NotGit { path, answer }),
            Some(found) if found < MINIMUM_VERSION => Err(ProgramError::TooOld { path, found }),
            Some(version) => Ok(Program { path, version }),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

/// The first program of this name in `search_path` (the value of `PATH`).
pub(super) fn find_executable(search_path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_gits_say() {
        assert_eq!(Version::parse("git version 2.47.3"), Some(Version(2, 47)));
        assert_eq!(
            Version::parse("git version 2.39.5 (Apple Git-154)"),
            Some(Version(2, 39))
        );
        assert_eq!(Version::parse("git version 3.0.rc1"), Some(Version(3, 0)));
        assert_eq!(Version::parse("hg 6.1"), None);
        assert!(Version(2, 9) < MINIMUM_VERSION);
    }
}
