//! Where the files of runs lie: below the state root, never in a worktree.
//!
//! ```text
//! <state root>/
//!   runs/<run id>/output                what the agent printed, all attempts one after the other
//!   runs/<run id>/attempts/<n>/         launch.json, started.json, exit.json, prompt, stderr, control.sock, and what else
//!                                       the agent is to read at its start
//!   runs/<run id>/tmp/                  the agent's TMPDIR
//!   checks/<short round>/               one round of checks: its checkouts, temporary files, supervisors' records and logs
//!   evidence/                           the content store
//!   uploads/                            uploads in progress
//!   quarantine.json                     when leftovers under `refs/agent_runner/preserved/leftover/` were first seen
//!   git-view/                           what git sees instead of the user's configuration
//!   token-secret                        the secret under which the tokens of agents are made
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::effect::{self, Effect};
use crate::run::{RoundId, RunId};

/// The folders of the state root.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// The files below this folder.
    #[must_use]
    pub fn below(root: PathBuf) -> Files {
        Files { root }
    }

    /// The content store of evidence.
    #[must_use]
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence")
    }

    /// Uploads in progress.
    #[must_use]
    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Deletes the uploads that a crash has cut. For a start: nobody may be sending.
    ///
    /// # Errors
    /// Something cannot be deleted.
    pub fn clear_uploads(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.uploads())? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// When leftovers of nobody's were first seen.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine.json")
    }

    /// What git sees instead of the user's configuration.
    #[must_use]
    pub fn git_view(&self) -> PathBuf {
        self.root.join("git-view")
    }

    /// The folders of all rounds of checks.
    #[must_use]
    pub fn checks(&self) -> PathBuf {
        self.root.join("checks")
    }

    /// What belongs to one round of checks. Its name is short: programs make sockets below it, whose paths may have 107
    /// bytes.
    #[must_use]
    pub fn of_round(&self, round: RoundId) -> PathBuf {
        let id = round.0.simple().to_string();
        // The last digits are random, where the first ones are the time.
        self.checks().join(&id[id.len() - 12..])
    }

    /// The secret under which the tokens of agents are made.
    #[must_use]
    pub fn token_secret(&self) -> PathBuf {
        self.root.join("token-secret")
    }

    /// The folders of all runs.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// What belongs to one run.
    #[must_use]
    pub fn of_run(&self, run: RunId) -> RunFiles {
        RunFiles {
            root: self.runs().join(run.to_string()),
        }
    }
}

/// The files of one run.
#[derive(Debug, Clone)]
pub struct RunFiles {
    root: PathBuf,
}

impl RunFiles {
    /// Whether there is a folder for this run.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.root.is_dir()
    }

    /// Makes the folders and the empty output file, if they are not there.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make(&self) -> io::Result<()> {
        effect::begins(Effect::FilesMake)?;
        std::fs::create_dir_all(self.tmp())?;
        std::fs::create_dir_all(self.attempts())?;
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.output())?;
        Ok(())
    }

    /// Deletes the agent's temporary files. What cannot be deleted stays, and is told.
    pub fn clear_tmp(&self) {
        effect::comes(Effect::FilesClear);
        if let Err(error) = std::fs::remove_dir_all(self.tmp())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.tmp().display(), %error, "temporary files of an agent stay");
        }
    }

    /// What the agent printed.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("output")
    }

    /// The agent's folder for temporary files.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder that all of it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folders of all attempts.
    #[must_use]
    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// The folder of one attempt.
    #[must_use]
    pub fn attempt(&self, number: u32) -> PathBuf {
        self.attempts().join(number.to_string())
    }

    /// The files that the agent's words are in: the output, and what each attempt wrote to standard error.
    fn words(&self) -> io::Result<Vec<PathBuf>> {
        let mut words = vec![self.output()];
        match std::fs::read_dir(self.attempts()) {
            Ok(attempts) => {
                for attempt in attempts {
                    words.push(attempt?.path().join("stderr"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(words)
    }

    /// Bytes of all that the agent printed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn words_len(&self) -> io::Result<u64> {
        Ok(self.words()?.iter().map(|file| len(file)).sum())
    }

    /// Deletes what the agent printed. The records of its attempts stay. Done again, it is the same.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn prune_words(&self) -> io::Result<()> {
        effect::begins(Effect::OutputPrune)?;
        for file in self.words()? {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes of output so far.
    #[must_use]
    pub fn output_len(&self) -> u64 {
        len(&self.output())
    }
}

/// The last bytes of an attempt's standard error, as text.
#[must_use]
pub fn stderr_tail(attempt: &Path) -> String {
    /// What a person reads of it, and what failures are told by.
    const TAIL: u64 = 4096;
    use std::io::{Read as _, Seek as _, SeekFrom};
    let path = attempt.join("stderr");
    let from = len(&path).saturating_sub(TAIL);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.take(TAIL).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn len(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
