//! Whether a merge is what was proven: the commit and its note against the journal, without a server.
//!
//! ```text
//! mod          finds the commit and the run, and opens what there is to look at; nothing is written
//! journal      what the database tells: events, rows, payloads
//! noted        what the note alone tells, where there is no database
//! facts        what both are asked: parents, tree, trailers, items, signature
//! ```
//!
//! Deliberately absent: mending (the doctor does that), and the network.

mod chain;
mod facts;
mod journal;
mod noted;
mod report;

use std::path::PathBuf;

use crate::app::is_prefix;
use crate::config::{Config, Surroundings};
use crate::git::{self, OpenError, Program, ProgramError, Repository};
use crate::run::{CommitId, RunId};
use crate::runner::files::Files;
use crate::store::{StoreError, runs, whole};

pub use chain::{ChainReport, audit_chain};
use facts::Facts;
pub use report::{Line, Report, Standing};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// A commit as git takes it, or the id of a run or what begins it.
    pub what: String,
    /// Who may sign, as a file (ssh-keygen(1), ALLOWED SIGNERS); signatures are not judged without it.
    pub allowed_signers: Option<PathBuf>,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no repository.
    #[error(transparent)]
    Repository(#[from] OpenError),
    /// git is missing or too old.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Neither a commit nor a merged run.
    #[error("there is no commit and no merged run `{0}` here")]
    NotFound(String),
    /// The run has not merged.
    #[error("run {0} has not merged")]
    NotMerged(RunId),
    /// There is no database to follow the chain of.
    #[error("there is no database {}; name one with --db", .0.display())]
    NoDatabase(PathBuf),
    /// There is no `ssh-keygen` to judge a signature with.
    #[error("ssh-keygen was not found on PATH; install the OpenSSH client")]
    NoSshKeygen,
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// git failed.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A folder could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A folder that goes when this is dropped.
struct Passing(PathBuf);

impl Passing {
    fn make() -> Result<Passing, VerifyError> {
        let name = format!("agent_runner_api-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Passing(path)),
            Err(source) => Err(VerifyError::Io { path, source }),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What stays is a few links in a folder for what may go.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Looks at a merge from all sides.
///
/// # Errors
/// There is nothing to look at, or it cannot be read.
pub async fn verify(
    config: &Config,
    around: &Surroundings,
    wanted: &Wanted,
) -> Result<Report, VerifyError> {
    let path = around.variable("PATH").unwrap_or_default();
    let program = Program::find(path.as_ref()).await?;
    // Not the view of a server that may be at work.
    let view = Passing::make()?;
    let repository = Repository::open(program, &config.repo_root, &view.0).await?;
    let moment = match config.db.exists() {
        true => Some(whole::open_to_read(&config.db)?),
        false => None,
    };
    let commit = match repository.commit_named(&wanted.what).await? {
        Some(commit) => commit,
        None => {
            let moment = moment.as_ref();
            let moment = moment.ok_or_else(|| VerifyError::NotFound(wanted.what.clone()))?;
            merge_of(moment, &wanted.what)?
        }
    };
    let mut report = Report::new(&commit, moment.is_some());
    let Some(facts) = Facts::of(&repository, &commit, &mut report).await? else {
        return Ok(report);
    };
    match &moment {
        Some(moment) => {
            let files = Files::below(config.state_root.clone());
            journal::verify(moment, &repository, &files.evidence(), &facts, &mut report).await?;
        }
        None => noted::verify(&repository, &facts, &mut report).await?,
    }
    signature(&repository, &facts, wanted, path.as_ref(), &mut report).await?;
    Ok(report)
}

/// The merge of the run that is meant.
fn merge_of(moment: &whole::Moment, what: &str) -> Result<CommitId, VerifyError> {
    let not_found = || VerifyError::NotFound(what.to_owned());
    if !is_prefix(what) {
        return Err(not_found());
    }
    let found = runs::ids_by_prefix(moment, &what.to_ascii_lowercase())?;
    let [run] = found.as_slice() else {
        return Err(not_found());
    };
    runs::merge_commit(moment, *run)?.ok_or(VerifyError::NotMerged(*run))
}

async fn signature(
    repository: &Repository,
    facts: &Facts,
    wanted: &Wanted,
    search_path: &std::ffi::OsStr,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let what = "signature";
    let Some(allowed) = &wanted.allowed_signers else {
        let detail = match repository.is_signed(&facts.commit).await? {
            true => "there is one; name who may sign with --allowed-signers",
            false => "there is none, and --allowed-signers asks for none",
        };
        report.skipped(what, detail);
        return Ok(());
    };
    let ssh_keygen = git::ssh_keygen(search_path).ok_or(VerifyError::NoSshKeygen)?;
    match repository
        .signature_of(&facts.commit, allowed, &ssh_keygen)
        .await?
    {
        git::Signature::Good(said) => report.ok(what, said),
        git::Signature::Bad(said) => report.failed(what, said),
        git::Signature::None => report.failed(what, "the commit is not signed"),
    }
    Ok(())
}
