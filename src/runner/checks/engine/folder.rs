//! Where the files of one round lie.
//!
//! ```text
//! <state root>/checks/<short round>/
//!   head/ base/       the clean checkouts
//!   tmp/              TMPDIR of all its commands
//!   <n>/              the supervisor's folder of one command: launch.json, started.json, exit.json, control.sock
//!   <n>.log           what that command printed; with `red_green`, <n>.both.log has what it printed on the base as well
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run::RoundId;
use crate::runner::files::Files;
use crate::worktree;

/// The folder of a round.
#[derive(Debug, Clone)]
pub(super) struct RoundFolder {
    root: PathBuf,
}

impl RoundFolder {
    pub(super) fn of(files: &Files, round: RoundId) -> RoundFolder {
        RoundFolder {
            root: files.of_round(round),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes it, with the folder for temporary files.
    pub(super) fn make(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(self.tmp())
    }

    /// The checkout of the commit.
    pub(super) fn head(&self) -> PathBuf {
        self.root.join("head")
    }

    /// The checkout of the base, for `red_green`.
    pub(super) fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The supervisor's folder of a command.
    pub(super) fn launch(&self, number: usize) -> PathBuf {
        self.root.join(number.to_string())
    }

    /// What a command printed.
    pub(super) fn log(&self, number: usize) -> PathBuf {
        self.root.join(format!("{number}.log"))
    }

    /// What a command with `red_green` printed, on the base and on the head.
    pub(super) fn log_of_both(&self, number: usize) -> PathBuf {
        self.root.join(format!("{number}.both.log"))
    }

    /// The folders of all commands that may have been started.
    pub(super) fn launched(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("list the folder of a round"),
        };
        let is_number = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.parse::<usize>().is_ok())
        };
        Ok(entries
            .flatten()
            .map(|entry| entry.path())
            .filter(is_number)
            .collect())
    }

    /// Removes what no log is in.
    pub(super) async fn take_away_checkouts(&self) -> anyhow::Result<()> {
        for folder in [self.head(), self.base(), self.tmp()] {
            worktree::take_away_clean(&folder)
                .await
                .with_context(|| format!("remove {}", folder.display()))?;
        }
        Ok(())
    }
}
