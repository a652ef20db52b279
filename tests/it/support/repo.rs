//! A repository in a temporary folder, and git as its owner uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// A repository with one commit on `master`, checked out: `a.txt` of nine lines, `b.txt`, and `.gitignore`.
pub struct Repo {
    root: PathBuf,
    /// What is the user's own, as the user left it.
    yours: Mutex<BTreeMap<String, String>>,
}

impl Repo {
    /// Makes it at this path.
    pub fn at(root: &Path) -> Repo {
        std::fs::create_dir_all(root).unwrap();
        let repo = Repo {
            root: root.canonicalize().unwrap(),
            yours: Mutex::default(),
        };
        repo.git(&["init", "-q", "-b", "master"]);
        let lines: Vec<String> = (1..=9).map(|n| format!("line {n}\n")).collect();
        repo.write("a.txt", &lines.concat());
        repo.write("b.txt", "b\n");
        repo.write(".gitignore", "ignored\n");
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-q", "-m", "first"]);
        repo
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// git in the checkout; it must succeed.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        self.as_the_user(|root| git(root, args))
    }

    /// Does something that the user does, which may change what is the user's own.
    #[track_caller]
    pub fn as_the_user<T>(&self, work: impl FnOnce(&Path) -> T) -> T {
        let mut yours = self.yours.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&self.root);
        *yours = super::yours::yours(&self.root);
        done
    }

    /// Since the user did something last, nobody has changed what is the user's own.
    #[track_caller]
    pub fn assert_yours_is_untouched(&self) {
        let yours = self.yours.lock().unwrap_or_else(PoisonError::into_inner);
        let now = super::yours::yours(&self.root);
        let names: BTreeSet<&String> = yours.keys().chain(now.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| yours.get(*name) != now.get(*name));
        let changed: Vec<_> = changed.collect();
        assert!(changed.is_empty(), "not as its owner left it: {changed:?}");
    }

    /// Writes a file of the checkout.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.join(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap()
    }

    /// A commit on what is checked out that writes one file.
    pub fn commit(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.git(&["add", name]);
        self.git(&["commit", "-q", "-m", name]);
        self.commit_of("HEAD").unwrap()
    }

    /// A commit on what is checked out that writes these files, in folders that are made for them.
    pub fn commit_all(&self, files: &[(&str, &str)]) -> String {
        self.as_the_user(|root| {
            for (name, text) in files {
                let path = root.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            git(root, &["add", "-A"]);
            git(root, &["commit", "-q", "-m", "files"]);
        });
        self.commit_of("HEAD").unwrap()
    }

    /// The commit that a revision stands for.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        let revision = format!("{revision}^{{commit}}");
        let output = try_git(&self.root, &["rev-parse", "-q", "--verify", &revision]);
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| text.trim().to_owned())
    }

    pub fn master(&self) -> String {
        self.commit_of("refs/heads/master").unwrap()
    }

    pub fn has_branch(&self, name: &str) -> bool {
        self.commit_of(&format!("refs/heads/{name}")).is_some()
    }

    /// The parents of a commit.
    pub fn parents(&self, commit: &str) -> Vec<String> {
        let line = self.git(&["rev-list", "--parents", "-n", "1", commit]);
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    }

    /// A file as a commit has it.
    pub fn file(&self, commit: &str, name: &str) -> Option<String> {
        let output = try_git(&self.root, &["show", &format!("{commit}:{name}")]);
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(text)
    }

    /// What `git status` has to say of the checkout.
    pub fn status(&self) -> String {
        self.git(&["status", "--porcelain"])
    }

    /// The first-parent merges of master that are not in `since`.
    pub fn landed_since(&self, since: &str) -> Vec<String> {
        let range = format!("{since}..refs/heads/master");
        let merges = ["rev-list", "--first-parent", "--merges", &range];
        self.git(&merges).lines().map(str::to_owned).collect()
    }
}

/// git as somebody else runs it, with hooks and all; it must succeed.
#[track_caller]
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output = try_git(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// git that only looks, with what it prints.
pub fn git_quietly(folder: &Path, args: &[&str]) -> String {
    String::from_utf8_lossy(&try_git(folder, args).stdout).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the user's git")]
pub fn try_git(folder: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .current_dir(folder)
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "The Owner")
        .env("GIT_AUTHOR_EMAIL", "owner@localhost")
        .env("GIT_COMMITTER_NAME", "The Owner")
        .env("GIT_COMMITTER_EMAIL", "owner@localhost")
        .output()
        .unwrap()
}
