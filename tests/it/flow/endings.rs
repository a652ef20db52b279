//! The ways in which an agent can end, each by its name.

use serde_json::{Value, json};

use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

fn hasty() -> Server {
    Setup::new().flag("--stop-grace-s", "1").start()
}

/// The failed run that this script, with these limits, comes to.
#[track_caller]
fn failed(server: &Server, script: &str, limits: &Value) -> Value {
    let run = server.run_with(script, &json!({"limits": limits}));
    let failed = run.wait_for("failed");
    assert_eq!(failed["attempts"][0]["failure"], failed["failure"]);
    failed
}

#[test]
fn each_limit_has_its_own_failure() {
    let server = hasty();
    let wall = failed(&server, "print begun\nsleep 1000", &json!({"timeout_s": 1}));
    assert_eq!(wall["failure"]["code"], "wall_clock_limit");
    let idle = failed(
        &server,
        "print begun\nsleep 1000",
        &json!({"idle_timeout_s": 1}),
    );
    assert_eq!(idle["failure"]["code"], "idle_limit");
    let much = failed(
        &server,
        "flood 30000000\nsleep 1000",
        &json!({"max_output_bytes": 100_000}),
    );
    assert_eq!(much["failure"]["code"], "output_limit");
    for ended in [wall, idle, much] {
        assert_eq!(ended["exit_code"], Value::Null);
        assert!(ended["ended_at"].is_string());
    }
    server.check_world();
}

#[test]
fn an_agent_that_ignores_every_kind_word_is_killed_with_all_that_it_started() {
    let server = hasty();
    let held = Held::at(&server.at("marks/held"));
    let script = format!(
        "hold {}
         ignore INT
         ignore TERM
         write work.txt half
         spawn-setsid-double-fork 1000 {}
         sleep 1000",
        server.mark_path("held"),
        server.mark_path("pid")
    );
    let ended = failed(&server, &script, &json!({"timeout_s": 1}));
    held.assert_all_gone();
    assert_eq!(ended["failure"]["code"], "wall_clock_limit");
    assert_eq!(ended["attempts"][0]["signal"], 9);
    let head = ended["head"].as_str().unwrap();
    assert_eq!(
        server.repo.file(head, "work.txt").unwrap(),
        "half\n",
        "its work is kept"
    );
    server.check_world();
}

#[test]
fn an_exit_code_is_the_agents_own() {
    let server = Server::start();
    let run = server.run("exit 3");
    let ended = run.wait_for("failed");
    assert_eq!(ended["exit_code"], 3);
    assert_eq!(
        ended["failure"]["code"], "cut_off",
        "it exited without a last word"
    );
    let said = server
        .run("claude-result success\nexit 4")
        .wait_for("failed");
    assert_eq!(said["exit_code"], 4);
    assert_eq!(said["failure"]["code"], "exit_code");
    server.check_world();
}

#[test]
fn an_error_of_the_models_api_is_told_with_its_status() {
    let server = Server::start();
    let ended = server.run("claude-result error").wait_for("failed");
    assert_eq!(ended["failure"]["code"], "api_error");
    let detail = ended["failure"]["detail"].as_str().unwrap();
    assert!(detail.contains("500"), "{detail}");
    assert_eq!(ended["exit_code"], 0);
    server.check_world();
}

#[test]
fn a_stream_without_a_last_word_is_cut_off() {
    let server = Server::start();
    let ended = server.run("print working\ncut-off").wait_for("failed");
    assert_eq!(ended["failure"]["code"], "cut_off");
    assert_eq!(ended["exit_code"], 0);
    server.check_world();
}

#[test]
fn a_signal_that_was_not_ours_is_told() {
    let server = Server::start();
    let ended = server
        .run("print working\nkill-self KILL")
        .wait_for("failed");
    assert_eq!(ended["failure"]["code"], "killed");
    assert_eq!(ended["exit_code"], Value::Null);
    assert_eq!(ended["attempts"][0]["signal"], 9);
    server.check_world();
}

#[test]
fn a_failed_run_keeps_its_work_and_can_be_proven_and_merged() {
    let server = Server::start();
    let run = server.run("write work.txt good enough\nexit 3");
    run.wait_for("failed");
    run.prove();
    run.merge().expect(200);
    assert_eq!(server.repo.read("work.txt"), "good enough\n");
    server.check_world();
}

#[test]
fn an_agent_that_removes_everything_has_done_just_that() {
    let server = Server::start();
    let run = server.finished("sh rm -rf .git .gitignore *");
    let head = run.detail()["head"].as_str().unwrap().to_owned();
    assert_eq!(server.repo.git(&["ls-tree", "-r", &head]), "");
    assert!(server.repo.root().join("a.txt").exists());
    assert_eq!(server.repo.status(), "");
    run.abort().expect(200);
    assert!(!run.worktree.exists() && !server.repo.has_branch(&run.branch));
    server.check_world();
}

#[test]
fn an_agent_that_leaves_its_branch_loses_no_work() {
    let server = Server::start();
    let run = server.run(
        "git checkout -q --detach
         git branch -q -D @{-1}
         write work.txt lost?",
    );
    until_at_rest(&run);
    run.abort().expect(200);
    let detail = run.detail();
    let kept = detail["preserved_commit"].as_str().expect("it is kept");
    assert_eq!(server.repo.file(kept, "work.txt").unwrap(), "lost?\n");
    assert_eq!(server.repo.status(), "");
    server.check_world();
}

/// Waits for an end, good or bad.
fn until_at_rest(run: &Run<'_>) {
    until("it ends", || {
        ["finished", "failed"].contains(&&*run.status())
    });
}
