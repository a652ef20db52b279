//! The landing in all its outcomes.
//!
//! The race was seen red with an update of the base that does not ask for its old value.

use std::path::Path;
use std::sync::Arc;

use agent_runner_api::git::RefName;
use agent_runner_api::merge::{self, Candidate, LandRefused, Landed, bring_along, land};

use super::candidates::{cleared, make};
use super::scene::{Scene, git};

pub fn master() -> RefName {
    RefName::branch("master").unwrap()
}

/// A run with one committed file, and the candidate for it.
async fn ready(scene: &Scene, name: &str, text: &str) -> Candidate {
    let run = scene.run("land").await;
    let head = run.commit(name, text);
    make(&scene.repo, &run.start, &head).await
}

pub fn read(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

#[tokio::test]
async fn an_empty_commit_merges_too() {
    let scene = Scene::new().await;
    let run = scene.run("empty").await;
    run.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    let head = scene.tip(run.branch()).await.unwrap();
    let made = make(&scene.repo, &run.start, &head).await;
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&made)).await,
        Ok(Landed::Now { .. })
    ));
    assert_eq!(scene.master().await, made.commit);
}

#[tokio::test]
async fn a_clean_checkout_of_the_base_is_brought_along() {
    let scene = Scene::new().await;
    let run = scene.run("land").await;
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    std::fs::create_dir(run.path().join("b.txt")).unwrap();
    run.write("b.txt/inside", "was a file");
    let head = run.commit("a.txt", "changed\n");
    let made = make(&scene.repo, &run.start, &head).await;
    // Files that were only touched are clean.
    let touched = std::fs::File::options()
        .write(true)
        .open(scene.root.join("a.txt"))
        .unwrap();
    touched.set_modified(std::time::UNIX_EPOCH).unwrap();
    let landed = land(&scene.repo, &master(), cleared(&made)).await.unwrap();
    let Landed::Now { checkouts, behind } = landed else {
        panic!()
    };
    assert_eq!(checkouts, [scene.root.canonicalize().unwrap()]);
    assert!(behind.is_empty());
    assert_eq!(scene.master().await, made.commit);
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), "");
    assert_eq!(read(&scene.root, "a.txt").as_deref(), Some("changed\n"));
    assert_eq!(
        read(&scene.root, "b.txt/inside").as_deref(),
        Some("was a file")
    );
    assert_eq!(
        git(&scene.root, &["rev-list", "--count", "--merges", "HEAD"]).trim(),
        "1"
    );
    let pins = scene
        .repo
        .refs_below("refs/agent_runner/candidates/")
        .await
        .unwrap();
    assert!(pins.is_empty(), "{pins:?}");
    // Again: it has landed.
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&made)).await,
        Ok(Landed::Already)
    ));
    let reason = git(&scene.root, &["reflog", "-1", "--format=%gs", "master"]);
    assert_eq!(reason.trim(), "merged by agent_runner_api");
}

#[tokio::test]
async fn uncommitted_changes_that_do_not_overlap_stay() {
    let scene = Scene::new().await;
    let made = ready(&scene, "a.txt", "changed\n").await;
    std::fs::write(scene.root.join("b.txt"), "mine\n").unwrap();
    std::fs::write(scene.root.join("untracked"), "mine\n").unwrap();
    std::fs::write(scene.root.join("staged"), "mine\n").unwrap();
    git(&scene.root, &["add", "staged"]);
    let before = git(&scene.root, &["status", "--porcelain"]);
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&made)).await,
        Ok(Landed::Now { .. })
    ));
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), before);
    assert_eq!(read(&scene.root, "a.txt").as_deref(), Some("changed\n"));
    assert_eq!(read(&scene.root, "b.txt").as_deref(), Some("mine\n"));
}

/// Refused with these paths, with nothing moved and nothing written.
async fn refused_as_dirty(scene: &Scene, made: &Candidate, expected: &[&str]) {
    let status = || git(&scene.root, &["status", "--porcelain", "--ignored"]);
    let (master_before, status_before) = (scene.master().await, status());
    let refused = land(&scene.repo, &master(), cleared(made)).await;
    let Err(LandRefused::CheckedOutDirty { path, paths }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(path, scene.root.canonicalize().unwrap());
    assert_eq!(paths, expected);
    assert_eq!(
        (scene.master().await, status()),
        (master_before, status_before)
    );
}

#[tokio::test]
async fn uncommitted_changes_that_overlap_refuse_before_anything_moves() {
    let scene = Scene::new().await;
    let made = ready(&scene, "a.txt", "changed\n").await;
    let file = scene.root.join("a.txt");
    std::fs::write(&file, "mine\n").unwrap();
    refused_as_dirty(&scene, &made, &["a.txt"]).await;
    git(&scene.root, &["add", "a.txt"]);
    refused_as_dirty(&scene, &made, &["a.txt"]).await;
    git(&scene.root, &["reset", "-q", "--hard"]);
    std::fs::remove_file(&file).unwrap();
    refused_as_dirty(&scene, &made, &["a.txt"]).await;
    git(&scene.root, &["reset", "-q", "--hard"]);
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&made)).await,
        Ok(Landed::Now { .. })
    ));
}

#[tokio::test]
async fn untracked_and_ignored_files_in_the_way_are_not_overwritten() {
    let scene = Scene::new().await;
    let run = scene.run("land").await;
    std::fs::create_dir(run.path().join("folder")).unwrap();
    run.write("folder/new", "theirs");
    run.write("ignored", "theirs");
    run.git(&["add", "-f", "ignored"]);
    let head = run.commit("file", "theirs");
    let made = make(&scene.repo, &run.start, &head).await;
    std::fs::write(scene.root.join("ignored"), "mine").unwrap();
    std::fs::write(scene.root.join("folder"), "mine, a file").unwrap();
    std::fs::create_dir(scene.root.join("file")).unwrap();
    std::fs::write(scene.root.join("file/inside"), "mine, in a folder").unwrap();
    refused_as_dirty(&scene, &made, &["file/inside", "folder", "ignored"]).await;
    assert_eq!(read(&scene.root, "ignored").as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_checkout_with_something_in_progress_refuses() {
    let scene = Scene::new().await;
    let made = ready(&scene, "new", "1").await;
    git(&scene.root, &["checkout", "-q", "-b", "side"]);
    std::fs::write(scene.root.join("a.txt"), "side\n").unwrap();
    git(&scene.root, &["commit", "-q", "-am", "side"]);
    git(&scene.root, &["checkout", "-q", "master"]);
    let why = async || match land(&scene.repo, &master(), cleared(&made)).await {
        Err(LandRefused::CheckoutBusy { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    git(
        &scene.root,
        &["merge", "-q", "--no-commit", "--no-ff", "side"],
    );
    assert!(why().await.contains("merge"));
    git(&scene.root, &["merge", "--abort"]);
    std::fs::write(scene.root.join(".git/index.lock"), "").unwrap();
    assert!(why().await.contains("index.lock"));
    std::fs::remove_file(scene.root.join(".git/index.lock")).unwrap();
    // A rebase of the base that stopped: HEAD is detached, the branch would be moved at its end.
    let conflict = scene.run("conflict").await;
    let other = conflict.commit("a.txt", "other\n");
    git(&scene.root, &["checkout", "-q", "-B", "master", "side"]);
    let stopped = super::scene::try_git(&scene.root, &["rebase", other.as_str()]);
    assert!(!stopped.status.success());
    let side = make(&scene.repo, &scene.master().await, &made.head).await;
    let refused = land(&scene.repo, &master(), cleared(&side)).await;
    assert!(
        matches!(refused, Err(LandRefused::CheckoutBusy { why, .. }) if why.contains("rebase")),
        "a rebase is not seen"
    );
}

#[tokio::test]
async fn a_base_that_moved_or_is_gone_is_told() {
    let scene = Scene::new().await;
    let made = ready(&scene, "new", "1").await;
    git(
        &scene.root,
        &["commit", "-q", "--allow-empty", "-m", "moved"],
    );
    let now = scene.master().await;
    let refused = land(&scene.repo, &master(), cleared(&made)).await;
    assert!(matches!(refused, Err(LandRefused::BaseMoved { now: told }) if told == now));
    git(
        &scene.root,
        &["symbolic-ref", "refs/heads/alias", "refs/heads/master"],
    );
    let alias = RefName::branch("alias").unwrap();
    let on_now = make(&scene.repo, &now, &made.head).await;
    let refused = land(&scene.repo, &alias, cleared(&on_now)).await;
    assert!(matches!(refused, Err(LandRefused::BaseSymbolic(_))));
    let absent = RefName::branch("absent").unwrap();
    let refused = land(&scene.repo, &absent, cleared(&made)).await;
    assert!(matches!(refused, Err(LandRefused::BaseGone(name)) if name == "refs/heads/absent"));
}

#[tokio::test]
async fn every_checkout_of_the_base_is_brought_along() {
    let scene = Scene::new().await;
    let made = ready(&scene, "new", "1").await;
    let second = scene.folder().join("second");
    git(
        &scene.root,
        &[
            "worktree",
            "add",
            "-q",
            "-f",
            second.to_str().unwrap(),
            "master",
        ],
    );
    let Landed::Now { checkouts, behind } =
        land(&scene.repo, &master(), cleared(&made)).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((checkouts.len(), behind.len()), (2, 0));
    for checkout in [&scene.root, &second] {
        assert_eq!(git(checkout, &["status", "--porcelain"]), "");
        assert_eq!(read(checkout, "new").as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_base_that_is_not_checked_out_just_moves() {
    let scene = Scene::bare().await;
    let made = ready(&scene, "new", "1").await;
    let landed = land(&scene.repo, &master(), cleared(&made)).await.unwrap();
    assert!(matches!(landed, Landed::Now { checkouts, .. } if checkouts.is_empty()));
    assert_eq!(scene.master().await, made.commit);
}

#[tokio::test]
async fn eight_at_once_land_exactly_one_merge_each() {
    for at_once in [2, 8] {
        let scene = Arc::new(Scene::new().await);
        let mut heads = Vec::new();
        for n in 0..at_once {
            let run = scene.run("race").await;
            heads.push(run.commit(&format!("file-{n}"), "x"));
        }
        let mut racing = tokio::task::JoinSet::new();
        for head in heads.clone() {
            let scene = Arc::clone(&scene);
            racing.spawn(async move {
                // Each with a repository of its own, so that only git's compare-and-swap decides.
                let view = scene.folder().join(format!("view-{head}"));
                let repo = super::scene::open(&scene.root, &view).await;
                loop {
                    let onto = repo.resolve(&master()).await.unwrap().unwrap();
                    let made = make(&repo, &onto, &head).await;
                    match land(&repo, &master(), cleared(&made)).await {
                        Ok(_) => return made,
                        Err(LandRefused::BaseMoved { .. }) => {}
                        // The other one's git holds the index, or its exchange is not finished yet.
                        Err(
                            LandRefused::CheckoutBusy { .. } | LandRefused::CheckedOutDirty { .. },
                        ) => {}
                        Err(LandRefused::Git(error)) if error.to_string().contains("index") => {}
                        Err(error) => panic!("{error}"),
                    }
                    merge::release(&repo, &made.commit).await.unwrap();
                }
            });
        }
        let landed = racing.join_all().await;
        let merges = git(
            &scene.root,
            &[
                "rev-list",
                "--first-parent",
                "--merges",
                "--parents",
                "master",
            ],
        );
        assert_eq!(merges.lines().count(), at_once);
        for made in landed {
            let line = format!("{} {} {}", made.commit, made.onto, made.head);
            assert!(
                merges.lines().any(|found| found == line),
                "{line} is not in\n{merges}"
            );
        }
    }
}

#[tokio::test]
async fn an_exchange_that_a_crash_cut_is_completed() {
    let scene = Scene::new().await;
    let run = scene.run("crash").await;
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    run.write("new", "1");
    let head = run.commit("a.txt", "changed\n");
    let made = make(&scene.repo, &run.start, &head).await;
    std::fs::write(scene.root.join(".gitignore"), "mine\n").unwrap();
    // As after kill -9: the base has moved; one file is written, one deleted, one neither; the index is old,
    // its lock is there.
    git(
        &scene.root,
        &["update-ref", "refs/heads/master", made.commit.as_str()],
    );
    std::fs::write(scene.root.join("a.txt"), "changed\n").unwrap();
    std::fs::remove_file(scene.root.join("b.txt")).unwrap();
    for _ in 0..2 {
        let told = bring_along(&scene.repo, &master(), &made.onto, &made.commit)
            .await
            .unwrap();
        assert_eq!(told, [(scene.root.canonicalize().unwrap(), None)]);
        assert_eq!(
            git(&scene.root, &["status", "--porcelain"]),
            " M .gitignore\n"
        );
        assert_eq!(read(&scene.root, "new").as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn bringing_along_leaves_a_users_own_changes_alone() {
    let scene = Scene::new().await;
    let made = ready(&scene, "a.txt", "changed\n").await;
    git(
        &scene.root,
        &["update-ref", "refs/heads/master", made.commit.as_str()],
    );
    std::fs::write(scene.root.join("a.txt"), "mine\n").unwrap();
    let told = bring_along(&scene.repo, &master(), &made.onto, &made.commit)
        .await
        .unwrap();
    assert_eq!(
        told[0].1,
        Some(merge::Blocked::Dirty(vec!["a.txt".to_owned()]))
    );
    assert_eq!(read(&scene.root, "a.txt").as_deref(), Some("mine\n"));
}

#[tokio::test]
async fn the_lock_of_a_git_killed_while_landing_this_candidate_does_not_stay_in_the_way() {
    let scene = Scene::new().await;
    let made = ready(&scene, "new", "1").await;
    let lock = scene.repo.common_dir().join("refs/heads/master.lock");
    std::fs::write(&lock, format!("{}\n", made.commit)).unwrap();
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&made)).await,
        Ok(Landed::Now { .. })
    ));
    // Somebody else's is respected.
    let next = ready(&scene, "next", "1").await;
    std::fs::write(&lock, format!("{}\n", next.head)).unwrap();
    assert!(matches!(
        land(&scene.repo, &master(), cleared(&next)).await,
        Err(LandRefused::Git(_))
    ));
    assert_eq!(scene.master().await, made.commit);
}

#[tokio::test]
async fn the_lock_of_an_index_is_taken_away_only_if_our_git_left_it() {
    let scene = Scene::new().await;
    let made = ready(&scene, "new", "1").await;
    git(
        &scene.root,
        &["update-ref", "refs/heads/master", made.commit.as_str()],
    );
    // What bringing a checkout along writes down before it starts, and takes away at its end.
    let note = scene.folder().join("view/locking-test");
    let lock = scene.repo.common_dir().join("index.lock");
    std::fs::write(&lock, "").unwrap();
    let bring = async || {
        let told = bring_along(&scene.repo, &master(), &made.onto, &made.commit)
            .await
            .unwrap();
        told.into_iter().next().unwrap().1
    };
    assert!(
        matches!(bring().await, Some(merge::Blocked::Busy(_))),
        "somebody else's"
    );
    std::fs::write(&note, lock.to_str().unwrap()).unwrap();
    // Files written one after the other may have the same time.
    let older = std::fs::File::options().write(true).open(&lock).unwrap();
    older.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(
        matches!(bring().await, Some(merge::Blocked::Busy(_))),
        "older than the note"
    );
    std::fs::write(&note, lock.to_str().unwrap()).unwrap();
    std::fs::write(&lock, "").unwrap();
    assert_eq!(bring().await, None);
    assert!(!lock.exists() && !note.exists());
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), "");
}
