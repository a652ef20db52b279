//! Agents and their supervisors, met again after a crash; and a supervisor killed: how the agent ended is then not
//! known, and never guessed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::fake_agent::prompt;
use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

fn run_that_holds<'a>(server: &'a Server) -> (Run<'a>, Held) {
    let held = Held::at(&server.at("marks/held"));
    let run = server.run(&format!(
        "hold {}
         write work.txt half
         spawn-setsid-double-fork 1000 {}
         sleep 1000",
        server.mark_path("held"),
        server.mark_path("away")
    ));
    server.wait_for_mark("away");
    (run, held)
}

/// Kills the supervisor of the run's first attempt.
fn kill_supervisor(server: &Server, run: &Run<'_>) {
    let started = fs::read(server.attempt(&run.id, 1).join("started.json")).unwrap();
    let started: Value = serde_json::from_slice(&started).unwrap();
    let pid = started["supervisor"]["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn assert_unknown(server: &Server, run: &Run<'_>, held: &Held) {
    let ended = run.wait_for("failed");
    assert_eq!(ended["failure"]["code"], "unknown");
    assert_eq!(ended["exit_code"], Value::Null);
    held.assert_all_gone();
    let head = ended["head"].as_str().unwrap();
    assert_eq!(
        server.repo.file(head, "work.txt").unwrap(),
        "half\n",
        "its work is kept"
    );
    run.abort().expect(200);
}

#[test]
fn an_agent_that_a_new_server_has_found_is_aborted_with_all_that_it_started() {
    let server = Server::start();
    let (run, held) = run_that_holds(&server);
    server.restart();
    let aborted = run.abort().expect(200);
    held.assert_all_gone();
    assert_eq!(aborted["status"], "aborted");
    assert!(!run.worktree.exists());
    let kept = run.detail()["preserved_commit"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(server.repo.file(&kept, "work.txt").unwrap(), "half\n");
    server.check_world();
}

#[test]
fn a_limit_holds_while_no_server_is_there() {
    let server = Setup::new().flag("--stop-grace-s", "1").start();
    let run = server.run_with("sleep 1000", &json!({"limits": {"timeout_s": 1}}));
    server.kill();
    let exit = server.attempt(&run.id, 1).join("exit.json");
    until("its supervisor has ended it", || exit.exists());
    server.start_again();
    let failed = run.wait_for("failed");
    assert_eq!(failed["failure"]["code"], "wall_clock_limit");
    server.check_world();
}

#[test]
fn a_session_goes_on_after_a_crash() {
    let server = Server::start();
    let run = server.run(&format!(
        "wait-for {}\nwrite one.txt 1",
        server.mark_path("go")
    ));
    server.restart();
    server.mark("go");
    let session = run.wait_for("finished")["session_id"].clone();
    assert!(session.is_string());
    server.restart();
    let text = prompt("write two.txt 2");
    run.post("/messages", &json!({"text": text})).expect(200);
    let ended = run.wait_for("finished");
    assert_eq!(ended["session_id"], session);
    let head = ended["head"].as_str().unwrap();
    assert!(
        server.repo.file(head, "one.txt").is_some() && server.repo.file(head, "two.txt").is_some()
    );
    server.check_world();
}

#[test]
fn a_supervisor_that_is_killed_leaves_an_unknown_end_and_no_process() {
    let server = Server::start();
    let (run, held) = run_that_holds(&server);
    kill_supervisor(&server, &run);
    assert_unknown(&server, &run, &held);
    server.check_world();
}

#[test]
fn a_supervisor_that_is_killed_while_no_server_is_there_too() {
    let server = Server::start();
    let (run, held) = run_that_holds(&server);
    server.kill();
    kill_supervisor(&server, &run);
    server.start_again();
    assert_unknown(&server, &run, &held);
    server.check_world();
}
