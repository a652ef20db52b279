//! A clean checkout taken along in process: it is what a new checkout of that commit would be.

use std::path::{Path, PathBuf};

use agent_runner_api::git::{NotCaughtUp, Repository};
use agent_runner_api::run::CommitId;

use super::super::scene::{Scene, git};
use super::checkouts::{assert_index, content};
use super::{history, without_git};
use crate::faults::chance::{Chance, times};

/// A worktree of git's own, and its index.
fn worktree(root: &Path, at: &Path, commit: &CommitId) -> PathBuf {
    let path = at.to_str().unwrap();
    git(
        root,
        &["worktree", "add", "-q", "--detach", path, commit.as_str()],
    );
    let git_dir = git(at, &["rev-parse", "--path-format=absolute", "--git-dir"]);
    Path::new(git_dir.trim()).join("index")
}

fn put_head(worktree: &Path, commit: &CommitId) {
    git(
        worktree,
        &["update-ref", "--no-deref", "HEAD", commit.as_str()],
    );
}

#[tokio::test]
async fn a_checkout_taken_from_any_commit_to_any_other_is_a_checkout_of_that() {
    let mut chance = Chance::of("inside-catching-up");
    for _ in 0..times(2) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repository");
        std::fs::create_dir(&root).unwrap();
        let all = history::repository(&root, &mut chance, 16, false);
        let inside = without_git(&root, &folder.path().join("view")).await;
        let mut from = &all[0];
        let ours = folder.path().join("ours");
        let mut index = worktree(&root, &ours, from);
        let mut in_process = 0;
        for n in 0..40 {
            let to = &all[chance.below(all.len())];
            let theirs = folder.path().join(format!("theirs-{n}"));
            worktree(&root, &theirs, to);
            match inside.catch_up(&ours, &index, from, to).await {
                Ok(()) => in_process += 1,
                // A folder becomes a file: git is asked, and is gone. Nothing was changed.
                Err(NotCaughtUp::Git(_)) => {
                    assert_eq!(git(&ours, &["status", "--porcelain"]), "");
                    git(
                        &root,
                        &["worktree", "remove", "--force", ours.to_str().unwrap()],
                    );
                    index = worktree(&root, &ours, to);
                }
                Err(error) => panic!("{error}"),
            }
            put_head(&ours, to);
            assert_eq!(content(&ours), content(&theirs), "{from} to {to}");
            assert_index(&ours, to);
            git(
                &root,
                &["worktree", "remove", "--force", theirs.to_str().unwrap()],
            );
            from = to;
        }
        // In these histories folders often become files.
        assert!(in_process > 4, "{in_process}");
    }
}

async fn two_commits() -> (Scene, CommitId, CommitId) {
    let scene = Scene::new().await;
    let from = scene.master().await;
    std::fs::write(scene.root.join("a.txt"), "changed\n").unwrap();
    std::fs::create_dir(scene.root.join("new")).unwrap();
    std::fs::write(scene.root.join("new/file"), "new\n").unwrap();
    std::fs::remove_file(scene.root.join("b.txt")).unwrap();
    git(&scene.root, &["add", "-A"]);
    git(&scene.root, &["commit", "-q", "-m", "second"]);
    let to = scene.master().await;
    (scene, from, to)
}

async fn refused(
    repo: &Repository,
    at: &Path,
    index: &Path,
    from: &CommitId,
    to: &CommitId,
) -> Vec<String> {
    let before = content(at);
    let Err(NotCaughtUp::InTheWay(paths)) = repo.catch_up(at, index, from, to).await else {
        panic!("not refused")
    };
    assert_eq!(content(at), before, "nothing was changed");
    paths
}

#[tokio::test]
async fn what_is_in_the_way_is_told_by_name_and_nothing_is_changed() {
    let (scene, from, to) = two_commits().await;
    let at = scene.folder().join("at");
    let index = worktree(&scene.root, &at, &from);
    std::fs::write(at.join("beside"), "mine\n").unwrap();
    std::fs::write(at.join("a.txt"), "one\ntwo\nthree!").unwrap();
    std::fs::write(at.join("new"), "mine\n").unwrap();
    std::fs::remove_file(at.join("b.txt")).unwrap();
    assert_eq!(
        refused(&scene.repo, &at, &index, &from, &to).await,
        ["a.txt", "b.txt", "new/file"]
    );
    // A link to a folder is no folder.
    std::fs::remove_file(at.join("new")).unwrap();
    std::fs::write(at.join("a.txt"), "one\ntwo\nthree\n").unwrap();
    std::fs::write(at.join("b.txt"), "b\n").unwrap();
    std::os::unix::fs::symlink(scene.folder(), at.join("new")).unwrap();
    assert_eq!(
        refused(&scene.repo, &at, &index, &from, &to).await,
        ["new/file"]
    );
    assert!(!scene.folder().join("file").exists());
    std::fs::remove_file(at.join("new")).unwrap();
    // Touched and not changed is no reason; what is beside stays.
    scene.repo.catch_up(&at, &index, &from, &to).await.unwrap();
    put_head(&at, &to);
    assert_eq!(git(&at, &["status", "--porcelain"]), "?? beside\n");
}

#[tokio::test]
async fn an_index_of_another_commit_and_one_that_hides_files_are_gits() {
    let (scene, from, to) = two_commits().await;
    let inside = without_git(&scene.root, &scene.folder().join("view2")).await;
    let at = scene.folder().join("at");
    let index = worktree(&scene.root, &at, &from);
    assert!(inside.catch_up(&at, &index, &to, &from).await.is_err());
    git(&at, &["update-index", "--assume-unchanged", "a.txt"]);
    assert!(inside.catch_up(&at, &index, &from, &to).await.is_err());
    std::fs::write(&index, "no index").unwrap();
    assert!(inside.catch_up(&at, &index, &from, &to).await.is_err());
    std::fs::remove_file(&index).unwrap();
    assert!(inside.catch_up(&at, &index, &from, &to).await.is_err());
}
