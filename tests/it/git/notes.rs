//! Notes on commits, as others read them.

use std::sync::Arc;

use agent_runner_api::git::Repository;
use agent_runner_api::run::CommitId;

use super::scene::{Scene, git, open};

/// A commit of its own, on no branch.
fn commit(scene: &Scene, name: &str) -> CommitId {
    let tree = git(&scene.root, &["rev-parse", "HEAD^{tree}"]);
    let commit = git(&scene.root, &["commit-tree", "-m", name, tree.trim()]);
    commit.trim().parse().unwrap()
}

async fn read(repo: &Repository, commit: &CommitId) -> Option<String> {
    let note = repo.note_of(commit).await.unwrap();
    note.map(|bytes| String::from_utf8(bytes).unwrap())
}

fn shown(scene: &Scene, commit: &CommitId) -> String {
    git(
        &scene.root,
        &["notes", "--ref=agent_runner", "show", commit.as_str()],
    )
}

#[tokio::test]
async fn a_note_is_what_git_shows_and_is_written_once() {
    let scene = Scene::new().await;
    let commit = scene.master().await;
    assert_eq!(read(&scene.repo, &commit).await, None);
    for _ in 0..2 {
        scene.repo.set_note(&commit, "one\n\ntwo\n").await.unwrap();
    }
    assert_eq!(read(&scene.repo, &commit).await.unwrap(), "one\n\ntwo\n");
    assert_eq!(shown(&scene, &commit), "one\n\ntwo\n");
    let log = git(&scene.root, &["log", "--notes=agent_runner", "-1"]);
    assert!(log.contains("Notes (agent_runner):\n    one"), "{log}");
    let times = git(
        &scene.root,
        &["rev-list", "--count", "refs/notes/agent_runner"],
    );
    assert_eq!(times.trim(), "1", "the same again changes nothing");
    scene.repo.set_note(&commit, "three\n").await.unwrap();
    assert_eq!(shown(&scene, &commit), "three\n");
}

/// `git notes add` loses one to four of twelve at once, and no git says so.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_many_at_once_are_all_there() {
    let scene = Scene::new().await;
    // Another service on the same repository: only the ref itself is between them.
    let other = open(&scene.root, &scene.folder().join("other-view")).await;
    let services = [Arc::new(scene.repo), Arc::new(other)];
    let root = scene.root.clone();
    let tree = git(&root, &["rev-parse", "HEAD^{tree}"]);
    let mut tasks = Vec::new();
    for n in 0..12 {
        let made = git(&root, &["commit-tree", "-m", &n.to_string(), tree.trim()]);
        let commit: CommitId = made.trim().parse().unwrap();
        let repo = services[n % 2].clone();
        tasks.push(tokio::spawn(async move {
            repo.set_note(&commit, &format!("note {commit}\n"))
                .await
                .unwrap();
            commit
        }));
    }
    for task in tasks {
        let commit = task.await.unwrap();
        let note = read(&services[0], &commit).await;
        assert_eq!(note, Some(format!("note {commit}\n")));
    }
}

/// git itself lays notes out flat, and in folders once they are many.
#[tokio::test]
async fn notes_that_git_has_laid_out_stay_and_are_replaced_where_they_are() {
    let scene = Scene::new().await;
    let (flat, deep, other) = (
        commit(&scene, "flat"),
        commit(&scene, "deep"),
        commit(&scene, "other"),
    );
    let blob = |text: &str| {
        std::fs::write(scene.folder().join("blob"), text).unwrap();
        let file = scene.folder().join("blob");
        git(&scene.root, &["hash-object", "-w", file.to_str().unwrap()])
    };
    let index = scene.folder().join("index");
    let name = deep.as_str();
    let paths = [
        (flat.as_str().to_owned(), "old flat\n"),
        (
            format!("{}/{}/{}", &name[..2], &name[2..4], &name[4..]),
            "old deep\n",
        ),
        ("readme".to_owned(), "not a note\n"),
    ];
    let view = |args: &[&str]| with_index(&scene, &index, args);
    for (path, text) in &paths {
        let cache = format!("100644,{},{path}", blob(text).trim());
        view(&["update-index", "--add", "--cacheinfo", &cache]);
    }
    let tree = view(&["write-tree"]);
    let tip = git(&scene.root, &["commit-tree", "-m", "notes", tree.trim()]);
    git(
        &scene.root,
        &["update-ref", "refs/notes/agent_runner", tip.trim()],
    );
    assert_eq!(shown(&scene, &deep), "old deep\n");

    for commit in [&flat, &deep, &other] {
        scene.repo.set_note(commit, "new\n").await.unwrap();
    }
    for commit in [&flat, &deep, &other] {
        assert_eq!(shown(&scene, commit), "new\n");
        assert_eq!(read(&scene.repo, commit).await.unwrap(), "new\n");
    }
    let files = ["ls-tree", "-r", "--name-only", "refs/notes/agent_runner"];
    let files = git(&scene.root, &files);
    assert_eq!(files.lines().count(), 4, "{files}");
    assert!(files.contains("readme"), "{files}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's git, with an index of its own"
)]
fn with_index(scene: &Scene, index: &std::path::Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .current_dir(&scene.root)
        .args(args)
        .env("GIT_INDEX_FILE", index)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
