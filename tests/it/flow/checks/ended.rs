//! Rounds that do not come to their end: the service is killed, the run is aborted.

use std::path::Path;

use serde_json::json;

use super::{code, item, results};
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

/// A command that tells its pid, waits for a mark, and leaves a process behind that would go on.
fn waiting(server: &Server) -> String {
    let pid = server.mark_path("pid");
    let held = server.held("begun", "go");
    format!("setsid sleep 1000 & echo $! > {pid}; {held}")
}

fn is_alive(pid_file: &str) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    // One that only waits to be reaped does not live.
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn after_a_crash_in_the_middle_each_item_has_one_result() {
    let server = Setup::new().flag("--max-feedback", "0").start();
    let count = server.mark_path("count");
    let dod = json!([
        item("first", &format!("echo x >> {count}")),
        item("second", &waiting(&server)),
        item("third", "exit 1"),
    ]);
    let run = server.checked("write work.txt done", &dod);
    server.wait_for_mark("begun");
    until("the first is recorded", || {
        !results(&run.detail(), "first").is_empty()
    });
    let left = server.mark_path("pid");
    let before = std::fs::read_to_string(&left).unwrap();
    std::fs::remove_file(server.mark_path("begun")).unwrap();
    server.restart();
    server.wait_for_mark("begun");
    let after = std::fs::read_to_string(&left).unwrap();
    assert_ne!(before, after, "the list is run again");
    std::fs::write(&left, before).unwrap();
    assert!(!is_alive(&left), "what was left of the first time is ended");
    server.mark("go");
    let ended = run.wait_for("finished");
    for key in ["first", "second", "third"] {
        assert_eq!(results(&ended, key).len(), 1, "{key}");
    }
    assert_eq!(code(&ended, "third").as_deref(), Some("exit_code"));
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\nx\n");
    std::fs::write(&left, after).unwrap();
    until("nothing is left of it", || !is_alive(&left));
}

#[test]
fn a_service_that_is_told_to_stop_ends_its_checks_and_the_next_start_begins_them_anew() {
    let server = Server::start();
    let run = server.checked(
        "write work.txt done",
        &json!([item("work", &waiting(&server))]),
    );
    server.wait_for_mark("begun");
    server.mark("go");
    std::fs::remove_file(server.mark_path("begun")).unwrap();
    server.terminate();
    server.start_again();
    let ended = run.wait_for("finished");
    assert_eq!(results(&ended, "work").len(), 1);
    assert_eq!(code(&ended, "work"), None);
}

#[test]
fn an_abort_in_the_middle_leaves_nothing() {
    let server = Server::start();
    let run = server.checked(
        "write work.txt done",
        &json!([item("work", &waiting(&server))]),
    );
    server.wait_for_mark("begun");
    let left = server.mark_path("pid");
    assert!(is_alive(&left));
    run.abort().expect(200);
    assert!(!is_alive(&left));
    assert_eq!(run.status(), "aborted");
    let rounds = std::fs::read_dir(server.at("state/checks")).unwrap();
    assert_eq!(rounds.count(), 0);
    // Brought back, it is checked when somebody asks.
    run.post("/restore", &json!({})).expect(200);
    server.mark("go");
    run.post("/checks", &json!({})).expect(202);
    assert_eq!(code(&run.wait_for("finished"), "work"), None);
}

#[test]
fn an_abort_after_a_crash_in_the_middle_leaves_nothing_either() {
    let server = Server::start();
    let run = server.checked(
        "write work.txt done",
        &json!([item("work", &waiting(&server))]),
    );
    server.wait_for_mark("begun");
    server.kill();
    server.start_again();
    run.abort().expect(200);
    assert!(!is_alive(&server.mark_path("pid")));
    assert_eq!(run.status(), "aborted");
}
