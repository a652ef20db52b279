//! Worktrees: made, preserved, removed, restored.

use std::sync::Arc;

use agent_runner_api::git::{BranchName, Checkout, Head, RefName};
use agent_runner_api::worktree::{self, CreateError, Place, RemoveBranch, RestoreError};

use super::scene::{Scene, git};

#[tokio::test]
async fn a_worktree_is_what_git_expects_of_one() {
    let scene = Scene::new().await;
    let run = scene.run("ISSUE-7 fix it").await;
    assert_eq!(
        run.git(&["status", "--porcelain=v2", "--branch"])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        run.git(&["symbolic-ref", "HEAD"]).trim(),
        format!("refs/heads/{}", run.branch())
    );
    assert_eq!(scene.tip(run.branch()).await, Some(run.start.clone()));
    assert_eq!(
        std::fs::read_to_string(run.path().join("a.txt")).unwrap(),
        "one\ntwo\nthree\n"
    );
    let listed = git(&scene.root, &["worktree", "list", "--porcelain"]);
    assert!(
        listed.contains(&format!("branch refs/heads/{}", run.branch())),
        "{listed}"
    );
    assert!(
        !listed.contains("prunable") && !listed.contains("locked"),
        "{listed}"
    );
    git(&scene.root, &["fsck", "--strict"]);
    // No upstream: pushing is the user's.
    assert_eq!(
        git(&scene.root, &["config", "--get-regexp", "^core.bare"]).trim(),
        "core.bare false"
    );
    assert!(
        !super::scene::try_git(&run.path(), &["rev-parse", "@{upstream}"])
            .status
            .success()
    );
}

#[tokio::test]
async fn a_worktree_of_a_bare_repository_works_too() {
    let scene = Scene::bare().await;
    let run = scene.run("bare").await;
    let head = run.commit("x", "x");
    assert_eq!(scene.settle(&run).await.commit, head);
}

#[tokio::test]
async fn a_repository_with_long_hashes_works_too() {
    let scene = Scene::with(&["--object-format=sha256"]).await;
    let run = scene.run("sha256").await;
    run.write("x", "x");
    let settled = scene.settle(&run).await;
    assert_eq!(settled.commit.as_str().len(), 64);
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn making_it_again_changes_nothing_and_an_unknown_commit_is_refused() {
    let scene = Scene::new().await;
    let run = scene.run("again").await;
    run.write("draft", "work");
    worktree::create(&scene.repo, &run.place, &run.start)
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(run.path().join("draft")).unwrap(),
        "work"
    );
    let other = scene.planned("unknown").await;
    let nowhere = "0123456789012345678901234567890123456789".parse().unwrap();
    let refused = worktree::create(&scene.repo, &other.place, &nowhere).await;
    assert!(matches!(refused, Err(CreateError::NoSuchCommit(_))));
    assert!(!other.path().exists());
}

#[tokio::test]
async fn what_is_left_over_is_kept_and_makes_way() {
    let scene = Scene::new().await;
    let run = scene.run("left").await;
    let tip = run.commit("committed", "1");
    run.write("uncommitted", "2");
    worktree::create(&scene.repo, &run.place, &run.start)
        .await
        .unwrap();
    assert_eq!(scene.tip(run.branch()).await, Some(run.start.clone()));
    assert!(!run.path().join("uncommitted").exists());
    let kept = scene
        .repo
        .refs_below("refs/agent_runner/preserved/leftover/")
        .await
        .unwrap();
    let files: Vec<_> = kept
        .iter()
        .map(|(_, commit)| scene.file(commit, "uncommitted"))
        .collect();
    assert!(files.contains(&Some("2".to_owned())), "{kept:?}");
    for (_, commit) in &kept {
        assert!(scene.repo.is_ancestor(&tip, commit).await.unwrap());
    }
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_stray_folder_or_link_at_the_path_makes_way() {
    let scene = Scene::new().await;
    let folder = scene.planned("folder").await;
    std::fs::create_dir_all(folder.path()).unwrap();
    folder.write("stray", "kept");
    worktree::create(&scene.repo, &folder.place, &folder.start)
        .await
        .unwrap();
    assert_eq!(folder.git(&["status", "--porcelain"]), "");
    let kept = scene
        .repo
        .refs_below("refs/agent_runner/preserved/leftover/")
        .await
        .unwrap();
    assert_eq!(scene.file(&kept[0].1, "stray").as_deref(), Some("kept"));

    let link = scene.planned("link").await;
    std::os::unix::fs::symlink(&scene.root, link.path()).unwrap();
    worktree::create(&scene.repo, &link.place, &link.start)
        .await
        .unwrap();
    assert!(link.path().symlink_metadata().unwrap().is_dir());
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn what_a_crash_left_half_made_is_made_anew_and_is_not_work() {
    let scene = Scene::new().await;
    let run = scene.run("crash").await;
    let common = scene.repo.common_dir();
    let admin = admin_of(&scene, &run.place);
    // As after a kill in the middle of the checkout: still marked, half of the files, a lock of the index.
    std::fs::write(admin.join("locked"), "initializing\n").unwrap();
    std::fs::rename(admin.join("index"), admin.join("index.lock")).unwrap();
    std::fs::remove_file(run.path().join("a.txt")).unwrap();
    worktree::create(&scene.repo, &run.place, &run.start)
        .await
        .unwrap();
    assert_eq!(run.git(&["status", "--porcelain"]), "");
    assert!(!admin.join("locked").exists());
    assert!(
        !common.join("refs/agent_runner").exists(),
        "nothing was kept of it"
    );
}

#[tokio::test]
async fn many_are_made_and_removed_at_once() {
    let scene = Arc::new(Scene::new().await);
    let mut making = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let scene = Arc::clone(&scene);
        making.spawn(async move { scene.run("same words").await });
    }
    let runs = making.join_all().await;
    for run in &runs {
        assert_eq!(run.git(&["status", "--porcelain"]), "");
    }
    let mut removing = tokio::task::JoinSet::new();
    for run in runs {
        let scene = Arc::clone(&scene);
        removing.spawn(async move {
            let delete = RemoveBranch::Delete {
                expected: run.start.clone(),
            };
            worktree::remove(&scene.repo, &run.place, &delete)
                .await
                .unwrap();
        });
    }
    removing.join_all().await;
    assert_eq!(git(&scene.root, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(
        git(&scene.root, &["branch", "--format=%(refname)"]).trim(),
        "refs/heads/master"
    );
}

#[tokio::test]
async fn an_abort_and_a_restore_lose_nothing() {
    let scene = Scene::new().await;
    let run = scene.run("abort").await;
    let tip = run.commit("committed", "1");
    run.write("a.txt", "changed\n");
    run.write("untracked", "2");
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    let before = run.git(&["status", "--porcelain"]);
    let preserved = worktree::preserve(&scene.repo, run.id, &run.place)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&preserved.tip, preserved.uncommitted), (&tip, true));
    let delete = RemoveBranch::Delete {
        expected: tip.clone(),
    };
    // Each step twice: a crash may come after any.
    for _ in 0..2 {
        worktree::remove(&scene.repo, &run.place, &delete)
            .await
            .unwrap();
        assert!(!run.path().exists());
        assert_eq!(scene.tip(run.branch()).await, None);
        let again = worktree::preserve(&scene.repo, run.id, &run.place)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(again.commit, preserved.commit);
    }
    worktree::empty_trash(&run.place.trash()).await.unwrap();
    assert_eq!(std::fs::read_dir(run.place.trash()).unwrap().count(), 0);
    git(&scene.root, &["gc", "-q", "--prune=now"]);
    for _ in 0..2 {
        worktree::restore(&scene.repo, run.id, &run.place)
            .await
            .unwrap();
        assert_eq!(scene.tip(run.branch()).await, Some(tip.clone()));
        assert_eq!(run.git(&["status", "--porcelain"]), before);
        assert_eq!(
            std::fs::read_to_string(run.path().join("untracked")).unwrap(),
            "2"
        );
    }
    // More work, preserved again: what was kept before stays reachable.
    run.write("more", "3");
    let second = worktree::preserve(&scene.repo, run.id, &run.place)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(second.commit, preserved.commit);
    assert!(
        scene
            .repo
            .is_ancestor(&preserved.commit, &second.commit)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_detached_head_beside_the_branch_is_preserved_too() {
    let scene = Scene::new().await;
    let run = scene.run("detached").await;
    let tip = run.commit("on-branch", "1");
    run.git(&["checkout", "-q", "--detach", "master"]);
    let other = run.commit("elsewhere", "2");
    let preserved = worktree::preserve(&scene.repo, run.id, &run.place)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(preserved.tip, tip);
    assert!(
        scene
            .repo
            .is_ancestor(&other, &preserved.commit)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn nothing_to_preserve_and_nothing_to_restore_are_said() {
    let scene = Scene::new().await;
    let run = scene.planned("nothing").await;
    assert_eq!(
        worktree::preserve(&scene.repo, run.id, &run.place)
            .await
            .unwrap(),
        None
    );
    let refused = worktree::restore(&scene.repo, run.id, &run.place).await;
    assert!(matches!(refused, Err(RestoreError::NothingPreserved(_))));
    worktree::remove(&scene.repo, &run.place, &RemoveBranch::Keep)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_branch_that_moved_after_it_was_preserved_is_kept_before_it_goes() {
    let scene = Scene::new().await;
    let run = scene.run("moved").await;
    let late = run.commit("late", "1");
    let delete = RemoveBranch::Delete {
        expected: run.start.clone(),
    };
    worktree::remove(&scene.repo, &run.place, &delete)
        .await
        .unwrap();
    assert_eq!(scene.tip(run.branch()).await, None);
    let kept = scene
        .repo
        .resolve(&RefName::leftover(run.place.branch(), &late))
        .await
        .unwrap();
    assert_eq!(kept, Some(late));
}

#[tokio::test]
async fn a_kept_branch_stays_and_is_no_worktree_any_more() {
    let scene = Scene::new().await;
    let run = scene.run("kept").await;
    let tip = run.commit("work", "1");
    worktree::remove(&scene.repo, &run.place, &RemoveBranch::Keep)
        .await
        .unwrap();
    assert_eq!(scene.tip(run.branch()).await, Some(tip));
    assert_eq!(git(&scene.root, &["worktree", "list"]).lines().count(), 1);
    git(&scene.root, &["branch", "-D", run.branch()]);
}

#[test]
fn places_of_any_text_lie_directly_below_the_root() {
    let root = std::path::Path::new("/somewhere");
    for text in ["../../x", ".trash", "", "a/b", "-rf", "\0"] {
        let id = agent_runner_api::run::RunId(uuid::Uuid::now_v7());
        let place = Place::new(root, &BranchName::new(text, id));
        assert_eq!(place.path().parent(), Some(root), "{text:?}");
        assert_ne!(place.path(), place.trash());
    }
}

/// The git dir of a worktree, as the repository's list of checkouts has it.
pub fn admin_of(scene: &Scene, place: &Place) -> std::path::PathBuf {
    let on = Head::On(place.branch().to_ref().to_string());
    let checkouts = scene.repo.checkouts().unwrap();
    let ours = |checkout: &Checkout| checkout.head == on && checkout.path == place.path();
    checkouts.into_iter().find(ours).unwrap().admin
}
