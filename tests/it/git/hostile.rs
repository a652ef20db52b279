//! What an agent can leave behind: none of it loses work, none of it stays.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use agent_runner_api::worktree::{self, RemoveBranch};

use super::places::admin_of;
use super::scene::{Run, Scene, git, try_git};

/// Preserves and removes; then nothing of the run is left but its preserved work, and the repository is whole.
async fn clean_end(scene: &Scene, run: &Run) -> agent_runner_api::worktree::Preserved {
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
const UNCOMMITTED: (&str, &str) = ("uncommitted", "2");

async fn worked(scene: &Scene) -> Run {
    let run = scene.run("hostile").await;
    run.commit(COMMITTED.0, COMMITTED.1);
    run.write(UNCOMMITTED.0, UNCOMMITTED.1);
    run
}

/// Whatever was done to the place, the work is kept and the place goes.
async fn survives(state: impl AsyncFnOnce(&Scene, &Run)) {
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
    assert_eq!(preserved.missed, [""; 0]);
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
async fn read_only_folders_and_unreadable_files() {
    survives(async |_, run| {
        let cache = run.path().join("cache");
        std::fs::create_dir_all(cache.join("deep")).unwrap();
        run.write("cache/deep/file", "x");
        for (name, mode) in [
            ("cache/deep/file", 0o000),
            ("cache/deep", 0o555),
            ("cache", 0o555),
        ] {
            let path = run.path().join(name);
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::set_permissions(run.path(), PermissionsExt::from_mode(0o555)).unwrap();
    })
    .await;
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

#[tokio::test]
async fn links_that_lead_out_are_kept_as_links() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let outside = scene.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, run.path().join("link")).unwrap();
    // A tracked folder that became a link.
    std::fs::create_dir(run.path().join("folder")).unwrap();
    run.commit("folder/secret", "mine");
    std::fs::remove_dir_all(run.path().join("folder")).unwrap();
    symlink(&outside, run.path().join("folder")).unwrap();
    let preserved = clean_end(&scene, &run).await;
    let outside_shown = outside.to_str().unwrap();
    for link in ["link", "folder"] {
        assert_eq!(
            scene.file(&preserved.commit, link).as_deref(),
            Some(outside_shown)
        );
    }
    assert_eq!(scene.file(&preserved.commit, "folder/secret"), None);
    assert_eq!(
        std::fs::read_to_string(outside.join("secret")).unwrap(),
        "secret"
    );
}

#[tokio::test]
async fn repositories_inside_are_kept_as_files_and_their_history_is_said_to_be_missed() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    for (name, commits) in [("with", true), ("without", false), ("with/nested", true)] {
        let inside = run.path().join(name);
        std::fs::create_dir(&inside).unwrap();
        git(&inside, &["init", "-q"]);
        std::fs::write(inside.join("file"), name).unwrap();
        if commits {
            git(&inside, &["add", "file"]);
            git(&inside, &["commit", "-q", "-m", name]);
        }
    }
    let settled = scene.settle(&run).await;
    for name in ["with", "without", "with/nested"] {
        let file = format!("{name}/file");
        assert_eq!(scene.file(&settled.commit, &file).as_deref(), Some(name));
    }
    assert_eq!(settled.missed.len(), 3, "{:?}", settled.missed);
    clean_end(&scene, &run).await;
}

#[tokio::test]
async fn an_own_repository_in_the_place_of_dot_git() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    std::fs::remove_file(run.path().join(".git")).unwrap();
    git(&run.path(), &["init", "-q"]);
    git(&run.path(), &["add", "-A"]);
    git(&run.path(), &["commit", "-q", "-m", "mine"]);
    let settled = scene.settle(&run).await;
    assert_eq!(
        scene.file(&settled.commit, "uncommitted").as_deref(),
        Some("2")
    );
    let preserved = clean_end(&scene, &run).await;
    assert_eq!(preserved.missed.len(), 1, "{:?}", preserved.missed);
}

#[tokio::test]
async fn pipes_and_sockets_among_the_files() {
    survives(async |_, run| {
        std::fs::remove_file(run.path().join("a.txt")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            run.path().join("a.txt"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        drop(std::os::unix::net::UnixListener::bind(run.path().join("socket")).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_file_where_a_folder_was_and_a_folder_where_a_file_was() {
    survives(async |scene, run| {
        std::fs::create_dir(run.path().join("folder")).unwrap();
        run.commit("folder/file", "1");
        run.write(UNCOMMITTED.0, UNCOMMITTED.1);
        std::fs::remove_dir_all(run.path().join("folder")).unwrap();
        run.write("folder", "a file");
        std::fs::remove_file(run.path().join("a.txt")).unwrap();
        std::fs::create_dir(run.path().join("a.txt")).unwrap();
        run.write("a.txt/inside", "a folder");
        let settled = scene.settle(run).await;
        assert_eq!(
            scene.file(&settled.commit, "folder").as_deref(),
            Some("a file")
        );
        assert_eq!(
            scene.file(&settled.commit, "a.txt/inside").as_deref(),
            Some("a folder")
        );
    })
    .await;
}

#[tokio::test]
async fn a_path_longer_than_the_system_takes() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let part = "d".repeat(200);
    let mut at = rustix::fs::open(
        run.path(),
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&at, part.as_str(), rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(
            &at,
            part.as_str(),
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    drop(rustix::fs::openat(&at, "file", flags, rustix::fs::Mode::RWXU).unwrap());
    let preserved = clean_end(&scene, &run).await;
    assert_eq!(
        scene.file(&preserved.commit, UNCOMMITTED.0).as_deref(),
        Some(UNCOMMITTED.1)
    );
    assert!(
        !preserved.missed.is_empty(),
        "what git cannot reach is said to be missed"
    );
}

#[tokio::test]
async fn a_writer_that_is_still_going() {
    let scene = Scene::new().await;
    let run = worked(&scene).await;
    let (path, end) = (
        run.path(),
        std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)),
    );
    let writer = std::thread::spawn({
        let end = std::sync::Arc::clone(&end);
        move || {
            let mut n = 0_u64;
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                let _ = std::fs::write(path.join(format!("busy-{}", n % 50)), n.to_string());
                let _ = std::fs::remove_file(path.join(format!("busy-{}", (n + 7) % 50)));
            }
        }
    });
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
    end.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    worktree::empty_trash(&run.place.trash()).await.unwrap();
    assert!(!run.path().exists());
    assert_eq!(
        scene.file(&preserved.commit, UNCOMMITTED.0).as_deref(),
        Some(UNCOMMITTED.1)
    );
}

#[tokio::test]
async fn the_trash_is_emptied_without_following_links() {
    let folder = tempfile::tempdir().unwrap();
    let (trash, outside) = (folder.path().join("trash"), folder.path().join("outside"));
    std::fs::create_dir_all(trash.join("x/read-only")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "x").unwrap();
    std::fs::set_permissions(outside.join("file"), PermissionsExt::from_mode(0o444)).unwrap();
    symlink(&outside, trash.join("link")).unwrap();
    symlink(&outside, trash.join("x/read-only/link")).unwrap();
    std::fs::set_permissions(trash.join("x/read-only"), PermissionsExt::from_mode(0o555)).unwrap();
    worktree::empty_trash(&trash).await.unwrap();
    worktree::empty_trash(Path::new("/nowhere/at/all"))
        .await
        .unwrap();
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 0);
    let mode = outside
        .join("file")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o444);
}
