//! A repository in a temporary folder, and git as a user or an agent would use it there.

use std::path::{Path, PathBuf};
use std::process::Command;

use agent_runner_api::git::{BranchName, Identity, Program, RefName, Repository};
use agent_runner_api::run::{CommitId, RunId};
use agent_runner_api::worktree::{self, Place, Settle, Settled};
use uuid::Uuid;

/// A repository with one commit on `master`, checked out.
pub struct Scene {
    pub repo: Repository,
    pub root: PathBuf,
    pub worktrees: PathBuf,
    folder: tempfile::TempDir,
}

/// A run that has a place in the scene.
pub struct Run {
    pub id: RunId,
    pub place: Place,
    pub start: CommitId,
}

impl Scene {
    pub async fn new() -> Scene {
        Scene::with(&[]).await
    }

    /// The same, made by `git init` with these flags.
    pub async fn with(flags: &[&str]) -> Scene {
        Scene::made(tempfile::tempdir().unwrap(), flags).await
    }

    /// The same in a folder on a file system of its own.
    pub async fn below(folder: &Path) -> Scene {
        Scene::made(tempfile::tempdir_in(folder).unwrap(), &[]).await
    }

    async fn made(folder: tempfile::TempDir, flags: &[&str]) -> Scene {
        let root = folder.path().join("repository");
        std::fs::create_dir(&root).unwrap();
        git(&root, &[&["init", "-q", "-b", "master"], flags].concat());
        std::fs::write(root.join("a.txt"), "one\ntwo\nthree\n").unwrap();
        std::fs::write(root.join("b.txt"), "b\n").unwrap();
        std::fs::write(root.join(".gitignore"), "ignored\n").unwrap();
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-q", "-m", "first"]);
        Scene::open(folder, root).await
    }

    async fn open(folder: tempfile::TempDir, root: PathBuf) -> Scene {
        let repo = open(&root, &folder.path().join("view")).await;
        let worktrees = folder.path().join("worktrees");
        Scene {
            repo,
            root,
            worktrees,
            folder,
        }
    }

    /// The same, as a bare repository.
    pub async fn bare() -> Scene {
        let scene = Scene::new().await;
        let bare = scene.folder.path().join("bare.git");
        git(
            &scene.root,
            &["clone", "-q", "--bare", ".", bare.to_str().unwrap()],
        );
        Scene::open(scene.folder, bare).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn master(&self) -> CommitId {
        self.tip("master").await.unwrap()
    }

    pub async fn tip(&self, branch: &str) -> Option<CommitId> {
        self.repo
            .resolve(&RefName::branch(branch).unwrap())
            .await
            .unwrap()
    }

    /// A run whose worktree is made from master.
    pub async fn run(&self, wanted_for: &str) -> Run {
        let run = self.planned(wanted_for).await;
        worktree::create(&self.repo, &run.place, &run.start)
            .await
            .unwrap();
        run
    }

    /// A run whose worktree is not made yet.
    pub async fn planned(&self, wanted_for: &str) -> Run {
        let id = RunId(Uuid::now_v7());
        let place = Place::new(&self.worktrees, &BranchName::new(wanted_for, id));
        Run {
            id,
            place,
            start: self.master().await,
        }
    }

    pub async fn settle(&self, run: &Run) -> Settled {
        let identity = identity();
        let how = Settle {
            start: &run.start,
            identity: &identity,
            message: "Leftovers\n",
            empty_commit: false,
        };
        worktree::settle(&self.repo, &run.place, &how)
            .await
            .unwrap()
    }

    /// The files of a commit, each with its content.
    pub fn files(&self, commit: &CommitId) -> Vec<(String, String)> {
        let names = git(
            &self.root,
            &["ls-tree", "-r", "--name-only", commit.as_str()],
        );
        let content = |name: &str| git(&self.root, &["show", &format!("{commit}:{name}")]);
        names
            .lines()
            .map(|name| (name.to_owned(), content(name)))
            .collect()
    }

    pub fn file(&self, commit: &CommitId, name: &str) -> Option<String> {
        self.files(commit)
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|(_, text)| text)
    }
}

impl Run {
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    pub fn branch(&self) -> &str {
        self.place.branch().as_str()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// git in the worktree, as the agent.
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.path(), args)
    }

    /// A commit by the agent that writes one file.
    pub fn commit(&self, name: &str, text: &str) -> CommitId {
        self.write(name, text);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", name]);
        self.git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
    }
}

pub fn identity() -> Identity {
    Identity {
        name: "The Service".to_owned(),
        email: "service@localhost".to_owned(),
    }
}

pub async fn open(root: &Path, view: &Path) -> Repository {
    Repository::open(program().await, root, view).await.unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the machine's git is what is tested"
)]
pub async fn program() -> Program {
    Program::find(&std::env::var_os("PATH").unwrap())
        .await
        .unwrap()
}

/// git as somebody else runs it, with hooks and filters and all; it must succeed.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output = try_git(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the user's git and the agent's")]
pub fn try_git(folder: &Path, args: &[&str]) -> std::process::Output {
    Command::new("git")
        .current_dir(folder)
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "An Agent")
        .env("GIT_AUTHOR_EMAIL", "agent@localhost")
        .env("GIT_COMMITTER_NAME", "An Agent")
        .env("GIT_COMMITTER_EMAIL", "agent@localhost")
        .output()
        .unwrap()
}
