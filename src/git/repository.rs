//! The repository that the service works on.

use std::path::{Path, PathBuf};

use tokio::sync::Mutex;

use super::call::Call;
use super::error::Error;
use super::inside::Inside;
use super::program::Program;
use super::remote::Remote;
use super::signing::Signing;
use super::view::{self, Settings};

/// Why a folder is not a repository to work on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none at this path, or above it.
    #[error("{} is not a git repository", .0.display())]
    NotARepository(PathBuf),
    /// It is one of a kind that is not supported.
    #[error("the repository {} cannot be used: {why}", path.display())]
    Unsupported {
        /// Its git dir.
        path: PathBuf,
        /// What kind it is.
        why: &'static str,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] Error),
}

/// Who a commit of the service is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The email address.
    pub email: String,
}

impl Identity {
    /// The service itself, for commits that keep work and that nobody merges.
    pub(crate) fn service() -> Identity {
        let name = "agent_runner_api".to_owned();
        Identity {
            email: format!("{name}@localhost"),
            name,
        }
    }

    /// git refuses an empty name and cuts `<`, `>` and newlines: so that no name makes a commit fail.
    fn clean(text: &str) -> String {
        let kept: String = text
            .chars()
            .filter(|c| !c.is_control() && !matches!(c, '<' | '>'))
            .collect();
        let trimmed = kept.trim_matches(|c: char| c.is_whitespace() || ".,:;\"'\\".contains(c));
        if trimmed.is_empty() {
            "agent_runner_api".to_owned()
        } else {
            trimmed.to_owned()
        }
    }

    pub(crate) fn onto(&self, call: Call) -> Call {
        let (name, email) = (Identity::clean(&self.name), Identity::clean(&self.email));
        call.env("GIT_AUTHOR_NAME", &name)
            .env("GIT_AUTHOR_EMAIL", &email)
            .env("GIT_COMMITTER_NAME", &name)
            .env("GIT_COMMITTER_EMAIL", &email)
    }
}

/// A repository, opened once; where its git dir is was found at the start and is never looked for again.
#[derive(Debug)]
pub struct Repository {
    program: Program,
    common_dir: PathBuf,
    view: PathBuf,
    main_checkout: Option<PathBuf>,
    settings: Settings,
    /// The same repository, read in this process; nothing if it is of a kind that only git knows.
    inside: Option<Inside>,
    /// What merges are signed with, if they are.
    pub(super) signing: Option<Signing>,
    /// Where merges are pushed to, if they are.
    pub(super) remote: Option<Remote>,
    /// Held while a worktree is registered or removed, for moments: never while its files are checked out.
    pub(crate) places: Mutex<()>,
    /// Held while a base branch and its checkouts are moved: in the order in which they landed.
    pub(crate) landing: Mutex<()>,
    /// Held while a note is written: notes of one process do not race for their ref.
    pub(super) noting: Mutex<()>,
}

impl Repository {
    /// The repository that `root` is in (a checkout, a folder of it, or a bare repository).
    ///
    /// `view` is a folder that belongs to the service alone and outside of what agents may write: our own git
    /// dir is made there (`git/view.rs` says what is in it).
    pub async fn open(program: Program, root: &Path, view: &Path) -> Result<Repository, OpenError> {
        let not_one = || OpenError::NotARepository(root.to_owned());
        let root = root.canonicalize().map_err(|_| not_one())?;
        let output = Call::bare(program.path(), "rev-parse")
            .folder(&root)
            // The operator names this folder: whose it is, and that it is bare, are as meant.
            .config("safe.directory=*")
            .config("safe.bareRepository=all")
            .args(["--path-format=absolute", "--git-common-dir"])
            .run_any()
            .await?;
        if output.code() != 0 {
            return Err(not_one());
        }
        let common_dir = PathBuf::from(output.line())
            .canonicalize()
            .map_err(|_| not_one())?;
        let settings = Settings::load(&program, &common_dir).await?;
        if let Some(why) = settings.unsupported {
            return Err(OpenError::Unsupported {
                path: common_dir,
                why,
            });
        }
        std::fs::create_dir_all(view).map_err(Error::io("create", view))?;
        let view = view.canonicalize().map_err(Error::io("find", view))?;
        view::make(&view, &common_dir, &settings)?;
        let main_checkout = match &settings.work_tree {
            Some(path) => path.canonicalize().ok(),
            None if settings.bare => None,
            None if common_dir.ends_with(".git") => common_dir.parent().map(Path::to_owned),
            None => separate_checkout(&program, &root, &common_dir).await?,
        };
        let inside = Inside::open(&view, &common_dir)
            .inspect_err(|odd| tracing::info!(why = %odd, "git is asked for everything"))
            .ok();
        Ok(Repository {
            program,
            inside,
            common_dir,
            view,
            main_checkout,
            settings,
            signing: None,
            remote: None,
            places: Mutex::new(()),
            landing: Mutex::new(()),
            noting: Mutex::new(()),
        })
    }

    /// The git dir that all its worktrees share.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Where the main checkout is; `None` if the repository is bare.
    #[must_use]
    pub fn main_checkout(&self) -> Option<&Path> {
        self.main_checkout.as_deref()
    }

    /// The git program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The repository as it is read in this process.
    pub(super) fn inside(&self) -> Option<&Inside> {
        self.inside.as_ref()
    }

    /// Our own git dir, which shows it.
    pub(super) fn view(&self) -> &Path {
        &self.view
    }

    /// A call on the objects and refs of this repository.
    pub(crate) fn call(&self, subcommand: &str) -> Call {
        Call::with_git_dir(self.program.path(), &self.view, subcommand)
    }

    /// A configuration that says how this repository's files are meant.
    pub(super) fn settings_of_files(&self, bare: bool) -> String {
        self.settings.of_files(bare)
    }

    /// A path for a file that lives as long as an operation: an index of our own.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.view.join(format!(
            "{}{}",
            view::SCRATCH,
            uuid::Uuid::now_v7().simple()
        ))
    }

    /// A note of our own that outlives us.
    pub(crate) fn note(&self, name: &str) -> PathBuf {
        self.view.join(name)
    }

    /// Writes to disk all that was written to the repository's file system.
    pub fn sync(&self) -> Result<(), Error> {
        sync_with(&self.common_dir.join("objects"))
    }
}

/// Writes to disk all that was written to the file system of this folder.
pub(crate) fn sync_with(folder: &Path) -> Result<(), Error> {
    let open = std::fs::File::open(folder).map_err(Error::io("open", folder))?;
    rustix::fs::syncfs(&open).map_err(|errno| Error::io("write to disk", folder)(errno.into()))
}

/// The checkout of a repository made with `--separate-git-dir`: only a `.git` file in it leads here, so it is
/// known if the operator named it.
async fn separate_checkout(
    program: &Program,
    root: &Path,
    common_dir: &Path,
) -> Result<Option<PathBuf>, Error> {
    let ask = |what: &str| {
        Call::bare(program.path(), "rev-parse")
            .folder(root)
            .config("safe.directory=*")
            .arg(what)
            .run_any()
    };
    let git_dir = PathBuf::from(ask("--absolute-git-dir").await?.line());
    if git_dir.canonicalize().ok().as_deref() != Some(common_dir) {
        return Ok(None);
    }
    let top = ask("--show-toplevel").await?;
    Ok((top.code() == 0).then(|| PathBuf::from(top.line())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_too_strange_for_a_commit() {
        assert_eq!(Identity::clean("Ann <ann@x>\n"), "Ann ann@x");
        assert_eq!(Identity::clean(" <>\n"), "agent_runner_api");
        assert_eq!(Identity::clean("..."), "agent_runner_api");
    }
}
