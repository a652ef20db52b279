//! `/mcp`, as a client of the Model Context Protocol finds it.

use serde_json::{Value, json};

use crate::support::own_run::{Own, WAITING};
use crate::support::server::{Server, Setup};

/// Where an answer is as JSON.
const ANSWER: &str = "agent_runner_api/answer";

/// What a client says first.
fn hello() -> Value {
    json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    })
}

/// The text of a tool's answer, and whether it is an error.
#[track_caller]
fn said(answer: &Value) -> (String, bool) {
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{answer:#}"));
    (text.to_owned(), result["isError"] == true)
}

#[test]
fn a_client_is_told_three_tools_and_no_session() {
    let server = Server::start();
    let run = server.run(WAITING);
    let own = Own::of(&server, &run);
    let hello = own.mcp("initialize", &hello());
    assert_eq!(hello.header("mcp-session-id"), "");
    assert_eq!(hello.header("content-type"), "application/json");
    let hello = hello.expect(200);
    assert_eq!(hello["result"]["serverInfo"]["name"], "agent_runner_api");
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(own.post("/mcp", &told).status, 202);
    let tools = own.mcp("tools/list", &json!({})).expect(200);
    insta::assert_json_snapshot!("tools", tools["result"]["tools"]);
}

#[test]
fn the_tools_show_what_is_asked_take_what_shows_it_and_nothing_more() {
    let server = Server::start();
    let run = server.run_with(
        "sh echo work > work.txt && git add . && git commit -q -m work\nprint committed\nsleep 600",
        &json!({"dod": [
            {"key": "tests", "title": "The tests pass", "check": {"cmd": "cargo test", "timeout_s": 60}},
            {"key": "shot", "title": "A picture", "accepts": ["file", "url"]},
        ]}),
    );
    crate::support::wait::until("it has committed", || {
        String::from_utf8_lossy(&run.output()).contains("committed")
    });
    let own = Own::of(&server, &run);
    let call = |name: &str, arguments: Value| own.tool(name, &arguments).expect(200);

    let dod = call("definition_of_done", json!({}));
    let (text, error) = said(&dod);
    assert!(!error);
    let head = server.repo.commit_of(&run.branch).unwrap();
    let text = text.replace(&run.id, "<run>").replace(&head, "<head>");
    insta::assert_snapshot!("definition_of_done", text);
    let items = dod["result"]["_meta"][ANSWER]["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);

    let attached = call(
        "attach_evidence",
        json!({"item_key": "shot", "path": "work.txt"}),
    );
    assert!(!said(&attached).1, "{attached:#}");
    let evidence = &attached["result"]["_meta"][ANSWER];
    assert_eq!(evidence["author"], "agent");
    assert_eq!(evidence["commit"], head.as_str());
    assert_eq!(evidence["validated_at"], Value::Null);
    let (added, error) = said(&call(
        "attach_evidence",
        json!({"item_key": "shoot", "url": "https://example.org/"}),
    ));
    assert!(!error && added.contains("`shoot` was no item"), "{added}");

    for (arguments, why) in [
        (
            json!({"item_key": "shot", "text": "words"}),
            "takes file, url, not text",
        ),
        (json!({"item_key": "shot"}), "exactly one"),
        (
            json!({"item_key": "shot", "path": "/etc/passwd"}),
            "inside the run's worktree",
        ),
        (
            json!({"item_key": "shot", "path": "work.txt", "validated_by": "me"}),
            "unknown field",
        ),
        (json!({"text": "x"}), "missing field `item_key`"),
    ] {
        let (text, error) = said(&call("attach_evidence", arguments));
        assert!(error && text.contains(why), "{text}");
    }
    for name in ["validate", "merge", "abort", "list_runs"] {
        let (text, error) = said(&call(name, json!({})));
        assert!(error && text.contains("there is no tool"), "{text}");
    }
    let (results, _) = said(&call("check_results", json!({})));
    assert!(
        results.starts_with("No result yet for: tests."),
        "{results}"
    );
}

#[test]
fn nobody_gets_in_without_a_token_or_from_elsewhere() {
    let server = Server::start();
    let run = server.run(WAITING);
    let own = Own::of(&server, &run);
    let client = server.client();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let accept = ("accept", "application/json, text/event-stream");
    let kind = ("content-type", "application/json");
    let ask = |more: &[(&str, &str)]| {
        let headers = [&[accept, kind], more].concat();
        client.ask("POST", "/mcp", &headers, body.as_bytes())
    };
    ask(&[]).expect_problem(401, "unauthorized");
    let authorization = format!("Bearer {}", own.token);
    let known = ("authorization", authorization.as_str());
    ask(&[known]).expect(200);
    ask(&[known, ("origin", "http://evil.example")]).expect_problem(403, "origin_refused");
    ask(&[known, ("sec-fetch-site", "cross-site")]).expect_problem(403, "cross_site_refused");
    ask(&[known, ("host", "evil.example")]).expect_problem(421, "misdirected");
    let wrong = own.post("/mcp", &json!(["not", "one"]));
    assert!((400..500).contains(&wrong.status), "{wrong:?}");
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(3 << 20)});
    own.post("/mcp", &large).expect_problem(413, "too_large");
    let url = server.get("/api/health").expect(200)["mcp"]["url"].clone();
    assert_eq!(url, format!("{}/mcp", client.url));
}

#[test]
fn a_client_goes_on_after_a_restart_as_if_nothing_had_been() {
    let server = Setup::new().on_a_port_of_its_own().start();
    let run = server.run(WAITING);
    let own = Own::of(&server, &run);
    own.mcp("initialize", &hello()).expect(200);
    let before = said(&own.tool("definition_of_done", &json!({})).expect(200));
    server.restart();
    let after = said(&own.tool("definition_of_done", &json!({})).expect(200));
    assert_eq!(before, after);
}

#[test]
fn the_result_of_a_check_is_shown_with_its_reason_and_the_end_of_its_log() {
    let server = Server::start();
    let workflow = json!({
        "prompt_template": "{{ prompt }}", "settings": {"feedback": 0},
        "dod": [
            {"key": "fine", "check": {"cmd": "echo all is well"}},
            {"key": "bad", "check": {"cmd": "seq 1 5000; echo the last word; exit 3"}},
        ],
    });
    server.put("/api/workflows/checked", &workflow);
    let run = server.run_with("sh echo work > work.txt", &json!({"mode": "checked"}));
    let finished = run.wait_for("finished");
    let own = Own::of(&server, &run);
    let answer = own.tool("check_results", &json!({})).expect(200);
    let (text, error) = said(&answer);
    assert!(!error, "{text}");
    let results = answer["result"]["_meta"][ANSWER]["results"].clone();
    let (fine, bad) = (&results[0], &results[1]);
    assert_eq!(
        (&fine["passed"], &fine["code"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        (&bad["passed"], &bad["code"]),
        (&json!(false), &json!("exit_code"))
    );
    assert_eq!(
        (&bad["commit"], &bad["stale"]),
        (&finished["head"], &json!(false))
    );
    let log = bad["log_end"].as_str().unwrap();
    assert!(
        log.ends_with("the last word\n") && log.len() <= 4096,
        "{log}"
    );
    for told in [
        "fine: passed in ",
        "all is well",
        "bad: FAILED in ",
        "exit_code: ",
        "the last word",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}
