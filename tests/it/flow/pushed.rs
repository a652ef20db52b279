//! Merges that are pushed: the remote's branch moves first, and the base follows or the run says why not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::repo::try_git;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

/// git in this folder; it must succeed.
#[track_caller]
fn git(folder: &Path, args: &[&str]) -> String {
    let output = try_git(folder, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare repository that has what the repository has, as its remote `origin`.
fn remote(setup: &Setup) -> PathBuf {
    let remote = setup.at("remote.git");
    let path = remote.to_str().unwrap();
    setup.repo.git(&[
        "clone",
        "-q",
        "--bare",
        setup.repo.root().to_str().unwrap(),
        path,
    ]);
    setup.repo.git(&["remote", "add", "origin", path]);
    remote
}

/// A setup with such a remote, to which merges are pushed.
fn pushing() -> (Setup, PathBuf) {
    let setup = Setup::new();
    let remote = remote(&setup);
    (setup.flag("--push-remote", "origin"), remote)
}

fn master(remote: &Path) -> String {
    git(remote, &["rev-parse", "refs/heads/master"])
}

/// Somebody else's commit on the remote's branch.
fn push_by_somebody(remote: &Path) -> String {
    let identity = ["-c", "user.name=S", "-c", "user.email=s@localhost"];
    let commit = ["commit-tree", "master^{tree}", "-p", "master", "-m", "else"];
    let commit = git(remote, &[&identity[..], &commit].concat());
    git(remote, &["update-ref", "refs/heads/master", &commit]);
    commit
}

fn proven(server: &Server) -> Run<'_> {
    let run = server.finished("write work.txt done");
    run.prove();
    run
}

/// The run is at rest, and its merge has stopped so; what it says.
#[track_caller]
fn stopped(server: &Server, run: &Run<'_>, code: &str) -> String {
    let detail = run.detail();
    assert_eq!(detail["status"], "finished", "{detail:#}");
    assert_eq!(detail["merge"]["stage"], "stopped");
    assert_eq!(detail["merge"]["code"], code, "{}", detail["merge"]);
    let pins = ["for-each-ref", "refs/agent_runner/candidates"];
    assert_eq!(server.repo.git(&pins), "", "its candidate is let go");
    detail["merge"]["detail"].as_str().unwrap().to_owned()
}

fn make_hook(folder: &Path, name: &str, script: &str) {
    let hook = folder.join("hooks").join(name);
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Kills the service at the write of refs that moves the base, in the merge of a run: the remote has it by then.
fn killed_after_the_push(server: &Server, run: &Run<'_>) {
    server.kill();
    // The first is the candidate's pin.
    server.set_variable("FAILPOINTS", "refs.write=1*off->1*return(abort)");
    server.start_again();
    let headers = [("content-type", "application/json")];
    let asked = server
        .client()
        .try_ask("POST", &run.path("/merge"), &headers, b"{}");
    assert!(asked.is_none(), "it dies");
    server.kill();
    server.set_variable("FAILPOINTS", "");
}

#[test]
fn a_merge_lands_on_the_remote_and_here_and_no_hook_of_the_repository_runs() {
    let (setup, remote) = pushing();
    let mark = setup.at("hooked");
    setup.repo.as_the_user(|root| {
        make_hook(
            &root.join(".git"),
            "pre-push",
            &format!("touch {}", mark.display()),
        );
    });
    // It does run for a push of the user's.
    setup
        .repo
        .git(&["push", "-q", "origin", "master:refs/heads/other"]);
    assert!(mark.exists());
    fs::remove_file(&mark).unwrap();
    let server = setup.start();
    for file in ["one.txt", "two.txt"] {
        let run = server.finished(&format!("write {file} done"));
        run.prove();
        let merged = run.merge().expect(200);
        assert_eq!(merged["commit"], server.repo.master());
        assert_eq!(merged["commit"], master(&remote));
        run.wait_until_gone();
    }
    assert!(!mark.exists(), "a hook of the repository ran");
    server.check_world();
}

#[test]
fn a_remote_that_has_moved_refuses_and_takes_it_once_its_commits_are_here() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let run = proven(&server);
    let before = server.repo.master();
    let theirs = push_by_somebody(&remote);
    let refused = run.merge().expect_problem(409, "push_refused");
    assert!(refused["detail"].as_str().unwrap().contains("stale info"));
    assert_eq!(server.repo.master(), before);
    assert_eq!(master(&remote), theirs);
    let detail = stopped(&server, &run, "push_refused");
    assert_eq!(refused["detail"], detail);
    server.check_world();

    server
        .repo
        .git(&["pull", "-q", "--ff-only", "origin", "master"]);
    let merged = run.merge().expect(200);
    assert_eq!(merged["onto"], theirs);
    assert_eq!(merged["commit"], master(&remote));
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn what_a_hook_of_the_remote_says_is_told() {
    let (setup, remote) = pushing();
    make_hook(&remote, "pre-receive", "echo not on a Friday >&2; exit 1");
    let server = setup.start();
    let run = proven(&server);
    let before = server.repo.master();
    let refused = run.merge().expect_problem(409, "push_refused");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("not on a Friday"), "{detail}");
    assert_eq!(
        (server.repo.master(), master(&remote)),
        (before.clone(), before)
    );
    stopped(&server, &run, "push_refused");
    server.check_world();
}

#[test]
fn a_remote_that_cannot_be_reached_stops_the_merge_and_nothing_moves() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let run = proven(&server);
    let before = server.repo.master();
    let away = remote.with_extension("away");
    fs::rename(&remote, &away).unwrap();
    let failed = run.merge().expect_problem(409, "push_failed");
    let detail = stopped(&server, &run, "push_failed");
    assert_eq!(failed["detail"], detail);
    assert!(detail.contains("is not known"), "{detail}");
    assert_eq!(server.repo.master(), before);
    fs::rename(&away, &remote).unwrap();
    assert_eq!(master(&remote), before);
    let merged = run.merge().expect(200);
    assert_eq!(merged["commit"], master(&remote));
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn a_merge_that_waited_for_its_checks_is_refused_in_the_same_way() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let dod = json!({"dod": [{"key": "tests", "check": {"cmd": "true"}}]});
    let run = server.run_with("write work.txt done", &dod);
    run.wait_for("finished");
    run.prove();
    // The base is ahead of the remote, and the result has to be checked.
    let before = server.repo.commit("other.txt", "by somebody else\n");
    run.post("/merge", &json!({"wait_s": 60}))
        .expect_problem(409, "push_refused");
    assert_eq!(server.repo.master(), before);
    stopped(&server, &run, "push_refused");
    server.repo.git(&["push", "-q", "origin", "master"]);
    let merged = run.post("/merge", &json!({"wait_s": 60})).expect(200);
    assert_eq!(merged["commit"], master(&remote));
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn after_a_kill_between_push_and_swap_it_is_merged_once_on_both() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let run = proven(&server);
    let before = server.repo.master();
    killed_after_the_push(&server, &run);
    assert_eq!(server.repo.master(), before);
    let pushed = master(&remote);
    assert_ne!(pushed, before);
    server.start_again();
    let merged = run.wait_for("merged");
    assert_eq!(merged["merge_commit"], pushed);
    assert_eq!(
        (server.repo.master(), master(&remote)),
        (pushed.clone(), pushed.clone())
    );
    assert_eq!(run.merge().expect(200)["commit"], pushed);
    assert_eq!(server.repo.read("work.txt").trim(), "done");
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn after_a_kill_a_base_that_has_moved_meanwhile_is_told() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let run = proven(&server);
    killed_after_the_push(&server, &run);
    let pushed = master(&remote);
    let moved = server.repo.commit("other.txt", "by somebody else\n");
    server.start_again();
    run.wait_for("finished");
    let detail = stopped(&server, &run, "pushed_but_base_moved");
    for part in [&pushed, &moved] {
        assert!(detail.contains(part.as_str()), "{detail}");
    }
    assert_eq!((server.repo.master(), master(&remote)), (moved, pushed));
    server.check_world();
}

#[test]
fn a_base_that_moves_between_push_and_swap_is_told_at_once() {
    let (setup, remote) = pushing();
    let root = setup.repo.root().display().to_string();
    // It comes when the remote has taken it.
    make_hook(
        &remote,
        "post-receive",
        &format!(
            "unset $(git rev-parse --local-env-vars)\ncd {root}\n\
             export GIT_COMMITTER_NAME=s GIT_COMMITTER_EMAIL=s GIT_AUTHOR_NAME=s GIT_AUTHOR_EMAIL=s\n\
             git update-ref refs/heads/master $(git commit-tree master^{{tree}} -p master -m moved)"
        ),
    );
    let server = setup.start();
    let run = proven(&server);
    let before = server.repo.master();
    let told = run.merge().expect_problem(409, "pushed_but_base_moved");
    let (here, there) = (server.repo.git(&["rev-parse", "master"]), master(&remote));
    let here = here.trim();
    assert_eq!(server.repo.parents(here), [before]);
    assert_eq!(
        stopped(&server, &run, "pushed_but_base_moved"),
        told["detail"]
    );
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(here) && detail.contains(&there), "{detail}");
    server.check_world();
}

#[test]
fn a_git_that_fails_after_the_push_does_not_leave_the_two_apart() {
    let (setup, remote) = pushing();
    let server = setup.start();
    let run = proven(&server);
    server.kill();
    server.set_variable("FAILPOINTS", "refs.write=1*off->1*return(error)");
    server.start_again();
    let merged = run.merge().expect(200);
    assert_eq!(merged["commit"], server.repo.master());
    assert_eq!(merged["commit"], master(&remote));
    run.wait_until_gone();
    server.check_world();
}

#[test]
fn a_remote_that_is_none_or_names_a_program_is_refused_at_the_start() {
    let setup = Setup::new();
    let mark = setup.at("ran");
    let program = format!("ext::sh -c touch% {}", mark.display());
    setup.repo.git(&["remote", "add", "program", &program]);
    setup
        .repo
        .git(&["config", "--", "remote.option.url", "--upload-pack=x"]);
    setup.repo.git(&["remote", "add", "two", "/a"]);
    setup.repo.git(&["remote", "set-url", "--add", "two", "/b"]);
    for (name, said) in [
        ("absent", "no remote `absent`"),
        ("program", "neither a path"),
        ("option", "neither a path"),
        ("two", "more than one"),
    ] {
        let flag = format!("--push-remote={name}");
        let ended = setup.command().arg(flag).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(16), "{stderr}");
        assert!(
            stderr.contains(said) && stderr.contains("--push-remote"),
            "{stderr}"
        );
    }
    assert!(!mark.exists());
}
