//! What an agent can leave behind: none of it loses work, none of it stays.

use std::os::unix::fs::symlink;

use agent_runner_api::worktree::{self, RemoveBranch};

use super::places::admin_of;
use super::scene::{Run, Scene, git, try_git};

/// Preserves and removes; then nothing of the run is left but its preserved work, and the repository is whole.
pub async fn clean_end(scene: &Scene, run: &Run) -> agent_runner_api::worktree::Preserved {
    let preserved = worktree::preserve(&scene.repo, run.id, &run.place)
        .await
        .unwrap()
        .unwrap();
    let delete = RemoveBranch::Delete {
        expected: preserved.tip.clone(),
    };
    worktree::remove(&scene.repo, &run.place, &delete)
        .await
        .unwrap();
    worktree::empty_trash(&run.place.trash()).await.unwrap();
    assert!(run.path().symlink_metadata().is_err());
    assert_eq!(scene.tip(run.branch()).await, None);
    assert_eq!(
        std::fs::read_dir(run.place.trash()).unwrap().count(),
        0,
        "trash"
    );
    let listed = git(&scene.root, &["worktree", "list", "--porcelain"]);
    assert!(!listed.contains(run.path().to_str().unwrap()), "{listed}");
    git(&scene.root, &["fsck", "--strict"]);
    preserved
}

/// What the work of [`worked`] is.
const COMMITTED: (&str, &str) = ("committed", "1");
pub const UNCOMMITTED: (&str, &str) = ("uncommitted", "2");

pub async fn worked(scene: &Scene) -> Run {
    let run = scene.run("hostile").await;
    run.commit(COMMITTED.0, COMMITTED.1);
    run.write(UNCOMMITTED.0, UNCOMMITTED.1);
    run
}

/// Whatever was done to the place, the work is kept and the place goes. Nothing is missed.
pub async fn survives(state: impl AsyncFnOnce(&Scene, &Run)) {
    survives_but(&[], state).await;
}

/// The same, where this, sorted, is said to be missed.
pub async fn survives_but(missed: &[&str], state: impl AsyncFnOnce(&Scene, &Run)) {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    state(&scene, &run).await;
    let preserved = clean_end(&scene, &run).await;
    for (name, text) in [COMMITTED, UNCOMMITTED] {
        assert_eq!(
            scene.file(&preserved.commit, name).as_deref(),
            Some(text),
            "{name}"
        );
    }
    let mut told = preserved.missed;
    told.sort();
    assert_eq!(told, missed);
}

#[tokio::test]
async fn a_deleted_dot_git() {
    survives(async |_, run| std::fs::remove_file(run.path().join(".git")).unwrap()).await;
}

#[tokio::test]
async fn a_dot_git_that_points_at_a_planted_repository() {
    let ran = tempfile::tempdir().unwrap();
    let mark = ran.path().join("ran");
    survives(async |scene, run| {
        let planted = scene.folder().join("planted");
        std::fs::create_dir(&planted).unwrap();
        git(&planted, &["init", "-q"]);
        let program = format!("touch '{}';:", mark.display());
        git(&planted, &["config", "core.fsmonitor", &program]);
        let line = format!("gitdir: {}\n", planted.join(".git").display());
        std::fs::write(run.path().join(".git"), line).unwrap();
        let _ = try_git(&run.path(), &["status"]);
        std::fs::remove_file(&mark).expect("it can fail: the agent's git ran it");
    })
    .await;
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_rewritten_commondir_and_gitdir_in_the_repository() {
    survives(async |scene, run| {
        let admin = admin_of(scene, &run.place);
        std::fs::write(admin.join("commondir"), "/nowhere\n").unwrap();
        std::fs::write(admin.join("gitdir"), "/nowhere/.git\n").unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_registration_that_was_pruned() {
    survives(async |scene, run| {
        std::fs::remove_file(run.path().join(".git")).unwrap();
        git(&scene.root, &["worktree", "prune"]);
        assert!(!scene.repo.common_dir().join("worktrees").exists());
    })
    .await;
}

#[tokio::test]
async fn a_locked_worktree() {
    survives(async |_, run| {
        run.git(&["worktree", "lock", "--reason", "mine", "."]);
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_is_made_another_name_for_the_base() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let master = scene.master().await;
    let branch = format!("refs/heads/{}", run.branch());
    run.git(&["symbolic-ref", &branch, "refs/heads/master"]);
    run.write("more", "3");
    let settled = scene.settle(&run).await;
    assert_eq!(scene.file(&settled.commit, "more").as_deref(), Some("3"));
    assert_eq!(
        scene.master().await,
        master,
        "the base was moved through it"
    );
    clean_end(&scene, &run).await;
    assert_eq!(scene.master().await, master);
}

#[tokio::test]
async fn a_second_worktree_on_the_branch() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let second = scene.folder().join("second");
    let inside = run.path().join("inside");
    for at in [&second, &inside] {
        run.git(&[
            "worktree",
            "add",
            "-q",
            "-f",
            at.to_str().unwrap(),
            run.branch(),
        ]);
    }
    std::fs::write(second.join("theirs"), "stays").unwrap();
    std::fs::write(inside.join("deep"), "kept").unwrap();
    let preserved = clean_end(&scene, &run).await;
    assert_eq!(
        scene.file(&preserved.commit, "inside/deep").as_deref(),
        Some("kept")
    );
    // The one elsewhere is not ours: it stays, at the commit it was at.
    assert_eq!(git(&second, &["status", "--porcelain"]), "?? theirs\n");
    assert_eq!(git(&scene.root, &["worktree", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn locks_of_gits_that_were_killed() {
    survives(async |scene, run| {
        let admin = admin_of(scene, &run.place);
        for lock in ["index.lock", "HEAD.lock"] {
            std::fs::write(admin.join(lock), "").unwrap();
        }
        let branch = format!("refs/heads/{}.lock", run.branch());
        std::fs::write(scene.repo.common_dir().join(branch), "").unwrap();
        let settled = scene.settle(run).await;
        assert!(settled.leftovers);
        assert!(!admin.join("index.lock").exists());
    })
    .await;
}

#[tokio::test]
async fn a_merge_with_conflicts_in_progress() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    run.git(&["checkout", "-q", "-b", "side", "master"]);
    run.commit("a.txt", "side\n");
    run.git(&["checkout", "-q", run.branch()]);
    run.commit("a.txt", "branch\n");
    assert!(
        !try_git(&run.path(), &["merge", "-q", "side"])
            .status
            .success()
    );
    assert!(run.git(&["status", "--porcelain"]).contains("UU a.txt"));
    let settled = scene.settle(&run).await;
    assert!(
        scene
            .file(&settled.commit, "a.txt")
            .unwrap()
            .contains("<<<<<<<")
    );
    assert_eq!(run.git(&["status", "--porcelain"]), "");
    let said = run.git(&["status"]);
    assert!(!said.contains("merging"), "{said}");
    clean_end(&scene, &run).await;
}

#[tokio::test]
async fn a_rebase_in_progress() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let tip = run.commit("a.txt", "branch\n");
    run.git(&["checkout", "-q", "-b", "side", "master"]);
    run.commit("a.txt", "side\n");
    run.git(&["checkout", "-q", run.branch()]);
    assert!(
        !try_git(&run.path(), &["rebase", "-q", "side"])
            .status
            .success()
    );
    run.write("during", "3");
    let settled = scene.settle(&run).await;
    assert_eq!(settled.commit, tip, "the branch is what it was");
    let aside = settled.aside.unwrap();
    assert_eq!(scene.file(&aside, "during").as_deref(), Some("3"));
    let preserved = clean_end(&scene, &run).await;
    assert_eq!(
        scene.file(&preserved.commit, "during").as_deref(),
        Some("3")
    );
}

#[tokio::test]
async fn a_damaged_index_or_none() {
    survives(async |scene, run| {
        std::fs::write(admin_of(scene, &run.place).join("index"), "not an index").unwrap();
    })
    .await;
    survives(async |scene, run| {
        std::fs::remove_file(admin_of(scene, &run.place).join("index")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn files_hidden_from_git_by_flags_of_the_index() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let scene = Scene::new().await;
        let run = worked(&scene).await;
        run.git(&["update-index", flag, "a.txt"]);
        run.write("a.txt", "hidden\n");
        assert!(
            !run.git(&["status", "--porcelain"]).contains("a.txt"),
            "it is hidden"
        );
        let settled = scene.settle(&run).await;
        assert_eq!(
            scene.file(&settled.commit, "a.txt").as_deref(),
            Some("hidden\n"),
            "{flag}"
        );
    }
}

#[tokio::test]
async fn a_file_changed_in_the_same_tick_as_the_index_was_written() {
    let scene = Scene::new().await;
    for n in 0..20 {
        let run = scene.run("racy").await;
        run.write("file", "before");
        run.git(&["add", "-A"]);
        run.write("file", "after!");
        let settled = scene.settle(&run).await;
        assert_eq!(
            scene.file(&settled.commit, "file").as_deref(),
            Some("after!"),
            "try {n}"
        );
    }
}

#[tokio::test]
async fn a_link_in_the_place_of_the_worktree() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    std::fs::rename(run.path(), scene.folder().join("moved")).unwrap();
    symlink(&scene.root, run.path()).unwrap();
    let preserved = clean_end(&scene, &run).await;
    assert_eq!(
        scene.file(&preserved.commit, "committed").as_deref(),
        Some("1")
    );
    assert_eq!(
        git(&scene.root, &["status", "--porcelain"]),
        "",
        "what it points to is untouched"
    );
}
