//! The clean checkout: what a command sees of the repository, and what it cannot reach.

use agent_runner_api::dod::check::CheckSpec;

use super::stage::Stage;

#[tokio::test]
async fn a_command_sees_the_commit_and_nothing_that_lies_beside_it() {
    let stage = Stage::new().await;
    stage.repo.write("untracked.txt", "not committed");
    stage.repo.write("ignored", "not committed");
    stage.repo.write("b.txt", "changed and not committed");
    assert_eq!(
        stage.printed("cat b.txt; ls -A").await,
        "b\n.git\n.gitignore\na.txt\nb.txt\n"
    );
    assert_eq!(stage.printed("git status --porcelain").await, "");
}

#[tokio::test]
async fn git_works_in_it_with_tags_and_without_branches() {
    let stage = Stage::new().await;
    stage.repo.git(&["tag", "-a", "v1", "-m", "v1"]);
    let head = stage.repo.commit("c.txt", "c");
    let cmd = "git rev-parse HEAD; git describe; git for-each-ref --format='%(refname)'";
    let short = &head[..7];
    assert_eq!(
        stage.printed(cmd).await,
        format!("{head}\nv1-1-g{short}\nrefs/tags/v1\n")
    );
}

#[tokio::test]
async fn what_it_does_with_git_stays_in_it() {
    let stage = Stage::new().await;
    let refs = stage.repo.git(&["for-each-ref"]);
    let cmd = "git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x && git branch other && git tag other \
               && git update-ref refs/heads/master HEAD && git config core.hooksPath /dev/null && git gc -q --prune=now";
    stage.printed(cmd).await;
    assert_eq!(stage.repo.git(&["for-each-ref"]), refs);
    assert!(!stage.repo.git(&["config", "--list"]).contains("hookspath"));
    stage.repo.git(&["fsck", "--strict"]);
    stage.repo.assert_yours_is_untouched();
}

#[tokio::test]
async fn filters_and_hooks_of_the_repository_do_not_run() {
    let stage = Stage::new().await;
    let mark = stage.folder.path().join("ran");
    let plant = format!("touch {}; cat", mark.display());
    stage
        .repo
        .commit(".gitattributes", "*.txt filter=planted\n");
    stage.repo.git(&["config", "filter.planted.smudge", &plant]);
    let hook = stage.repo.root().join(".git/hooks/post-checkout");
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, executable).unwrap();
    assert_eq!(
        stage
            .printed("cat b.txt; git checkout -q HEAD -- b.txt")
            .await,
        "b\n"
    );
    assert!(!mark.exists());
}

#[tokio::test]
async fn later_commands_find_what_earlier_ones_built_and_the_next_round_does_not() {
    let stage = Stage::new().await;
    let specs = ["mkdir -p out && echo built > out/app", "cat out/app"].map(CheckSpec::of);
    let came = stage.run(&specs).await;
    assert_eq!(came[1].passed().log, "built\n");
    assert_eq!(stage.printed("test ! -e out").await, "");
}

#[tokio::test]
async fn whatever_a_command_leaves_in_it_goes_with_it() {
    let stage = Stage::new().await;
    let deep = "d=.; for i in $(seq 200); do d=$d/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; mkdir $d 2>/dev/null || { cd $d/.. && d=.; }; done; true";
    let cmd = format!(
        "mkdir -p a/b && touch a/b/c && chmod -R 500 a && ln -s / root && mkfifo pipe; {deep}"
    );
    // That nothing is left is asked after each list.
    stage.printed(&cmd).await;
}
