//! What a command is given, and what it is not.

use std::os::unix::fs::PermissionsExt;

use agent_runner_api::dod::check::CheckSpec;
use agent_runner_api::process::WantedNetwork;

use super::stage::Stage;

#[tokio::test]
async fn a_command_gets_what_programs_need_and_no_secret_of_the_service() {
    let variables = [
        ("ANTHROPIC_API_KEY", "secret"),
        ("SOME_TOKEN", "secret"),
        ("LD_PRELOAD", "/nowhere.so"),
        ("GIT_DIR", "/nowhere"),
        ("CARGO_HOME", "{folder}/cargo"),
        ("LANG", "C.UTF-8"),
    ];
    let stage = Stage::with(WantedNetwork::Best, &variables).await;
    let printed = stage.printed("env").await;
    let names: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    for name in [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "LANG",
        "CI",
        "PORT",
        "TMPDIR",
        "AGENT_RUNNER_RUN_ID",
    ] {
        assert!(names.contains(&name), "{name}: {printed}");
    }
    for name in [
        "ANTHROPIC_API_KEY",
        "SOME_TOKEN",
        "LD_PRELOAD",
        "GIT_DIR",
        "AGENT_RUNNER_DB",
    ] {
        assert!(!names.contains(&name), "{name}: {printed}");
    }
    assert!(!printed.contains("secret"));
    let tmp = "test -d \"$TMPDIR\" && case $TMPDIR in */state/checks/*/tmp) ;; *) false;; esac";
    stage.printed(tmp).await;
}

/// Seen red with the service's `PATH` as it is: the patched tool ran.
#[tokio::test]
async fn a_patched_tool_in_the_agents_folder_or_in_the_commit_is_not_the_one_that_runs() {
    let path = [(
        "PATH",
        "{folder}/worktrees/run/bin:bin:.::/usr/local/bin:/usr/bin:/bin",
    )];
    let stage = Stage::with(WantedNetwork::Best, &path).await;
    let patched = "#!/bin/sh\necho patched\n";
    let in_worktree = stage.folder.path().join("worktrees/run/bin");
    let in_commit = stage.repo.root().join("bin");
    for folder in [&in_worktree, &in_commit] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("expr"), patched).unwrap();
        std::fs::set_permissions(folder.join("expr"), PermissionsExt::from_mode(0o755)).unwrap();
    }
    stage.repo.git(&["add", "-A"]);
    stage.repo.git(&["commit", "-q", "-m", "patched"]);
    assert_eq!(
        stage.printed("expr 1 + 1; (cd bin && expr 2 + 2)").await,
        "2\n4\n"
    );
}

#[tokio::test]
async fn the_versions_of_the_tools_are_in_the_record() {
    let stage = Stage::new().await;
    stage.repo.commit("Makefile", "all:\n");
    let came = stage.run(&[CheckSpec::of("true && make --version")]).await;
    let tools = &came[0].record.tools;
    match came[0].code() {
        None => {
            let version = &tools["make"];
            assert!(came[0].log.starts_with(version.as_str()), "{tools:?}");
        }
        Some(_) => {
            println!("SKIPPED the_versions_of_the_tools_are_in_the_record: there is no make")
        }
    }
}
