//! Caches that a worktree begins with.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use agent_runner_api::worktree::{self, Seeded, Seeding, Way, reflinks_between};

use super::scene::{Run, Scene, git};
use crate::support::mount::{Mounted, run, skip};

/// A repository that ignores `target` and `*.o`, with something in them.
async fn scene(scene: Scene) -> Scene {
    let root = &scene.root;
    fs::write(root.join(".gitignore"), "/target/\n*.o\n").unwrap();
    git(root, &["add", "-A"]);
    git(root, &["commit", "-q", "-m", "ignored"]);
    fs::create_dir_all(root.join("target/debug/deep")).unwrap();
    fs::write(root.join("target/debug/program"), "program").unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("target/debug/program"), executable).unwrap();
    fs::write(root.join("target/debug/deep/large"), vec![7; 3 << 20]).unwrap();
    symlink("../debug/program", root.join("target/debug/link")).unwrap();
    scene
}

/// A run whose worktree is seeded, and what was.
async fn seeded(scene: &Scene, paths: &[&str], copy: bool) -> (Run, Seeded) {
    let how = Seeding {
        source: scene.root.clone(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        copy,
    };
    let run = scene.planned("seeded").await;
    let seeded = worktree::create_seeded(&scene.repo, &run.place, &run.start, Some(&how))
        .await
        .unwrap();
    (run, seeded.expect("it was made anew"))
}

fn can_reflink(scene: &Scene) -> bool {
    fs::create_dir_all(&scene.worktrees).unwrap();
    reflinks_between(&scene.root, &scene.worktrees).is_ok()
}

fn assert_as_its_source(scene: &Scene, run: &Run) {
    for name in ["target/debug/program", "target/debug/deep/large"] {
        let (from, to) = (scene.root.join(name), run.path().join(name));
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        let (from, to) = (from.metadata().unwrap(), to.metadata().unwrap());
        assert_ne!(
            (from.dev(), from.ino()),
            (to.dev(), to.ino()),
            "no hard link"
        );
        assert_eq!(from.mode(), to.mode());
        assert_eq!(from.modified().unwrap(), to.modified().unwrap());
    }
    let link = fs::read_link(run.path().join("target/debug/link")).unwrap();
    assert_eq!(link, Path::new("../debug/program"));
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_copy_is_as_its_source_and_its_own() {
    let scene = scene(Scene::new().await).await;
    let (run, seeded) = seeded(&scene, &["target"], true).await;
    let way = if can_reflink(&scene) {
        Way::Reflink
    } else {
        Way::Copy
    };
    assert_eq!((seeded.way, seeded.files), (Some(way), 3), "{seeded:?}");
    assert_eq!(seeded.bytes, 7 + (3 << 20));
    assert_eq!(seeded.left_out, Vec::<String>::new());
    assert_as_its_source(&scene, &run);
    run.write("target/debug/program", "changed");
    let source = fs::read_to_string(scene.root.join("target/debug/program")).unwrap();
    assert_eq!(source, "program");
    // Once is enough: the agent may have changed it.
    let again = worktree::create_seeded(&scene.repo, &run.place, &run.start, None).await;
    assert_eq!(again.unwrap(), None);
    assert_eq!(scene.settle(&run).await.commit, run.start);
}

#[tokio::test]
async fn without_reflinks_nothing_is_copied_unless_that_is_wanted() {
    let scene = scene(Scene::new().await).await;
    if can_reflink(&scene) {
        return skip("files can share their bytes here");
    }
    let (run, seeded) = seeded(&scene, &["target"], false).await;
    assert_eq!((seeded.way, seeded.files), (None, 0));
    assert!(
        seeded.left_out[0].contains("cannot share their bytes"),
        "{seeded:?}"
    );
    assert!(!run.path().join("target/debug/program").exists());
}

/// A file system in a file whose files can share bytes, if the machine has one. As large as XFS wants it.
fn reflinking(image: &Path) -> Option<Mounted> {
    let file = fs::File::create(image).unwrap();
    file.set_len(320 << 20).unwrap();
    let image_path = image.to_str().unwrap();
    let made = run("mkfs.xfs", &["-q", "-m", "reflink=1", image_path])
        .or_else(|_| run("mkfs.btrfs", &["-q", image_path]));
    match made {
        Ok(_) => Mounted::image(image, "rw"),
        Err(why) => {
            skip(&format!("no file system with reflinks: {why}"));
            None
        }
    }
}

#[tokio::test]
async fn a_reflink_shares_bytes_and_no_inode_and_the_agents_writes_stay_its_own() {
    let images = tempfile::tempdir().unwrap();
    let mut mounted = None;
    let mut here = scene(Scene::new().await).await;
    if !can_reflink(&here) {
        let Some(on) = reflinking(&images.path().join("image")) else {
            return;
        };
        here = scene(Scene::below(on.path()).await).await;
        mounted = Some(on);
    }
    let used = |scene: &Scene| {
        rustix::fs::syncfs(fs::File::open(&scene.root).unwrap()).unwrap();
        let space = rustix::fs::statvfs(&scene.root).unwrap();
        (space.f_blocks - space.f_bfree) * space.f_frsize
    };
    fs::write(here.root.join("target/large"), vec![1; 32 << 20]).unwrap();
    let before = used(&here);
    let (run, seeded) = seeded(&here, &["target"], false).await;
    assert_eq!(
        (seeded.way, seeded.files),
        (Some(Way::Reflink), 4),
        "{seeded:?}"
    );
    if mounted.is_some() {
        let more = used(&here).saturating_sub(before);
        assert!(more < 16 << 20, "{more} bytes more for {}", seeded.bytes);
    }
    assert_as_its_source(&here, &run);
    let large = run.path().join("target/large");
    fs::write(&large, vec![2; 32 << 20]).unwrap();
    assert_eq!(fs::read(here.root.join("target/large")).unwrap()[0], 1);
    drop(here);
    drop(mounted);
}

#[tokio::test]
async fn only_what_is_ignored_on_both_sides_is_taken_and_nothing_is_replaced() {
    let scene = scene(Scene::new().await).await;
    let root = &scene.root;
    // Tracked at the commit, though its name is ignored; ignored here only; and not ignored at all.
    fs::write(root.join("target/kept"), "committed").unwrap();
    git(root, &["add", "-f", "target/kept"]);
    git(root, &["commit", "-q", "-m", "kept"]);
    fs::write(root.join("target/kept"), "changed since").unwrap();
    fs::write(root.join(".git/info/exclude"), "").unwrap();
    fs::create_dir(root.join("cache")).unwrap();
    fs::write(root.join("cache/x"), "x").unwrap();
    fs::write(root.join("cache/y.o"), "y").unwrap();
    let tracked = fs::read_to_string(root.join(".gitignore")).unwrap();
    fs::write(root.join(".gitignore"), format!("{tracked}/cache/\n")).unwrap();
    let (run, seeded) = seeded(&scene, &["target", "cache", "a.txt", "no-such"], true).await;
    let text = |name: &str| fs::read_to_string(run.path().join(name)).ok();
    assert_eq!(text("target/kept").as_deref(), Some("committed"));
    assert_eq!(text("cache/x"), None);
    assert_eq!(text("cache/y.o").as_deref(), Some("y"));
    assert_eq!(seeded.files, 4);
    let mut left_out = seeded.left_out.clone();
    left_out.sort();
    let expected =
        ["a.txt", "cache/x", "target/kept"].map(|name| format!("{name}: git does not ignore it"));
    assert_eq!(left_out, expected);
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_source_that_leads_out_or_never_ends_is_left_out_and_told() {
    let scene = scene(Scene::new().await).await;
    let target = scene.root.join("target");
    let secret = scene.folder().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "secret").unwrap();
    symlink(&secret, target.join("absolute")).unwrap();
    symlink("../../secret", target.join("out")).unwrap();
    run("mkfifo", &[target.join("pipe").to_str().unwrap()]).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(target.join("socket")).unwrap();
    let deep = target.join("d/".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    symlink(&secret, scene.root.join("linked.o")).unwrap();
    let (run, seeded) = seeded(&scene, &["target", "linked.o", "linked.o/file"], true).await;
    drop(socket);
    assert_eq!(seeded.files, 3, "{seeded:?}");
    let told = seeded.left_out.join("\n");
    for (name, why) in [
        ("target/absolute", "it is a link that leads out"),
        ("target/out", "it is a link that leads out"),
        ("target/pipe", "it is no file, folder or link"),
        ("target/socket", "it is no file, folder or link"),
        ("d/d", "it is too deep"),
        ("linked.o", "it is a link that leads out"),
    ] {
        assert!(told.contains(&format!("{name}: {why}")), "{name}: {told}");
        assert!(run.path().join(name).symlink_metadata().is_err(), "{name}");
    }
    let through = told.lines().any(|line| line.starts_with("linked.o/file: "));
    assert!(through, "{told}");
    assert!(!run.path().join("linked.o").exists());
}

#[tokio::test]
async fn a_commit_that_has_a_link_in_the_caches_place_keeps_it() {
    let scene = scene(Scene::new().await).await;
    let root = scene.root.clone();
    let outside = scene.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    git(&root, &["checkout", "-q", "-b", "linking"]);
    fs::rename(root.join("target"), root.join("aside.o")).unwrap();
    symlink(&outside, root.join("target")).unwrap();
    git(&root, &["add", "-f", "target"]);
    git(&root, &["commit", "-q", "-m", "link"]);
    git(&root, &["checkout", "-q", "master"]);
    fs::rename(root.join("aside.o"), root.join("target")).unwrap();
    git(&root, &["branch", "-f", "other", "linking"]);
    let how = Seeding {
        source: root.clone(),
        paths: vec!["target".to_owned()],
        copy: true,
    };
    let planned = scene.planned("link").await;
    let start = scene.tip("linking").await.unwrap();
    let seeded = worktree::create_seeded(&scene.repo, &planned.place, &start, Some(&how)).await;
    let seeded = seeded.unwrap().unwrap();
    assert_eq!(
        seeded.left_out,
        ["target: the commit has something else there"]
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_is_no_checkout_of_the_repository_seeds_nothing() {
    let scene = scene(Scene::new().await).await;
    let how = Seeding {
        source: scene.folder().to_owned(),
        paths: vec!["target".to_owned()],
        copy: true,
    };
    let run = scene.planned("elsewhere").await;
    let seeded = worktree::create_seeded(&scene.repo, &run.place, &run.start, Some(&how)).await;
    let seeded = seeded.unwrap().unwrap();
    assert!(
        seeded.left_out[0].contains("is no checkout of the repository"),
        "{seeded:?}"
    );
}
