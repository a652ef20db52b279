//! Worktrees with some folders of the tree: what an agent does there has the same outcome as in a whole one.

use std::path::Path;

use agent_runner_api::run::{CommitId, Cone};
use agent_runner_api::worktree::{self, RemoveBranch};
use rstest::rstest;

use super::scene::{Run, Scene, git, try_git};

/// What an agent's git is told by its environment.
const SPARSE: [&str; 4] = [
    "-c",
    "core.sparseCheckout=true",
    "-c",
    "core.sparseCheckoutCone=true",
];

/// A repository of two apps and documents.
async fn monorepo() -> Scene {
    let scene = Scene::new().await;
    for folder in ["apps/a/src", "apps/b", "docs/deep"] {
        std::fs::create_dir_all(scene.root.join(folder)).unwrap();
    }
    for (name, text) in [
        ("apps/list", "a b\n"),
        ("apps/a/src/main", "a\n"),
        ("apps/b/main", "b\n"),
        ("docs/deep/page", "page\n"),
        ("docs/index", "index\n"),
    ] {
        std::fs::write(scene.root.join(name), text).unwrap();
    }
    git(&scene.root, &["add", "-A"]);
    git(&scene.root, &["commit", "-q", "-m", "apps"]);
    scene
}

fn cone(folders: &[&str]) -> Cone {
    let folders: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    Cone::new(&folders).unwrap()
}

/// A run whose worktree has these folders, all of the tree if there is none.
async fn run(scene: &Scene, wanted_for: &str, folders: &[&str]) -> Run {
    let planned = scene.planned(wanted_for).await;
    let run = Run {
        place: planned.place.with_cone(&cone(folders)),
        ..planned
    };
    worktree::create(&scene.repo, &run.place, &run.start)
        .await
        .unwrap();
    run
}

/// The files that lie in a folder, but for git's.
fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != ".git" {
                let path = entry.path();
                all.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    all.sort();
    all
}

/// git as the agent runs it; it may fail.
fn agent(run: &Run, args: &[&str]) {
    let output = try_git(&run.path(), &[&SPARSE, args].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    println!("git {args:?}: {:?} {said}", output.status.code());
}

const IN_CONE: [&str; 5] = [
    ".gitignore",
    "a.txt",
    "apps/a/src/main",
    "apps/list",
    "b.txt",
];

#[rstest]
#[case::as_git_makes_it(true)]
#[case::without_the_version_of_the_format(false)]
#[tokio::test]
async fn only_its_folders_are_checked_out_and_nothing_is_changed_or_configured(
    #[case] has_version: bool,
) {
    let scene = monorepo().await;
    let version = "core.repositoryformatversion";
    if !has_version {
        git(&scene.root, &["config", "--unset", version]);
    }
    let config = || std::fs::read(scene.root.join(".git/config")).unwrap();
    let before = config();
    let run = run(&scene, "one app", &["apps/a"]).await;
    assert_eq!(files(&run.path()), IN_CONE);
    let asked = [&SPARSE[..], &["status", "--porcelain"]].concat();
    assert_eq!(run.git(&asked), "");
    assert_eq!(scene.settle(&run).await.commit, run.start);
    assert_eq!(config(), before);
    assert!(!scene.root.join(".git/config.worktree").exists());
    let views = std::fs::read_dir(scene.folder().join("view")).unwrap();
    let left = views.flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("scratch-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What an agent does, and whether its git has been told that the worktree is sparse.
#[rstest]
#[tokio::test]
async fn what_an_agent_does_has_the_same_outcome_as_in_a_whole_worktree(
    #[values(
        "edit",
        "edit and commit all",
        "outside",
        "outside and commit all",
        "over a file outside",
        "delete inside",
        "base merged",
        "rebased",
        "nothing"
    )]
    deed: &str,
) {
    let scene = monorepo().await;
    let runs = [
        run(&scene, "sparse", &["apps/a"]).await,
        run(&scene, "whole", &[]).await,
    ];
    // The base moves on meanwhile, inside of the cone and outside.
    std::fs::write(scene.root.join("apps/list"), "a b c\n").unwrap();
    std::fs::write(scene.root.join("docs/more"), "more\n").unwrap();
    git(&scene.root, &["rm", "-q", "docs/index"]);
    git(&scene.root, &["add", "-A"]);
    git(&scene.root, &["commit", "-q", "-m", "base moves on"]);
    let mut trees = Vec::new();
    for run in &runs {
        act(run, deed);
        let settled = scene.settle(run).await;
        assert_eq!(settled.missed, Vec::<String>::new());
        trees.push(scene.files(&settled.commit));
        // A second look finds nothing new.
        assert_eq!(scene.settle(run).await.commit, settled.commit);
    }
    assert_eq!(trees[0], trees[1], "{deed}");
    let kept = trees[0].iter().any(|(name, _)| name == "docs/deep/page");
    assert!(kept, "{:?}", trees[0]);
}

fn act(run: &Run, deed: &str) {
    let commit = || {
        agent(run, &["add", "-A"]);
        agent(run, &["commit", "-q", "-m", "all"]);
    };
    let outside = || {
        std::fs::create_dir_all(run.path().join("new/deep")).unwrap();
        run.write("new/deep/file", "new");
        std::fs::create_dir_all(run.path().join("apps/b")).unwrap();
        run.write("apps/b/other", "other");
    };
    match deed {
        "edit" => run.write("apps/a/src/main", "edited"),
        "edit and commit all" => {
            run.write("apps/a/src/main", "edited");
            run.write("apps/a/src/new", "new");
            commit();
        }
        "outside" => outside(),
        "outside and commit all" => {
            outside();
            commit();
        }
        "over a file outside" => {
            std::fs::create_dir_all(run.path().join("docs")).unwrap();
            run.write("docs/index", "over it");
        }
        "delete inside" => {
            std::fs::remove_file(run.path().join("apps/a/src/main")).unwrap();
            std::fs::remove_file(run.path().join("b.txt")).unwrap();
        }
        "base merged" => {
            run.write("apps/a/src/main", "edited");
            commit();
            agent(run, &["merge", "-q", "-m", "base", "master"]);
        }
        "rebased" => {
            run.write("apps/a/src/main", "edited");
            commit();
            agent(run, &["rebase", "-q", "master"]);
        }
        "nothing" => {}
        other => panic!("{other}"),
    }
}

/// Seen red without `mark`'s look at the cone: all that is not checked out is deleted by the commit of the service.
#[rstest]
#[case::the_index_is_gone("gone", 0)]
#[case::the_index_is_damaged("damaged", 0)]
#[case::the_marks_are_off("unmarked", 1)]
#[tokio::test]
async fn what_is_not_checked_out_is_never_taken_for_deleted(
    #[case] harm: &str,
    #[case] missed: usize,
) {
    let scene = monorepo().await;
    let run = run(&scene, "harm", &["apps/a"]).await;
    run.write("apps/a/src/main", "edited");
    let index = run.git(&["rev-parse", "--path-format=absolute", "--git-path", "index"]);
    match harm {
        "gone" => std::fs::remove_file(index.trim()).unwrap(),
        "damaged" => std::fs::write(index.trim(), "no index").unwrap(),
        _ => drop(run.git(&["read-tree", "HEAD"])),
    }
    let settled = scene.settle(&run).await;
    assert_eq!(settled.missed.len(), missed, "{:?}", settled.missed);
    let changed = git(
        &scene.root,
        &[
            "diff",
            "--name-only",
            run.start.as_str(),
            settled.commit.as_str(),
        ],
    );
    assert_eq!(changed, "apps/a/src/main\n");
    // The agent that goes on there finds it as it was.
    let asked = [&SPARSE[..], &["status", "--porcelain"]].concat();
    assert_eq!(run.git(&asked), "");
    assert_eq!(files(&run.path()), IN_CONE);
}

#[tokio::test]
async fn what_git_itself_deletes_outside_of_the_folders_is_deleted() {
    let scene = monorepo().await;
    let run = run(&scene, "rm", &["apps/a"]).await;
    agent(&run, &["rm", "-q", "--sparse", "docs/index"]);
    let settled = scene.settle(&run).await;
    assert_eq!(scene.file(&settled.commit, "docs/index"), None);
    assert!(scene.file(&settled.commit, "docs/deep/page").is_some());
}

#[tokio::test]
async fn an_agent_that_asks_for_more_folders_has_them_until_the_end() {
    let scene = monorepo().await;
    let run = run(&scene, "more", &["apps/a"]).await;
    let info = run.git(&[
        "rev-parse",
        "--path-format=absolute",
        "--git-path",
        "info/sparse-checkout",
    ]);
    let more = cone(&["apps/a", "docs"]).patterns();
    std::fs::write(info.trim(), &more).unwrap();
    agent(&run, &["sparse-checkout", "reapply"]);
    assert!(run.path().join("docs/deep/page").exists());
    run.write("docs/deep/page", "edited");
    let settled = scene.settle(&run).await;
    assert_eq!(
        scene.file(&settled.commit, "docs/deep/page").as_deref(),
        Some("edited")
    );
    assert!(run.path().join("docs/index").exists());
    assert_eq!(std::fs::read_to_string(info.trim()).unwrap(), more);
}

/// Seen red without `lay_beside`: the file outside of the cone is not there after the restore.
#[tokio::test]
async fn uncommitted_work_inside_and_outside_is_preserved_and_restored() {
    let scene = monorepo().await;
    let run = run(&scene, "restore", &["apps/a"]).await;
    let tip = run.commit("apps/a/src/main", "committed");
    run.write("apps/a/src/main", "uncommitted");
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    std::fs::create_dir_all(run.path().join("docs/deep")).unwrap();
    run.write("docs/deep/page", "over it");
    run.write("docs/new", "new");
    agent(&run, &["rm", "-q", "--cached", "--sparse", "apps/b/main"]);
    let before = preserve(&scene, &run).await;
    let branch = RemoveBranch::Delete { expected: tip };
    worktree::remove(&scene.repo, &run.place, &branch)
        .await
        .unwrap();
    assert!(!run.path().exists());
    worktree::restore(&scene.repo, run.id, &run.place)
        .await
        .unwrap();
    let there = files(&run.path());
    let expected = [
        ".gitignore",
        "a.txt",
        "apps/a/src/main",
        "apps/list",
        "docs/deep/page",
        "docs/new",
    ];
    assert_eq!(there, expected);
    let again = preserve(&scene, &run).await;
    assert_eq!(scene.files(&again), scene.files(&before));
    assert_eq!(
        scene.file(&again, "docs/deep/page").as_deref(),
        Some("over it")
    );
    assert_eq!(scene.file(&again, "apps/b/main"), None);
    assert!(scene.file(&again, "docs/index").is_some());
}

async fn preserve(scene: &Scene, run: &Run) -> CommitId {
    let preserved = worktree::preserve(&scene.repo, run.id, &run.place).await;
    preserved.unwrap().unwrap().commit
}
