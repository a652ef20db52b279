//! Programs that an agent plants in a repository never run with the service's rights.
//!
//! Seen red with `--git-dir` at the repository itself instead of the view.

use std::os::unix::fs::PermissionsExt;

use agent_runner_api::git::{DiffFormat, RefName};
use agent_runner_api::merge::{Landed, candidate, land};
use agent_runner_api::worktree::{self, RemoveBranch};

use super::candidates::cleared;
use super::scene::{Scene, git, identity, try_git};

/// Plants every program that git can be made to run, each leaving the file `ran`. The repository is opened
/// before and after, as the service may start at any time.
fn plant(scene: &Scene) -> std::path::PathBuf {
    let ran = scene.folder().join("ran");
    let script = scene.folder().join("planted.sh");
    let text = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat\n", ran.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let hooks = [
        "post-checkout",
        "pre-commit",
        "post-commit",
        "prepare-commit-msg",
        "commit-msg",
        "reference-transaction",
        "post-merge",
        "pre-merge-commit",
        "post-index-change",
        "pre-auto-gc",
        "post-rewrite",
        "fsmonitor-watchman",
    ];
    let folder = scene.root.join(".git/hooks");
    std::fs::create_dir_all(&folder).unwrap();
    for hook in hooks {
        std::fs::copy(&script, folder.join(hook)).unwrap();
    }
    let script = script.to_str().unwrap();
    for (key, value) in [
        ("core.fsmonitor", script),
        ("filter.planted.clean", script),
        ("filter.planted.smudge", script),
        ("filter.planted.process", script),
        ("filter.planted.required", "true"),
        ("merge.planted.driver", script),
        ("diff.planted.command", script),
        ("diff.planted.textconv", script),
        ("diff.external", script),
        ("commit.gpgSign", "true"),
        ("gpg.program", script),
        ("core.pager", script),
        ("core.editor", script),
        ("core.alternateRefsCommand", script),
        ("extensions.worktreeConfig", "true"),
    ] {
        git(&scene.root, &["config", key, value]);
    }
    let attributes = "* filter=planted merge=planted diff=planted\n";
    std::fs::write(scene.root.join(".git/info/attributes"), attributes).unwrap();
    let per_worktree = format!(
        "[core]\n\tfsmonitor = {script}\n\thooksPath = {}\n",
        folder.display()
    );
    std::fs::write(scene.root.join(".git/config.worktree"), per_worktree).unwrap();
    ran
}

#[tokio::test]
async fn no_planted_program_runs_in_the_whole_life_of_a_run() {
    for opened_after in [false, true] {
        let mut scene = Scene::new().await;
        let ran = plant(&scene);
        // It can fail: the user's own git does run them.
        let _ = try_git(&scene.root, &["status"]);
        let touched = scene.root.join("a.txt");
        std::fs::write(&touched, "changed\n").unwrap();
        let _ = try_git(&scene.root, &["diff"]);
        assert!(
            std::fs::read_to_string(&ran)
                .unwrap()
                .contains("planted.sh")
        );
        let _ = try_git(
            &scene.root,
            &["-c", "core.hooksPath=/dev/null", "checkout", "-q", "a.txt"],
        );
        std::fs::write(&touched, "one\ntwo\nthree\n").unwrap();
        std::fs::remove_file(&ran).unwrap();
        if opened_after {
            scene.repo = super::scene::open(&scene.root, &scene.folder().join("view2")).await;
        }
        let run = scene.run("hooks").await;
        run.write("a.txt", "changed by the run\ntwo\nthree\n");
        run.write(
            ".gitattributes",
            "* filter=planted merge=planted diff=planted\n",
        );
        let settled = scene.settle(&run).await;
        assert_eq!(
            scene.file(&settled.commit, "a.txt").unwrap(),
            "changed by the run\ntwo\nthree\n"
        );
        let other = scene.run("other").await;
        other.write("a.txt", "one\ntwo\nchanged by the other\n");
        let second = scene.settle(&other).await;
        let master = RefName::branch("master").unwrap();
        for head in [settled.commit, second.commit] {
            let onto = scene.master().await;
            let made = candidate(&scene.repo, &onto, &head, "m", &identity())
                .await
                .unwrap();
            let Landed::Now { behind, .. } =
                land(&scene.repo, &master, cleared(&made)).await.unwrap()
            else {
                panic!()
            };
            assert!(behind.is_empty(), "{behind:?}");
            scene
                .repo
                .diff(&onto, &head, DiffFormat::Patch)
                .await
                .unwrap();
        }
        let merged = std::fs::read_to_string(scene.root.join("a.txt")).unwrap();
        assert_eq!(merged, "changed by the run\ntwo\nchanged by the other\n");
        other.write("more", "x");
        worktree::preserve(&scene.repo, other.id, &other.place)
            .await
            .unwrap();
        let delete = RemoveBranch::Delete {
            expected: other.start.clone(),
        };
        worktree::remove(&scene.repo, &other.place, &delete)
            .await
            .unwrap();
        worktree::restore(&scene.repo, other.id, &other.place)
            .await
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(&ran).ok(),
            None,
            "opened after: {opened_after}"
        );
    }
}
