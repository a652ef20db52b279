//! Worktrees: made, settled, preserved, removed, restored.

use std::sync::Arc;

use agent_runner_api::git::{BranchName, Checkout, Head, RefName};
use agent_runner_api::worktree::{
    self, CreateError, Place, RemoveBranch, RestoreError, Settle, SettleError,
};

use super::scene::{Scene, git, identity};

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
async fn uncommitted_work_is_committed_by_the_service() {
    let scene = Scene::new().await;
    let run = scene.run("settle").await;
    let by_agent = run.commit("committed", "1");
    run.write("a.txt", "changed\n");
    run.write("untracked", "2");
    run.write("ignored", "3");
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    let settled = scene.settle(&run).await;
    assert!(settled.leftovers && settled.missed.is_empty() && settled.aside.is_none());
    let names: Vec<_> = scene
        .files(&settled.commit)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [".gitignore", "a.txt", "committed", "untracked"]);
    assert_eq!(
        scene.repo.parents_of(&settled.commit).await.unwrap(),
        [by_agent]
    );
    assert_eq!(
        scene.repo.tree_of(&settled.commit).await.unwrap(),
        settled.tree
    );
    let log = run.git(&["log", "-1", "--format=%an %ae %cn %s"]);
    assert_eq!(
        log.trim(),
        "The Service service@localhost The Service Leftovers"
    );
    // The agent can go on: its git sees nothing to do.
    assert_eq!(run.git(&["status", "--porcelain"]), "");
    let again = scene.settle(&run).await;
    assert_eq!((again.commit, again.leftovers), (settled.commit, false));
}

#[tokio::test]
async fn with_nothing_done_the_head_stays_or_an_empty_commit_is_made_once() {
    let scene = Scene::new().await;
    let run = scene.run("empty").await;
    assert_eq!(scene.settle(&run).await.commit, run.start);
    let identity = identity();
    let how = Settle {
        start: &run.start,
        identity: &identity,
        message: "Empty",
        empty_commit: true,
    };
    let settled = worktree::settle(&scene.repo, &run.place, &how)
        .await
        .unwrap();
    assert_ne!(settled.commit, run.start);
    assert_eq!(settled.tree, scene.repo.tree_of(&run.start).await.unwrap());
    let again = worktree::settle(&scene.repo, &run.place, &how)
        .await
        .unwrap();
    assert_eq!(again.commit, settled.commit);
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn work_on_a_detached_head_or_another_branch_lands_on_the_runs_branch() {
    let scene = Scene::new().await;
    for switch in [
        vec!["checkout", "-q", "--detach"],
        vec!["switch", "-q", "-c", "mine"],
    ] {
        let run = scene.run("elsewhere").await;
        run.git(&switch);
        let head = run.commit("committed", "1");
        run.write("uncommitted", "2");
        let settled = scene.settle(&run).await;
        assert_eq!(
            scene.repo.parents_of(&settled.commit).await.unwrap(),
            [head]
        );
        assert_eq!(scene.tip(run.branch()).await, Some(settled.commit.clone()));
        assert_eq!(
            scene.file(&settled.commit, "uncommitted").as_deref(),
            Some("2")
        );
        let on = run.git(&["symbolic-ref", "HEAD"]);
        assert_eq!(on.trim(), format!("refs/heads/{}", run.branch()));
    }
}

#[tokio::test]
async fn work_that_went_another_way_than_the_branch_is_kept_beside_it() {
    let scene = Scene::new().await;
    let run = scene.run("fork").await;
    let tip = run.commit("on-branch", "1");
    run.git(&["checkout", "-q", "--detach", "master"]);
    let other = run.commit("elsewhere", "2");
    run.write("uncommitted", "3");
    let settled = scene.settle(&run).await;
    assert_eq!(settled.commit, tip);
    let aside = settled.aside.unwrap();
    assert_eq!(scene.repo.parents_of(&aside).await.unwrap(), [other]);
    assert_eq!(scene.file(&aside, "uncommitted").as_deref(), Some("3"));
    let kept = scene.repo.refs_below("refs/agent_runner/").await.unwrap();
    assert!(kept.iter().any(|(_, commit)| *commit == aside));
}

#[tokio::test]
async fn an_older_commit_looked_at_last_does_not_move_the_branch() {
    let scene = Scene::new().await;
    let run = scene.run("older").await;
    let tip = run.commit("work", "1");
    run.git(&["checkout", "-q", "--detach", "HEAD~"]);
    let settled = scene.settle(&run).await;
    assert_eq!(
        (settled.commit, settled.leftovers, settled.aside),
        (tip, false, None)
    );
}

#[tokio::test]
async fn a_deleted_branch_comes_back_where_its_worktree_stands() {
    let scene = Scene::new().await;
    let run = scene.run("deleted").await;
    let head = run.commit("work", "1");
    run.git(&["checkout", "-q", "--detach"]);
    run.git(&["branch", "-D", run.branch()]);
    assert_eq!(scene.settle(&run).await.commit, head);
    assert_eq!(scene.tip(run.branch()).await, Some(head));

    let gone = scene.planned("never").await;
    let identity = identity();
    let how = Settle {
        start: &gone.start,
        identity: &identity,
        message: "",
        empty_commit: false,
    };
    let refused = worktree::settle(&scene.repo, &gone.place, &how).await;
    assert!(matches!(refused, Err(SettleError::NothingLeft(_))));
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
