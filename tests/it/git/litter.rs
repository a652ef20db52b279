//! Files of any kind that an agent leaves: kept where git can keep them, said to be missed where not, and gone.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use agent_runner_api::worktree::{self, RemoveBranch};

use super::hostile::{UNCOMMITTED, clean_end, survives, survives_but, worked};
use super::scene::{Scene, git};

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
    let missed = [
        "a pipe, which git cannot keep: a.txt",
        "a socket, which git cannot keep: socket",
    ];
    survives_but(&missed, async |_, run| {
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
