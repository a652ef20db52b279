//! What each command asks of the server.

use rstest::rstest;
use serde_json::{Value, json};

use super::fake_server::{FakeServer, Reply};
use super::program::Program;

#[rstest]
#[case::run_with_a_prompt_alone(
    &["run", "--prompt", "say hi"],
    "POST /api/runs",
    json!({"mode": "prompt", "prompt": "say hi"})
)]
#[case::run_for_an_issue_with_everything(
    &["run", "--issue", "7", "--card", "c1", "--app", "shop", "--prompt", "-x", "--agent", "claude", "--model", "opus",
      "--base", "main", "--timeout-s", "60", "--idle-timeout-s", "30", "--max-cost-usd", "1.5", "--max-turns", "9",
      "--max-output-bytes", "1000", "--label", "team=a=b", "--env", "CI=", "--dod", "review=A person looked",
      "--dod", "{\"key\":\"k\",\"required\":false}", "--allow-parallel", "--workflow", "w"],
    "POST /api/runs",
    json!({
        "mode": "w", "workflow": "w", "issue_id": "7", "card_id": "c1", "kanban_app": "shop", "prompt": "-x",
        "agent": "claude", "model": "opus", "base": "main",
        "limits": {"timeout_s": 60, "idle_timeout_s": 30, "max_cost_usd": 1.5, "max_turns": 9, "max_output_bytes": 1000},
        "labels": {"team": "a=b"}, "env": {"CI": ""},
        "dod": [{"key": "review", "title": "A person looked", "required": true}, {"key": "k", "required": false}],
        "allow_parallel": true,
    })
)]
#[case::run_for_an_issue_alone(
    &["run", "--issue", "7"], "POST /api/runs", json!({"mode": "auto", "issue_id": "7"})
)]
#[case::list(&["list"], "GET /api/runs", Value::Null)]
#[case::list_with_filters(
    &["list", "--status", "running,failed", "--status", "merged", "--app", "a b", "--since", "24h", "--limit", "5", "--cursor", "x="],
    "GET /api/runs?status=running%2Cfailed&status=merged&app=a%20b&since=24h&limit=5&cursor=x%3D",
    Value::Null
)]
#[case::show(&["show", "0199ab"], "GET /api/runs/0199ab", Value::Null)]
#[case::show_of_a_strange_id(&["show", "../x"], "GET /api/runs/..%2Fx", Value::Null)]
#[case::logs_raw(&["logs", "0199ab", "--raw"], "GET /api/runs/0199ab/output?after=0", Value::Null)]
#[case::logs_raw_followed(
    &["logs", "0199ab", "--raw", "-f"], "GET /api/runs/0199ab/output?after=0&follow=true", Value::Null
)]
#[case::evidence_of_text(
    &["evidence", "add", "0199ab", "--item", "review", "--kind", "text", "--text", "looked"],
    "POST /api/runs/0199ab/evidence",
    json!({"item_key": "review", "kind": "text", "payload_text": "looked"})
)]
#[case::evidence_of_a_url(
    &["evidence", "add", "0199ab", "--item", "ci", "--url", "https://ci/1"],
    "POST /api/runs/0199ab/evidence",
    json!({"item_key": "ci", "kind": "url", "payload_url": "https://ci/1"})
)]
#[case::evidence_list(&["evidence", "list", "0199ab"], "GET /api/runs/0199ab/evidence", Value::Null)]
#[case::validate(
    &["validate", "0199ab", "e1", "--by", "Ann"],
    "POST /api/runs/0199ab/evidence/e1/validate",
    json!({"validated_by": "Ann"})
)]
#[case::reject(
    &["reject", "0199ab", "e1", "--by", "Ann", "--reason", "blurred"],
    "POST /api/runs/0199ab/evidence/e1/reject",
    json!({"validated_by": "Ann", "reason": "blurred"})
)]
#[case::merge(&["merge", "0199ab"], "POST /api/runs/0199ab/merge", json!({}))]
#[case::merge_dry_with_a_message(
    &["merge", "0199ab", "--dry-run", "--message", "Land it"],
    "POST /api/runs/0199ab/merge",
    json!({"dry_run": true, "message": "Land it"})
)]
#[case::checks_stopped(&["check", "0199ab", "--stop"], "DELETE /api/runs/0199ab/checks", Value::Null)]
#[case::merge_cancelled(&["merge", "0199ab", "--cancel"], "DELETE /api/runs/0199ab/merge", Value::Null)]
#[case::abort(&["abort", "0199ab"], "POST /api/runs/0199ab/abort", json!({}))]
#[case::restore(&["restore", "0199ab"], "POST /api/runs/0199ab/restore", json!({}))]
#[case::retry(&["retry", "0199ab"], "POST /api/runs/0199ab/retry", json!({}))]
#[case::message(
    &["message", "0199ab", "and now?"], "POST /api/runs/0199ab/messages", json!({"text": "and now?"})
)]
#[case::message_with_the_conflict(
    &["message", "0199ab", "--conflict"], "POST /api/runs/0199ab/messages", json!({"conflict": true})
)]
#[case::workflows_list(&["workflows", "list"], "GET /api/workflows", Value::Null)]
#[case::workflows_show(&["workflows", "show", "auto"], "GET /api/workflows/auto", Value::Null)]
#[case::workflows_delete(&["workflows", "delete", "mine"], "DELETE /api/workflows/mine", Value::Null)]
fn a_command_asks_for_what_its_options_say(
    #[case] arguments: &[&str],
    #[case] line: &str,
    #[case] body: Value,
) {
    let path = line.split('?').next().unwrap();
    let server = FakeServer::start(vec![(path, Reply::json(200, &json!({"id": "0199ab"})))]);
    let ended = Program::talking_to(&server.url).run(arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let asked = server.asked_once();
    assert_eq!(asked.line, line);
    assert_eq!(asked.json(), body);
    if !body.is_null() {
        assert_eq!(asked.headers["content-type"], "application/json");
    }
}

#[test]
fn a_dash_reads_the_prompt_from_standard_input() {
    let server = FakeServer::start(vec![("POST /api/runs", Reply::json(201, &json!({})))]);
    let program = Program::talking_to(&server.url);
    let ended = program.run_with_stdin(&["run", "--prompt", "-"], "long\nprompt\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(server.asked_once().json()["prompt"], "long\nprompt\n");
}

#[test]
fn a_workflow_is_put_from_a_file_that_must_be_json() {
    let server = FakeServer::start(vec![("PUT /api/workflows/w", Reply::json(201, &json!({})))]);
    let program = Program::talking_to(&server.url);
    std::fs::write(program.home().join("w.json"), r#"{"prompt_template": "x"}"#).unwrap();
    let ended = program.run(&["workflows", "put", "w", "--file", "w.json"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "workflow w made\n"),
        "{ended:?}"
    );
    assert_eq!(server.asked_once().json(), json!({"prompt_template": "x"}));
    std::fs::write(program.home().join("w.json"), "{").unwrap();
    let ended = program.run(&["workflows", "put", "w", "--file", "w.json"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("w.json is not JSON"), "{ended:?}");
}

#[test]
fn a_file_in_the_worktree_is_named_and_any_other_is_uploaded() {
    let worktree = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(worktree.path().join("out")).unwrap();
    std::fs::write(worktree.path().join("out/shot.png"), "x").unwrap();
    let run = json!({"id": "0199ab", "worktree_path": worktree.path()});
    let server = FakeServer::start(vec![
        ("GET /api/runs/0199ab", Reply::json(200, &run)),
        (
            "POST /api/runs/0199ab/evidence",
            Reply::json(201, &json!({"evidence_id": "e1"})),
        ),
    ]);
    let program = Program::talking_to(&server.url);
    let add = |file: &str| {
        let ended = program.run(&[
            "evidence", "add", "0199ab", "--item", "shot", "--file", file,
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        server.asked().pop().unwrap()
    };
    let inside = add(worktree.path().join("out/shot.png").to_str().unwrap());
    assert_eq!(
        inside.json(),
        json!({"item_key": "shot", "kind": "file", "payload_path": "out/shot.png"})
    );
    std::fs::write(program.home().join("notes.txt"), "seen").unwrap();
    let outside = add("notes.txt");
    let boundary = outside.headers["content-type"]
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    insta::assert_snapshot!(outside.body.replace(boundary, "BOUNDARY").replace('\r', ""), @r#"
    --BOUNDARY
    Content-Disposition: form-data; name="item_key"

    shot
    --BOUNDARY
    Content-Disposition: form-data; name="kind"

    file
    --BOUNDARY
    Content-Disposition: form-data; name="file"; filename="notes.txt"
    Content-Type: application/octet-stream

    seen
    --BOUNDARY--
    "#);
}

#[test]
fn the_server_is_named_by_flag_before_variable_before_the_port_of_the_settings() {
    let server = FakeServer::start(vec![(
        "GET /api/runs",
        Reply::json(200, &json!({"runs": []})),
    )]);
    let port = server.url.rsplit(':').next().unwrap();
    let nowhere = "http://127.0.0.1:1";
    let by_flag = Program::talking_to(nowhere).run(&["list", "--server", &server.url]);
    assert_eq!(by_flag.code, 0, "{by_flag:?}");
    let by_variable = Program::talking_to(&server.url)
        .with("AGENT_RUNNER_PORT", "1")
        .run(&["list"]);
    assert_eq!(by_variable.code, 0, "{by_variable:?}");
    let by_port = Program::new()
        .with("AGENT_RUNNER_PORT", port)
        .run(&["list"]);
    assert_eq!(by_port.code, 0, "{by_port:?}");
}
