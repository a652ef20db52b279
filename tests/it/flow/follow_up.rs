//! Follow-ups: the same session in the same worktree, or a fresh one.

use serde_json::{Value, json};

use crate::support::fake_agent::prompt;
use crate::support::frames::output_of;
use crate::support::run::Run;
use crate::support::server::Server;

/// The agent's own arguments, one list for each `args` line of its scripts.
fn arguments(run: &Run<'_>) -> Vec<Vec<String>> {
    let output = String::from_utf8(run.output()).unwrap();
    let lists = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lists.collect()
}

/// The value after this flag.
fn value<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.get(at + 1).map(String::as_str)
}

#[test]
fn a_message_goes_on_in_the_same_session_and_worktree() {
    let server = Server::start();
    let run = server.finished("args\nwrite one.txt 1");
    let session = run.detail()["session_id"].as_str().unwrap().to_owned();
    run.prove();
    let text = prompt("args\nsh cat one.txt > two.txt");
    let answer = run.post("/messages", &json!({"text": text})).expect(200);
    assert_eq!(answer["run_id"], run.id);
    assert_eq!(answer["worktree_path"], run.worktree.display().to_string());
    let ended = run.wait_for("finished");
    assert_eq!(ended["session_id"], session);
    assert_eq!(ended["attempts"][1]["why"], "message");
    assert_eq!(ended["attempts"][1]["message"], text);
    assert_eq!(ended["attempts"][1]["number"], 2);
    let arguments = arguments(&run);
    assert_eq!(value(&arguments[0], "--session-id"), Some(&*session));
    assert_eq!(value(&arguments[1], "--resume"), Some(&*session));
    assert_eq!(value(&arguments[1], "--session-id"), None);
    let head = ended["head"].as_str().unwrap();
    assert_eq!(server.repo.file(head, "two.txt").unwrap(), "1\n");
    assert_eq!(ended["dod_items"][0]["evidence"][0]["stale"], true);
    assert_eq!(ended["usage"]["input_tokens"], 7200, "of both attempts");
    let told = run.frames(Some("0")).until(|frame| {
        frame.name == "status" && frame.json["attempt"] == 2 && frame.json["status"] == "finished"
    });
    assert!(output_of(&told) == run.output());
    let printed = told.iter().filter(|frame| frame.name == "output");
    let mut attempts: Vec<_> = printed.map(|frame| frame.json["attempt"].clone()).collect();
    attempts.dedup();
    assert_eq!(attempts, [1, 2], "each piece names its attempt");
    run.prove();
    run.merge().expect(200);
    run.post("/messages", &json!({"text": "more"}))
        .expect_problem(409, "already_merged");
    run.post("/retry", &json!({}))
        .expect_problem(409, "already_merged");
    server.check_world();
}

#[test]
fn a_retry_begins_a_fresh_session_in_the_same_worktree() {
    let server = Server::start();
    let run = server.run("args\nsh echo again >> tries.txt\nexit 3");
    run.wait_for("failed");
    run.post("/retry", &json!({})).expect(200);
    let ended = run.wait_for("failed");
    assert_eq!(ended["attempts"][1]["why"], "retry");
    let arguments = arguments(&run);
    let sessions: Vec<_> = arguments
        .iter()
        .map(|list| value(list, "--session-id"))
        .collect();
    assert!(sessions[0].is_some() && sessions[1].is_some() && sessions[0] != sessions[1]);
    let head = ended["head"].as_str().unwrap();
    assert_eq!(
        server.repo.file(head, "tries.txt").unwrap(),
        "again\nagain\n"
    );
    server.check_world();
}

#[test]
fn a_failed_run_takes_a_message() {
    let server = Server::start();
    let run = server.run("claude-result error");
    run.wait_for("failed");
    run.post("/messages", &json!({"text": prompt("write work.txt done")}))
        .expect(200);
    let ended = run.wait_for("finished");
    assert_eq!(ended["failure"], Value::Null);
    assert_eq!(ended["attempts"][0]["failure"]["code"], "api_error");
    server.check_world();
}

#[test]
fn a_run_at_work_takes_no_message_and_an_empty_one_is_refused() {
    let server = Server::start();
    let run = server.run("sleep 1000");
    run.post("/messages", &json!({"text": "more"}))
        .expect_problem(409, "run_active");
    run.post("/retry", &json!({}))
        .expect_problem(409, "run_active");
    run.post("/messages", &json!({"text": " \n"}))
        .expect_problem(422, "invalid");
    run.post("/messages", &json!({}))
        .expect_problem(422, "invalid");
    run.abort().expect(200);
    server.check_world();
}
