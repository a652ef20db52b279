//! The supervisor killed: how the agent ended is then not known, and never guessed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::held::Held;
use crate::support::run::Run;
use crate::support::server::Server;

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
fn a_supervisor_that_is_killed_leaves_an_unknown_end_and_no_process() {
    let server = Server::start();
    let (run, held) = run_that_holds(&server);
    kill_supervisor(&server, &run);
    assert_unknown(&server, &run, &held);
}

#[test]
fn a_supervisor_that_is_killed_while_no_server_is_there_too() {
    let server = Server::start();
    let (run, held) = run_that_holds(&server);
    server.kill();
    kill_supervisor(&server, &run);
    server.start_again();
    assert_unknown(&server, &run, &held);
}
