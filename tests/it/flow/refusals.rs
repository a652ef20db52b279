//! Requests that are refused: by name, with what to do, and with nothing changed.

use serde_json::json;

use crate::support::server::{Server, request};

#[test]
fn an_unknown_mode_names_the_modes_there_are() {
    let server = Server::start();
    let refused = server.create(&json!({"mode": "paint", "prompt": "x"}));
    let refused = refused.expect_problem(422, "unknown_mode");
    assert_eq!(refused["modes"], json!(["auto", "prompt"]));
    assert_eq!(refused["errors"][0]["pointer"], "/mode");
    assert_eq!(server.get("/api/runs").expect(200)["runs"], json!([]));
}

#[test]
fn what_cannot_be_taken_is_named_field_by_field() {
    let server = Server::start();
    let all = json!({
        "mode": "prompt", "prompt": "x", "card_id": "", "model": "--evil", "base": "no/such",
        "limits": {"timeout_s": 0}, "env": {"LD_PRELOAD": "/tmp/x.so", "GIT_DIR": "/tmp"},
        "dod": [{"key": "two words"}],
    });
    let refused = server.create(&all).expect_problem(422, "invalid");
    let mut pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    pointers.sort();
    assert_eq!(
        pointers,
        [
            "/base",
            "/card_id",
            "/dod/0/key",
            "/env/GIT_DIR",
            "/env/LD_PRELOAD",
            "/limits/timeout_s",
            "/model"
        ]
    );
    for (body, pointer) in [
        (json!({"mode": "prompt"}), "/prompt"),
        (json!({"mode": "prompt", "prompt": "  "}), "/prompt"),
        (json!({"mode": "auto"}), "/issue_id"),
        (json!({"prompt": "x"}), "/mode"),
        (
            json!({"mode": "prompt", "prompt": "x", "colour": "red"}),
            "/colour",
        ),
        (json!({"mode": "prompt", "prompt": ["x"]}), "/prompt"),
        (
            json!({"mode": "prompt", "prompt": "x", "limits": {"time": 1}}),
            "/limits/time",
        ),
        (
            json!({"mode": "prompt", "prompt": "x", "base": "-x"}),
            "/base",
        ),
        (
            json!({"mode": "prompt", "prompt": "x", "base": "../master"}),
            "/base",
        ),
    ] {
        let refused = server.create(&body).expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(server.get("/api/runs").expect(200)["runs"], json!([]));
    assert!(!server.at("worktrees").join("auto").exists());
}

#[test]
fn what_is_no_json_or_says_it_is_something_else_is_refused() {
    let server = Server::start();
    let client = server.client();
    let as_json = [("content-type", "application/json")];
    for broken in [
        &b"{\"mode\": "[..],
        b"not json",
        b"{\"mode\": \"prompt\"} x",
        b"\xff",
    ] {
        let answer = client.ask("POST", "/api/runs", &as_json, broken);
        answer.expect_problem(400, "not_json");
    }
    let body = request("exit 0", &json!({})).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
    ] {
        let headers = [("content-type", kind)];
        let answer = client.ask("POST", "/api/runs", &headers, body.as_bytes());
        answer.expect_problem(415, "unsupported_media_type");
    }
    // The second is still being sent when it is refused: the answer arrives all the same.
    for mebibytes in [2, 20] {
        let huge = json!({"mode": "prompt", "prompt": "x".repeat(mebibytes * 1024 * 1024)});
        server.create(&huge).expect_problem(413, "too_large");
    }
    client
        .ask("DELETE", "/api/runs", &[], b"")
        .expect_problem(405, "method_not_allowed");
    server.get("/api/nothing").expect_problem(404, "not_found");
    server
        .get("/api/runs?colour=red")
        .expect_problem(422, "invalid");
    assert_eq!(server.get("/api/runs").expect(200)["runs"], json!([]));
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_id() {
    let server = Server::start();
    let first = server.run("exit 0");
    let second = server.run("exit 0");
    assert_eq!(
        server
            .get(&format!("/api/runs/{}", &first.id[..35]))
            .expect(200)["id"],
        first.id
    );
    let upper = first.id.to_uppercase();
    assert_eq!(
        server.get(&format!("/api/runs/{upper}")).expect(200)["id"],
        first.id
    );
    assert_eq!(first.id[..6], second.id[..6], "ids begin with the time");
    let six = format!("/api/runs/{}", &first.id[..6]);
    server.get(&six).expect_problem(409, "ambiguous_id");
    server
        .post(&format!("{six}/abort"), &json!({}))
        .expect_problem(409, "ambiguous_id");
    let unknown = uuid::Uuid::now_v7().to_string();
    for id in [
        &first.id[..5],
        "nonsense",
        "%25%25%25%25%25%25",
        "______",
        &unknown,
    ] {
        for rest in ["", "/gate", "/diff", "/output", "/sse", "/evidence"] {
            let answer = server.get(&format!("/api/runs/{id}{rest}"));
            answer.expect_problem(404, "not_found");
        }
        for rest in ["/merge", "/abort", "/restore", "/retry"] {
            let answer = server.post(&format!("/api/runs/{id}{rest}"), &json!({}));
            answer.expect_problem(404, "not_found");
        }
    }
}

#[test]
fn pages_of_other_sites_are_not_answered() {
    let server = Server::start();
    let client = server.client();
    let body = request("exit 0", &json!({})).to_string();
    for (header, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.example", 421),
    ] {
        let headers = [("content-type", "application/json"), (header, value)];
        let answer = client.ask("POST", "/api/runs", &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{header}: {value}");
    }
    assert_eq!(server.get("/api/runs").expect(200)["runs"], json!([]));
}
