//! A run's spec becomes an invocation: argv, environment and stdin, complete, with nothing inherited.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::{Environment, forbidden_env, git_settings};
use super::{claude, command, stub};
use crate::run::{AgentKind, AttemptId, RunId, Spec};

/// What is started, completely: nothing is added from the service's own environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program by its absolute path, and its arguments. The prompt is never among them.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// What the agent reads: its prompt. It goes into a regular file that becomes stdin, never into a
    /// pipe: agents wait for the end of an open one.
    pub stdin: Vec<u8>,
    /// Files that the arguments name, to be there before it is started, for nobody else to read.
    pub files: Vec<Companion>,
}

/// A file that goes with an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Where it lies: in the attempt's folder.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// How an agent reaches the service to ask about its own run.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// The address of the service, `http://host:port`.
    pub url: &'a str,
    /// The token of the run. It is never an argument: everybody on the machine can read those.
    pub token: &'a str,
    /// This program, for a hook to call; nothing if its path is not known.
    pub program: Option<&'a Path>,
    /// The attempt's folder, for the files that go with the invocation.
    pub folder: &'a Path,
}

impl fmt::Debug for Reach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Reach");
        told.field("url", &self.url).finish_non_exhaustive()
    }
}

/// What is to be done: one attempt of a run.
#[derive(Debug)]
pub struct Work<'a> {
    /// The request.
    pub spec: &'a Spec,
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The agent's own session: a new one or one to go on with.
    pub session: Session,
    /// What the agent is told: the run's prompt, or a follow-up's text.
    pub prompt: &'a str,
    /// US dollars that the run has cost before this attempt. Agents count their limit from zero each time.
    pub spent_usd: f64,
    /// Where it works; its current directory.
    pub worktree: &'a Path,
    /// The branch that is checked out there.
    pub branch: &'a str,
    /// A folder of the run's own for temporary files.
    pub tmp: &'a Path,
    /// The service's environment, out of which the agent's is chosen.
    pub server_env: &'a BTreeMap<String, String>,
    /// Claude Code, where it was found.
    pub claude: Option<&'a claude::Program>,
    /// The service is root: Claude Code wants to be told that this is meant.
    pub as_root: bool,
    /// How it reaches the service; nothing where that has no address.
    pub reach: Option<Reach<'a>>,
}

/// The agent's own session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// A new one, under this id. An id is used once.
    Fresh(uuid::Uuid),
    /// The one that the agent reported under this id.
    Resume(String),
}

/// Why there is no invocation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The agent takes no prompt of this size.
    #[error("the prompt has {bytes} bytes; the agent takes at most {max}")]
    PromptTooLong {
        /// The prompt's bytes.
        bytes: usize,
        /// The most that the agent takes.
        max: usize,
    },
    /// The agent takes no empty prompt.
    #[error("the prompt is empty")]
    PromptEmpty,
    /// The agent is `claude`, and no usable `claude` was found.
    #[error("no usable `claude` was found on PATH")]
    NoClaude,
    /// The agent is `command`, and the workflow names none.
    #[error("the workflow's agent is `command`, but it names no command")]
    NoCommand,
    /// The run's limit on cost is used up before it begins.
    #[error("the run has cost ${spent_usd} and may cost ${max_usd}")]
    NothingLeftToSpend {
        /// What it has cost.
        spent_usd: f64,
        /// What it may cost.
        max_usd: f64,
    },
    /// There is no such program.
    #[error("the program {0:?} is not on PATH, or is not an executable file")]
    NoProgram(String),
    /// A setting has a value that the agent would take for something else.
    #[error("{setting} cannot be {value:?}: {why}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The request sets a variable that it must not set.
    #[error("the environment variable {name:?} cannot be set: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// What it would do.
        why: &'static str,
    },
}

/// What to start for this work.
pub fn invocation(work: &Work<'_>) -> Result<Invocation, Refused> {
    let kind = work.spec.agent;
    let mut env = Environment::of_any_program(work.server_env);
    if kind == AgentKind::Claude {
        claude::environment(&mut env, work);
    }
    let named = work.spec.settings.pass_env.iter().map(String::as_str);
    env.pass(work.server_env, named);
    for (name, value) in &work.spec.env {
        if let Some(why) = forbidden_env(name) {
            return Err(Refused::Variable {
                name: name.clone(),
                why,
            });
        }
        if value.contains('\0') {
            return Err(Refused::Variable {
                name: name.clone(),
                why: "its value has a NUL in it",
            });
        }
        env.set(name, value);
    }
    let (argv, files) = match kind {
        AgentKind::Claude => claude::argv(work)?,
        AgentKind::Command => (command::argv(work, &env)?, Vec::new()),
        AgentKind::Stub => (stub::argv(work, &env)?, Vec::new()),
    };
    let git = git_settings(work.spec);
    Ok(Invocation {
        argv,
        env: env.close(work.run, work.attempt, work.tmp, &git, work.reach.as_ref()),
        stdin: work.prompt.as_bytes().to_vec(),
        files,
    })
}

/// The program by its absolute path: a bare name is looked up on `path`, anything else is taken from `worktree`.
pub(crate) fn absolute(program: &str, worktree: &Path, path: &str) -> Result<String, Refused> {
    let found = if program.contains('/') {
        Some(worktree.join(program)).filter(|file| is_executable(file))
    } else {
        on_path(program, path)
    };
    found
        .and_then(|file| file.into_os_string().into_string().ok())
        .ok_or_else(|| Refused::NoProgram(program.to_owned()))
}

/// The first executable file of this name in the folders of `path`. Relative folders are passed over: they
/// would mean whatever lies in the current directory.
pub(crate) fn on_path(name: &str, path: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
