//! What a person is told when it does not work, and what a script sees.

use rstest::rstest;
use serde_json::json;

use super::fake_server::{FakeServer, Reply};
use super::program::Program;

#[test]
fn a_shut_gate_names_each_blocker_and_what_to_do() {
    let problem = json!({
        "type": "about:blank", "title": "The gate is shut", "status": 409, "code": "gate_closed",
        "detail": "2 items are not proven", "request_id": "r1",
        "blockers": [
            {"code": "evidence_missing", "item_key": "tests", "item_id": "i1", "evidence_id": null, "detail": "no evidence"},
            {"code": "evidence_not_validated", "item_key": "review", "item_id": "i2", "evidence_id": "e2", "detail": "nobody validated it\u{1b}[2J"},
        ],
    });
    let server = FakeServer::start(vec![(
        "POST /api/runs/0199ab/merge",
        Reply::problem(409, &problem),
    )]);
    let ended = Program::talking_to(&server.url).run(&["merge", "0199ab"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (5, ""));
    insta::assert_snapshot!(ended.stderr, @r"
    error: The gate is shut: 2 items are not proven (gate_closed)
      - tests: no evidence (evidence_missing)
        hint: agent_runner_api evidence add 0199ab --item tests --text '…'
      - review: nobody validated it\u001b[2J (evidence_not_validated)
        hint: agent_runner_api validate 0199ab e2 --by YOUR-NAME
    ");
}

#[test]
fn each_wrong_field_is_named() {
    let problem = json!({
        "title": "The request is wrong", "status": 422, "code": "invalid_request",
        "errors": [{"pointer": "/limits/max_turns", "detail": "must be at least 1"}],
    });
    let server = FakeServer::start(vec![("POST /api/runs", Reply::problem(422, &problem))]);
    let ended = Program::talking_to(&server.url).run(&["run", "--prompt", "x"]);
    assert_eq!(ended.code, 1);
    insta::assert_snapshot!(ended.stderr, @r"
    error: The request is wrong (invalid_request)
      - /limits/max_turns: must be at least 1
    ");
}

#[rstest]
#[case(403, 5)]
#[case(404, 4)]
#[case(409, 5)]
#[case(422, 1)]
#[case(500, 1)]
#[case(503, 1)]
fn the_exit_code_tells_what_kind_of_no_it_was(#[case] status: u16, #[case] code: i32) {
    let problem = json!({"title": "No", "status": status, "code": "no"});
    let server = FakeServer::start(vec![(
        "GET /api/runs/0199ab",
        Reply::problem(status, &problem),
    )]);
    assert_eq!(
        Program::talking_to(&server.url)
            .run(&["show", "0199ab"])
            .code,
        code
    );
}

#[test]
fn a_live_run_for_the_same_card_is_named_in_the_hint() {
    let problem = json!({"title": "A run for the same is going on", "status": 409, "code": "live_run", "run_id": "0199cd"});
    let server = FakeServer::start(vec![("POST /api/runs", Reply::problem(409, &problem))]);
    let ended = Program::talking_to(&server.url).run(&["run", "--card", "c1"]);
    assert_eq!(ended.code, 5);
    assert!(
        ended.stderr.contains("agent_runner_api logs 0199cd -f"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("--allow-parallel"), "{ended:?}");
}

#[test]
fn something_else_that_answers_is_not_taken_for_the_api() {
    let server = FakeServer::start(vec![
        ("GET /api/runs", Reply::text(200, "text/html", "<html>")),
        (
            "GET /api/workflows",
            Reply::text(502, "text/html", "<h1>bad gateway</h1>"),
        ),
    ]);
    let program = Program::talking_to(&server.url);
    let page = program.run(&["list"]);
    assert_eq!(page.code, 1);
    assert!(page.stderr.contains("is not this API"), "{page:?}");
    let gateway = program.run(&["workflows", "list"]);
    assert!(
        gateway.stderr.contains("answered 502: <h1>bad gateway"),
        "{gateway:?}"
    );
}

#[test]
fn a_server_that_does_not_answer_has_its_own_code() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ended = Program::talking_to(&url).run(&["list"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended
            .stderr
            .contains(&format!("no server answers at {url}")),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("hint: start one"), "{ended:?}");
}

#[rstest]
#[case::unknown_command(&["fly"])]
#[case::unknown_flag(&["--wings"])]
#[case::settings_with_a_command(&["--port", "1", "list"])]
#[case::two_payloads(&["evidence", "add", "0199ab", "--item", "x", "--text", "a", "--url", "b"])]
#[case::no_payload(&["evidence", "add", "0199ab", "--item", "x"])]
#[case::kind_that_does_not_fit(&["evidence", "add", "0199ab", "--item", "x", "--text", "a", "--kind", "url"])]
#[case::no_url(&["list", "--server", "localhost:8486"])]
#[case::no_tls(&["list", "--server", "https://localhost"])]
#[case::label_without_value(&["run", "--label", "x"])]
#[case::validation_by_nobody(&["validate", "0199ab", "e1"])]
fn a_wrong_command_line_is_exit_code_2(#[case] arguments: &[&str]) {
    let ended = Program::new().run(arguments);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(!ended.stderr.is_empty());
}

#[rstest]
#[case::flag(&["--port", "x"], "--port: \"x\" is no value for `port`")]
#[case::another_address(&["--bind", "0.0.0.0"], "only a loopback address")]
#[case::file(&["--config", "nowhere.toml"], "cannot read the configuration file")]
fn wrong_settings_have_their_own_code(#[case] arguments: &[&str], #[case] said: &str) {
    let ended = Program::new().run(arguments);
    assert_eq!(ended.code, 16, "{ended:?}");
    assert!(ended.stderr.contains(said), "{ended:?}");
}
