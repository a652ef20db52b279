//! A new ref in process: as git makes it, and with git around.

use std::os::unix::fs::symlink;

use agent_runner_api::git::{NotMoved, RefEdit, RefName};

use super::super::scene::{Scene, git, try_git};
use super::without_git;

fn branch(name: &str) -> RefName {
    RefName::branch(name).unwrap()
}

#[tokio::test]
async fn a_new_branch_is_as_git_makes_it_and_needs_no_git() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let inside = without_git(&scene.root, &scene.folder().join("view2")).await;
    let create = async |name: &str| {
        let edit = RefEdit::Create(branch(name), first.clone());
        inside.edit_refs(&[edit], "for a test").await
    };
    create("auto/new").await.unwrap();
    create("deep/er/new").await.unwrap();
    for name in ["auto/new", "deep/er/new"] {
        assert_eq!(
            git(&scene.root, &["rev-parse", name]).trim(),
            first.as_str()
        );
        let log = git(&scene.root, &["reflog", "show", "--format=%gs %gn", name]);
        assert_eq!(log, "for a test agent_runner_api\n");
    }
    let file = std::fs::read_to_string(scene.root.join(".git/refs/heads/auto/new")).unwrap();
    assert_eq!(file, format!("{first}\n"));
    assert_eq!(
        std::fs::read_dir(scene.root.join(".git/refs/heads/auto"))
            .unwrap()
            .count(),
        1,
        "no lock"
    );
    git(&scene.root, &["pack-refs", "--all"]);
    // Loose or packed, it is taken.
    for name in ["auto/new", "master"] {
        let taken = create(name).await;
        assert!(
            matches!(&taken, Err(NotMoved::Changed { now: Some(now), .. }) if *now == first),
            "{taken:?}"
        );
    }
    // A folder of branches is no branch: git says so, if it is there.
    for name in ["auto", "auto/new/below"] {
        assert!(
            matches!(create(name).await, Err(NotMoved::Git(_))),
            "{name}"
        );
        let edit = RefEdit::Create(branch(name), first.clone());
        assert!(scene.repo.edit_refs(&[edit], "x").await.is_err());
    }
    git(&scene.root, &["fsck", "--strict"]);
}

#[tokio::test]
async fn many_at_once_make_each_branch_once() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    for n in 0..20 {
        let name = format!("auto/race-{n}");
        let edit = [RefEdit::Create(branch(&name), first.clone())];
        let one = scene.repo.edit_refs(&edit, "one");
        let two = scene.repo.edit_refs(&edit, "two");
        let theirs = tokio::task::spawn_blocking({
            let (root, name) = (scene.root.clone(), name.clone());
            move || try_git(&root, &["branch", &name]).status.success()
        });
        let (one, two, theirs) = tokio::join!(one, two, theirs);
        let made = [one.is_ok(), two.is_ok(), theirs.unwrap()];
        assert_eq!(
            made.iter().filter(|made| **made).count(),
            1,
            "{name}: {made:?}"
        );
        assert_eq!(scene.tip(&name).await, Some(first.clone()));
    }
}

#[tokio::test]
async fn a_lock_whose_owner_is_gone_is_broken_and_one_of_somebody_else_is_not() {
    let scene = Scene::new().await;
    let first = scene.master().await;
    let heads = scene.root.join(".git/refs/heads");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    // A process of this boot that never was, and one of another boot.
    for (n, owner) in [
        format!("{} 4194304 1", boot.trim()),
        "before 1 1".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("gone-{n}");
        symlink(
            format!("agent_runner_api {owner}"),
            heads.join(format!("{name}.lock")),
        )
        .unwrap();
        // To git it is a lock.
        assert!(!try_git(&scene.root, &["branch", &name]).status.success());
        let edit = RefEdit::Create(branch(&name), first.clone());
        scene.repo.edit_refs(&[edit], "x").await.unwrap();
        assert!(
            heads
                .join(format!("{name}.lock"))
                .symlink_metadata()
                .is_err()
        );
    }
    std::fs::write(heads.join("held.lock"), "").unwrap();
    let edit = RefEdit::Create(branch("held"), first.clone());
    assert!(scene.repo.edit_refs(&[edit], "x").await.is_err());
    assert!(heads.join("held.lock").exists());
}
