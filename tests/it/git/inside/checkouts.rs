//! Files and index of a checkout in process are those that git makes.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use agent_runner_api::git::BranchName;
use agent_runner_api::run::{CommitId, RunId};
use agent_runner_api::worktree::{self, Place};
use uuid::Uuid;

use super::super::scene::{Scene, git, open};
use super::{history, without_git};
use crate::faults::chance::{Chance, times};

/// Every file and folder below, with its mode and its bytes or what it points to; no `.git`.
pub fn content(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let bytes = match meta.file_type() {
                _ if name == ".git" => continue,
                kind if kind.is_dir() => {
                    folders.push(path);
                    Vec::new()
                }
                kind if kind.is_symlink() => std::fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
                _ => std::fs::read(&path).unwrap(),
            };
            all.insert(name, (meta.permissions().mode(), bytes));
        }
    }
    all
}

/// The index is whole: its entries are the commit's, its times and sizes the files', its trees git's.
pub fn assert_index(folder: &Path, commit: &CommitId) {
    assert_eq!(git(folder, &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(
        git(folder, &["diff-files", "--name-only"]),
        "",
        "what it knows of the files is what they are"
    );
    assert_eq!(
        git(
            folder,
            &["diff-index", "--cached", "--name-only", commit.as_str()]
        ),
        ""
    );
    let tree = git(folder, &["rev-parse", &format!("{commit}^{{tree}}")]);
    assert_eq!(git(folder, &["write-tree"]), tree);
    let debug = git(folder, &["ls-files", "-z", "--debug"]);
    for entry in debug
        .split('\0')
        .filter(|entry| entry.contains("\n  ctime"))
    {
        assert!(entry.contains("flags: 0"), "{entry}");
    }
    git(folder, &["fsck", "--strict", "--no-dangling"]);
}

fn place(scene: &Path, n: usize) -> Place {
    let branch = BranchName::new(&format!("n{n}"), RunId(Uuid::now_v7()));
    Place::new(&scene.join("worktrees"), &branch)
}

#[tokio::test]
async fn worktrees_of_many_histories_are_those_that_git_makes() {
    let mut chance = Chance::of("inside-checkouts");
    for _ in 0..times(2) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repository");
        std::fs::create_dir(&root).unwrap();
        let all = history::repository(&root, &mut chance, 16, false);
        // All of it is done in process.
        let inside = without_git(&root, &folder.path().join("view")).await;
        for (n, commit) in all.iter().enumerate() {
            let ours = place(folder.path(), n);
            worktree::create(&inside, &ours, commit).await.unwrap();
            let theirs = folder.path().join(format!("theirs-{n}"));
            let at = theirs.to_str().unwrap();
            git(
                &root,
                &["worktree", "add", "-q", "--detach", at, commit.as_str()],
            );
            assert_eq!(content(&ours.path()), content(&theirs), "{commit}");
            let staged = |folder: &Path| git(folder, &["ls-files", "-z", "--stage"]);
            assert_eq!(staged(&ours.path()), staged(&theirs));
            assert_index(&ours.path(), commit);
            let clean = folder.path().join(format!("clean-{n}"));
            std::fs::create_dir(&clean).unwrap();
            let view = open(&root, &folder.path().join("view")).await;
            worktree::check_out_clean(&view, &clean, commit)
                .await
                .unwrap();
            assert_eq!(content(&clean), content(&theirs), "{commit}");
            assert_index(&clean, commit);
        }
    }
}

/// Each asks for what is not done in process; what comes out is git's, and a checkout that needs none of it is not.
#[tokio::test]
async fn what_asks_for_git_gets_git() {
    for (name, text) in [
        (".gitattributes", "*.txt text eol=crlf\n"),
        (".gitattributes", "*.txt ident\n"),
        ("b/.gitattributes", "*.txt working-tree-encoding=UTF-16LE\n"),
        (".gitattributes", "*.txt text=auto\n"),
    ] {
        let scene = Scene::new().await;
        std::fs::create_dir(scene.root.join("b")).unwrap();
        std::fs::write(scene.root.join(name), text).unwrap();
        std::fs::write(scene.root.join("b/c.txt"), "$Id$\nline\n").unwrap();
        git(&scene.root, &["add", "-A"]);
        git(&scene.root, &["commit", "-q", "-m", "odd"]);
        let commit = scene.master().await;
        let run = scene.run("odd").await;
        let theirs = scene.folder().join("theirs");
        git(
            &scene.root,
            &[
                "worktree",
                "add",
                "-q",
                "--detach",
                theirs.to_str().unwrap(),
            ],
        );
        assert_eq!(content(&run.path()), content(&theirs), "{text}");
        assert_index(&run.path(), &commit);
        let inside = without_git(&scene.root, &scene.folder().join("view2")).await;
        let in_process = worktree::create(&inside, &place(scene.folder(), 0), &commit).await;
        assert_eq!(in_process.is_ok(), text.contains("auto"), "{text}");
    }
    // A submodule is an empty folder.
    let scene = Scene::new().await;
    let entry = format!("160000,{},sub", "1".repeat(40));
    git(
        &scene.root,
        &["update-index", "--add", "--cacheinfo", &entry],
    );
    git(&scene.root, &["commit", "-q", "-m", "sub"]);
    let run = scene.run("sub").await;
    assert!(run.path().join("sub").is_dir());
}

#[tokio::test]
async fn a_planted_tree_leads_nowhere_else() {
    let scene = Scene::new().await;
    let outside = scene.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let blob = git(&scene.root, &["rev-parse", "HEAD:a.txt"])
        .trim()
        .to_owned();
    let link = scene.folder().join("target");
    std::fs::write(&link, outside.to_str().unwrap()).unwrap();
    let link = git(&scene.root, &["hash-object", "-w", link.to_str().unwrap()]);
    let inner = format!("100644 blob {blob}\tfile\n");
    let inner = super::mktree(&scene.root, &inner);
    let planted = format!("120000 blob {}\tx\n040000 tree {inner}\tx\n", link.trim());
    let planted = super::mktree(&scene.root, &planted);
    let commit = git(&scene.root, &["commit-tree", "-m", "planted", &planted]);
    let commit: CommitId = commit.trim().parse().unwrap();
    let inside = without_git(&scene.root, &scene.folder().join("view2")).await;
    let made = worktree::create(&inside, &place(scene.folder(), 0), &commit).await;
    assert!(made.is_err(), "git is asked");
    // Whatever git makes of it.
    let _ = worktree::create(&scene.repo, &place(scene.folder(), 1), &commit).await;
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

/// Executable files and links count as what they are; nothing is shared with the repository.
#[tokio::test]
async fn files_of_a_worktree_are_its_own() {
    let scene = Scene::new().await;
    let run = scene.run("own").await;
    let meta = run.path().join("a.txt").metadata().unwrap();
    assert_eq!(meta.nlink(), 1);
}
