//! What comes out: tables for people, JSON for programs, nothing into a pipe that nobody reads.

use rstest::rstest;
use serde_json::{Value, json};

use super::fake_server::{FakeServer, Reply};
use super::program::{Ended, Program};

fn a_run() -> Value {
    json!({
        "id": "0199ab00-0000-7000-8000-000000000001", "run_id": "0199ab00-0000-7000-8000-000000000001",
        "workflow": "auto", "mode": "auto", "issue_id": "7", "card_id": null, "status": "finished", "agent": "claude",
        "stub_reason": null, "branch": "auto/7-x", "worktree_path": "/w/x", "base": "master", "cost_usd": 0.25,
        "created_at": "2026-01-01T00:00:00.000Z", "prompt": "do\nit \u{1b}]0;owned\u{7}",
        "failure": null, "attempts": [{}],
        "gate": {"open": false, "blockers": [{"code": "not_validated", "item_key": "review", "detail": "nobody looked"}]},
        "dod_items": [{
            "item_key": "review", "title": "A person looked", "required": true, "status": "done",
            "evidence": [{"id": "e1", "item_key": "review", "kind": "text", "payload_text": "see\nhere", "author": "agent",
                "stale": true, "validated_at": null, "rejected_at": null}],
        }],
    })
}

#[rstest]
#[case(&["list", "--json"], "GET /api/runs")]
#[case(&["show", "0199ab", "--json"], "GET /api/runs/0199ab")]
#[case(&["run", "--prompt", "x", "--json"], "POST /api/runs")]
#[case(&["merge", "0199ab", "--json"], "POST /api/runs/0199ab/merge")]
#[case(&["abort", "0199ab", "--json"], "POST /api/runs/0199ab/abort")]
#[case(&["restore", "0199ab", "--json"], "POST /api/runs/0199ab/restore")]
#[case(&["retry", "0199ab", "--json"], "POST /api/runs/0199ab/retry")]
#[case(&["message", "0199ab", "x", "--json"], "POST /api/runs/0199ab/messages")]
#[case(&["evidence", "list", "0199ab", "--json"], "GET /api/runs/0199ab/evidence")]
#[case(&["evidence", "add", "0199ab", "--item", "i", "--text", "x", "--json"], "POST /api/runs/0199ab/evidence")]
#[case(&["validate", "0199ab", "e", "--by", "A", "--json"], "POST /api/runs/0199ab/evidence/e/validate")]
#[case(&["reject", "0199ab", "e", "--by", "A", "--reason", "r", "--json"], "POST /api/runs/0199ab/evidence/e/reject")]
#[case(&["workflows", "list", "--json"], "GET /api/workflows")]
#[case(&["workflows", "show", "w", "--json"], "GET /api/workflows/w")]
fn json_comes_out_as_the_api_gave_it(#[case] arguments: &[&str], #[case] line: &str) {
    let body = "{ \"z\": 1.50,  \"a\":\"\u{9b}ü\" }";
    let server = FakeServer::start(vec![(line, Reply::text(200, "application/json", body))]);
    let ended = Program::talking_to(&server.url).run(arguments);
    assert_eq!((ended.code, ended.stdout), (0, format!("{body}\n")));
}

#[test]
fn a_list_is_a_table_without_colours_where_no_terminal_reads() {
    let body = json!({"runs": [a_run()], "next_cursor": "abc"});
    let server = FakeServer::start(vec![("GET /api/runs", Reply::json(200, &body))]);
    let ended = Program::talking_to(&server.url).run(&["list"]);
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
    let lines: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["RUN", "STATUS", "FOR", "AGENT", "BRANCH", "AGE", "COST"]
    );
    let row = &lines[1];
    assert_eq!(
        row[..5],
        [
            "0199ab00-0000-7000-8000-000000000001",
            "finished",
            "7",
            "claude",
            "auto/7-x"
        ]
    );
    assert_eq!(row[6], "$0.2500");
    assert_eq!(ended.stderr, "more: --cursor abc\n");
}

#[test]
fn a_run_is_shown_with_what_is_proven_and_what_is_missing() {
    let server = FakeServer::start(vec![("GET /api/runs/0199ab", Reply::json(200, &a_run()))]);
    let ended = Program::talking_to(&server.url).run(&["show", "0199ab"]);
    insta::assert_snapshot!(ended.stdout, @r"
    run          0199ab00-0000-7000-8000-000000000001
    status       finished
    workflow     auto
    issue        7
    agent        claude
    branch       auto/7-x
    worktree     /w/x
    base         master
    cost         0.25
    created      2026-01-01T00:00:00.000Z
    prompt       do\nit \u001b]0;owned\u0007
    gate         shut
      - review not_validated: nobody looked

    ITEM    REQUIRED  STATUS  TITLE
    review  yes       done    A person looked

    EVIDENCE  ITEM    KIND  STATE                 BY     PAYLOAD
    e1        review  text  not validated, stale  agent  see
    ");
}

#[test]
fn a_pipe_that_nobody_reads_is_no_failure() {
    let runs = vec![a_run(); 2000];
    let body = json!({"runs": runs, "next_cursor": null});
    let server = FakeServer::start(vec![("GET /api/runs", Reply::json(200, &body))]);
    for arguments in [&["list"][..], &["list", "--json"]] {
        let program = Program::talking_to(&server.url);
        let mut child = program.command(arguments).spawn().unwrap();
        // More than a pipe holds is written, so that writing must fail.
        drop(child.stdout.take());
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (0, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn raw_output_is_every_byte_as_the_agent_printed_it() {
    let bytes = "\u{1b}[31mred\u{7}\r\n\0end without newline";
    let server = FakeServer::start(vec![(
        "GET /api/runs/0199ab/output",
        Reply::text(200, "application/octet-stream", bytes),
    )]);
    let ended = Program::talking_to(&server.url).run(&["logs", "0199ab", "--raw"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, bytes));
}
