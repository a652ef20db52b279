//! A run as it goes on.

use serde_json::{Value, json};

use super::fake_server::{FakeServer, Reply};
use super::program::Program;

const RUN: &str = "GET /api/runs/0199ab";
const SSE: &str = "GET /api/runs/0199ab/sse";

/// The run as the server shows it before its stream is opened.
fn run() -> Reply {
    Reply::json(
        200,
        &json!({"id": "0199ab", "agent": "claude", "status": "running"}),
    )
}

fn connected(status: &str) -> (&'static str, &'static str, Value) {
    (
        "1-0",
        "connected",
        json!({"run": {"id": "0199ab", "agent": "claude", "status": status}}),
    )
}

fn status(id: &'static str, status: &str) -> (&'static str, &'static str, Value) {
    (id, "status", json!({"run_id": "0199ab", "status": status}))
}

fn says(id: &'static str, text: &str) -> (&'static str, &'static str, Value) {
    let activity = json!({"type": "text", "text": text});
    (
        id,
        "output",
        json!({"attempt": 1, "offset": 0, "end": 1, "text": "{}", "events": [activity]}),
    )
}

#[test]
fn a_started_run_is_followed_to_its_end() {
    let events = [
        connected("preparing"),
        status("2-0", "running"),
        says("2-9", "I look at it.\u{1b}[2J"),
        status("3-9", "finished"),
    ];
    let created =
        json!({"run_id": "0199ab", "status": "running", "branch": "auto/x", "worktree_path": "/w"});
    let server = FakeServer::start(vec![
        ("POST /api/runs", Reply::json(201, &created)),
        (RUN, run()),
        (SSE, Reply::events(&events).staying_open()),
    ]);
    let ended = Program::talking_to(&server.url).run(&["run", "--prompt", "x", "--follow"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    insta::assert_snapshot!(ended.stdout, @r"
    run       0199ab
    status    running
    branch    auto/x
    worktree  /w
    [running]
    I look at it.\u001b[2J
    [finished]
    ");
    let asked = server.asked();
    assert_eq!(asked[2].line, "GET /api/runs/0199ab/sse?after=0");
    assert_eq!(asked[2].headers["accept"], "text/event-stream");
}

#[test]
fn a_run_that_fails_while_it_is_followed_is_exit_code_6() {
    let failed = json!({"status": "failed", "failure": {"code": "auth", "detail": "no key"}});
    let events = [connected("running"), ("2-0", "status", failed)];
    let server = FakeServer::start(vec![
        (RUN, run()),
        (SSE, Reply::events(&events).staying_open()),
    ]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab", "-f"]);
    assert_eq!(ended.code, 6);
    assert_eq!(ended.stderr, "error: the run is failed: no key (auth)\n");
}

#[test]
fn why_it_failed_is_asked_of_the_run_where_the_event_does_not_tell() {
    let failure = json!({"code": "killed", "detail": "by signal 9"});
    let run = json!({"id": "0199ab", "agent": "claude", "status": "failed", "failure": failure});
    let events = [status("2-0", "running"), status("3-0", "failed")];
    let server = FakeServer::start(vec![
        (RUN, Reply::json(200, &run)),
        (SSE, Reply::events(&events)),
    ]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab", "-f"]);
    assert_eq!(ended.code, 6);
    assert_eq!(
        ended.stderr,
        "error: the run is failed: by signal 9 (killed)\n"
    );
}

#[test]
fn a_broken_stream_goes_on_after_its_last_event() {
    let first = [connected("running"), says("1-40", "one")];
    let second = [says("1-80", "two"), status("2-80", "finished")];
    let server = FakeServer::start(vec![
        (RUN, run()),
        (SSE, Reply::events(&first)),
        (
            SSE,
            Reply::problem(
                503,
                &json!({"title": "Draining", "status": 503, "code": "draining"}),
            ),
        ),
        (SSE, Reply::events(&second).staying_open()),
    ]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab", "--follow"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "one\ntwo\n[finished]\n"),
        "{ended:?}"
    );
    let mut asked = server.asked();
    asked.retain(|asked| asked.line.contains("/sse"));
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].line, "GET /api/runs/0199ab/sse?after=0");
    for again in &asked[1..] {
        assert_eq!(again.line, "GET /api/runs/0199ab/sse");
        assert_eq!(again.headers["last-event-id"], "1-40");
    }
}

#[test]
fn logs_without_follow_show_what_there_is_of_a_running_run_and_stop() {
    let events = [connected("running"), says("1-40", "so far")];
    let server = FakeServer::start(vec![
        (RUN, run()),
        (SSE, Reply::events(&events).staying_open()),
    ]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "so far\n"),
        "{ended:?}"
    );
}

#[test]
fn a_message_is_sent_after_its_stream_is_open_and_followed_through_the_new_attempt() {
    let events = [
        connected("finished"),
        status("2-0", "running"),
        status("3-0", "finished"),
    ];
    let server = FakeServer::start(vec![
        (SSE, Reply::events(&events).staying_open()),
        (
            "POST /api/runs/0199ab/messages",
            Reply::json(202, &json!({"status": "preparing"})),
        ),
    ]);
    let ended = Program::talking_to(&server.url).run(&["message", "0199ab", "again", "-f"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.stdout,
        "sent; the run is preparing\n[running]\n[finished]\n"
    );
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        ["GET /api/runs/0199ab/sse", "POST /api/runs/0199ab/messages"]
    );
}

#[test]
fn with_json_each_event_is_a_line() {
    let events = [connected("finished"), says("1-4", "\u{1b}x")];
    let server = FakeServer::start(vec![(RUN, run()), (SSE, Reply::events(&events))]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab", "-f", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1]["id"], "1-4");
    assert_eq!(lines[1]["event"], "output");
    assert_eq!(lines[1]["data"]["events"][0]["text"], "\u{1b}x");
}

#[test]
fn a_run_that_is_not_there_is_not_waited_for() {
    let server = FakeServer::start(vec![]);
    assert_eq!(
        Program::talking_to(&server.url)
            .run(&["logs", "0199ab", "-f"])
            .code,
        4
    );
}
